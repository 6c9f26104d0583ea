"""`kedro run --pipeline=prune`, once for real."""

from pathlib import Path

import mlflow
import pandas as pd


def train(client: mlflow.MlflowClient, experiment: str, folder: Path) -> str:
    """Record a run as training leaves it, without the training."""
    run = client.create_run(experiment).info.run_id
    (folder / "weights.safetensors").write_bytes(b"weights")
    tags = {"model": "gan"}
    model = client.create_logged_model(experiment, "gan", source_run_id=run, tags=tags)
    client.log_model_artifact(model.model_id, str(folder / "weights.safetensors"))
    client.set_terminated(run)
    return run


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_old_versions_are_removed_and_listed(project, raw_dir, tmp_path):
    def run(*arguments: str) -> str:
        result = project.run(*arguments)
        assert result.returncode == 0, result.stderr
        return result.stderr

    def compute_features(equalise: str) -> None:
        # Of an encoder that learns there are none to compute, but they have their place.
        own = f"raw_dir={raw_dir},preprocessing.equalise={equalise},gmvae.fine_tune=true"
        run("--pipeline=gmvae", "--to-nodes=gmvae.compute_features", f"--params={own}")

    run(
        "--pipeline=preprocessing",
        "--to-nodes=preprocessing.build_images",
        f"--params=raw_dir={raw_dir}",
    )
    data = project.folder / "data"
    large, features = data / "02_intermediate/images_224", data / "05_model_input/features"
    folders = [data / "02_intermediate/images", large, features]
    compute_features("false")
    (small_store,), (old_store,), (old_features,) = map(names, folders)
    compute_features("true")
    (new_store,) = names(large) - {old_store}
    (new_features,) = names(features) - {old_features}
    client = mlflow.MlflowClient(project.database)
    experiment = client.get_experiment_by_name("cxr_pipeline").experiment_id
    old_run, new_run = (train(client, experiment, tmp_path) for _ in range(2))
    runs = len(client.search_runs([experiment]))

    printed = run("--pipeline=prune", "--params=prune.stores=1,prune.models=1")
    table = pd.read_csv(data / "08_reporting/pruned.csv")
    assert list(table.columns) == ["kind", "version", "last_used", "bytes", "action"]
    assert list(zip(table["kind"], table["version"], table["action"], strict=True)) == [
        ("image store", small_store, "kept"),
        ("image store", new_store, "kept"),
        ("image store", old_store, "removed"),
        ("feature cache", new_features, "kept"),
        ("feature cache", old_features, "removed"),
        ("gan model", new_run, "kept"),
        ("gan model", old_run, "removed"),
    ]
    assert f"Removed image store {old_store}" in printed
    assert f"Removed feature cache {old_features}" in printed
    assert f"Removed gan model {old_run}" in printed
    assert "Freed 2.4 MB, 3 of 7 versions" in printed
    assert "WARNING" not in printed
    assert list(map(names, folders)) == [{small_store}, {new_store}, {new_features}]
    (left,) = client.search_logged_models([experiment])
    assert left.source_run_id == new_run
    assert client.list_logged_model_artifacts(left.model_id)
    # What is pruned is no experiment: it leaves no run behind.
    assert len(client.search_runs([experiment])) == runs


def test_keeping_nothing_is_refused(project):
    result = project.run("--pipeline=prune", "--params=prune.stores=0")
    assert result.returncode == 1
    assert "parameter prune.stores=0" in result.stderr
