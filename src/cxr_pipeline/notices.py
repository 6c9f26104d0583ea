"""Silence for notices that libraries owe one another and that no user can act on."""

import warnings

NOTICES = (
    r"register_new_resolver\(\) is deprecated",  # Kedro and kedro-mlflow to OmegaConf
    "One or more dataset names contain",  # the report waits for data sets of the namespaces
    ".*Add type hints to the `predict` method",  # kedro-mlflow to MLflow
)


def silence() -> None:
    """Ignore the notices; Kedro calls this before it loads its plugins, which give some of them."""
    for notice in NOTICES:
        warnings.filterwarnings("ignore", message=notice)
