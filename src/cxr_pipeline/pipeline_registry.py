"""The pipelines that `kedro run --pipeline=...` knows."""

from kedro.pipeline import Pipeline

from cxr_pipeline.pipelines import (
    download,
    labels,
    preprocessing,
    prune,
    reporting,
    sample_data,
    training,
)


def register_pipelines() -> dict[str, Pipeline]:
    """Name each pipeline; a model's pipeline is the whole chain that leads to it."""
    data = labels.create_pipeline() + preprocessing.create_pipeline()
    gan = data + training.create_pipeline("gan") + reporting.create_pipeline(trained=("gan",))
    return {
        "sample_data": sample_data.create_pipeline(),
        "download": download.create_pipeline(),
        "labels": labels.create_pipeline(),
        "preprocessing": data,
        "gan": gan,
        "reporting": reporting.create_pipeline(),
        "prune": prune.create_pipeline(),
        "__default__": gan,
    }
