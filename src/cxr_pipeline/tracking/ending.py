"""How MLflow's runs end, also those that nobody could end."""

import logging
import os

import mlflow
from mlflow import MlflowClient

from cxr_pipeline.tracking.nested import end_models
from cxr_pipeline.tracking.runs import HOST_TAG, PROCESS_TAG, process_tags
from cxr_pipeline.tracking.sending import sender

logger = logging.getLogger(__name__)

SECONDS_TO_END_KILLED = 5.0


def finish_run_as_killed() -> None:
    """End the active run, and those it is nested in, as KILLED; MLflow's trouble is a warning."""
    end_models("KILLED")
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
    host = process_tags()[HOST_TAG]
    lost = f"attributes.status = 'RUNNING' and tags.{HOST_TAG} = '{host}'"
    for run in client.search_runs([experiment_id], lost):
        process = run.data.tags.get(PROCESS_TAG, "")
        if run.info.run_id != but and process.isdecimal() and not _is_running(int(process)):
            client.set_terminated(run.info.run_id, "KILLED")
            logger.info("MLflow's run '%s' was killed: it says so now", run.info.run_name)


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True  # another user's
    return True
