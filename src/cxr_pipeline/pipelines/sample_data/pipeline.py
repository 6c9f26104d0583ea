"""Sample data: drawn chest phantoms, so that everything runs without a download."""

from kedro.pipeline import Node, Pipeline

from cxr_pipeline.pipelines.sample_data.nodes import draw_sample_data


def create_pipeline() -> Pipeline:
    """Draw the sample data."""
    return Pipeline(
        [Node(draw_sample_data, "params:sample_data", "sample_data", name="draw_sample_data")]
    )
