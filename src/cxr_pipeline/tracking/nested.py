"""Runs of a run's parts: a sweep's members, and each model of a command that trains several.

Members are nested in the sweep's run. Models are not: MLflow's list folds nested runs up, and its
charts leave out what is folded, so that models would not be seen beside one another.
"""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

from mlflow import MlflowClient
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID as PARENT

from cxr_pipeline.tracking.runs import (
    NESTED,
    PARENT_NOTE,
    RUN_NOTE,
    current_run,
    log_parameters,
    name_of_run,
    outer_run,
    process_tags,
    tag_run,
)
from cxr_pipeline.tracking.sending import sender

MODEL_TAG = "model"
"""Of runs and logged models: which model it is."""

PART_TAG = "part_of"
"""Of a model's own run: the run of the command that trained or scored it."""

_lock = threading.Lock()
_names: dict[str, str] = {}
_begun: dict[str, str | None] = {}
"""Of each model with a run of its own: the run's name, and the run once it is there."""


@contextmanager
def nested_run(
    name: str,
    parameters: Mapping[str, Any],
    begun: Mapping[str, str] | None = None,
    *,
    beside: bool = False,
) -> Iterator[None]:
    """Record what happens inside in a run of its own, below the active one.

    Args:
        name: Its name.
        parameters: What it was given; those within others are named `outer.inner`.
        begun: The notes of a checkpoint that is gone on from: its run is gone on with, if it is
            below the active one.
        beside: Whether to put it beside the active one, which its tag `part_of` names, for runs
            that are to be compared: MLflow's charts leave out what is nested.
    """
    parent = current_run()
    if parent is None:
        yield
        return
    run_id: str | None = None
    with sender.minding(f"the run '{name}'"):
        run_id = _begin_part(parent, name, begun or {}, PART_TAG if beside else PARENT)
    outside = NESTED.set((*NESTED.get(), run_id))
    tag_run(process_tags())
    log_parameters(parameters)
    status = "FAILED"
    try:
        yield
        status = "FINISHED"
    except KeyboardInterrupt:
        status = "KILLED"
        raise
    finally:
        NESTED.reset(outside)
        if run_id is not None:
            sender.send(
                f"the end of the run '{name}'",
                lambda: MlflowClient().set_terminated(run_id, status),
            )


def _begin_part(parent: str, name: str, begun: Mapping[str, str], tag: str) -> str:
    client = MlflowClient()
    experiment = client.get_run(parent).info.experiment_id
    if begun.get(PARENT_NOTE) == parent and name_of_run(begun[RUN_NOTE], experiment):
        client.update_run(begun[RUN_NOTE], status="RUNNING")
        return begun[RUN_NOTE]
    return str(client.create_run(experiment, tags={tag: parent}, run_name=name).info.run_id)


def expect_models(names: Mapping[str, str]) -> None:
    """Give models of the active run runs of their own, which begin when they are first needed.

    Args:
        names: What to call each model's run.
    """
    with _lock:
        _names.clear()
        _begun.clear()
        _names.update(names)
    NESTED.set(())


def record_for(model: str | None) -> None:
    """Record what this thread says from now on in a model's own run, if it has one.

    Args:
        model: The model; None, or one without a run of its own, stands for the active run.
    """
    outer = outer_run()
    if model not in _names or outer is None:
        NESTED.set(())
        return
    with _lock:
        new = model not in _begun
        if new:
            _begun[model] = None
            with sender.minding(f"the run '{_names[model]}'"):
                _begun[model] = _begin_model(outer, model)
    NESTED.set((_begun[model],))
    if new:
        tag_run(process_tags())


def _begin_model(outer: str, model: str) -> str:
    client = MlflowClient()
    experiment = client.get_run(outer).info.experiment_id
    tags = {PART_TAG: outer, MODEL_TAG: model}
    known = " and ".join(f"tags.{key} = '{value}'" for key, value in tags.items())
    for run in client.search_runs([experiment], known, max_results=1):
        client.update_run(run.info.run_id, status="RUNNING")
        return str(run.info.run_id)
    return str(client.create_run(experiment, tags=tags, run_name=_names[model]).info.run_id)


def end_models(status: str) -> None:
    """End the models' own runs."""
    NESTED.set(())
    with _lock:
        ended = dict(_begun)
        _names.clear()
        _begun.clear()
    for model, run_id in ended.items():
        if run_id is not None:
            sender.send(f"the end of the {model}'s run", partial(_end, run_id, status))


def _end(run_id: str, status: str) -> None:
    MlflowClient().set_terminated(run_id, status)
