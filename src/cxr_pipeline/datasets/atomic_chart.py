"""Matplotlib's charts; apart from `atomic`, as Matplotlib takes its time to import."""

from kedro_datasets.matplotlib import MatplotlibDataset

from cxr_pipeline.datasets.atomic import Atomic
from cxr_pipeline.datasets.previews import NOTHING_YET, ImagePreview


class ChartDataset(Atomic, MatplotlibDataset):  # type: ignore[misc]
    """Saves a figure as PNG, whole or not at all."""

    def preview(self) -> ImagePreview:
        """The chart, for Kedro-Viz."""
        return ImagePreview(super().preview()) if self.exists() else NOTHING_YET
