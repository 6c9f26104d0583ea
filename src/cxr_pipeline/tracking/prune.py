"""Old models in MLflow: which runs keep theirs, and removing the others'."""

import logging
import os
from collections import Counter
from datetime import UTC, datetime

import mlflow
import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import Run, RunStatus
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

from cxr_pipeline.data.prune import (
    KEPT,
    LEFT_ALONE,
    REMOVED,
    WOULD_REMOVE,
    Version,
    say_if_gone,
    version_table,
)
from cxr_pipeline.tracking.sending import sender

logger = logging.getLogger(__name__)

MODEL_FOLDER = "model"
"""Where runs keep weights and configuration (`conf/base/catalog_mlflow.yml`)."""

PRUNED_TAG = "model_pruned"


def prune_models(*, keep: int, dry_run: bool) -> pd.DataFrame:
    """Remove old models from the runs of the active experiment.

    Each model keeps its newest finished runs' weights and configuration, and those of any run that
    ended otherwise since. Runs before lose them, and nothing else, and are tagged with the date.
    Runs not ended, and folders that name no model of this project, are left alone.

    Args:
        keep: How many finished runs of each model keep it.
        dry_run: Only say what would be removed.

    Returns:
        See `Version`; a run with a model a row, the newest first.

    Raises:
        ValueError: If MLflow cannot be used, or its artifact store does not remove files.
    """
    if sender.trouble is not None:
        raise ValueError(
            f"MLflow at '{mlflow.get_tracking_uri()}' cannot be used ({sender.trouble}): set "
            "MLFLOW_TRACKING_URI to the one that holds the models"
        )
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")  # one a config.json
    client = MlflowClient()
    versions = []
    finished: Counter[str] = Counter()
    for run in mlflow.search_runs(order_by=["attributes.start_time DESC"], output_format="list"):
        files = client.list_artifacts(run.info.run_id, MODEL_FOLDER)
        if not files:
            continue
        model = _model_name(run)
        if not model or not RunStatus.is_terminated(RunStatus.from_string(run.info.status)):
            action = LEFT_ALONE
        elif finished[model] < keep:
            action = KEPT
        else:
            action = WOULD_REMOVE if dry_run else REMOVED
        finished[model] += run.info.status == "FINISHED"
        if action == REMOVED:
            _remove_model(client, run)
        version = Version(
            f"{model or 'unknown'} model",
            run.info.run_id,
            datetime.fromtimestamp((run.info.end_time or run.info.start_time) / 1000, UTC),
            sum(file.file_size or 0 for file in files),
            action,
        )
        versions.append(version)
        say_if_gone(version)
    return version_table(versions)


def _model_name(run: Run) -> str:
    """Read which model a run trained; empty if its folder does not say."""
    try:
        config = mlflow.artifacts.load_dict(f"{run.info.artifact_uri}/{MODEL_FOLDER}/config.json")
        return str(config["model"])
    except (MlflowException, OSError, LookupError, TypeError):
        logger.warning("Run %s: %s/config.json names no model", run.info.run_id, MODEL_FOLDER)
        return ""


def _remove_model(client: MlflowClient, run: Run) -> None:
    repository = get_artifact_repository(run.info.artifact_uri)
    reason = "nothing was removed"
    try:
        repository.delete_artifacts(MODEL_FOLDER)  # type: ignore[no-untyped-call]
    except (MlflowException, NotImplementedError, OSError) as error:
        reason = str(error).partition("\n")[0]
    # Looked up, since of a store that cannot remove files MLflow says nothing.
    if client.list_artifacts(run.info.run_id, MODEL_FOLDER):
        raise ValueError(
            f"MLflow does not remove '{run.info.artifact_uri}/{MODEL_FOLDER}' ({reason}): allow it "
            "there, remove the folder by hand, or raise prune.models"
        )
    client.set_tag(run.info.run_id, PRUNED_TAG, datetime.now(UTC).date().isoformat())
