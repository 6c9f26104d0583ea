"""kedro-mlflow's hook, of which no trouble reaches the run.

What it does before a run begins it still does itself; what it would say while nodes run is said by
`sending`'s thread.
"""

import logging
import threading
from typing import Any

from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.io import CatalogProtocol
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node
from kedro_mlflow.config.kedro_mlflow_config import KedroMlflowConfig
from kedro_mlflow.framework.hooks.mlflow_hook import MlflowHook

from cxr_pipeline.tracking.descriptions import TITLES
from cxr_pipeline.tracking.ending import end_active_runs, end_lost_runs
from cxr_pipeline.tracking.machine import is_wanted, watch_machine
from cxr_pipeline.tracking.nested import end_models
from cxr_pipeline.tracking.runs import log_parameters, name_of_run
from cxr_pipeline.tracking.sending import reason_of, sender

logger = logging.getLogger(__name__)


class TrackingHook(MlflowHook):  # type: ignore[misc]
    """Begins and ends MLflow's run beside Kedro's, if MLflow is there; else warns, once."""

    run_id: str | None
    watching: threading.Event | None = None

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Find MLflow's experiment; a wrong configuration is refused."""
        sender.begin()
        config = KedroMlflowConfig.model_validate(context.config_loader["mlflow"])
        try:
            super().after_context_created(context)
        except Exception as error:  # as in `Sender.minding`
            sender.give_up(reason_of(error))
            self.mlflow_config, self._already_active_mlflow = config, False
            context.__setattr__("mlflow", config)

    @hook_impl
    def before_pipeline_run(
        self, run_params: dict[str, Any], pipeline: Pipeline, catalog: CatalogProtocol[Any, Any]
    ) -> None:
        """Begin a run, or go on with the one that `mlflow_config.tracking.run.id` names."""
        names = set(run_params.get("pipeline_names") or ["__default__"])
        tracking = self.mlflow_config.tracking
        self._is_mlflow_enabled = not names <= set(tracking.disable_tracking.pipelines)
        if not self._is_mlflow_enabled:
            return
        if sender.trouble is None:
            try:
                self._find_run(tracking)
                super().before_pipeline_run(run_params, pipeline, catalog)
                sender.run = self.run_id
                self.watching = watch_machine(sender.run) if sender.run and is_wanted() else None
            except Exception as error:  # as in `Sender.minding`
                end_active_runs("KILLED")
                sender.give_up(reason_of(error))
        if sender.trouble is not None:
            self._is_mlflow_enabled, self.run_id = False, None
            logger.warning(
                "This run is not tracked: MLflow at '%s' cannot be used (%s)",
                self.mlflow_config.server.mlflow_tracking_uri,
                sender.trouble,
            )

    @staticmethod
    def _find_run(tracking: Any) -> None:
        experiment, run = tracking.experiment._experiment.experiment_id, tracking.run
        if run.id is not None:
            run.name = name_of_run(run.id, experiment)
            if run.name is None:
                logger.info("MLflow holds the interrupted run '%s' no longer: a new one", run.id)
                run.id = None
            else:
                logger.info("Going on with MLflow's run '%s' (%s)", run.name, run.id)
        end_lost_runs(experiment, but=run.id)

    @hook_impl
    def before_node_run(
        self,
        node: Node,
        catalog: CatalogProtocol[Any, Any],
        inputs: dict[str, Any],
        is_async: bool,
    ) -> None:
        """Record a node's parameters."""
        if self._is_mlflow_enabled:
            log_parameters(parameters_of(node, inputs))

    @hook_impl
    def after_pipeline_run(
        self, run_params: dict[str, Any], pipeline: Pipeline, catalog: CatalogProtocol[Any, Any]
    ) -> None:
        """End the run, once all is said."""
        self._end("FINISHED")

    @hook_impl
    def on_pipeline_error(
        self,
        error: Exception,
        run_params: dict[str, Any],
        pipeline: Pipeline,
        catalog: CatalogProtocol[Any, Any],
    ) -> None:
        """End the run as one that failed."""
        self._end("FAILED")

    def _end(self, status: str) -> None:
        if self.watching is not None:
            self.watching.set()
        end_models(status)
        sender.conclude()
        # One that a notebook began is the notebook's to end.
        if not self._already_active_mlflow:
            end_active_runs(status)


def parameters_of(node: Node, inputs: dict[str, Any]) -> dict[str, Any]:
    """Name a node's parameters so that runs of different models line up.

    A model's own are named `batch_size`, not `gan.batch_size`, by the nodes of that model, and not
    recorded at all by others, which only count or name what may be trained one day. All others keep
    their names, as `labels.seed`.

    Args:
        node: The node.
        inputs: Its inputs; parameters as plain values.
    """
    named: dict[str, Any] = {}
    for key, value in inputs.items():
        if not key.startswith("params:"):
            continue
        section, *rest = key.removeprefix("params:").split(".")
        if section not in TITLES or (node.namespace or "").startswith(f"{section}_"):
            named[key.removeprefix("params:")] = value
        elif section == node.namespace:
            named |= {".".join(rest): value} if rest else value
    return named
