"""Silence for notices that libraries owe one another and that no user can act on."""

import logging
import warnings

NOTICES = (
    r"register_new_resolver\(\) is deprecated",  # Kedro and kedro-mlflow to OmegaConf
    "One or more dataset names contain",  # the report waits for data sets of the namespaces
)


def silence() -> None:
    """Ignore the notices; Kedro calls this before it loads its plugins (`kedro.init`)."""
    for notice in NOTICES:
        warnings.filterwarnings("ignore", message=notice)
    with warnings.catch_warnings(record=True):
        # Warns of a class of its own, past every filter; Kedro would import it next anyway.
        import kedro_mlflow.framework.cli.cli  # noqa: F401
    # It sets its own level as it is imported.
    logging.getLogger("kedro_mlflow").setLevel(logging.WARNING)
    # Says at the first run that it makes its tables.
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.WARNING)
