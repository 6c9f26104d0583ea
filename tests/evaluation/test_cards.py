import json

import pytest
from tests.evaluation.scores import SUBJECTS, parts_of_older_weights, save_scores

from cxr_pipeline.evaluation.cards import data_sheet, model_card, write_cards
from cxr_pipeline.evaluation.score_files import read_scores


def config(name="gan", **more):
    own = {
        "model": name,
        "architecture": {"dim_z": 100},
        "image_size": 128,
        "parameters": {
            "seed": 2, "epochs": 5, "max_steps": None, "batch_size": 64, "precision": "auto",
            "selection": {"findings": ["No Finding"], "views": []},
        },
        "steps": 3485,
        "data": "cxr14",
        "training_images": 44_625,
        "image_store": "0123456789abcdef",
        "image_store_digest": "5" * 64,
        "weights_sha256": SUBJECTS[name],
        "seconds": 3600.0,
        "learned_parameters": 6_402_880,
        "warnings": [],
        "environment": {
            "cxr_pipeline": "0.1.0", "torch": "2.15", "device": "An AMD", "precision": "bf16-mixed",
            "threads": 2,
        },
    }  # fmt: skip
    return own | more


@pytest.fixture
def folders(tmp_path):
    reports, models = tmp_path / "reports", tmp_path / "models"
    save_models(models)
    save_scores(reports, models)
    return reports, models


def save_models(models):
    for name in ("gan", "vae", "gmvae"):
        (models / name).mkdir(parents=True)
        (models / name / "config.json").write_text(json.dumps(config(name)))


@pytest.fixture
def scores(folders):
    return read_scores(folders[0])


def part(card, title):
    """What stands below a heading, on one line."""
    return " ".join(card.split(f"\n## {title}\n")[1].split("\n## ")[0].split())


def test_training_is_told_as_it_is_on_record(scores):
    told = part(model_card(config(), scores), "What it is")
    for fact in (
        "| data | cxr14 |", "| images trained on | 44,625 |", "| selection | findings=No Finding |",
        f"| image store's digest | {'5' * 64} |", f"| weights' SHA-256 | {'a' * 64} |",
        "| parameters trained | 6,402,880 |", "| steps | 3,485 |", "| epochs | 5 |", "| seed | 2 |",
        "| precision | bf16-mixed |", "| machine | An AMD |", "| training time | 60.0 min |",
    ):  # fmt: skip
        assert fact in told


def test_what_is_not_on_record_is_said_not_to_be(scores):
    bare = config()
    del bare["learned_parameters"], bare["environment"]["device"]
    told = part(model_card(bare, scores), "What it is")
    assert "| parameters trained | not on record |" in told
    assert "| machine | not on record |" in told


@pytest.mark.parametrize("write", [model_card, data_sheet])
def test_nih_is_acknowledged_linked_and_cited(scores, write):
    text = " ".join(write(config(), scores).split())
    assert "https://nihcc.app.box.com/v/ChestXray-NIHCC" in text
    assert "acknowledges the NIH Clinical Center" in text
    assert "*ChestX-ray8: Hospital-scale Chest X-ray Database" in text
    assert "CVPR 2017" in text


def test_scores_stand_with_interval_and_floor(scores):
    told = part(model_card(config(), scores), "Scores")
    assert "| power spectrum ↓ | 2.1 [1.8, 2.4] | 0.4 [0.1, 0.7] | 26 |" in told
    assert "| synthetic only | -0.140 [-0.170, -0.110] |" in told
    assert "vae" not in told


def test_a_closed_gate_is_said_in_both(scores):
    audit = part(model_card(config(), scores), "Memorisation")
    assert "15.0% of 256 samples" in audit
    assert "**The release gate is closed**" in audit
    assert "| flipped | 13 | 100% [85%, 100%] | 69% [54%, 79%] |" in audit
    sheet = part(data_sheet(config(), scores), "Distribution")
    assert "**Not to be distributed**" in sheet


