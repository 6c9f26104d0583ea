from cxr_pipeline.pipelines.sweeps.pipeline import create_beta_sweep, create_version_sweep

__all__ = ["create_beta_sweep", "create_version_sweep"]
