import json
import logging
import re
from collections import Counter

import numpy as np
import pytest
import torch
from tests.conftest import read_picture
from tests.data.conftest import HEADER
from tests.data.pictures import encoded

from cxr_pipeline.data.batches import batch_positions
from cxr_pipeline.data.build import build_store
from cxr_pipeline.data.findings import FINDINGS
from cxr_pipeline.data.labels import read_labels
from cxr_pipeline.data.plan import plan_store
from cxr_pipeline.data.transforms import Transform
from cxr_pipeline.training.checkpoint import mark_finished
from cxr_pipeline.training.run import train_on_store
from cxr_pipeline.training.sampling import load_generator
from cxr_pipeline.training.saved_model import save_model

LABELS = ["No Finding", "Mass", "No Finding", "Cardiomegaly|Mass", "No Finding", "Edema"]
EVERYTHING = {
    "findings": [],
    "views": [],
    "sexes": [],
    "youngest": None,
    "oldest": None,
    "one_image_a_patient": False,
}

COMMON = {
    "seed": 0,
    "selection": EVERYTHING,
    "epochs": 1,
    "max_steps": 2,
    "batch_size": 4,
    "accelerator": "cpu",
    "precision": "32-true",
    "log_every": 1,
    "checkpoint_every": 100,
    "sample_at": [],
    "keep_checkpoints": 2,
    "data_placement": "auto",
    "compile": False,
    "ema_decay": None,
    "gradient_clip": None,
    "learning_rate_warmup": 0,
    "resume": "auto",
}
GAN = COMMON | {
    "conditional": False,
    "dim_z": 8,
    "patch_scores": True,
    "learning_rate": 2e-4,
    "betas": [0.5, 0.999],
    "generator_steps": 1,
}
VAE = COMMON | {
    "dim_z": 8,
    "learning_rate": 5e-4,
    "beta": 1.0,
    "kl_warmup": 0,
    "scaling": "elbo",
    "centre": True,
    "sampler": "mixture",
    "mixture_components": 2,
}
PARAMETERS = {"gan": GAN, "vae": VAE}


@pytest.fixture(scope="session")
def make_store(tmp_path_factory):
    """Build the store of coarse random pictures, the first ones for training."""

    def make(labels=LABELS, *, validation=3, size=128):
        folder = tmp_path_factory.mktemp("raw")
        count = len(labels) + validation
        rows = [
            f"{number:08d}_000.png,{label},0,{number},58,M,PA,512,512,0.143,0.143"
            for number, label in enumerate([*labels, *["Mass"] * validation])
        ]
        (folder / "Data_Entry_2017_v2020.csv").write_text("\n".join([HEADER, *rows, ""]))
        coarse = np.random.default_rng(0).integers(0, 256, (count, 8, 8), dtype=np.uint8)
        for number, levels in enumerate(coarse):
            pixels = levels.repeat(16, axis=0).repeat(16, axis=1)
            (folder / f"{number:08d}_000.png").write_bytes(encoded(pixels))
        table = read_labels(folder)
        table["split"] = ["train"] * len(labels) + ["validation"] * validation
        planned = plan_store(
            table,
            folder,
            how=Transform(size, equalise=True),
            shard_size=8,
            max_pixels=1_000_000,
            max_quarantined=0.0,
            workers=1,
        )
        return build_store(planned, tmp_path_factory.mktemp("stores"))

    return make


@pytest.fixture(scope="session")
def store(make_store):
    """Six images to train on and three held out."""
    return make_store()


@pytest.fixture
def sheets():
    """The sheets that were told, by step."""
    return {}


@pytest.fixture
def train(tmp_path, sheets):
    def train(model, store, *, reuse=False, kept=True, **changes):
        trained = train_on_store(
            model,
            store,
            PARAMETERS.get(model, COMMON) | changes,
            checkpoints=tmp_path / "checkpoint",
            progress=tmp_path / "progress",
            on_metrics=lambda step, metrics: None,
            on_sheet=sheets.__setitem__,
            reuse=reuse,
        )
        if kept:
            mark_finished(tmp_path / "checkpoint")
        return trained

    return train


