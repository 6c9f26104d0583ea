"""Metrics on their way to MLflow: kept together, so that a slow server gets many at once."""

import time
from collections import deque
from collections.abc import Mapping
from functools import partial

from mlflow import MlflowClient
from mlflow.entities import Metric

from cxr_pipeline.tracking.runs import current_run
from cxr_pipeline.tracking.sending import sender

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


def log_metrics(step: int, metrics: Mapping[str, float]) -> None:
    """Record metrics of a training step, without waiting for the server."""
    run_id = current_run()
    if run_id is not None:
        log_metrics_of(run_id, step, metrics)


def log_metrics_of(run_id: str, step: int, metrics: Mapping[str, float]) -> None:
    """Record metrics of a run that need not be the active one."""
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
