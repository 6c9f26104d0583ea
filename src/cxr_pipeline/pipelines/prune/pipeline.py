"""Pruning: old image stores, features and models are removed."""

from kedro.pipeline import Node, Pipeline

from cxr_pipeline.pipelines.prune.nodes import prune_versions

FOLDERS = ["image_stores", "image_stores_224", "feature_caches", "evaluation.kept"]


def create_pipeline() -> Pipeline:
    """Prune them all."""
    return Pipeline(
        [Node(prune_versions, [*FOLDERS, "params:prune"], "pruned", name="prune_versions")]
    )