def with_findings(*findings):
    return EVERYTHING | {"findings": list(findings)}


# -- what is made --------------------------------------------------------------------------------


def test_the_configuration_says_what_was_trained_on_what(train, store):
    made = train("gan", store)
    config = made.config
    assert (config["model"], config["steps"], config["image_size"]) == ("gan", 2, 128)
    assert config["architecture"] == {"dim_z": 8, "patch_scores": True, "findings": []}
    assert config["parameters"] == GAN
    assert config["training_images"] == 6
    assert config["image_store_digest"] == store.digest
    assert config["environment"]["precision"] == "32-true"
    assert "training_labels" not in config
    assert made.reconstructions is None
    assert list(made.history.columns) == ["step", "metric", "value"]
    assert set(made.history["step"]) == {1, 2}


def test_a_conditional_gan_keeps_the_balance_of_its_training_labels(train, store, tmp_path):
    made = train("gan", store, conditional=True)
    assert made.config["architecture"]["findings"] == list(FINDINGS)
    assert made.config["training_labels"] == dict(Counter(LABELS))
    save_model(tmp_path / "gan", made.config, made.weights)
    generator = load_generator(tmp_path / "gan")
    assert generator.findings == FINDINGS
    assert generator.labels(2, findings=["mass", "Edema"]) == ["Edema|Mass"] * 2
    assert set(generator.labels(64)) <= set(LABELS)
    assert generator.sample(2, findings="Mass").shape == (2, 1, 128, 128)


def test_only_the_selected_images_of_the_training_split_count(train, store):
    made = train("gan", store, conditional=True, selection=with_findings("Mass", "Edema"))
    assert made.config["training_images"] == 3
    assert made.config["training_labels"] == {"Mass": 1, "Cardiomegaly|Mass": 1, "Edema": 1}


def test_a_vae_comes_with_held_out_images_above_what_became_of_them(train, store, tmp_path):
    made = train("vae", store)
    sheet = made.reconstructions
    assert (sheet.shape, sheet.dtype) == ((2 * 128 + 2, 3 * 128 + 2 * 2), np.uint8)
    held_out = store.read(store.rows(split="validation"))
    for place, image in enumerate(held_out):
        columns = slice(place * 130, place * 130 + 128)
        assert np.array_equal(sheet[:128, columns], image)
        assert len(np.unique(sheet[130:, columns])) > 1
    assert {"validation/loss", "validation/kl"} <= set(made.history["metric"])
    save_model(tmp_path / "vae", made.config, made.weights)
    assert load_generator(tmp_path / "vae").sample(2).shape == (2, 1, 128, 128)


def test_samples_are_kept_as_sheets_and_those_of_an_earlier_run_go(train, store, tmp_path, sheets):
    for name in ("step_000001.png", "step_000007.png", "notes.txt"):
        path = tmp_path / "progress" / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"from before")
    train("gan", store, max_steps=1, sample_at=[0, -1, 400])
    assert sorted(sheets) == [0, 1]
    names = sorted(path.name for path in (tmp_path / "progress").iterdir())
    assert names == ["notes.txt", "step_000000.png", "step_000001.png"]
    for step, sheet in sheets.items():
        assert sheet.shape == (8 * 130 - 2, 8 * 130 - 2)
        assert np.array_equal(read_picture(tmp_path / f"progress/step_{step:06d}.png"), sheet)


def test_a_finished_run_serves_again_where_only_drawing_from_it_differs(train, store):
    first = train("vae", store)
    again = train("vae", store, reuse=True, sampler="prior", temperature=0.5)
    assert again.history.equals(first.history)  # speed and all: nothing was trained
    assert again.config["weights_sha256"] == first.config["weights_sha256"]
    assert again.config["parameters"]["sampler"] == "prior"
    other = train("vae", store, reuse=True, beta=0.1)
    assert not other.history.equals(first.history)


# -- what is in the way --------------------------------------------------------------------------


@pytest.mark.parametrize(("model", "size"), [("gan", 128), ("vae", 128), ("gmvae", 224)])
def test_images_of_another_size_are_refused(train, make_store, one_line_error, model, size):
    small = make_store(size=16)
    assert one_line_error(train, model, small) == (
        f"the {model} draws {size} px images, the image store holds 16 px: "
        f"set preprocessing.size={size}"
    )


