import logging
from pathlib import Path

import mlflow
import numpy as np
import pytest

from cxr_pipeline import tracking

PICTURE = np.arange(64, dtype=np.uint8).reshape(8, 8)


@pytest.fixture
def client(tmp_path, monkeypatch):
    uri = f"sqlite:///{tmp_path / 'tracking.db'}"
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
