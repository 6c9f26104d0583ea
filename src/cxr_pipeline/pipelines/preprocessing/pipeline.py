"""Preprocessing: image files -> image store -> what was kept and how it looks."""

from kedro.pipeline import Node, Pipeline

from cxr_pipeline.pipelines.preprocessing.nodes import (
    plan_images,
    report_images,
    show_images,
)


def create_pipeline() -> Pipeline:
    """Chain the preprocessing nodes."""
    return Pipeline(
        [
            Node(
                plan_images,
                ["labels", "params:raw_dir", "params:preprocessing"],
                "images",
                name="build_image_store",
            ),
            Node(
                report_images,
                "images",
                ["image_accounting", "quarantine", "duplicates"],
                name="report_images",
            ),
            Node(
                show_images,
                ["images", "params:raw_dir", "params:preprocessing"],
                "transformed_images",
                name="show_images",
            ),
        ]
    )