def test_without_a_validation_split_training_images_are_looked_at(train, make_store, caplog):
    made = train("vae", make_store(validation=0))
    assert "No image in the validation split: diagnostics look at training images" in caplog.text
    metrics = set(made.history["metric"])
    assert {"train/loss", "train/kl"} <= metrics
    assert not any(metric.startswith("validation/") for metric in metrics)
    # Six of them, in a row.
    assert made.reconstructions.shape == (2 * 128 + 2, 6 * 128 + 5 * 2)


def test_a_selection_that_leaves_nothing_is_refused(train, store, one_line_error):
    message = one_line_error(train, "gan", store, selection=with_findings("Hernia"))
    assert message.startswith("the train split holds no image with findings=Hernia (of 6 there")


def test_blank_labels_are_refused_of_a_conditional_model_alone(train, make_store, one_line_error):
    partly = make_store(["Mass", "", "Edema", "Mass", "No Finding"])
    message = one_line_error(train, "gan", partly, conditional=True)
    assert "a conditional model, or classifier, needs labelled images" in message
    labelled = with_findings("Mass", "Edema", "No Finding")
    made = train("gan", partly, conditional=True, selection=labelled)
    assert made.config["training_images"] == 4
    assert train("gan", partly).config["training_images"] == 5


def test_findings_that_never_differ_are_refused_of_a_conditional_model(
    train, store, one_line_error
):
    message = one_line_error(
        train, "gan", store, conditional=True, selection=with_findings("No Finding")
    )
    assert message.startswith("all 3 training images have the same findings (No Finding): ")
    assert message.endswith("widen gan.selection")


@pytest.mark.parametrize("conditional", [True, False])
def test_what_the_model_could_not_be_asked_is_refused_before_training(
    train, store, one_line_error, conditional
):
    message = one_line_error(
        train, "gan", store, conditional=conditional, sample_findings=["Tortuous Aorta"]
    )
    expected = "unknown finding 'Tortuous Aorta'" if conditional else "findings=Tortuous Aorta can"
    assert message.startswith(expected)
    # The balance of the training set can be asked of any.
    train("gan", store, conditional=True, max_steps=1, sample_findings=["flat"])


def test_what_was_trained_but_not_kept_is_not_trained_again(train, store, caplog):
    caplog.set_level(logging.INFO)
    made = train("gan", store, kept=False)
    again = train("gan", store)
    assert "Resumed at step 2 of 2" in caplog.text
    assert again.config == made.config
    assert all(torch.equal(again.weights[name], made.weights[name]) for name in made.weights)
    assert again.history.equals(made.history)
    caplog.clear()
    # Once it is kept, the same command is a wish for another training.
    train("gan", store)
    assert "Resumed" not in caplog.text


def test_what_is_no_number_is_told_with_the_images_of_its_step(
    train, store, tmp_path, one_line_error
):
    # Adam's first step is as long as its rate, whatever the gradient: the next loss overflows.
    message = one_line_error(train, "gan", store, learning_rate=1e30, max_steps=5)
    step = int(re.search(r"step (\d+): the (?:discriminator|generator)'s", message)[1])
    path = tmp_path / "checkpoint/not_finite.json"
    told = json.loads(path.read_text())
    assert told["step"] == step
    shown = ", ".join(told["images"][:3])
    assert message == f"{told['error']} (its images: {shown} ...; all in '{path}')"
    names = store.index["image"].iloc[store.rows(split="train")].tolist()
    positions = batch_positions(len(names), 4, 0, step - 1)
    assert told["images"] == [names[position] for position in positions]
    # The next run is a new one.
    train("gan", store)
    assert not path.exists()


def test_fewer_images_than_a_batch_are_one_batch_and_that_is_said(train, store, caplog):
    caplog.set_level(logging.WARNING)
    made = train("gan", store, batch_size=64, max_steps=None, epochs=2)
    assert "Only 6 images to train on: a batch holds them all, not gan.batch_size=64" in caplog.text
    assert made.config["steps"] == 2
