"""Trained models in MLflow: logged so that it can serve them, and registered with their numbers.

A logged model is a folder that needs neither this repository nor Kedro, and holds no pickle:

    MLmodel, requirements.txt ...    how MLflow loads it, and what has to be installed
    served_model.py                  the script that answers requests
    artifacts/                       weights.safetensors and config.json
    code/cxr_pipeline/               the package's core
"""

import shutil
import tempfile
from collections.abc import Mapping
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from mlflow import MlflowClient
from mlflow.entities import LoggedModel, LoggedModelOutput, Metric
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.models import Model, ModelSignature
from mlflow.pyfunc import save_model
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.types import ColSpec, Schema, TensorSpec

from cxr_pipeline.tracking.descriptions import describe_model, describe_registered
from cxr_pipeline.tracking.nested import MODEL_TAG
from cxr_pipeline.tracking.runs import current_run, plain
from cxr_pipeline.tracking.sending import sender

PACKAGE = Path(__file__).resolve().parents[1]
SCRIPT = Path(__file__).with_name("served_model.py")

CORE = ("__init__.py", "randomness.py", "data", "losses", "models", "training")
"""What of the package a model is drawn with."""

REQUIREMENTS = (
    "mlflow", "isal", "lightning", "numpy", "opencv-python", "pandas", "pillow", "pyarrow", "rich",
    "safetensors", "torch", "torchvision",
)  # fmt: skip
"""What that needs, at the releases it was trained with."""

WEIGHTS_TAG = "weights_sha256"


def signature(size: int) -> ModelSignature:
    """What a served model is asked and what it answers.

    Args:
        size: Side of the images, in pixels.
    """
    asked: list[ColSpec | TensorSpec] = [
        ColSpec("long", "n"),
        ColSpec("long", "seed", required=False),
        ColSpec("string", "findings", required=False),
        ColSpec("double", "temperature", required=False),
        ColSpec("boolean", "png", required=False),
    ]
    answered = TensorSpec(np.dtype("uint8"), (-1, size, size))
    return ModelSignature(inputs=Schema(asked), outputs=Schema([answered]))


def keep_model(config: Mapping[str, Any], folder: Path) -> None:
    """Keep a trained model in the active run, to be loaded and served from there.

    Args:
        config: Its `config.json`.
        folder: Where that and its weights are; they must stay until the run's end.
    """
    run_id = current_run()
    if run_id is not None:
        sender.send(f"the {config['model']}", partial(_send_model, run_id, dict(config), folder))


def _send_model(run_id: str, config: dict[str, Any], folder: Path) -> None:
    client = MlflowClient()
    for before in models_of(run_id):
        # A run that went on, or a first attempt that failed.
        if before.tags.get(WEIGHTS_TAG) == config[WEIGHTS_TAG] and before.status == "READY":
            return
        remove_files(client, before)
        forget_model(client, before)
    model = client.create_logged_model(
        client.get_run(run_id).info.experiment_id,
        name=config["model"],
        source_run_id=run_id,
        tags={MODEL_TAG: config["model"], WEIGHTS_TAG: config[WEIGHTS_TAG]},
        params=plain(config["parameters"]),
        model_type="generator of chest X-rays",
    )
    try:
        with tempfile.TemporaryDirectory() as place:
            own = Model(model_uuid=model.model_id, model_id=model.model_id, run_id=run_id)
            write_model(Path(place) / "model", config, folder, own)
            client.log_model_artifacts(model.model_id, str(Path(place) / "model"))
    except BaseException:
        client.finalize_logged_model(model.model_id, "FAILED")
        raise
    client.finalize_logged_model(model.model_id, "READY")
    client.log_outputs(run_id, [LoggedModelOutput(model.model_id, config["steps"])])


