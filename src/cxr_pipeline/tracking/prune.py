"""Old models in MLflow: which runs keep theirs, and removing the others'."""

from collections import Counter
from datetime import UTC, datetime

import mlflow
import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import LoggedModel, Run, RunStatus
from mlflow.exceptions import MlflowException

from cxr_pipeline.data.prune import (
    KEPT,
    LEFT_ALONE,
    REMOVED,
    WOULD_REMOVE,
    Version,
    say_if_gone,
    version_table,
)
from cxr_pipeline.tracking.models import forget_model, remove_files, versions_of
from cxr_pipeline.tracking.nested import MODEL_TAG
from cxr_pipeline.tracking.sending import sender

PRUNED_TAG = "model_pruned"


def prune_models(*, keep: int, dry_run: bool) -> pd.DataFrame:
    """Remove old models from the runs of the active experiment.

    Each model keeps its newest finished runs' models, and those of any run that ended otherwise
    since. Runs before lose theirs with its registered versions, and nothing else, and are tagged
    with the date. Left alone are models of runs not ended, those that this project did not log, and
    those of which a version has an alias: somebody uses it.

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
    client = MlflowClient()
    versions = []
    finished: Counter[str] = Counter()
    for model, run in _models_and_runs(client):
        name = model.tags[MODEL_TAG]
        if not RunStatus.is_terminated(RunStatus.from_string(run.info.status)) or _is_used(
            client, model
        ):
            action = LEFT_ALONE
        elif finished[name] < keep:
            action = KEPT
        else:
            action = WOULD_REMOVE if dry_run else REMOVED
        finished[name] += run.info.status == "FINISHED"
        size = _bytes(client, model)
        if action == REMOVED:
            _remove_model(client, model, run)
        version = Version(
            f"{name} model",
            run.info.run_id,
            datetime.fromtimestamp((run.info.end_time or run.info.start_time) / 1000, UTC),
            size,
            action,
        )
        versions.append(version)
        say_if_gone(version)
    return version_table(versions)


def _models_and_runs(client: MlflowClient) -> list[tuple[LoggedModel, Run]]:
    """List the project's models with the runs that trained them, the newest run first."""
    runs = mlflow.search_runs(order_by=["attributes.start_time DESC"], output_format="list")
    order = {run.info.run_id: place for place, run in enumerate(runs)}
    experiments = sorted({run.info.experiment_id for run in runs})
    found: list[LoggedModel] = []
    token = None
    while experiments:
        page = client.search_logged_models(experiments, page_token=token)
        found += [m for m in page if MODEL_TAG in m.tags and m.source_run_id in order]
        token = page.token
        if not token:
            break
    found.sort(key=lambda model: order[model.source_run_id])
    return [(model, runs[order[model.source_run_id]]) for model in found]


def _is_used(client: MlflowClient, model: LoggedModel) -> bool:
    # A search finds versions without their aliases.
    found = (client.get_model_version(v.name, v.version) for v in versions_of(client, model))
    return any(version.aliases for version in found)


def _bytes(client: MlflowClient, model: LoggedModel, folder: str | None = None) -> int:
    files = client.list_logged_model_artifacts(model.model_id, folder)
    return sum(
        _bytes(client, model, file.path) if file.is_dir else file.file_size or 0 for file in files
    )


def _remove_model(client: MlflowClient, model: LoggedModel, run: Run) -> None:
    reason = "nothing was removed"
    try:
        remove_files(client, model)
    except (MlflowException, NotImplementedError, OSError) as error:
        reason = str(error).partition("\n")[0]
    # Looked up, since of a store that cannot remove files MLflow says nothing.
    if client.list_logged_model_artifacts(model.model_id):
        raise ValueError(
            f"MLflow does not remove '{model.artifact_location}' ({reason}): allow it "
            "there, remove the folder by hand, or raise prune.models"
        )
    forget_model(client, model)
    client.set_tag(run.info.run_id, PRUNED_TAG, datetime.now(UTC).date().isoformat())
