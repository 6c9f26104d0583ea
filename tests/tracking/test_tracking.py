import contextlib
import logging
import math
import re
import sqlite3
from pathlib import Path

import mlflow
import numpy as np
import pytest

from cxr_pipeline import tracking
from cxr_pipeline.tracking import metrics, sending
from cxr_pipeline.tracking.sending import sender

PICTURE = np.arange(64, dtype=np.uint8).reshape(8, 8)


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
        sender.flush()
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


def test_parameters_are_written_flat_and_numbers_as_numbers(client):
    parameters = {
        "learning_rate": 2e-4,
        "betas": [0.5, 0.999],
        "selection": {"findings": ("Mass", "Nodule"), "views": []},
        "max_steps": None,
    }
    with mlflow.start_run() as run:
        tracking.log_parameters(parameters)
        sender.flush()
    assert client.get_run(run.info.run_id).data.params == {
        "learning_rate": "0.0002",
        "betas": "0.5|0.999",
        "selection.findings": "Mass|Nodule",
        "selection.views": "[]",
        "max_steps": "None",
    }


def test_parameters_within_others_are_named_by_both():
    nested = {"seed": 0, "row": {"dim_z": 8, "more": {"deep": [1, 2]}}, "empty": {}}
    assert tracking.flattened(nested) == {"seed": 0, "row.dim_z": 8, "row.more.deep": [1, 2]}
    assert tracking.flattened({}) == {}


def test_a_nested_run_has_its_own_name_parameters_metrics_and_files(client, tmp_path):
    (tmp_path / "samples.png").write_bytes(b"a sheet")
    with mlflow.start_run() as outer:
        with tracking.nested_run("vae beta_0.1", {"beta": 0.1, "row": {"dim_z": 8}}):
            inner = tracking.notes()["mlflow_run"]
            tracking.log_metrics(1, {"loss/x": 0.5})
            tracking.log_file(tmp_path / "samples.png", "samples")
        assert tracking.notes() == {"mlflow_run": outer.info.run_id}
        sender.flush()
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
        sender.flush()
        (inner,) = client.search_runs(["0"], "attributes.run_name = 'inner'")
        assert tracking.notes() == {"mlflow_run": outer.info.run_id}
    assert inner.info.status == "FAILED"
    assert client.get_run(outer.info.run_id).info.status == "FINISHED"


def test_a_sweep_that_is_killed_in_a_nested_run_is_killed_as_a_whole(client):
    outer = mlflow.start_run()
    with contextlib.suppress(KeyboardInterrupt), tracking.nested_run("inner", {}):
        inner = tracking.notes()["mlflow_run"]
        raise KeyboardInterrupt
    tracking.finish_run_as_killed()
    assert mlflow.active_run() is None
    for run in (outer.info.run_id, inner):
        assert client.get_run(run).info.status == "KILLED"


def test_a_run_whose_files_cannot_be_kept_warns_and_keeps_the_rest(
    client, tmp_path, caplog, monkeypatch
):
    caplog.set_level(logging.WARNING)
    monkeypatch.setattr(sending, "REST", 0.0)
    (tmp_path / "samples.png").write_bytes(b"a sheet")
    below_a_file = str(tmp_path / "samples.png" / "artifacts")
    experiment = client.create_experiment("blocked", artifact_location=below_a_file)
    with mlflow.start_run(experiment_id=experiment) as run:
        tracking.log_file(tmp_path / "samples.png", "samples")
        tracking.log_picture("samples", 400, PICTURE)
        tracking.log_metrics(400, {"loss/x": 0.5})
        sender.flush()
    assert client.get_run(run.info.run_id).data.metrics == {"loss/x": 0.5}
    file, picture = caplog.messages
    assert re.fullmatch(
        r"MLflow did not take '.*samples.png' \(\[Errno \d+\] .*\); training goes on", file
    )
    assert picture.startswith("MLflow did not take the samples of step 400 ([Errno ")


def test_metrics_that_mlflow_did_not_take_go_with_the_next(client, monkeypatch):
    monkeypatch.setattr(sending, "REST", 0.0)
    with mlflow.start_run() as run:
        with sqlite3.connect("tracking.db") as database:
            database.execute("ALTER TABLE metrics RENAME TO away")
        tracking.log_metrics(1, {"loss/x": 1.0})
        sender.flush()
        with sqlite3.connect("tracking.db") as database:
            database.execute("ALTER TABLE away RENAME TO metrics")
        tracking.log_metrics(2, {"loss/x": 2.0})
        sender.flush()
    history = client.get_metric_history(run.info.run_id, "loss/x")
    assert [(metric.step, metric.value) for metric in history] == [(1, 1.0), (2, 2.0)]


def test_metrics_that_wait_are_sent_at_the_end_without_any_coming_after_them(client, monkeypatch):
    monkeypatch.setattr(sending, "REST", 1e9)
    with mlflow.start_run() as run:
        with sqlite3.connect("tracking.db") as database:
            database.execute("ALTER TABLE metrics RENAME TO away")
        for step in (1, 2):
            tracking.log_metrics(step, {"loss/x": 1.0})
            sender.flush()
        with sqlite3.connect("tracking.db") as database:
            database.execute("ALTER TABLE away RENAME TO metrics")
        sender.conclude()
    history = client.get_metric_history(run.info.run_id, "loss/x")
    assert [metric.step for metric in history] == [1, 2]


def test_metrics_that_mlflow_rejects_do_not_block_those_that_follow(client, monkeypatch, caplog):
    caplog.set_level(logging.WARNING)
    monkeypatch.setattr(sending, "REST", 0.0)
    with mlflow.start_run() as run:
        tracking.log_metrics(1, {"no such name?": 1.0})
        sender.flush()
        tracking.log_metrics(2, {"loss/x": 2.0})
        sender.conclude()
    history = client.get_metric_history(run.info.run_id, "loss/x")
    assert [metric.step for metric in history] == [2]
    rejected, lacking = caplog.messages
    assert rejected.startswith("MLflow did not take the metrics of step 1 (")
    assert lacking.startswith("MLflow lacks 1 thing of this run (")


def test_metrics_that_are_no_finite_numbers_are_taken_with_the_others(client, caplog):
    caplog.set_level(logging.WARNING)
    values = {"loss/x": math.nan, "loss/y": math.inf, "loss/z": -math.inf, "loss/w": 1.0}
    with mlflow.start_run() as run:
        tracking.log_metrics(1, values)
        tracking.log_metrics(2, values)
        sender.conclude()
    taken = client.get_run(run.info.run_id).data.metrics
    assert math.isnan(taken["loss/x"])
    assert taken["loss/y"] == -taken["loss/z"] > 1e300
    assert taken["loss/w"] == 1.0
    assert caplog.messages == []


def test_metrics_that_there_was_no_room_for_are_counted(client, monkeypatch, caplog):
    caplog.set_level(logging.WARNING)
    monkeypatch.setattr(metrics, "WAITING_METRICS", 2)
    with mlflow.start_run() as run:
        with sqlite3.connect("tracking.db") as database:
            database.execute("ALTER TABLE metrics RENAME TO away")
        for step in range(5):
            tracking.log_metrics(step, {"loss/x": 1.0})
            sender.flush()
        with sqlite3.connect("tracking.db") as database:
            database.execute("ALTER TABLE away RENAME TO metrics")
        sender.conclude()
    history = client.get_metric_history(run.info.run_id, "loss/x")
    assert [metric.step for metric in history] == [3, 4]
    assert caplog.messages[-1].startswith("MLflow lacks 3 things of this run (")
