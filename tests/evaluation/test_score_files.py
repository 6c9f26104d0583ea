import json

import pytest
from tests.evaluation.scores import SUBJECTS, parts_of_older_weights, save_scores

from cxr_pipeline.evaluation.caveats import caveats
from cxr_pipeline.evaluation.measured import OUT_OF_DATE
from cxr_pipeline.evaluation.score_files import names_model, read_scores


def scores_where_older(folder, *stale):
    """Scores of models as they are, but what some parts found is of an older gan."""
    for name in ("gan", "vae", "gmvae"):
        (folder / "models" / name).mkdir(parents=True)
        config = json.dumps({"weights_sha256": SUBJECTS[name]})
        (folder / "models" / name / "config.json").write_text(config)
    save_scores(folder / "reports", folder / "models", parts_of_older_weights(*stale))
    return read_scores(folder / "reports")


def models_of(table):
    return {*table["model"]}


def test_each_table_has_the_models_that_its_part_looked_at(tmp_path):
    scores = scores_where_older(tmp_path, "utility", "memorisation")
    assert "gan" in models_of(scores.evaluation)
    assert models_of(scores.agreement) == {"real", "gmvae"}
    assert models_of(scores.utility) == {"real", "vae"}
    assert models_of(scores.distances) == {"real", "vae", "gmvae", "folder"}
    assert {*scores.closest_pairs} == {"vae", "gmvae", "folder"}


def test_older_arms_are_not_counted_among_those_that_did_not_help(tmp_path):
    said = caveats(scores_where_older(tmp_path / "now"))
    assert any("none of 8 arms" in line for line in said)
    said = caveats(scores_where_older(tmp_path / "then", "utility"))
    assert any("none of 4 arms" in line for line in said)


def test_of_tables_without_a_record_it_is_not_known_whose_they_are(tmp_path):
    scores_where_older(tmp_path)
    (tmp_path / "reports" / "evaluation.json").unlink()
    scores = read_scores(tmp_path / "reports")
    assert scores.utility is scores.agreement is scores.distances is None
    assert scores.classifier is not None


@pytest.mark.parametrize(
    ("name", "named"), [("gan", True), ("vae", True), ("gmvae", False), ("va", False)]
)
def test_a_line_names_models_by_their_whole_names(name, named):
    assert names_model("gan is nearer to real images than vae by my-gmvae", name) is named


# -- trained anew since --------------------------------------------------------------------------


def test_what_was_found_of_other_weights_is_left_out_and_said_to_be_out_of_date(tmp_path):
    scores_where_older(tmp_path)
    scores = read_scores(tmp_path / "reports", SUBJECTS | {"gan": "of a later training"})
    for table in (scores.evaluation, scores.utility, scores.distances):
        assert "gan" not in models_of(table)
        assert "vae" in models_of(table)
    reasons = {row["reason"] for row in scores.record["missing"] if row["model"] == "gan"}
    assert reasons == {OUT_OF_DATE}
    assert not any(names_model(line, "gan") for line in scores.record["disagreements"])


def test_with_all_trained_anew_nothing_is_left_and_the_same_weights_change_nothing(tmp_path):
    scores_where_older(tmp_path)
    same = read_scores(tmp_path / "reports", SUBJECTS)
    assert same.evaluation.equals(read_scores(tmp_path / "reports").evaluation)
    none = read_scores(tmp_path / "reports", dict.fromkeys(SUBJECTS, "later"))
    assert none.evaluation.empty
    assert none.utility is None
