"""The whole utility in small: two findings are bright corners, and a network learns them."""

import json
import logging
from contextlib import contextmanager

import numpy as np
import pandas as pd
import pytest

from cxr_pipeline.evaluation.image_sets import ImageSet
from cxr_pipeline.evaluation.measured import findings_from
from cxr_pipeline.evaluation.utility import run as module
from cxr_pipeline.evaluation.utility.run import measure_utility
from cxr_pipeline.parameters.evaluation import ClassifierParameters, UtilityParameters
from cxr_pipeline.training.updates import NotFiniteError

ENTRIES = ("Edema", "Hernia", "Mass")
SIDE = 32

CLASSIFIER = ClassifierParameters.model_validate(
    {
        "seed": 3,
        "selection": {
            "findings": [], "views": [], "sexes": [], "youngest": None, "oldest": None,
            "one_image_a_patient": False,
        },
        "network": "small", "image_size": SIDE, "epochs": 99, "max_steps": 7, "batch_size": 8,
        "learning_rate": 2e-3, "weight_decay": 1e-4, "augment": True, "accelerator": "cpu",
        "precision": "32-true", "log_every": 10, "checkpoint_every": 100, "keep_checkpoints": 1,
        "data_placement": "auto", "compile": False, "ema_decay": None, "gradient_clip": None,
        "learning_rate_warmup": 0, "resume": False,
    }
).model_dump(mode="json")  # fmt: skip

UTILITY = UtilityParameters.model_validate(
    {"models": [], "seeds": 2, "epochs": 1, "shares": [0.5], "replicates": 20}
).model_dump(mode="json")

REAL_ARMS = 4
ARMS_A_MODEL = 3
TRAININGS = 2 * (REAL_ARMS + 2 * ARMS_A_MODEL)


def pictures(name, count, seed, *, blank=False):
    generator = np.random.default_rng(seed)
    pixels = generator.integers(60, 120, (count, SIDE, SIDE)).astype(np.uint8)
    labels = []
    for number, picture in enumerate(pixels):
        shown = [finding for finding, bit in (("Edema", 1), ("Mass", 2)) if number & bit]
        if "Edema" in shown:
            picture[:12, :12] += 100
        if "Mass" in shown:
            picture[-12:, -12:] += 100
        labels.append("|".join(shown) or "No Finding")
    groups = np.arange(count) // 2
    return ImageSet(name, pixels, groups, ("",) * count if blank else tuple(labels))


@pytest.fixture(scope="module")
def sets():
    return [pictures("gan", 24, 1), pictures("vae", 10, 2, blank=True)]


@pytest.fixture
def measure(sets):
    def measure(folder, own_sets=None, classifier=CLASSIFIER, utility=UTILITY, **changes):
        given = {"training": pictures("real", 24, 3), "test": pictures("real", 16, 4)} | changes
        return measure_utility(
            sets if own_sets is None else own_sets,
            given["training"],
            given["test"],
            ENTRIES,
            classifier,
            utility,
            folder=folder,
            seed=0,
        )

    return measure


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("utility")


@pytest.fixture
def measured(measure, folder):
    """Measured once; after that all is kept."""
    return measure(folder)


def trained(caplog):
    return [message for message in caplog.messages if message.startswith("Utility: trained")]


class _Stop(logging.Handler):
    def __init__(self, text):
        super().__init__()
        self.text = text

    def emit(self, record):
        if self.text in record.getMessage():
            raise KeyboardInterrupt


@contextmanager
def stopping(text):
    """Press Ctrl-C as a message is written."""
    handler, logger = _Stop(text), logging.getLogger("cxr_pipeline")
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


def test_every_arm_has_its_rows(measured):
    findings, table = measured
    assert sorted({(row.model, row.metric) for row in findings.rows}) == [
        ("gan", "utility/pretrained"),
        ("gan", "utility/synthetic_50"),
        ("gan", "utility/synthetic_only"),
        ("real", "utility/augmented"),
        ("real", "utility/duplicated_50"),
        ("real", "utility/reweighted"),
        ("vae", "utility/pretrained"),
        ("vae", "utility/synthetic_50"),
        ("vae", "utility/synthetic_only"),
    ]
    assert {row.n for row in findings.rows} == {16}
    assert all(row.low <= row.value <= row.high for row in findings.rows)
    assert set(table["seeds"]) == {2}
    assert len(table) == 10 * 5  # all, head, tail and two findings
    whole = table[table["group"] == "all"].set_index(["model", "arm"])
    first = findings.rows[0]
    assert first.value == whole.loc[first.model, first.metric.removeprefix("utility/")].difference


def test_what_could_not_be_measured_is_named(measured):
    findings, _ = measured
    assert {row.metric: row.reason for row in findings.missing} == {
        "utility/Hernia": "none of 16 held-out images show Hernia: hold out more patients",
        "utility/tail": "no tail finding can be tested: hold out more patients",
    }


