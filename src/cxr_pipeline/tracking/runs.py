"""MLflow's runs: which one is active, one to go on with, what is said of it."""

import os
import socket
from collections.abc import Mapping
from contextvars import ContextVar
from functools import partial
from pathlib import Path
from typing import Any

import mlflow
from mlflow import MlflowClient
from mlflow.entities import LifecycleStage, Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import MLFLOW_RUN_NAME, MLFLOW_RUN_NOTE
from mlflow.utils.validation import MAX_PARAM_VAL_LENGTH

from cxr_pipeline.tracking.sending import sender

RUN_NOTE = "mlflow_run"
PARENT_NOTE = "mlflow_parent"
SOURCE_NOTE = "source"
"""What checkpoints call the run that they are of, the one that it is nested in, and what its images
are made from."""

HOST_TAG = "host"
PROCESS_TAG = "pid"
RESUMED_TAG = "resumed"
"""How often a run was gone on with; below it: what was other than at first, such as parameters."""

NESTED: ContextVar[tuple[str | None, ...]] = ContextVar("nested", default=())
"""Runs within the active one, the innermost last; `None` where MLflow did not begin it."""


def current_run() -> str | None:
    """The run that is recorded in now; `None` is nowhere."""
    nested = NESTED.get()
    return nested[-1] if nested else outer_run()


def outer_run() -> str | None:
    """The run that the command is recorded in; `None` is nowhere."""
    if sender.trouble is not None:
        return None
    active = mlflow.active_run()  # of this thread
    return sender.run or (active.info.run_id if active else None)


def note_source(source: str) -> None:
    """Say what images are made from (a digest of it), for the notes of this run's checkpoints."""
    sender.notes = {SOURCE_NOTE: source}


def notes() -> dict[str, str]:
    """What a checkpoint has to keep for its run to be found again; empty without a run."""
    run, outer = current_run(), outer_run()
    if run is None or outer is None:
        return {}
    nested = {} if run == outer else {PARENT_NOTE: outer}
    return {RUN_NOTE: run, **nested, **sender.notes}


def run_to_continue(notes: Mapping[str, str], *, alone: bool) -> str | None:
    """Read in a checkpoint's notes which run a command has to go on with.

    Of images made from something else training will begin anew, and so that is another run.

    Args:
        notes: The checkpoint's.
        alone: Whether the command trains this model alone: then it goes on with the model's own
            run, else with the one that this is nested in, if it is.
    """
    if notes.get(SOURCE_NOTE) != sender.notes.get(SOURCE_NOTE):
        return None
    return notes.get(RUN_NOTE if alone else PARENT_NOTE)


def name_of_run(run_id: str, experiment_id: str) -> str | None:
    """Look up a run's name; `None` if the experiment does not hold it (any more).

    Raises:
        MlflowException: If MLflow cannot be asked.
    """
    try:
        run = MlflowClient().get_run(run_id)
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return None
        raise
    gone = run.info.lifecycle_stage != LifecycleStage.ACTIVE
    return None if gone or run.info.experiment_id != experiment_id else run.info.run_name


def describe_run(name: str, tags: Mapping[str, str], *, resumed: bool = False) -> None:
    """Name and tag the active run, also by its process.

    Args:
        name: Its name.
        tags: Its tags.
        resumed: Whether it was begun before: it keeps name and tags, and gets the new ones below
            `resumed`, with a count.
    """
    run_id = current_run()
    if run_id is not None:
        own = {} if resumed else {MLFLOW_RUN_NAME: name, **tags}
        _send_tags(run_id, {**own, **process_tags()})
        if resumed:
            sender.send("that the run goes on", partial(_count_resumption, run_id, dict(tags)))


def _count_resumption(run_id: str, tags: dict[str, str]) -> None:
    client = MlflowClient()
    count = int(client.get_run(run_id).data.tags.get(RESUMED_TAG, 0)) + 1
    own = {RESUMED_TAG: str(count)} | {f"{RESUMED_TAG}.{key}": tags[key] for key in tags}
    client.log_batch(run_id, tags=[RunTag(key, value) for key, value in own.items()])


def tag_run(tags: Mapping[str, str]) -> None:
    """Tag the active run."""
    run_id = current_run()
    if run_id is not None:
        _send_tags(run_id, tags)


def note(text: str) -> None:
    """Describe the active run, in Markdown."""
    tag_run({MLFLOW_RUN_NOTE: text})


def _send_tags(run_id: str, tags: Mapping[str, str]) -> None:
    made = [RunTag(key, value) for key, value in tags.items()]
    sender.send("the run's tags", lambda: MlflowClient().log_batch(run_id, tags=made))


def log_parameters(parameters: Mapping[str, Any]) -> None:
    """Record parameters of the active run; those within others are named `outer.inner`.

    A run that goes on keeps the values it began with, as MLflow asks; others become tags.
    """
    run_id = current_run()
    if run_id is not None:
        sender.send("parameters", partial(_send_parameters, run_id, plain(parameters)))


def _send_parameters(run_id: str, parameters: dict[str, str]) -> None:
    client = MlflowClient()
    known = client.get_run(run_id).data.params
    new = [Param(key, value) for key, value in parameters.items() if key not in known]
    other = [
        RunTag(f"{RESUMED_TAG}.{key}", value)
        for key, value in parameters.items()
        if known.get(key, value) != value
    ]
    client.log_batch(run_id, params=new, tags=other)


def plain(parameters: Mapping[str, Any]) -> dict[str, str]:
    """Write parameters as MLflow keeps and plots them: flat, and lists as on the command line."""
    return {
        key: _written(value)[:MAX_PARAM_VAL_LENGTH] for key, value in flattened(parameters).items()
    }


def _written(value: Any) -> str:
    several = isinstance(value, list | tuple) and value
    return "|".join(map(str, value)) if several else str(value)


def flattened(parameters: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Name parameters within others `outer.inner`."""
    flat: dict[str, Any] = {}
    for key, value in parameters.items():
        if isinstance(value, Mapping):
            flat |= flattened(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat


def process_tags() -> dict[str, str]:
    """Which process on which machine; containers that share a name are told apart on Linux."""
    host = socket.gethostname()
    namespace = Path("/proc/self/ns/pid")
    if namespace.is_symlink():
        host += f" {namespace.readlink()}"
    return {HOST_TAG: host, PROCESS_TAG: str(os.getpid())}
