"""Reporting: what was counted and trained -> tables and one page."""

from collections.abc import Sequence

from kedro.pipeline import Node, Pipeline

from cxr_pipeline.pipelines.reporting.nodes import count_model_parameters, write_report


def create_pipeline(trained: Sequence[str] = ()) -> Pipeline:
    """Chain the reporting nodes.

    Args:
        trained: Models that the same run trains; the page waits for them. Others are shown as
            they were left by earlier runs.
    """
    made_before = []
    if trained:
        made_before += ["class_counts", "class_counts_by_split_and_view", "cooccurrence"]
        made_before += ["image_accounting", "transformed_images"]
    for model in trained:
        made_before += [f"{model}.config", f"{model}.history", f"{model}.samples"]
    return Pipeline(
        [
            Node(count_model_parameters, "params:gan", "parameter_counts", name="count_parameters"),
            Node(
                write_report,
                ["reports", "models", "parameter_counts", *made_before],
                "report",
                name="write_report",
            ),
        ]
    )
