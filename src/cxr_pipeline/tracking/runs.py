"""MLflow's runs: which one is active, those nested in it, one to go on with, those left behind."""

import logging
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from pathlib import Path
from typing import Any

import mlflow
from mlflow import MlflowClient
from mlflow.entities import LifecycleStage, Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID, MLFLOW_RUN_NAME
from mlflow.utils.validation import MAX_PARAM_VAL_LENGTH

from cxr_pipeline.tracking.sending import sender

logger = logging.getLogger(__name__)

RUN_NOTE = "mlflow_run"
PARENT_NOTE = "mlflow_parent"
SOURCE_NOTE = "source"
"""What checkpoints call the run that they are of, the one that it is nested in, and what its images
are made from."""

HOST_TAG = "host"
PROCESS_TAG = "pid"
RESUMED_TAG = "resumed"
"""How often a run was gone on with; below it: what was other than at first, such as parameters."""

SECONDS_TO_END_KILLED = 5.0

_nested: ContextVar[tuple[str | None, ...]] = ContextVar("nested", default=())
"""Runs within the active one, the innermost last; `None` where MLflow did not begin it."""


def current_run() -> str | None:
    """The run that is recorded in now; `None` is nowhere."""
    nested = _nested.get()
    return nested[-1] if nested else _outer_run()


def _outer_run() -> str | None:
    if sender.trouble is not None:
        return None
    active = mlflow.active_run()  # of this thread
    return sender.run or (active.info.run_id if active else None)


def note_source(source: str) -> None:
    """Say what images are made from (a digest of it), for the notes of this run's checkpoints."""
    sender.notes = {SOURCE_NOTE: source}


def notes() -> dict[str, str]:
    """What a checkpoint has to keep for its run to be found again; empty without a run."""
    run, outer = current_run(), _outer_run()
    if run is None or outer is None:
        return {}
    nested = {} if run == outer else {PARENT_NOTE: outer}
    return {RUN_NOTE: run, **nested, **sender.notes}


def run_to_continue(notes: Mapping[str, str]) -> str | None:
    """Read in a checkpoint's notes which run a command has to go on with.

    Of images made from something else training will begin anew, and so that is another run.
    """
    if notes.get(SOURCE_NOTE) != sender.notes.get(SOURCE_NOTE):
        return None
    return notes.get(PARENT_NOTE) or notes.get(RUN_NOTE)


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
        _send_tags(run_id, {**own, **_process_tags()})
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


def _send_tags(run_id: str, tags: Mapping[str, str]) -> None:
    made = [RunTag(key, value) for key, value in tags.items()]
    sender.send("the run's tags", lambda: MlflowClient().log_batch(run_id, tags=made))


def log_parameters(parameters: Mapping[str, Any]) -> None:
    """Record parameters of the active run; those within others are named `outer.inner`.

    A run that goes on keeps the values it began with, as MLflow asks; others become tags.
    """
    run_id = current_run()
    if run_id is not None:
        plain = {
            key: str(value)[:MAX_PARAM_VAL_LENGTH] for key, value in flattened(parameters).items()
        }
        sender.send("parameters", partial(_send_parameters, run_id, plain))


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


def flattened(parameters: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Name parameters within others `outer.inner`."""
    flat: dict[str, Any] = {}
    for key, value in parameters.items():
        if isinstance(value, Mapping):
            flat |= flattened(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat


@contextmanager
def nested_run(
    name: str, parameters: Mapping[str, Any], begun: Mapping[str, str] | None = None
) -> Iterator[None]:
    """Record what happens inside in a run of its own, below the active one.

    Args:
        name: Its name.
        parameters: What it was given; those within others are named `outer.inner`.
        begun: The notes of a checkpoint that is gone on from: its run is gone on with, if it is
            below the active one.
    """
    parent = current_run()
    if parent is None:
        yield
        return
    run_id: str | None = None
    with sender.minding(f"the run '{name}'"):
        run_id = _begin_below(parent, name, begun or {})
    outside = _nested.set((*_nested.get(), run_id))
    tag_run(_process_tags())
    log_parameters(parameters)
    status = "FAILED"
    try:
        yield
        status = "FINISHED"
    except KeyboardInterrupt:
        status = "KILLED"
        raise
    finally:
        _nested.reset(outside)
        if run_id is not None:
            sender.send(
                f"the end of the run '{name}'",
                lambda: MlflowClient().set_terminated(run_id, status),
            )


def _begin_below(parent: str, name: str, begun: Mapping[str, str]) -> str:
    client = MlflowClient()
    experiment = client.get_run(parent).info.experiment_id
    if begun.get(PARENT_NOTE) == parent and name_of_run(begun[RUN_NOTE], experiment):
        client.update_run(begun[RUN_NOTE], status="RUNNING")
        return begun[RUN_NOTE]
    tags = {MLFLOW_PARENT_RUN_ID: parent}
    return str(client.create_run(experiment, tags=tags, run_name=name).info.run_id)


def finish_run_as_killed() -> None:
    """End the active run, and those it is nested in, as KILLED; MLflow's trouble is a warning."""
    sender.conclude(SECONDS_TO_END_KILLED)
    end_active_runs("KILLED")


def end_active_runs(status: str) -> None:
    """End the active run with a status; MLflow's trouble is a warning."""
    while mlflow.active_run():
        with sender.minding("the end of the run"):
            mlflow.end_run(status)


def end_lost_runs(experiment_id: str, *, but: str | None) -> None:
    """End as KILLED the runs of this machine whose process is gone, as after SIGKILL.

    Args:
        experiment_id: Whose runs.
        but: The run that is about to go on.

    Raises:
        MlflowException: If MLflow cannot be asked.
    """
    client = MlflowClient()
    host = _process_tags()[HOST_TAG]
    lost = f"attributes.status = 'RUNNING' and tags.{HOST_TAG} = '{host}'"
    for run in client.search_runs([experiment_id], lost):
        process = run.data.tags.get(PROCESS_TAG, "")
        if run.info.run_id != but and process.isdecimal() and not _is_running(int(process)):
            client.set_terminated(run.info.run_id, "KILLED")
            logger.info("MLflow's run '%s' was killed: it says so now", run.info.run_name)


def _process_tags() -> dict[str, str]:
    """Which process on which machine; containers that share a name are told apart on Linux."""
    host = socket.gethostname()
    namespace = Path("/proc/self/ns/pid")
    if namespace.is_symlink():
        host += f" {namespace.readlink()}"
    return {HOST_TAG: host, PROCESS_TAG: str(os.getpid())}


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True  # another user's
    return True
