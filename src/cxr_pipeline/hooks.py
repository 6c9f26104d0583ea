"""What happens around a Kedro run: parameters checked first, the MLflow run named and tagged."""

import logging
import shlex
import subprocess
from datetime import datetime
from pathlib import Path
from typing import Any

from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.io import CatalogProtocol
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node
from pydantic import BaseModel

from cxr_pipeline import tracking
from cxr_pipeline.data.store import ImageStore
from cxr_pipeline.parameters import check_parameters

logger = logging.getLogger(__name__)

# Kedro's record of a run -> the option that was typed.
COMMAND_OPTIONS = {
    "tags": "tags",
    "node_names": "nodes",
    "from_nodes": "from-nodes",
    "to_nodes": "to-nodes",
    "from_inputs": "from-inputs",
    "to_outputs": "to-outputs",
    "namespaces": "namespaces",
}


class ProjectHooks:
    """The project's hooks; kedro-mlflow's own run beside them."""

    @hook_impl(tryfirst=True)
    def after_context_created(self, context: KedroContext) -> None:
        """Refuse wrong parameters before anything is read, written or tracked."""
        self.raw_dir = check_parameters(context.config_loader["parameters"]).raw_dir

    @hook_impl(trylast=True)
    def before_pipeline_run(self, run_params: dict[str, Any]) -> None:
        """Give the MLflow run a name and tags that tell it from the others."""
        commit = git_commit(Path(run_params["project_path"]))
        tracking.describe_run(
            run_name(run_params, self.raw_dir),
            {"command": run_command(run_params), "git_commit": commit},
        )

    @hook_impl(tryfirst=True)
    def before_node_run(self, node: Node, inputs: dict[str, Any]) -> None:
        """Say what runs, and show kedro-mlflow the parameters as plain values, which it logs.

        Kedro hands hooks a copy of the inputs: the node itself still gets the typed model.
        """
        logger.info("%s", node.name)
        for name, value in inputs.items():
            if isinstance(value, BaseModel):
                inputs[name] = value.model_dump(mode="json")
            elif name.startswith("params:") and isinstance(value, tuple):
                inputs[name] = list(value)  # as within a model, so that both are logged alike

    @hook_impl
    def after_dataset_loaded(self, data: Any) -> None:
        """Tag the run with the images it is about to use, so that a killed run has the tags too."""
        if isinstance(data, ImageStore):
            tracking.tag_run(
                {
                    "data": data.manifest["data"],
                    "image_store": data.version,
                    "image_store_digest": data.digest,
                    "images_kept": str(data.manifest["kept"]),
                    "images_quarantined": str(data.manifest["quarantined"]),
                }
            )

    @hook_impl
    def after_pipeline_run(self, pipeline: Pipeline, catalog: CatalogProtocol[Any, Any]) -> None:
        """Say what was made, and where."""
        made = []
        for name in sorted(pipeline.all_outputs()):
            path = getattr(catalog.get(name), "_filepath", None)
            if path is not None:
                made.append(f"  {name}: {_shortened(Path(str(path)))}")
        logger.info("Made:\n%s", "\n".join(made))


def run_command(run_params: dict[str, Any]) -> str:
    """Rebuild the command line of a run, its environment and parameters included."""
    parts = ["kedro", "run"]
    if run_params.get("pipeline_names"):
        parts.append(f"--pipelines={','.join(run_params['pipeline_names'])}")
    if run_params.get("env"):
        parts.append(f"--env={run_params['env']}")
    for option, name in COMMAND_OPTIONS.items():
        if run_params.get(option):
            parts.append(f"--{name}={','.join(run_params[option])}")
    versions = run_params.get("load_versions") or {}
    if versions:
        parts.append("--load-versions=" + ",".join(f"{k}:{v}" for k, v in versions.items()))
    parameters = tracking.flattened(run_params.get("runtime_params") or {})
    if parameters:
        parts.append("--params=" + ",".join(f"{key}={value}" for key, value in parameters.items()))
    return shlex.join(parts)


def run_name(run_params: dict[str, Any], raw_dir: str) -> str:
    """Name a run by its pipeline, what was set on the command line, its data, and the time."""
    pipelines = "+".join(run_params.get("pipeline_names") or ["everything"])
    settings = [
        f"{key.removeprefix(f'{pipelines}.')}={value}"
        for key, value in tracking.flattened(run_params.get("runtime_params") or {}).items()
        if key != "raw_dir"
    ]
    time = datetime.now().strftime("%m-%d %H:%M:%S")
    return " ".join([pipelines, *settings, Path(raw_dir).name, time])


def git_commit(project: Path) -> str:
    """The commit of the project's checkout, `+changes` if files differ from it, or `unknown`."""

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(project), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        return git("rev-parse", "HEAD") + ("+changes" if git("status", "--porcelain") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _shortened(path: Path) -> Path:
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path
