"""Download: NIH's label file and archives of images, fetched, checked and unpacked."""

from kedro.pipeline import Node, Pipeline

from cxr_pipeline.pipelines.download.nodes import download_data


def create_pipeline() -> Pipeline:
    """Download the data."""
    return Pipeline(
        [Node(download_data, "params:download", "downloaded_files", name="download_data")]
    )
