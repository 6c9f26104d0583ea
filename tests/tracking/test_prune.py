"""Real runs in a real database, with real files."""

import datetime
import logging
import uuid
from pathlib import Path

import mlflow
import pytest
from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository

from cxr_pipeline import tracking
from cxr_pipeline.tracking.prune import prune_models
from cxr_pipeline.tracking.sending import sender


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mlflow")
    return f"sqlite:///{folder / 'tracking.db'}"


@pytest.fixture
def client(database):
    mlflow.set_tracking_uri(database)
    return mlflow.MlflowClient(database)


@pytest.fixture
def experiment(client, tmp_path, monkeypatch):
    """The active experiment."""
    place = str(tmp_path / "artifacts")
    experiment = client.create_experiment(tmp_path.name, artifact_location=place)
    # Not `mlflow.set_experiment`, which would stay.
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", experiment)
    return experiment


@pytest.fixture
def trained(client, experiment, tmp_path):
    """Record a run that trained a model, each a second after the one before."""
    clock = iter(range(1_750_000_000_000, 1_760_000_000_000, 1000))

    folder = tmp_path / "model"
    (folder / "artifacts").mkdir(parents=True)
    (folder / "MLmodel").write_text("flavors")
    (folder / "artifacts/weights.safetensors").write_bytes(bytes(1000))

    def make(model="gan", status="FINISHED", tags=None):
        run = client.create_run(experiment, start_time=next(clock)).info.run_id
        tags = {"model": model} if tags is None else tags
        made = client.create_logged_model(experiment, model, source_run_id=run, tags=tags)
        client.log_model_artifacts(made.model_id, str(folder))
        client.finalize_logged_model(made.model_id, "READY")
        client.log_artifact(run, str(folder / "MLmodel"), "training")
        client.log_metric(run, "loss/generator", 0.5)
        if status != "RUNNING":
            client.set_terminated(run, status, end_time=next(clock))
        return run

    return make


def actions(table):
    return dict(zip(table["version"], table["action"], strict=True))


def models(client, run):
    experiment = client.get_run(run).info.experiment_id
    return client.search_logged_models([experiment], f"source_run_id = '{run}'")


def files(client, run):
    """What there is of a run's model; nothing where MLflow knows of none."""
    folders = [Path(model.artifact_location) for model in models(client, run)]
    return {path.name for folder in folders for path in folder.rglob("*") if path.is_file()}


WHOLE = {"MLmodel", "weights.safetensors"}


@pytest.fixture
def register(client):
    """Register a run's model as a version."""
    client.create_registered_model(name := f"gan {uuid.uuid4().hex}")

    def make(run):
        (model,) = models(client, run)
        source = f"models:/{model.model_id}"
        return client.create_model_version(name, source, run_id=run, await_creation_for=0)

    return make


def test_the_newest_runs_keep_their_model_and_older_ones_lose_it(client, trained, caplog):
    caplog.set_level(logging.INFO)
    runs = [trained() for _ in range(4)]
    table = prune_models(keep=2, dry_run=False)
    assert table["version"].tolist() == runs[::-1]
    assert table["action"].tolist() == ["kept", "kept", "removed", "removed"]
    assert set(table["kind"]) == {"gan model"}
    assert set(table["bytes"]) == {1000 + len("flavors")}
    assert str(table["last_used"].iloc[3]) == "2025-06-15 15:06:41+00:00"
    assert [files(client, run) for run in runs] == [set(), set(), WHOLE, WHOLE]
    line = f"Removed gan model {runs[0]}: last used 2025-06-15 15:06 UTC, 0.0 MB"
    assert line in caplog.messages


def test_a_pruned_run_keeps_everything_else_and_says_when_it_was_pruned(client, trained):
    old, new = trained(), trained()
    prune_models(keep=1, dry_run=False)
    run = client.get_run(old)
    assert run.data.metrics == {"loss/generator": 0.5}
    assert client.list_artifacts(old, "training")
    today = datetime.datetime.now(datetime.UTC).date()
    assert run.data.tags["model_pruned"] in {str(today), str(today - datetime.timedelta(days=1))}
    assert "model_pruned" not in client.get_run(new).data.tags
    assert actions(prune_models(keep=1, dry_run=False)) == {new: "kept"}


