import json

import numpy as np
import pandas as pd
import pytest
from tests.evaluation.scores import SUBJECTS, parts, parts_of_older_weights, utility_table

from cxr_pipeline.evaluation.measured import OUT_OF_DATE, Findings, Measured, Missing
from cxr_pipeline.evaluation.score_cells import best_model, measured_text, spoken_time
from cxr_pipeline.evaluation.scorecard import gather, merge, scorecard

CONFIGS = {
    name: {"weights_sha256": SUBJECTS[name], "learned_parameters": 1234, "seconds": 91.0}
    for name in ("gan", "vae", "gmvae")
}


def digests(**trained_anew):
    return {name: config["weights_sha256"] for name, config in CONFIGS.items()} | trained_anew


@pytest.fixture
def card():
    return scorecard(*merge(parts(), digests()), CONFIGS, utility_table())


def row_of(card, heading):
    (row,) = (row for _, rows in card.groups for row in rows if row.heading == heading)
    return dict(zip(card.columns, row.cells, strict=True))


def measured(value, low, high, model="gan"):
    return Measured(model, "fidelity/kid/random", value, low, high, 9)


def test_the_models_stand_side_by_side_with_real_images_last(card):
    assert card.columns == ["gan", "vae", "gmvae", "folder", "real"]
    groups = [title.split(":")[0] for title, _ in card.groups]
    assert groups == ["Fidelity", "Diversity", "Agreement", "Utility", "Memorisation", "Cost"]
    cell = row_of(card, "KID, classifier ↓")["gan"]
    assert (cell.value, cell.interval, cell.n) == ("0.035", "[0.023, 0.047]", 26)


def test_within_the_floor_s_interval_a_model_is_as_real(card):
    marked = row_of(card, "density, classifier ↑")
    assert [name for name, cell in marked.items() if cell.as_real] == ["vae", "gmvae", "folder"]


def test_the_best_is_marked_only_where_intervals_do_not_meet(card):
    spectrum = row_of(card, "power spectrum ↓")
    assert [name for name, cell in spectrum.items() if cell.best] == ["folder"]
    precision = row_of(card, "precision, classifier ↑")
    assert not any(cell.best for cell in precision.values())
    # The aim is what real images score: the least like is not the best.
    assert not any(cell.best for cell in row_of(card, "MS-SSIM of pairs ≈").values())


@pytest.mark.parametrize(
    ("better", "low", "high", "best"),
    [
        ("lower", 2.1, 3.0, "gan"),
        ("lower", 1.9, 3.0, None),
        ("higher", 2.1, 3.0, "vae"),
        ("higher", 1.9, 3.0, None),
        ("as real", 2.1, 3.0, None),
        ("lower", np.nan, np.nan, None),
    ],
)
def test_which_model_is_best_depends_on_both_intervals(better, low, high, best):
    real = measured(0.0, 0.0, 0.1)
    rows = {"gan": measured(1.0, 0.5, 2.0), "vae": measured(2.5, low, high), "real": real}
    assert best_model(rows, better) == best


def test_one_model_alone_is_not_the_best():
    rows = {"gan": measured(1.0, 0.9, 1.1), "real": measured(0.0, 0.0, 0.1)}
    assert best_model(rows, "lower") is None


def test_the_best_arm_says_of_how_many_and_its_verdict(card):
    row = row_of(card, "best arm ↑")
    assert row["gan"].note == "synthetic 100, best of 4: within noise"
    assert row["real"].note == "augmented, best of 3: gain"
    assert row["folder"].reason == "its images carry no findings: give the folder a label CSV"


def test_what_is_missing_has_its_reason(card):
    assert row_of(card, "AUROC ↑")["gan"].reason.startswith("it was not asked for findings")
    assert (
        row_of(card, "parameters")["folder"].reason == "known only of models that are trained here"
    )
    assert (
        row_of(card, "KID, inception ↓")["folder"].reason == "too few images: 9; set evaluation.x=9"
    )
    assert len(set(card.reasons)) == len(card.reasons)


