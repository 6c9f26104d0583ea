"""Pruning: old image stores and old models are removed."""

from kedro.pipeline import Node, Pipeline

from cxr_pipeline.pipelines.prune.nodes import prune_versions


def create_pipeline() -> Pipeline:
    """Prune both."""
    return Pipeline(
        [Node(prune_versions, ["image_stores", "params:prune"], "pruned", name="prune_versions")]
    )
