"""Preprocessing: image files -> image store -> what was kept and how it looks."""

from kedro.pipeline import Node, Pipeline

from cxr_pipeline.pipelines.preprocessing.nodes import (
    plan_images,
    report_images,
    show_images,
)


def create_pipeline(
    images: str = "images", size: str = "preprocessing.size", *, reports: bool = True
) -> Pipeline:
    """Chain the preprocessing nodes.

    Args:
        images: The image store's name in the catalog.
        size: The parameter that has the side of its images.
        reports: Whether to account for the images and show some.
    """
    build = Node(
        plan_images,
        ["labels", "params:raw_dir", "params:preprocessing", f"params:{size}"],
        images,
        name=f"build_{images}",
    )
    looks = [
        Node(
            report_images,
            images,
            ["image_accounting", "quarantine", "duplicates"],
            name="report_images",
        ),
        Node(
            show_images,
            [images, "params:raw_dir", "params:preprocessing"],
            "transformed_images",
            name="show_images",
        ),
    ]
    return Pipeline(
        [build, *(looks if reports else [])],
        namespace="preprocessing",
        prefix_datasets_with_namespace=False,
    )
