"""What of a Kedro run goes to MLflow beside parameters: data, files, models, and what they say."""

from pathlib import Path
from typing import Any

import pandas as pd
from kedro.framework.hooks import hook_impl
from kedro.io import CatalogProtocol
from kedro.pipeline.node import Node

from cxr_pipeline import tracking
from cxr_pipeline.data.store import ImageStore
from cxr_pipeline.evaluation.memorisation.gate import gate_is_closed
from cxr_pipeline.tracking.descriptions import (
    TITLES,
    describe_model,
    describe_run,
    headlines,
    run_command,
    trained_on,
)
from cxr_pipeline.tracking.inputs import log_input
from cxr_pipeline.tracking.models import keep_model, register_model
from cxr_pipeline.tracking.nested import record_for
from cxr_pipeline.tracking.runs import note

LOGGED_MODEL = "model"
"""What the catalog calls the place of what is kept in the logged model (`models.keep_model`)."""


class RecordingHooks:
    """Records what nodes read and make, each model's in the run of that model."""

    @hook_impl(tryfirst=True)
    def before_pipeline_run(self, catalog: CatalogProtocol[Any, Any]) -> None:
        """Forget an earlier run."""
        self.catalog = catalog
        self.inputs: set[tuple[str | None, str]] = set()
        self.folders: dict[str | None, set[str]] = {}
        self.configs: dict[str, dict[str, Any]] = {}
        self.histories: dict[str, pd.DataFrame] = {}

    @hook_impl(tryfirst=True)
    def before_dataset_loaded(self, node: Node) -> None:
        """Find the run that a node belongs to."""
        record_for(node.namespace)

    @hook_impl(tryfirst=True)
    def before_node_run(self, node: Node) -> None:
        """Find the run that a node belongs to, also one that loads nothing."""
        record_for(node.namespace)

    @hook_impl
    def after_dataset_loaded(self, data: Any, node: Node) -> None:
        """Record the images that are about to be used, so that a killed run has them too."""
        if isinstance(data, ImageStore) and (node.namespace, data.version) not in self.inputs:
            self.inputs.add((node.namespace, data.version))
            log_input(data)
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
    def after_dataset_saved(self, dataset_name: str, data: Any, node: Node) -> None:
        """Keep a copy in MLflow of what the catalog says belongs there."""
        dataset = self.catalog[dataset_name]
        folder = (getattr(dataset, "metadata", None) or {}).get("mlflow")
        namespace, _, name = dataset_name.rpartition(".")
        if folder == LOGGED_MODEL:
            if name == "config":  # written after the weights, which it vouches for
                self.configs[namespace] = data
                keep_model(data, Path(dataset._filepath).parent)
        elif folder:
            self.folders.setdefault(node.namespace, set()).add(folder)
            path = Path(dataset._filepath)
            pictures = sorted(path.glob("*.png")) if path.is_dir() else []
            for picture in pictures:
                tracking.log_file(picture, f"{folder}/{path.name}")
            if not path.is_dir():
                tracking.log_file(path, folder)
            if name == "history" and namespace in TITLES:
                self.histories[namespace] = data

    # First: the run is ended in this hook.
    @hook_impl(tryfirst=True)
    def after_pipeline_run(self, run_params: dict[str, Any]) -> None:
        """Register the models that were trained, and describe the runs."""
        command = run_command(run_params)
        trained = {
            model: headlines(self.configs[model], history)
            for model, history in self.histories.items()
            if model in self.configs
        }
        alone = set(trained) if len(trained) == 1 else set()
        for model, metrics in trained.items():
            record_for(model)
            register_model(self.configs[model], metrics)
            if model not in alone:
                own = self.folders.get(model, set())
                note(describe_run([describe_model(self.configs[model], metrics)], own, command))
        record_for(None)
        about = [
            describe_model(config, trained[model]) if alone else trained_on(config)
            for model, config in self.configs.items()
            if model in trained
        ]
        nested = set(trained) - alone
        outer = [folders for place, folders in self.folders.items() if place not in nested]
        note(describe_run(about, set().union(*outer), command, sorted(nested)))

    @hook_impl(tryfirst=True)
    def on_pipeline_error(self, error: Exception, run_params: dict[str, Any]) -> None:
        """Do so too where nothing but an export is refused, at the end."""
        if gate_is_closed(error):
            self.after_pipeline_run(run_params)
