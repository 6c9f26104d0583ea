"""MLflow: what is said of a run beyond what the catalog logs. The only package that imports it.

Without an active run (tracking disabled, plain Python) every function here does nothing; `prune`
works on runs that have ended. With one, all but beginning and ending it is said by a thread of its
own, whose troubles are warnings (`sending`).
"""

import os
import time
from collections import deque
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
from mlflow import MlflowClient
from mlflow.entities import Metric
from mlflow.exceptions import MlflowException

from cxr_pipeline.tracking.runs import (
    current_run,
    describe_run,
    finish_run_as_killed,
    flattened,
    log_parameters,
    nested_run,
    note_source,
    notes,
    run_to_continue,
    tag_run,
)
from cxr_pipeline.tracking.sending import sender

__all__ = [
    "TrackingError",
    "artifact_location",
    "describe_run",
    "finish_run_as_killed",
    "flattened",
    "log_file",
    "log_metrics",
    "log_parameters",
    "log_picture",
    "nested_run",
    "note_source",
    "notes",
    "run_to_continue",
    "tag_run",
    "tracking_uri",
]

TrackingError = MlflowException
"""What MLflow raises, such as when its server cannot be reached."""

BATCH = 1000
"""Metrics that MLflow takes at once."""

REJECTIONS = {
    "BAD_REQUEST",
    "INVALID_PARAMETER_VALUE",
    "INVALID_STATE",
    "RESOURCE_DOES_NOT_EXIST",
}
"""Codes of errors that come again whenever the same is sent."""

WAITING_METRICS = 100_000
"""Metrics that are kept for an MLflow that is slow or in trouble."""

_waiting: dict[str, deque[Metric]] = {}
"""Metrics that are not sent yet, of each run."""


def tracking_uri(project: Path) -> str:
    """Where runs are recorded: `MLFLOW_TRACKING_URI`, else the project's own database."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{project / 'mlflow.db'}"


def artifact_location(project: Path) -> str | None:
    """Where a new experiment keeps its files: a server's own place, else beside the database."""
    return None if os.environ.get("MLFLOW_TRACKING_URI") else str(project / "mlartifacts")


def log_metrics(step: int, metrics: Mapping[str, float]) -> None:
    """Record metrics of a training step, without waiting for the server."""
    run_id = current_run()
    if run_id is not None:
        now = int(time.time() * 1000)
        waiting = _waiting.setdefault(run_id, deque(maxlen=WAITING_METRICS))
        sender.lose(int(len(waiting) + len(metrics) > WAITING_METRICS))  # the oldest step's
        waiting.extend(Metric(key, value, now, step) for key, value in metrics.items())
        send = partial(_send_metrics, run_id, waiting)
        sender.send(f"the metrics of step {step}", send, key=(run_id, "metrics"))


def _send_metrics(run_id: str, waiting: deque[Metric]) -> None:
    """Send what waits, also what waited in vain before; what MLflow rejects waits no longer."""
    while waiting:
        batch = [waiting.popleft() for _ in range(min(BATCH, len(waiting)))]
        try:
            MlflowClient().log_batch(run_id, metrics=batch)
        except BaseException as error:
            if getattr(error, "error_code", None) in REJECTIONS:
                sender.lose(len({metric.step for metric in batch}))
            else:
                waiting.extendleft(reversed(batch))
            raise


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
