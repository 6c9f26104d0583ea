"""MLflow: what is said of a run beyond what the catalog logs. The only package that imports it.

Without an active run (tracking disabled, plain Python) every function here does nothing; `prune`
works on runs that have ended. With one, all but beginning and ending it is said by a thread of its
own, whose troubles are warnings (`sending`).
"""

import os
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from cxr_pipeline.tracking.descriptions import TITLES, run_command, run_name
from cxr_pipeline.tracking.ending import finish_run_as_killed
from cxr_pipeline.tracking.metrics import log_metrics
from cxr_pipeline.tracking.nested import MODEL_TAG, expect_models, nested_run
from cxr_pipeline.tracking.runs import (
    current_run,
    describe_run,
    flattened,
    log_parameters,
    note_source,
    notes,
    run_to_continue,
    tag_run,
)
from cxr_pipeline.tracking.sending import sender

__all__ = [
    "MODEL_TAG",
    "TITLES",
    "TrackingError",
    "artifact_location",
    "describe_run",
    "expect_models",
    "finish_run_as_killed",
    "flattened",
    "log_file",
    "log_metrics",
    "log_parameters",
    "log_picture",
    "nested_run",
    "note_source",
    "notes",
    "run_command",
    "run_name",
    "run_to_continue",
    "tag_run",
    "tracking_uri",
]

TrackingError = MlflowException
"""What MLflow raises, such as when its server cannot be reached."""


def tracking_uri(project: Path) -> str:
    """Where runs are recorded: `MLFLOW_TRACKING_URI`, else the project's own database."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{project / 'mlflow.db'}"


def artifact_location(project: Path) -> str | None:
    """Where a new experiment keeps its files: a server's own place, else beside the database."""
    return None if os.environ.get("MLFLOW_TRACKING_URI") else str(project / "mlartifacts")


def log_picture(key: str, step: int, picture: npt.NDArray[np.uint8]) -> None:
    """Record a (H, W) uint8 picture of a training step; MLflow shows its steps on a slider."""
    run_id = current_run()
    if run_id is not None:
        sender.send(
            f"the samples of step {step}", partial(_send_picture, run_id, key, step, picture.copy())
        )


def _send_picture(run_id: str, key: str, step: int, picture: npt.NDArray[np.uint8]) -> None:
    colours = np.repeat(picture[:, :, None], 3, axis=2)
    MlflowClient().log_image(run_id, colours, key=key, step=step, synchronous=True)


def log_file(path: Path, folder: str) -> None:
    """Keep a copy of a file in a folder of the active run; it must stay until the run's end."""
    run_id = current_run()
    if run_id is not None:
        sender.send(f"'{path}'", lambda: MlflowClient().log_artifact(run_id, str(path), folder))
