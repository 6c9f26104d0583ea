"""How busy the machine is while a run lasts: MLflow's system metrics, sent as all else is.

MLflow's own monitor waits for its server; its collectors are used without it.
"""

import itertools
import logging
import os
import threading
import time

from mlflow.system_metrics.metrics.base_metrics_monitor import BaseMetricsMonitor
from mlflow.system_metrics.metrics.cpu_monitor import CPUMonitor
from mlflow.system_metrics.metrics.gpu_monitor import GPUMonitor

from cxr_pipeline.tracking.metrics import log_metrics_of
from cxr_pipeline.tracking.sending import sender

logger = logging.getLogger(__name__)

SHORTEST_PAUSE = 10.0
"""Seconds before the first sample, so that runs of seconds have none, and between two."""

GROWTH = 0.005
"""The pause is at least this share of the time gone by: 200 samples in the first half hour, 1,200
in the first three days."""


SWITCH = "MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING"


def is_wanted() -> bool:
    """Whether to watch: unless MLflow's own switch is set, to off or to its own monitor."""
    return SWITCH not in os.environ


def watch_machine(run_id: str) -> threading.Event:
    """Record CPU, memory and GPU (where there is one) in a run from time to time.

    Args:
        run_id: The run.

    Returns:
        What ends it once it is set.
    """
    end = threading.Event()
    threading.Thread(target=_watch, args=(run_id, end), name="machine", daemon=True).start()
    return end


def _watch(run_id: str, end: threading.Event) -> None:
    monitors = _monitors()
    began = time.monotonic()
    for sample in itertools.count():
        if end.wait(max(SHORTEST_PAUSE, GROWTH * (time.monotonic() - began))):
            return
        if sender.run != run_id:
            return  # a notebook's run that was interrupted, and another that has begun
        found: dict[str, float] = {}
        for monitor in monitors:
            monitor.collect_metrics()
            found |= monitor.aggregate_metrics()
            monitor.clear_metrics()
        log_metrics_of(run_id, sample, {f"system/{name}": value for name, value in found.items()})


def _monitors() -> list[BaseMetricsMonitor]:
    monitors: list[BaseMetricsMonitor] = [CPUMonitor()]
    try:
        monitors.append(GPUMonitor())
    except (ImportError, RuntimeError) as error:
        logger.debug("no GPU is watched: %s", error)
    for monitor in monitors:
        monitor.collect_metrics()  # psutil measures from one call to the next
        monitor.clear_metrics()
    return monitors
