"""`kedro run --pipeline=prune`, once for real."""

import json
from pathlib import Path

import mlflow
import pandas as pd


def train(client: mlflow.MlflowClient, experiment: str, folder: Path) -> str:
    """Record a run as training leaves it, without the training."""
    run = client.create_run(experiment).info.run_id
    (folder / "config.json").write_text(json.dumps({"model": "gan"}))
    client.log_artifact(run, str(folder / "config.json"), "model")
    client.set_terminated(run)
    return run


def test_old_stores_and_models_are_removed_listed_and_can_be_made_again(project, raw_dir, tmp_path):
    def preprocess(size: int) -> str:
        parameters = f"--params=raw_dir={raw_dir},preprocessing.size={size}"
        result = project.run("--pipeline=preprocessing", "--to-nodes=build_image_store", parameters)
        assert result.returncode == 0, result.stderr
        return result.stderr

    preprocess(32)
    root = project.folder / "data/02_intermediate/images"
    (old_store,) = (path.name for path in root.iterdir())
    preprocess(48)
    (new_store,) = {path.name for path in root.iterdir()} - {old_store}
    client = mlflow.MlflowClient(project.database)
    experiment = client.get_experiment_by_name("cxr_pipeline").experiment_id
    old_run, new_run = (train(client, experiment, tmp_path) for _ in range(2))
    runs = len(client.search_runs([experiment]))

    result = project.run("--pipeline=prune", "--params=prune.stores=1,prune.models=1")
    assert result.returncode == 0, result.stderr
    table = pd.read_csv(project.folder / "data/08_reporting/pruned.csv")
    assert list(table.columns) == ["kind", "version", "last_used", "bytes", "action"]
    assert list(zip(table["kind"], table["version"], table["action"], strict=True)) == [
        ("image store", new_store, "kept"),
        ("image store", old_store, "removed"),
        ("gan model", new_run, "kept"),
        ("gan model", old_run, "removed"),
    ]
    assert f"Removed image store {old_store}" in result.stderr
    assert f"Removed gan model {old_run}" in result.stderr
    assert "Freed 0.1 MB, 2 of 4 versions" in result.stderr
    assert "WARNING" not in result.stderr
    assert [path.name for path in root.iterdir()] == [new_store]
    assert client.list_artifacts(old_run, "model") == []
    assert client.list_artifacts(new_run, "model")
    # What is pruned is no experiment: it leaves no run behind.
    assert len(client.search_runs([experiment])) == runs

    assert "48 images kept" in preprocess(32)
    assert {path.name for path in root.iterdir()} == {old_store, new_store}


def test_keeping_nothing_is_refused(project):
    result = project.run("--pipeline=prune", "--params=prune.stores=0")
    assert result.returncode == 1
    assert "parameter prune.stores=0" in result.stderr
