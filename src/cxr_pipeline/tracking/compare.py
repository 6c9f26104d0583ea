"""The prepared comparison: which runs, and MLflow's page that shows them side by side."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import closing, suppress
from urllib.error import HTTPError, URLError
from urllib.parse import quote
from urllib.request import urlopen

import psutil
from mlflow import MlflowClient
from mlflow.entities import Run

from cxr_pipeline.tracking.descriptions import TITLES
from cxr_pipeline.tracking.nested import MODEL_TAG

EXPERIMENT = "cxr_pipeline"
"""See `conf/base/mlflow.yml`."""

SECONDS_TO_START = 60.0

SERVER = {
    # Without the tasks that servers of many users run now and then.
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    # And without what it has to say to those who run one.
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "PYTHONWARNINGS": "ignore",
}

PAGES = "workflowType=machine_learning"
"""MLflow's pages for training, in place of those for language models that it opens with."""

NEWEST_FIRST = ["attributes.start_time DESC"]
RUNS = 50_000
"""More than a search gives MLflow does not take."""


def runs_to_compare(uri: str, asked: Sequence[str] = ()) -> list[Run]:
    """Find the newest finished run of each model, or those asked for.

    Args:
        uri: MLflow's tracking URI.
        asked: Models, such as `gan`, ids of runs (or how they begin), names of runs.

    Raises:
        ValueError: If there is nothing to compare.
        MlflowException: If MLflow cannot be asked.
    """
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name(EXPERIMENT)
    known = [] if experiment is None else [experiment.experiment_id]
    if asked:
        return [_asked_for(client, known, name) for name in asked]
    newest = (_newest(client, known, model) for model in TITLES)
    found = [run for run in newest if run is not None]
    if len(found) < 2:
        raise ValueError(
            f"MLflow at '{uri}' holds finished runs of {len(found)} models, too few to compare: "
            "train another, for example with `kedro run --pipeline=vae`, or name runs"
        )
    return found


def _newest(client: MlflowClient, experiments: list[str], model: str) -> Run | None:
    finished = f"tags.{MODEL_TAG} = '{model}' and attributes.status = 'FINISHED'"
    runs = client.search_runs(experiments, finished, max_results=1, order_by=NEWEST_FIRST)
    return runs[0] if runs else None


def _asked_for(client: MlflowClient, experiments: list[str], asked: str) -> Run:
    if asked in TITLES:
        run = _newest(client, experiments, asked)
    else:
        runs = client.search_runs(experiments, max_results=RUNS, order_by=NEWEST_FIRST)
        named = (r for r in runs if asked == r.info.run_name or r.info.run_id.startswith(asked))
        run = next(named, None)
    if run is None:
        known = ", ".join(TITLES)
        raise ValueError(f"no run '{asked}' to compare: give {known}, or a run's id or name")
    return run


def charts_url(server: str, runs: Sequence[Run]) -> str:
    """The address of runs' curves and sample grids, drawn together.

    Args:
        server: The address of MLflow's pages.
        runs: Which runs, of one experiment.
    """
    ids = ",".join(f"'{run.info.run_id}'" for run in runs)
    chosen = quote(f"attributes.run_id IN ({ids})")
    page = f"/experiments/{runs[0].info.experiment_id}/runs"
    return f"{server.rstrip('/')}/#{page}?{PAGES}&searchFilter={chosen}&compareRunsMode=CHART"


def comparison_url(server: str, runs: Sequence[Run]) -> str:
    """The address of runs' parameters and last metrics, side by side.

    Args:
        server: The address of MLflow's pages.
        runs: Which runs.
    """
    asked = {
        "runs": [run.info.run_id for run in runs],
        "experiments": sorted({run.info.experiment_id for run in runs}),
    }
    query = "&".join(f"{k}={quote(json.dumps(v, separators=(',', ':')))}" for k, v in asked.items())
    return f"{server.rstrip('/')}/#/compare-runs?{PAGES}&{query}"


def start_server(uri: str, port: int) -> "subprocess.Popen[bytes]":
    """Start MLflow's pages on this machine alone, and wait until they answer.

    Args:
        uri: The database whose runs to show.
        port: Where to listen.

    Raises:
        ValueError: If the port is taken, or MLflow does not start.
    """
    with closing(socket.socket()) as free:
        if free.connect_ex(("127.0.0.1", port)) == 0:
            raise ValueError(f"port {port} is taken: give another with --port, such as {port + 1}")
    command = [sys.executable, "-m", "mlflow", "ui", "--backend-store-uri", uri]
    command += ["--port", str(port), "--workers", "1", "--uvicorn-opts", "--log-level warning"]
    server = subprocess.Popen(command, env=os.environ | SERVER)
    began = time.monotonic()
    while time.monotonic() - began < SECONDS_TO_START and server.poll() is None:
        try:
            with urlopen(f"http://127.0.0.1:{port}/health", timeout=5):
                return server
        except (HTTPError, URLError, ConnectionError, TimeoutError):
            time.sleep(0.2)
    stop_server(server)
    raise ValueError(f"MLflow does not start: see what `kedro mlflow ui --port={port}` says")


def stop_server(server: "subprocess.Popen[bytes]") -> None:
    """End MLflow's pages and the processes that they started."""
    # Each may end by itself in the meantime: Ctrl-C comes to all of them.
    with suppress(psutil.NoSuchProcess):
        for process in psutil.Process(server.pid).children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                process.terminate()
    server.terminate()
