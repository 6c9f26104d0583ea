"""Real models in a real database, its registry and its folder of files."""

import json
import logging
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow.exceptions import MlflowException

from cxr_pipeline.tracking import sending
from cxr_pipeline.tracking.descriptions import headlines
from cxr_pipeline.tracking.metrics import log_metrics
from cxr_pipeline.tracking.models import (
    keep_model,
    models_of,
    register_model,
    write_model,
)
from cxr_pipeline.tracking.sending import sender
from cxr_pipeline.training.lsgan import LsganTask
from cxr_pipeline.training.sampling import load_generator
from cxr_pipeline.training.saved_model import CONFIG, save_model

HISTORY = pd.DataFrame(
    [(1, "loss/generator", 0.9), (2, "loss/generator", 0.4), (2, "gradient/generator", 3.0)],
    columns=["step", "metric", "value"],
)
FINDINGS = ["Effusion", "Mass"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A conditional GAN as training leaves it, small and untrained."""
    folder = tmp_path_factory.mktemp("models") / "gan"
    settings = {"dim_z": 4, "patch_scores": True, "generator_steps": 1}
    task = LsganTask(learning_rate=1e-3, betas=(0.5, 0.9), findings=len(FINDINGS), **settings)
    weights = {
        f"{name}.{key}": tensor
        for name, network in task.modules.items()
        for key, tensor in network.state_dict().items()
    }
    config = {
        "model": "gan",
        "architecture": {"dim_z": 4, "patch_scores": True, "findings": FINDINGS},
        "training_labels": {"Effusion": 3, "Mass": 1},
        "parameters": {"seed": 0, "batch_size": 4, "betas": [0.5, 0.9]},
        "image_size": 128,
        "steps": 2,
        "data": "sample",
        "training_images": 8,
        "images_per_second": 4.0,
        "learned_parameters": 12_345,
        "image_store_digest": "d" * 64,
        "warnings": [],
        "environment": {"precision": "32-true", "device": "a CPU"},
    }
    save_model(folder, config, weights)
    return folder


@pytest.fixture(scope="module")
def config(folder):
    return json.loads((folder / CONFIG).read_text())


@pytest.fixture
def run(client):
    with mlflow.start_run() as run:
        yield run.info.run_id


def test_a_run_keeps_one_model_however_often_it_is_told_of_it(client, run, folder, config):
    for _ in range(2):
        keep_model(config, folder)
        sender.flush()
    (model,) = models_of(run)
    assert (model.name, str(model.status)) == ("gan", "READY")
    assert model.params == {"seed": "0", "batch_size": "4", "betas": "0.5|0.9"}
    assert [made.model_id for made in client.get_run(run).outputs.model_outputs] == [model.model_id]


def test_a_run_that_went_on_has_its_last_model(client, run, folder, config, tmp_path):
    keep_model(config, folder)
    sender.flush()
    (before,) = models_of(run)
    keep_model(config | {"weights_sha256": "another"}, folder)
    sender.flush()
    (after,) = models_of(run)
    assert after.model_id != before.model_id
    assert not Path(before.artifact_location).exists()


def test_what_could_not_be_uploaded_is_no_model_and_is_tried_once_more(
    client, run, folder, config, tmp_path, monkeypatch, caplog
):
    caplog.set_level(logging.WARNING)
    monkeypatch.setattr(sending, "REST", 0.0)
    keep_model(config, tmp_path / "gan")  # not there
    sender.flush()
    assert [str(model.status) for model in models_of(run)] == ["FAILED"]
    (tmp_path / "gan").symlink_to(folder)
    sender.conclude()
    assert [str(model.status) for model in models_of(run)] == ["READY"]
    (warning,) = caplog.messages
    assert warning.startswith("MLflow did not take the gan (")


def test_a_version_has_the_headline_numbers_and_a_description(client, run, folder, config):
    metrics = headlines(config, HISTORY)
    assert metrics == {
        "loss/generator": 0.4,
        "speed/mean_images_per_second": 4.0,
        "speed/seconds_per_epoch": 2.0,
        "size/parameters": 12_345.0,
    }
    log_metrics(2, metrics)
    keep_model(config, folder)
    register_model(config, metrics)
    sender.flush()
    version = client.get_model_version("gan", "1")
    assert version.run_id == run
    assert version.tags == {
        "loss/generator": "0.4",
        "speed/mean_images_per_second": "4",
        "speed/seconds_per_epoch": "2",
        "size/parameters": "12345",
        "steps": "2",
        "data": "sample",
        "training_images": "8",
        "image_store_digest": "d" * 64,
    }
    assert version.description.startswith(
        "**LSGAN**, told of findings: 2 steps of 4 images (1 epochs of 8) on sample at 128 px"
    )
    assert "| size/parameters | 12,345 |" in version.description
    assert "models:/gan/1" in client.get_registered_model("gan").description
    # The model's metrics are the run's, not another time the same.
    (model,) = models_of(run)
    assert {metric.key: metric.value for metric in model.metrics} == metrics
    assert len(client.get_metric_history(run, "loss/generator")) == 1


def test_the_next_run_s_is_the_next_version(client, folder, config):
    for _ in range(2):
        with mlflow.start_run():
            keep_model(config, folder)
            register_model(config, headlines(config, HISTORY))
            sender.flush()
    versions = client.search_model_versions("name = 'gan'")
    assert sorted(version.version for version in versions) == [1, 2]


def test_a_server_without_a_registry_is_a_warning(
    client, run, folder, config, tmp_path, monkeypatch, caplog
):
    caplog.set_level(logging.WARNING, logger="cxr_pipeline")
    monkeypatch.setattr(sending, "REST", 0.0)
    (tmp_path / "file").write_text("in the way")
    # Not by `mlflow.set_registry_uri`, which would stay.
    monkeypatch.setenv("MLFLOW_REGISTRY_URI", f"sqlite:///{tmp_path / 'file/registry.db'}")
    keep_model(config, folder)
    register_model(config, headlines(config, HISTORY))
    sender.flush()
    assert len(models_of(run)) == 1
    warnings = [record.message for record in caplog.records if record.name.startswith("cxr_")]
    assert [warning.split(" (")[0] for warning in warnings] == [
        "MLflow did not take the registered version of the gan"
    ]


@pytest.fixture(scope="module")
def served(folder, config, tmp_path_factory):
    path = tmp_path_factory.mktemp("served") / "model"
    write_model(path, config, folder)
    return mlflow.pyfunc.load_model(str(path))


def test_it_draws_what_the_project_itself_draws(served, folder):
    request = {"n": 3, "seed": 5, "findings": "Mass", "temperature": 0.5}
    drawn = served.predict(request)
    assert (drawn.shape, drawn.dtype) == ((3, 128, 128), np.uint8)
    expected = load_generator(folder).pictures(3, seed=5, findings=["Mass"], temperature=0.5)
    assert np.array_equal(drawn, np.stack(list(expected)))


def test_several_requests_follow_one_another_and_what_is_left_open_is_as_ever(served):
    table = pd.DataFrame({"n": [1, 2], "findings": ["Mass", None]})
    drawn = served.predict(table)
    assert np.array_equal(drawn[:1], served.predict({"n": 1, "findings": "Mass"}))
    assert np.array_equal(drawn[1:], served.predict({"n": 2, "seed": 0}))


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"n": 0}, "n=0: draw at least 1 image"),
        ({"n": 1_000_000_000}, "n=1000000000: ask for at most 4096 at a time"),
        ({"n": 1, "temperature": 3.0}, "temperature=3.0: above 0, at most 2"),
        ({"n": 1, "findings": "Mess"}, "Mess"),
        ({"seed": 1}, "Model is missing inputs"),
    ],
)
def test_what_cannot_be_drawn_is_said(served, request_, message):
    with pytest.raises((ValueError, MlflowException), match=message):
        served.predict(request_)