def test_an_open_gate_lets_the_images_out(scores):
    assert "The release gate is open" in part(model_card(config("vae"), scores), "Memorisation")
    assert "Not" not in part(data_sheet(config("vae"), scores), "Distribution")


def test_limits_come_from_the_scores(scores):
    limits = part(model_card(config("gmvae"), scores), "Limits")
    assert "Few images: 26 a side" in limits
    assert "The release gate" not in limits  # the gan's
    assert "Extractors disagree" not in limits  # over the gan and the vae
    assert "Extractors disagree" in part(model_card(config(), scores), "Limits")


def test_scores_of_other_weights_are_not_shown(scores):
    anew = config(weights_sha256="9" * 64)
    card = model_card(anew, scores)
    assert "There are no scores of these weights" in part(card, "Scores")
    assert "**has not been measured**" in part(card, "Memorisation")
    assert "it has not been scored" in part(card, "Limits")
    assert "Not before the audit" in part(data_sheet(anew, scores), "Distribution")


def test_a_part_that_looked_at_older_weights_is_not_shown_beside_those_that_did_not(
    tmp_path, scores
):
    assert "findings were guessed" in part(data_sheet(config(), scores), "Labels")
    assert "synthetic only" in part(model_card(config(), scores), "Scores")
    save_models(tmp_path / "anew")
    save_scores(tmp_path / "kept", tmp_path / "anew", parts_of_older_weights("utility"))
    older = read_scores(tmp_path / "kept")
    told = part(model_card(config(), older), "Scores")
    assert "| power spectrum ↓ | 2.1 [1.8, 2.4] |" in told
    assert "synthetic only" not in told
    assert "findings were" not in part(data_sheet(config(), older), "Labels")
    assert "synthetic only" in part(model_card(config("vae"), older), "Scores")


def test_without_an_evaluation_both_are_written(tmp_path):
    scores = read_scores(tmp_path)
    assert "There are no scores" in model_card(config(), scores)
    assert "has not been measured" in data_sheet(config(), scores)


def test_how_to_make_it_again_is_a_command(scores):
    told = part(model_card(config(), scores), "How to make it again")
    command = (
        "kedro run --pipeline=gan --params=raw_dir=DIR,gan.seed=2,gan.batch_size=64,gan.epochs=5"
    )
    assert command in told


@pytest.mark.parametrize(
    ("findings", "selected", "said"),
    [
        (["Mass", "Edema"], [], "**asked for** (Mass, Edema)"),
        ([], ["No Finding"], "trained on images of No Finding alone"),
        ([], [], "**unknown**"),
        ([], ["Mass", "Edema"], "**unknown**"),
    ],
)
def test_the_sheet_says_where_labels_come_from(scores, findings, selected, said):
    own = config(architecture={"findings": findings})
    own["parameters"]["selection"]["findings"] = selected
    assert said in part(data_sheet(own, scores), "Labels")


def test_the_sheet_has_the_export_s_own_record(scores):
    told = part(data_sheet(config(), scores, {"images": 1064, "left_out": 3}), "Composition")
    assert "1,064 grey PNG images of 128 x 128 pixels" in told
    assert "| left out | 3 |" in told


def test_what_stands_in_files_breaks_no_table(scores):
    told = part(model_card(config(data="a|b\n<script>"), scores), "What it is")
    assert "| data | a\\|b &lt;script> |" in told


def test_each_generative_model_gets_its_cards(folders, scores):
    reports, models = folders
    (models / "classifier").mkdir()
    (models / "classifier" / "config.json").write_text(json.dumps({"model": "classifier"}))
    write_cards(reports, models)
    cards = sorted(str(path.relative_to(models)) for path in models.glob("*/*.md"))
    names = ("gan", "gmvae", "vae")
    assert cards == [f"{name}/{card}.md" for name in names for card in ("DATASHEET", "MODEL_CARD")]
    assert (models / "gan" / "MODEL_CARD.md").read_text() == model_card(config(), scores)
