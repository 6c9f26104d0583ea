"""Kedro's settings (https://docs.kedro.org/en/stable/configure/configuration_basics/)."""

import warnings
from pathlib import Path

from omegaconf.resolvers import oc

from cxr_pipeline import tracking
from cxr_pipeline.hooks import ProjectHooks

PROJECT = Path(__file__).resolve().parents[2]

# Notices that libraries owe one another and that no user can act on.
for notice in (
    r"register_new_resolver\(\) is deprecated",  # Kedro and kedro-mlflow to OmegaConf 2.4
    "One or more dataset names contain",  # the report waits for data sets of the namespaces
    r".*Add type hints to the `predict` method",  # kedro-mlflow to MLflow
):
    warnings.filterwarnings("ignore", message=notice)

HOOKS = (ProjectHooks(),)

# Runs are recorded in MLflow; Kedro's own session files would only pile up.
CONFIG_LOADER_ARGS = {
    "base_env": "base",
    "default_run_env": "local",
    # An environment changes single parameters; it does not replace whole sections.
    "merge_strategy": {"parameters": "soft", "mlflow": "soft"},
    "custom_resolvers": {
        "environment": oc.env,
        "tracking_uri": lambda: tracking.tracking_uri(PROJECT),
        "artifact_location": lambda: tracking.artifact_location(PROJECT),
    },
}
