from cxr_pipeline.pipelines.prune.pipeline import create_pipeline

__all__ = ["create_pipeline"]