def test_how_it_was_measured_is_on_record(measured):
    findings, _ = measured
    assert findings.facts["labels"]["gan"] == "what they were asked for"
    assert findings.facts["labels"]["vae"].startswith("guessed by the classifier of the arm real")
    assert findings.facts["shortened"] == {
        "vae/synthetic_50": "10 of 12 images",
        "vae/synthetic_only": "10 of 24 images",
    }
    assert findings.facts["findings"] == {"head": ["Edema"], "medium": ["Mass"], "tail": ["Hernia"]}
    assert (findings.facts["training_images"], findings.facts["test_patients"]) == (24, 8)
    assert findings_from(json.loads(json.dumps(findings.record()))) == findings


def test_nothing_is_trained_a_second_time(measured, measure, folder, caplog):
    caplog.set_level(logging.INFO)
    findings, table = measure(folder)
    assert trained(caplog) == []
    assert findings == measured[0]
    pd.testing.assert_frame_equal(table, measured[1])


def test_only_probabilities_are_left(measured, folder):
    kinds = {path.suffix for path in folder.rglob("*") if path.is_file()}
    assert kinds == {".npy", ".json"}
    assert len([*(folder / "kept").glob("*.npy")]) == TRAININGS


def test_all_train_as_utility_says_and_the_augmented_arm_alone_moves_images(measured, folder):
    records = [json.loads(path.read_text()) for path in (folder / "kept").glob("*.json")]
    parameters = [record["parameters"] for record in records]
    assert sum(own["augment"] for own in parameters) == UTILITY["seeds"]
    assert sum(record["reweight"] for record in records) == UTILITY["seeds"]
    assert {own["seed"] for own in parameters} == {3, 4}
    assert {own["epochs"] for own in parameters} == {1}


def test_a_training_that_was_stopped_goes_on_from_its_checkpoint(
    measured, measure, tmp_path, caplog
):
    caplog.set_level(logging.INFO)
    often = CLASSIFIER | {"checkpoint_every": 1}
    with stopping("step 3 of 3"), pytest.raises(KeyboardInterrupt):
        measure(tmp_path, [], classifier=often)
    findings, _ = measure(tmp_path, [], classifier=often)
    assert any(message.startswith("Resumed at step 2 of 3") for message in caplog.messages)
    assert findings.rows == [row for row in measured[0].rows if row.model == "real"]


def test_what_was_stopped_goes_on_with_the_next_training(measured, measure, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    # In vae's first arm, which has its findings guessed by the classifier trained before.
    done = REAL_ARMS + ARMS_A_MODEL + 1
    with stopping(f"trained {done} of {TRAININGS}"), pytest.raises(KeyboardInterrupt):
        measure(tmp_path)
    caplog.clear()
    findings, table = measure(tmp_path)
    assert len(trained(caplog)) == TRAININGS - done
    assert findings == measured[0]
    pd.testing.assert_frame_equal(table, measured[1])


def test_another_precision_is_another_training(measure, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    often = CLASSIFIER | {"checkpoint_every": 1}
    with stopping("step 3 of 3"), pytest.raises(KeyboardInterrupt):
        measure(tmp_path, [], classifier=often)
    measure(tmp_path, [], classifier=often | {"precision": "bf16-mixed"})
    assert len(trained(caplog)) == 2 * REAL_ARMS
    # What was stopped is of no use to anyone any more.
    assert not (tmp_path / "checkpoints").exists()


def test_only_what_follows_from_other_images_is_trained_anew(
    measured, measure, sets, folder, caplog
):
    caplog.set_level(logging.INFO)
    other = ImageSet("gan", sets[0].pixels, sets[0].groups, sets[0].labels[::-1])
    measure(folder, [other, sets[1]])
    assert len(trained(caplog)) == 2 * ARMS_A_MODEL


def test_a_training_that_fails_costs_its_own_row_alone(measure, tmp_path, monkeypatch):
    own = module.probabilities

    def probabilities(study, arm, seed):
        if (arm.model, arm.name) == ("gan", "synthetic_50"):
            raise NotFiniteError(1, "the loss is nan")
        return own(study, arm, seed)

    monkeypatch.setattr(module, "probabilities", probabilities)
    findings, table = measure(tmp_path, [pictures("gan", 24, 1)])
    assert ("gan", "utility/synthetic_50") not in {(row.model, row.metric) for row in findings.rows}
    assert len(findings.rows) == REAL_ARMS - 1 + ARMS_A_MODEL - 1
    assert "synthetic_50" not in set(table["arm"])
    reasons = {row.metric: row.reason for row in findings.missing}
    assert reasons["utility/synthetic_50"].startswith("step 1: the loss is nan")


def test_held_out_images_that_differ_in_nothing_leave_nothing_to_measure(measure, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    test = pictures("real", 1, 4)
    findings, table = measure(tmp_path, test=test)
    assert trained(caplog) == []
    assert findings.rows == []
    assert table.empty
    assert {row.metric for row in findings.missing} >= {"utility/augmented", "utility/pretrained"}


def test_real_images_without_labels_are_refused(measure, tmp_path, one_line_error):
    training = pictures("real", 6, 3, blank=True)
    message = one_line_error(measure, tmp_path, training=training)
    assert message.startswith("0 real training images have labels")


def test_a_model_without_images_leaves_the_others_alone(measure, measured, folder):
    findings, _ = measure(folder, [pictures("gan", 0, 1)])
    assert {row.model for row in findings.rows} == {"real"}
    assert {row.model for row in findings.missing} == {"gan", "real"}
