from cxr_pipeline.pipelines.evaluation.pipeline import (
    PARTS,
    create_classifier,
    create_evaluation,
    create_export,
)

__all__ = ["PARTS", "create_classifier", "create_evaluation", "create_export"]
