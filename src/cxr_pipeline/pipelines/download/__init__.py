from cxr_pipeline.pipelines.download.pipeline import create_pipeline

__all__ = ["create_pipeline"]
