import contextlib
import logging
import shutil
from pathlib import Path

import mlflow
import numpy as np
import pytest

from cxr_pipeline import tracking

PICTURE = np.arange(64, dtype=np.uint8).reshape(8, 8)


@pytest.fixture(scope="module")
def empty_database(tmp_path_factory):
    """MLflow takes seconds to make its tables: it does so once."""
    folder = tmp_path_factory.mktemp("empty")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)  # where its runs will keep their files
        mlflow.MlflowClient(f"sqlite:///{folder / 'tracking.db'}").search_experiments()
    return folder / "tracking.db"


@pytest.fixture
def client(tmp_path, monkeypatch, empty_database):
    uri = f"sqlite:///{shutil.copy(empty_database, tmp_path)}"
    monkeypatch.chdir(tmp_path)
    mlflow.set_tracking_uri(uri)
    yield mlflow.MlflowClient(uri)
    while mlflow.active_run():
        mlflow.end_run()


def test_runs_go_to_the_project_s_database_or_to_the_server_named(monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert tracking.tracking_uri(Path("/project")) == "sqlite:////project/mlflow.db"
    assert tracking.artifact_location(Path("/project")) == "/project/mlartifacts"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://tracker:5000")
    assert tracking.tracking_uri(Path("/project")) == "http://tracker:5000"
    assert tracking.artifact_location(Path("/project")) is None


def test_without_a_run_nothing_is_logged_and_no_run_begins(client):
    tracking.log_metrics(1, {"loss/x": 1.0})
    tracking.log_picture("samples", 1, PICTURE)
    tracking.describe_run("name", {"a": "b"})
    tracking.tag_run({"a": "b"})
    tracking.log_file(Path("absent.png"), "samples")
    with tracking.nested_run("inner", {"a": 1}):
        assert mlflow.active_run() is None
    tracking.finish_run_as_killed()
    assert mlflow.active_run() is None
    assert client.search_runs(["0"]) == []


def test_a_run_keeps_its_name_tags_metrics_and_pictures(client):
    with mlflow.start_run() as run:
        tracking.describe_run("gan sample", {"command": "kedro run"})
        tracking.tag_run({"data": "sample"})
        tracking.log_metrics(10, {"loss/x": 0.5})
        tracking.log_picture("samples", 10, PICTURE)
        mlflow.flush_async_logging()
    kept = client.get_run(run.info.run_id)
    assert kept.info.run_name == "gan sample"
    assert kept.data.tags["command"] == "kedro run"
    assert kept.data.tags["data"] == "sample"
    (metric,) = client.get_metric_history(run.info.run_id, "loss/x")
    assert (metric.step, metric.value) == (10, 0.5)
    assert client.list_artifacts(run.info.run_id, "images")


def test_a_killed_run_and_those_it_is_nested_in_say_so(client):
    outer = mlflow.start_run()
    inner = mlflow.start_run(nested=True)
    tracking.finish_run_as_killed()
    for run in (outer, inner):
        assert client.get_run(run.info.run_id).info.status == "KILLED"


def test_parameters_within_others_are_named_by_both():
    nested = {"seed": 0, "row": {"dim_z": 8, "more": {"deep": [1, 2]}}, "empty": {}}
    assert tracking.flattened(nested) == {"seed": 0, "row.dim_z": 8, "row.more.deep": [1, 2]}
    assert tracking.flattened({}) == {}


def test_a_nested_run_has_its_own_name_parameters_metrics_and_files(client, tmp_path):
    (tmp_path / "samples.png").write_bytes(b"a sheet")
    with mlflow.start_run() as outer:
        with tracking.nested_run("vae beta_0.1", {"beta": 0.1, "row": {"dim_z": 8}}):
            inner = mlflow.active_run().info.run_id
            tracking.log_metrics(1, {"loss/x": 0.5})
            tracking.log_file(tmp_path / "samples.png", "samples")
            mlflow.flush_async_logging()
        assert mlflow.active_run().info.run_id == outer.info.run_id
    kept = client.get_run(inner)
    assert kept.info.run_name == "vae beta_0.1"
    assert kept.info.status == "FINISHED"
    assert kept.data.tags["mlflow.parentRunId"] == outer.info.run_id
    assert kept.data.params == {"beta": "0.1", "row.dim_z": "8"}
    assert kept.data.metrics == {"loss/x": 0.5}
    assert [item.path for item in client.list_artifacts(inner, "samples")] == [
        "samples/samples.png"
    ]
    outside = client.get_run(outer.info.run_id)
    assert outside.data.params == outside.data.metrics == {}
    assert client.list_artifacts(outer.info.run_id) == []


def train_inside():
    with tracking.nested_run("inner", {}):
        raise ValueError("not finite")


def test_a_nested_run_in_which_something_fails_says_so_and_passes_it_on(client):
    with mlflow.start_run() as outer:
        with pytest.raises(ValueError, match="not finite"):
            train_inside()
        (inner,) = client.search_runs(["0"], "attributes.run_name = 'inner'")
        assert mlflow.active_run().info.run_id == outer.info.run_id
    assert inner.info.status == "FAILED"
    assert client.get_run(outer.info.run_id).info.status == "FINISHED"


def test_a_sweep_that_is_killed_in_a_nested_run_is_killed_as_a_whole(client):
    outer = mlflow.start_run()
    with contextlib.suppress(KeyboardInterrupt), tracking.nested_run("inner", {}):
        inner = mlflow.active_run().info.run_id
        raise KeyboardInterrupt
    tracking.finish_run_as_killed()
    assert mlflow.active_run() is None
    for run in (outer.info.run_id, inner):
        assert client.get_run(run).info.status == "KILLED"


def test_a_file_that_the_server_does_not_take_is_warned_of(client, monkeypatch, caplog):
    def refuse(*arguments, **options):
        raise tracking.TrackingError("no space\nat the server")

    caplog.set_level(logging.WARNING)
    monkeypatch.setattr(mlflow, "log_artifact", refuse)
    with mlflow.start_run():
        tracking.log_file(Path("samples.png"), "samples")
    assert caplog.messages == ["MLflow did not take 'samples.png' (no space); training goes on"]


def test_a_server_that_takes_no_picture_is_warned_of_and_training_goes_on(
    client, monkeypatch, caplog
):
    def refuse(*arguments, **options):
        raise tracking.TrackingError("no space\nat the server")

    caplog.set_level(logging.WARNING)
    monkeypatch.setattr(mlflow, "log_image", refuse)
    with mlflow.start_run():
        tracking.log_picture("samples", 400, PICTURE)
    assert caplog.messages == [
        "MLflow did not take the samples of step 400 (no space); training goes on"
    ]
