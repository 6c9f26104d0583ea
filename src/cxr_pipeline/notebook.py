"""The project from a notebook, or any other Python.

from cxr_pipeline.notebook import open_project
context = open_project()
labels = context.catalog.load("labels")
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from kedro.utils import find_kedro_project

if TYPE_CHECKING:
    from kedro.framework.context import KedroContext


def open_project(folder: str | Path = ".") -> "KedroContext":
    """Open the Kedro project that a folder lies in, as `kedro run` does, and say nothing.

    MLflow then knows where the project's runs are.

    Args:
        folder: The project's, or one in it; by default that of the notebook.

    Returns:
        Kedro's context: `catalog` loads and saves whatever the pipelines do, `params` has the
        parameters, `project_path` is the project's folder.

    Raises:
        ValueError: If no project is there.
    """
    project = find_kedro_project(Path(folder).resolve())
    if project is None:
        raise ValueError(f"folder='{folder}' lies in no Kedro project: name the checkout's")
    # Kedro looks for it in the working directory alone, and as its framework is imported, which
    # `startup` does.
    os.environ.setdefault("KEDRO_LOGGING_CONFIG", str(project / "conf/logging.yml"))
    from kedro.framework.session import KedroSession
    from kedro.framework.startup import bootstrap_project

    from cxr_pipeline.startup import prepare

    prepare()
    bootstrap_project(project)
    return KedroSession.create(project).load_context()
