"""What happens around a Kedro run: it is checked first, then the MLflow run is named and tagged."""

import logging
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import click
from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.io import CatalogProtocol
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node
from pydantic import BaseModel

from cxr_pipeline import tracking
from cxr_pipeline.data.sources import require_data_folder
from cxr_pipeline.evaluation.closing import closing_message
from cxr_pipeline.evaluation.memorisation.gate import gate_is_closed
from cxr_pipeline.parameters import Parameters, check_parameters, source_digest
from cxr_pipeline.pipelines.sweeps.nodes import beta_members, checkpoint_folder, version_members

logger = logging.getLogger(__name__)

CLASSIFIER_KEPT = "classifier.history"
"""What is saved of the classifier last."""

Training = tuple[str, dict[str, Any], Path]
"""model, its parameters in JSON's types, the folder of its checkpoint"""


class PreflightHooks:
    """Refuses a run that could not be finished, before anything is read, written or tracked."""

    @hook_impl(tryfirst=True)
    def after_context_created(self, context: KedroContext) -> None:
        """Refuse wrong parameters."""
        self.context: Any = context  # kedro-mlflow adds its configuration as `mlflow`
        self.parameters = check_parameters(context.config_loader["parameters"])

    # First: kedro-mlflow begins its run in this hook.
    @hook_impl(tryfirst=True)
    def before_pipeline_run(
        self, run_params: dict[str, Any], pipeline: Pipeline, catalog: CatalogProtocol[Any, Any]
    ) -> None:
        """Refuse models that cannot be trained, or drawn from, as asked."""
        if "params:raw_dir" in pipeline.inputs():
            require_data_folder(self.parameters.raw_dir)
        check_raw_dir(Path(self.parameters.raw_dir), pipeline, catalog)
        nodes = {node.name for node in pipeline.nodes}
        self.trainings: list[Training] = []
        trainings = list(trainings_of(nodes, self.parameters, catalog))
        encoders = encoders_of(nodes, self.parameters)
        models = model_parameters(self.parameters)
        kept = [model for model in models if f"{model}.config" in pipeline.inputs()]
        classifier = "classifier.train" in nodes
        if not trainings and not encoders and not kept and not classifier:
            return
        # Only now: torch takes seconds to import.
        from cxr_pipeline.evaluation.preflight import check_evaluation
        from cxr_pipeline.training.preflight import (
            check_encoder,
            check_kept_model,
            check_training,
        )

        asked = run_params.get("runtime_params") or {}
        for model in kept:
            path = Path(catalog[f"{model}.config"]._filepath)
            check_kept_model(path, model, models[model], asked.get(model, {}))

        tracking.note_source(source_digest(self.parameters))
        made, interrupted = pipeline.all_outputs(), None
        alone = len(trainings) == 1 and f"{trainings[0][0]}.train" in nodes
        for model, own, checkpoints in trainings:
            planned = "images" in made and model != "gmvae"
            size = self.parameters.preprocessing.size if planned else None
            notes = check_training(model, own, checkpoints, image_size=size)
            interrupted = interrupted or tracking.run_to_continue(notes, alone=alone)
        if classifier:
            own = self.parameters.classifier.model_dump(mode="json")
            checkpoints = Path(catalog["classifier.checkpoints"]._filepath)
            notes = check_training("classifier", own, checkpoints)
            # It has no run of its own: the command's is gone on with.
            interrupted = interrupted or tracking.run_to_continue(notes, alone=True)
            trainings.append(("classifier", own, checkpoints))
        for encoder in encoders:
            check_encoder(encoder, self.parameters.gmvae.weights)
        if {"evaluation.gather_sets", "utility.train_each_arm"} & nodes:
            check_evaluation(
                Path(catalog["models"]._filepath),
                wanted=(*self.parameters.evaluation.models, *self.parameters.utility.models),
                synthetic_dir=self.parameters.evaluation.synthetic_dir,
                weights=self.parameters.evaluation.weights,
                to_be_trained=[model for model, _, _ in trainings if model in models],
            )
        self.trainings = trainings
        self.context.mlflow.tracking.run.id = interrupted

    # First: what comes after it only tells of the run, and may fail, as at a closed pipe.
    @hook_impl(tryfirst=True)
    def after_pipeline_run(self) -> None:
        """Mark as finished what was trained, now that the models and all made of them are kept."""
        if self.trainings:
            from cxr_pipeline.training.checkpoint import mark_finished

            for _, _, checkpoints in self.trainings:
                mark_finished(checkpoints)

    @hook_impl
    def after_dataset_saved(self, dataset_name: str) -> None:
        """Mark the classifier as finished once it is kept: what it is used for comes afterwards."""
        if dataset_name == CLASSIFIER_KEPT:
            from cxr_pipeline.training.checkpoint import mark_finished

            done = [row for row in self.trainings if row[0] == "classifier"]
            for row in done:
                mark_finished(row[2])
                self.trainings.remove(row)

    @hook_impl(tryfirst=True)
    def on_pipeline_error(self, error: Exception) -> None:
        """Mark as finished what was trained where nothing but an export is refused, at the end."""
        if gate_is_closed(error):
            self.after_pipeline_run()