def test_each_model_has_versions_of_its_own(client, trained):
    gan, diffusion, newer = trained(), trained("diffusion"), trained()
    assert actions(prune_models(keep=1, dry_run=False)) == {
        newer: "kept",
        diffusion: "kept",
        gan: "removed",
    }


def test_a_dry_run_removes_and_tags_nothing(client, trained):
    old, new = trained(), trained()
    assert actions(prune_models(keep=1, dry_run=True)) == {new: "kept", old: "would remove"}
    assert files(client, old) == WHOLE
    assert "model_pruned" not in client.get_run(old).data.tags


def test_only_finished_runs_count_and_those_that_ended_otherwise_go_with_their_age(client, trained):
    failed, finished, killed = trained(status="FAILED"), trained(), trained(status="KILLED")
    assert actions(prune_models(keep=1, dry_run=False)) == {
        killed: "kept",
        finished: "kept",
        failed: "removed",
    }


def test_a_run_still_running_is_left_alone(client, trained):
    running, finished = trained(status="RUNNING"), trained()
    assert actions(prune_models(keep=1, dry_run=False)) == {
        running: "left alone",
        finished: "kept",
    }
    assert files(client, running) == WHOLE


def test_a_model_that_the_project_did_not_log_is_not_looked_at(client, trained):
    foreign = trained(tags={})
    own = trained()
    assert actions(prune_models(keep=1, dry_run=False)) == {own: "kept"}
    assert files(client, foreign) == WHOLE


def test_registered_versions_go_with_the_model(client, trained, register):
    old, new = trained(), trained()
    gone, kept = register(old), register(new)
    prune_models(keep=1, dry_run=False)
    left = client.search_model_versions(f"name = '{kept.name}'")
    assert [version.version for version in left] == [kept.version]
    assert gone.version != kept.version
    assert models(client, old) == []


def test_a_version_that_has_an_alias_is_in_use_and_keeps_its_model(client, trained, register):
    old, new = trained(), trained()
    version = register(old)
    client.set_registered_model_alias(version.name, "best", version.version)
    assert actions(prune_models(keep=1, dry_run=False)) == {new: "kept", old: "left alone"}
    assert files(client, old) == WHOLE


def test_runs_of_other_experiments_and_runs_without_a_model_are_not_looked_at(
    client, experiment, trained, monkeypatch
):
    old, new = trained(), trained()
    client.set_terminated(client.create_run(experiment).info.run_id)
    assert actions(prune_models(keep=2, dry_run=False)) == {new: "kept", old: "kept"}
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", client.create_experiment("another"))
    assert prune_models(keep=1, dry_run=False).empty
    assert files(client, old) == WHOLE


def test_the_runs_of_a_sweep_s_members_hold_no_model_to_prune(client, trained, tmp_path):
    old = trained()
    with mlflow.start_run(), tracking.nested_run("vae beta_1", {"beta": 1.0}):
        (tmp_path / "samples.png").write_bytes(b"a sheet")
        tracking.log_file(tmp_path / "samples.png", "samples")
        member = tracking.notes()["mlflow_run"]
    sender.flush()
    new = trained()
    assert actions(prune_models(keep=1, dry_run=False)) == {new: "kept", old: "removed"}
    assert client.list_artifacts(member, "samples")


def refuse(repository):
    raise NotImplementedError("no removing here\nat all")


@pytest.mark.parametrize(
    ("answer", "reason"),
    [(lambda *_: None, "nothing was removed"), (refuse, "no removing here")],
    ids=["silent", "refusing"],
)
def test_a_server_that_removes_nothing_is_an_error_of_one_line(
    client, trained, monkeypatch, answer, reason
):
    old, _ = trained(), trained()
    monkeypatch.setattr(LocalArtifactRepository, "delete_artifacts", answer)
    with pytest.raises(ValueError, match=r"or raise prune\.models$") as caught:
        prune_models(keep=1, dry_run=False)
    folder = models(client, old)[0].artifact_location
    assert str(caught.value).startswith(f"MLflow does not remove '{folder}' ({reason}): ")
    assert "\n" not in str(caught.value)
    assert "model_pruned" not in client.get_run(old).data.tags


def test_without_mlflow_nothing_can_be_pruned(client, one_line_error):
    sender.give_up("no server")
    try:
        message = one_line_error(prune_models, keep=1, dry_run=True)
    finally:
        sender.begin()
    assert "cannot be used (no server): set MLFLOW_TRACKING_URI" in message
