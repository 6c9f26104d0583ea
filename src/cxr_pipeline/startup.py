"""What has to be so before Kedro loads its plugins (entry point `kedro.init`)."""

import gc
import importlib
import logging
import os
import re
import sys
import warnings
from pathlib import Path

import yaml
from kedro.framework.project import LOGGING
from kedro.utils import find_kedro_project

from cxr_pipeline.training.memory import ask_for_huge_pages

# How notices begin that libraries owe one another and that no user can act on.
NOTICES = (
    "register_new_resolver() is deprecated",  # Kedro and kedro-mlflow to OmegaConf
    "One or more dataset names contain",  # the report waits for data sets of the namespaces
    "ORJSONResponse is deprecated",  # Kedro-Viz to FastAPI
)

LEVELS = {
    # Where Kedro was imported before the project's logging was found, it tells all that it loads.
    "kedro": logging.WARNING,
    # It sets its own level as it is imported.
    "kedro_mlflow": logging.WARNING,
    # Says at the first run that it makes its tables, and of a database in trouble a traceback,
    # where ours is a warning.
    "mlflow.store.db.utils": logging.CRITICAL,
    # Says that it looks at the example beside a model.
    "mlflow.pyfunc": logging.WARNING,
    # Warns of each new attempt to reach MLflow's server.
    "urllib3.connectionpool": logging.ERROR,
    # Says how torch computes, which the project's own lines and records say.
    # It speaks through the last of these that was imported.
    "lightning.pytorch.utilities.rank_zero": logging.WARNING,
    "pytorch_lightning.utilities.rank_zero": logging.WARNING,
    # Says what the run ends with anyway, as one line or with its traceback.
    "kedro.pipeline.node": logging.CRITICAL,
    # Of a run that failed: which nodes have not run and how to go on from there. Ours goes on when
    # the command is repeated, and one line says why it failed.
    "kedro.runner": logging.ERROR,
    # Of what Viz notes down of every run: data sets that are not there, as when a part is run.
    "kedro_viz.integrations.kedro.hooks": logging.ERROR,
    "kedro_viz.integrations.kedro.run_hooks": logging.ERROR,
}
"""Libraries' loggers, and from which level on they are heard."""

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
    # A bar for each config.json that is copied.
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    # `kedro mlflow ui` starts `mlflow` by name, which lies beside the `kedro` that was called.
    os.environ["PATH"] = os.pathsep.join(
        [str(Path(sys.executable).parent), os.environ.get("PATH", "")]
    )
    for notice in NOTICES:
        warnings.filterwarnings("ignore", message=re.escape(notice))
    # Kedro-Viz serves from a process that begins anew.
    asked = os.environ.get("PYTHONWARNINGS")
    ignored = [f"ignore:{notice}" for notice in NOTICES]
    os.environ["PYTHONWARNINGS"] = ",".join([*ignored, *([asked] if asked else [])])
    with warnings.catch_warnings(record=True):
        # Warns of a class of its own, past every filter; Kedro would import it next anyway.
        importlib.import_module("kedro_mlflow.framework.cli.cli")
    for name, level in LEVELS.items():
        logging.getLogger(name).setLevel(level)
    log_as_configured()


def log_as_configured() -> None:
    """Log as `KEDRO_LOGGING_CONFIG` or the project's `conf/logging.yml` says.

    Kedro looks for the latter in the working directory alone, and for both as it is imported,
    which in a notebook may be too early.
    """
    if asked := os.environ.get("KEDRO_LOGGING_CONFIG"):
        path = Path(asked)
    elif project := find_kedro_project(Path.cwd()):
        path = project / "conf/logging.yml"
    else:
        return
    if path.is_file():
        LOGGING.configure(yaml.safe_load(path.read_text()))
