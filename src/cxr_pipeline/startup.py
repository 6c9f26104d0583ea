"""What has to be so before Kedro loads its plugins (entry point `kedro.init`)."""

import gc
import importlib
import logging
import os
import sys
import warnings
from pathlib import Path

from cxr_pipeline.training.memory import ask_for_huge_pages

# Notices that libraries owe one another and that no user can act on.
NOTICES = (
    r"register_new_resolver\(\) is deprecated",  # Kedro and kedro-mlflow to OmegaConf
    "One or more dataset names contain",  # the report waits for data sets of the namespaces
    "ORJSONResponse is deprecated",  # Kedro-Viz to FastAPI
)

SERVER_PATIENCE = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
}


def prepare() -> None:
    """Let commands find one another, and keep libraries' notices to themselves."""
    # The libraries make a million objects as they are imported; looking through them for garbage
    # again and again took two of the seven seconds of a short run.
    gc.set_threshold(100_000, 50, 50)
    ask_for_huge_pages()
    # Kedro and MLflow tell their makers how they are used, unless asked not to.
    os.environ.setdefault("DO_NOT_TRACK", "true")
    # A server that does not answer is given up after seconds, not MLflow's quarter of an hour.
    for name, value in SERVER_PATIENCE.items():
        os.environ.setdefault(name, value)
    # `kedro mlflow ui` starts `mlflow` by name, which lies beside the `kedro` that was called.
    os.environ["PATH"] = os.pathsep.join(
        [str(Path(sys.executable).parent), os.environ.get("PATH", "")]
    )
    for notice in NOTICES:
        warnings.filterwarnings("ignore", message=notice)
    with warnings.catch_warnings(record=True):
        # Warns of a class of its own, past every filter; Kedro would import it next anyway.
        importlib.import_module("kedro_mlflow.framework.cli.cli")
    # It sets its own level as it is imported.
    logging.getLogger("kedro_mlflow").setLevel(logging.WARNING)
    # Says at the first run that it makes its tables, and of a database in trouble a traceback,
    # where ours is a warning.
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
    # Warns of each new attempt to reach MLflow's server.
    logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)
