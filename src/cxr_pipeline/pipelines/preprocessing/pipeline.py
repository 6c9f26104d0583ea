"""Preprocessing: image files -> image store -> what was kept and how it looks."""

from kedro.pipeline import Node, Pipeline

from cxr_pipeline.pipelines.preprocessing.nodes import plan_images, report_images


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
                report_images, "images", ["quarantine", "transformed_images"], name="report_images"
            ),
        ]
    )
