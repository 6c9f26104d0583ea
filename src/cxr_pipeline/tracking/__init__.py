"""MLflow: what is said of a run beyond what the catalog logs. The only package that imports it.

Without an active run (tracking disabled, plain Python) every function here does nothing; `prune`
works on runs that have ended.
"""

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import numpy.typing as npt
from mlflow.exceptions import MlflowException

logger = logging.getLogger(__name__)

TrackingError = MlflowException
"""What MLflow raises, such as when its server cannot be reached."""


def tracking_uri(project: Path) -> str:
    """Where runs are recorded: `MLFLOW_TRACKING_URI`, else the project's own database."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{project / 'mlflow.db'}"


def artifact_location(project: Path) -> str | None:
    """Where a new experiment keeps its files: a server's own place, else beside the database."""
    return None if os.environ.get("MLFLOW_TRACKING_URI") else str(project / "mlartifacts")


def log_metrics(step: int, metrics: Mapping[str, float]) -> None:
    """Record metrics of a training step, without waiting for the server."""
    if mlflow.active_run():
        with _warning_instead_of_failing(f"the metrics of step {step}"):
            mlflow.log_metrics(dict(metrics), step=step, synchronous=False)


def log_picture(key: str, step: int, picture: npt.NDArray[np.uint8]) -> None:
    """Record a (H, W) uint8 picture of a training step; MLflow shows its steps on a slider."""
    if mlflow.active_run():
        with _warning_instead_of_failing(f"the samples of step {step}"):
            mlflow.log_image(np.repeat(picture[:, :, None], 3, axis=2), key=key, step=step)


def describe_run(name: str, tags: Mapping[str, str]) -> None:
    """Name the active run and tag it."""
    if mlflow.active_run():
        mlflow.set_tags({"mlflow.runName": name, **tags})


def tag_run(tags: Mapping[str, str]) -> None:
    """Tag the active run."""
    if mlflow.active_run():
        mlflow.set_tags(dict(tags))


def log_file(path: Path, folder: str) -> None:
    """Keep a copy of a file in a folder of the active run."""
    if mlflow.active_run():
        with _warning_instead_of_failing(f"'{path}'"):
            mlflow.log_artifact(str(path), folder)


@contextmanager
def nested_run(name: str, parameters: Mapping[str, Any]) -> Iterator[None]:
    """Record what happens inside in a run of its own, below the active one.

    Args:
        name: Its name.
        parameters: What it was given; those within others are named `outer.inner`.
    """
    if mlflow.active_run() is None:
        yield
        return
    mlflow.start_run(run_name=name, nested=True)
    # MLflow's own context manager would take Ctrl-C for a failure.
    status = "FAILED"
    try:
        mlflow.log_params(flattened(parameters))
        yield
        status = "FINISHED"
    except KeyboardInterrupt:
        status = "KILLED"
        raise
    finally:
        mlflow.end_run(status)


def flattened(parameters: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Name parameters within others `outer.inner`."""
    flat: dict[str, Any] = {}
    for key, value in parameters.items():
        if isinstance(value, Mapping):
            flat |= flattened(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat


def finish_run_as_killed() -> None:
    """End the active run, and those it is nested in, as KILLED."""
    while mlflow.active_run():
        mlflow.end_run("KILLED")


@contextmanager
def _warning_instead_of_failing(what: str) -> Iterator[None]:
    """Keep a server's trouble from ending a training run; its files hold everything anyway."""
    try:
        yield
    except (TrackingError, OSError) as error:
        reason = str(error).partition("\n")[0]
        logger.warning("MLflow did not take %s (%s); training goes on", what, reason)