class ProjectHooks:
    """What is said and recorded of a run."""

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Keep the context, whose MLflow configuration names the run that is gone on with."""
        self.context: Any = context  # kedro-mlflow adds its configuration as `mlflow`

    # Last: what it describes is the run that kedro-mlflow has begun.
    @hook_impl(trylast=True)
    def before_pipeline_run(
        self, run_params: dict[str, Any], pipeline: Pipeline, catalog: CatalogProtocol[Any, Any]
    ) -> None:
        """Give the MLflow run a name and tags that tell it from the others.

        Models have a run each: the run itself, where it trains one, else runs beside it.
        """
        name = partial(run_name, run_params, pipeline, catalog.load("params:raw_dir"))
        trained = {str(n.namespace) for n in pipeline.nodes if n.short_name == "train"}
        models = sorted(trained & tracking.TITLES.keys())
        alone = {tracking.MODEL_TAG: models[0]} if len(models) == 1 else {}
        commit = git_commit(Path(run_params["project_path"]))
        tracking.describe_run(
            name(),
            {"command": tracking.run_command(run_params), "git_commit": commit, **alone},
            resumed=self.context.mlflow.tracking.run.id is not None,
        )
        tracking.expect_models({} if alone else {model: name(model) for model in models})

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
    def after_pipeline_run(self, pipeline: Pipeline, catalog: CatalogProtocol[Any, Any]) -> None:
        """Say what was made, how it compares with the paper, and where to look."""
        made = {}
        for name in (output for node in pipeline.nodes for output in node.outputs):
            path = getattr(catalog.get(name), "_filepath", None)
            if path is not None:
                made[name] = Path(str(path))
        message = closing_message(made, kedro=kedro_command())
        if message:
            click.echo(f"\n{message}")

    @hook_impl
    def on_pipeline_error(
        self, error: Exception, pipeline: Pipeline, catalog: CatalogProtocol[Any, Any]
    ) -> None:
        """Say the same where nothing but an export is refused, at the end."""
        if gate_is_closed(error):
            self.after_pipeline_run(pipeline, catalog)


def check_raw_dir(raw_dir: Path, pipeline: Pipeline, catalog: CatalogProtocol[Any, Any]) -> None:
    """Refuse a run that would replace the very images it reads by those it draws.

    Raises:
        ValueError: If `raw_dir` is where the run writes synthetic images.
    """
    for name in pipeline.all_outputs():
        if name.endswith(".synthetic"):
            written = Path(catalog[name]._filepath).resolve()
            if raw_dir.resolve().is_relative_to(written):
                raise ValueError(
                    f"raw_dir='{raw_dir}' is where this run writes the images it draws: copy it "
                    "to another folder and name that"
                )


def model_parameters(parameters: Parameters) -> dict[str, dict[str, Any]]:
    """The parameters of each model, in JSON's types."""
    return {name: own.model_dump(mode="json") for name, own in parameters.of_models().items()}


def trainings_of(
    nodes: set[str], parameters: Parameters, catalog: CatalogProtocol[Any, Any]
) -> Iterator[Training]:
    """List what the nodes of a run train."""

    def folder(name: str) -> Path:
        # Not loaded: that would make the folder.
        return Path(catalog[name]._filepath)

    for model, own in model_parameters(parameters).items():
        if f"{model}.train" in nodes:
            yield model, own, folder(f"{model}.checkpoints")
    if "vae_beta_sweep.train_each_beta" in nodes:
        root = folder("vae_beta_sweep.models")
        for name, member in beta_members(parameters.vae, parameters.vae_beta_sweep).items():
            yield "vae", member, checkpoint_folder(root, name)
    if "gmvae_sweep.train_each_version" in nodes:
        root = folder("gmvae_sweep.models")
        for name, row in version_members(parameters.gmvae, parameters.gmvae_sweep).items():
            yield "gmvae", row.model_dump(mode="json"), checkpoint_folder(root, name)


def encoders_of(nodes: set[str], parameters: Parameters) -> list[str]:
    """List the encoders that the nodes of a run look at images with."""
    gmvae = parameters.gmvae
    rows = []
    tuned = gmvae.fine_tune and "gmvae.train" in nodes
    if tuned or "gmvae.compute_features" in nodes:
        rows.append(gmvae.row)
    if "gmvae_sweep.train_each_version" in nodes:
        rows += [member.row for member in version_members(gmvae, parameters.gmvae_sweep).values()]
    return sorted({row.encoder for row in rows})


def run_name(run_params: dict[str, Any], pipeline: Pipeline, raw_dir: str, model: str = "") -> str:
    """Name a run by its pipeline, its data, what was set on the command line, and the time.

    Args:
        run_params: Kedro's.
        pipeline: What is run.
        raw_dir: The data, which a name has if the pipeline reads it.
        model: Where a run is one model's of several, which.
    """
    pipelines = "+".join(run_params.get("pipeline_names") or ["everything"])
    given = tracking.flattened(run_params.get("runtime_params") or {})
    others = tuple(f"{name}." for name in tracking.TITLES if model and name != model)
    settings = {
        key.removeprefix(f"{model or pipelines}."): value
        for key, value in given.items()
        if key != "raw_dir" and not key.startswith(others)
    }
    data = Path(raw_dir).name if "params:raw_dir" in pipeline.inputs() else None
    return tracking.run_name(model or pipelines, data, settings)


def git_commit(project: Path) -> str:
    """The commit of the project's checkout, `+changes` if files differ from it, or `unknown`."""

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(project), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        return git("rev-parse", "HEAD") + ("+changes" if git("status", "--porcelain") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def kedro_command() -> str:
    """How Kedro is called from here: by its path, where that is below this folder."""
    path = Path(sys.executable).parent / "kedro"
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path.name)
