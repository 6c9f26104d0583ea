from cxr_pipeline.pipelines.evaluation.pipeline import create_classifier, create_evaluation

__all__ = ["create_classifier", "create_evaluation"]