def write_model(
    path: Path, config: Mapping[str, Any], folder: Path, own: Model | None = None
) -> None:
    """Write a model as MLflow's own tools load and serve it.

    Args:
        path: The folder to write, which must not be there.
        config: The model's `config.json`.
        folder: Where that and its weights are.
        own: How MLflow knows it, if it does.
    """
    with tempfile.TemporaryDirectory() as place:
        code = Path(place) / PACKAGE.name
        ignore = shutil.ignore_patterns("__pycache__")
        for name in CORE:
            source = PACKAGE / name
            if source.is_dir():
                shutil.copytree(source, code / name, ignore=ignore)
            else:
                code.mkdir(exist_ok=True)
                shutil.copy(source, code)
        save_model(
            path,
            python_model=str(SCRIPT),
            artifacts={
                "config": str(folder / "config.json"),
                "weights": str(folder / "weights.safetensors"),
            },
            code_paths=[str(code)],
            signature=signature(config["image_size"]),
            input_example={"n": 4, "seed": 0},
            pip_requirements=[f"{name}=={metadata.version(name)}" for name in REQUIREMENTS],
            mlflow_model=own,
        )


def register_model(config: Mapping[str, Any], metrics: Mapping[str, float]) -> None:
    """Register the active run's model as a new version, with its headline numbers.

    Args:
        config: Its `config.json`.
        metrics: The last value of each, see `descriptions.headlines`.
    """
    run_id = current_run()
    if run_id is not None:
        what = f"the registered version of the {config['model']}"
        sender.send(what, partial(_send_version, run_id, dict(config), dict(metrics)))


def _send_version(run_id: str, config: dict[str, Any], metrics: dict[str, float]) -> None:
    client, name = MlflowClient(), config["model"]
    (model,) = models_of(run_id)
    # The run's own last ones, which are then the model's too.
    last = [known[-1] for key in metrics if (known := client.get_metric_history(run_id, key))]
    own = [Metric(m.key, m.value, m.timestamp, m.step, model_id=model.model_id) for m in last]
    client.log_batch(run_id, metrics=own)
    try:
        client.create_registered_model(name, description=describe_registered(name))
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    tags = {
        **{metric: f"{value:.5g}" for metric, value in metrics.items()},
        "size/parameters": f"{metrics['size/parameters']:.0f}",
        "steps": str(config["steps"]),
        "data": config["data"],
        "training_images": str(config["training_images"]),
        "image_store_digest": config["image_store_digest"],
    }
    client.create_model_version(
        name,
        source=f"models:/{model.model_id}",
        run_id=run_id,
        tags=tags,
        description=describe_model(config, metrics),
        await_creation_for=0,
        model_id=model.model_id,
    )


def models_of(run_id: str) -> list[LoggedModel]:
    """Look up the models that this project logged in a run.

    Raises:
        MlflowException: If MLflow cannot be asked.
    """
    client = MlflowClient()
    experiment = client.get_run(run_id).info.experiment_id
    found = client.search_logged_models([experiment], f"source_run_id = '{run_id}'")
    return [model for model in found if MODEL_TAG in model.tags]


def versions_of(client: MlflowClient, model: LoggedModel) -> list[ModelVersion]:
    """Look up the registered versions of a logged model.

    Raises:
        MlflowException: If MLflow cannot be asked.
    """
    found = client.search_model_versions(f"run_id = '{model.source_run_id}'")
    return [version for version in found if version.source == f"models:/{model.model_id}"]


def remove_files(client: MlflowClient, model: LoggedModel) -> None:
    """Remove a logged model's files, as far as MLflow's store of files does that.

    Raises:
        MlflowException: If it refuses.
        NotImplementedError: If it cannot remove any.
        OSError: If one cannot be removed.
    """
    if client.list_logged_model_artifacts(model.model_id):
        repository = get_artifact_repository(model.artifact_location)
        repository.delete_artifacts()


def forget_model(client: MlflowClient, model: LoggedModel) -> None:
    """Remove the entries of a logged model that has no files, and of its registered versions.

    Raises:
        MlflowException: If MLflow refuses.
    """
    for version in versions_of(client, model):
        client.delete_model_version(version.name, version.version)
    client.delete_logged_model(model.model_id)