def test_a_model_of_which_nothing_could_be_measured_has_the_reason_everywhere():
    part = parts()[0]
    part.missing.append(Missing("other", "everything", "no such store: train it anew"))
    cells = row_of(scorecard(*merge([part], digests()), CONFIGS), "recall, random ↑")
    assert cells["other"].reason == "no such store: train it anew"


def test_parameters_and_time_stand_below(card):
    assert row_of(card, "parameters")["gan"].value == "1,234"
    assert row_of(card, "training time")["gan"].value == "91 s"


def test_numbers_that_are_none_are_left_out():
    rows = [measured(np.nan, np.nan, np.nan), measured(2.0, 1.0, 3.0, "vae")]
    card = scorecard(*merge([Findings("fidelity", {}, rows)], {}), {})
    assert row_of(card, "KID, random ↓")["vae"].value == "2.0"
    assert card.columns == ["vae", "real"]


def test_scores_of_weights_that_are_gone_are_left_out():
    table, record = merge(parts(), digests(vae="9" * 64))
    assert "vae" not in {*table["model"]}
    assert {"gan", "gmvae", "folder", "real"} == {*table["model"]}
    own = [row for row in record["missing"] if row["model"] == "vae"]
    named = ["fidelity", "agreement", "memorisation", "utility"]
    assert own == [{"model": "vae", "metric": part, "reason": OUT_OF_DATE} for part in named]
    assert {*record["models"]} == {"gan", "gmvae", "folder"}
    card = scorecard(table, record, CONFIGS)
    for heading in ("coverage, random ↑", "copies ↓", "best arm ↑"):
        assert row_of(card, heading)["vae"].reason == OUT_OF_DATE


def test_extractors_do_not_disagree_about_weights_that_are_gone():
    assert len(merge(parts(), digests())[1]["disagreements"]) == 1
    assert merge(parts(), digests(vae="9" * 64))[1]["disagreements"] == []
    _, record = merge(parts_of_older_weights("fidelity"), digests())
    assert record["disagreements"] == []
    assert record["models"]["gan"]["parts"] == ["agreement", "memorisation", "utility"]


def test_where_no_model_is_as_it_was_the_floor_goes_too():
    part = Findings("fidelity", {"gan": "a"}, [measured(1, 0, 2), measured(1, 0, 2, "real")])
    table, _ = merge([part], {"gan": "b"})
    assert table.empty


def test_what_is_gathered_is_held_against_the_models_on_disk(tmp_path):
    for name, config in (CONFIGS | {"vae": {"weights_sha256": "9" * 64}}).items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(json.dumps(config))
    table, record = gather(parts()[:2], tmp_path, max_memorised=0.1)
    pd.testing.assert_frame_equal(table, merge(parts()[:2], digests(vae="9" * 64))[0])
    assert [*record["parts"]] == ["fidelity", "agreement"]
    assert record["max_memorised"] == 0.1
    of_gan = {"weights_sha256": "a" * 64, "parts": ["fidelity", "agreement"]}
    assert record["models"]["gan"] == of_gan
    assert json.loads(json.dumps(record)) == record


@pytest.mark.parametrize(
    ("value", "low", "high", "written"),
    [
        (0.12, 0.1, 0.15, ("0.12", "[0.10, 0.15]")),
        (1234.5, 1100, 1400, ("1,234", "[1,100, 1,400]")),
        (-0.0001, -0.02, 0.02, ("0.00", "[-0.02, 0.02]")),
        (0.5, 0.5, 0.5, ("0.5", "")),
        (0.123456, np.nan, np.nan, ("0.1235", "")),
    ],
)
def test_a_number_has_the_digits_that_its_interval_bears(value, low, high, written):
    assert measured_text(value, low, high) == written


@pytest.mark.parametrize(("seconds", "said"), [(91, "91 s"), (750, "12.5 min"), (12_240, "3.4 h")])
def test_times_are_said_as_people_say_them(seconds, said):
    assert spoken_time(seconds) == said
