"""Matplotlib's charts; apart from `atomic`, as Matplotlib takes its time to import."""

from kedro_datasets.matplotlib import MatplotlibDataset

from cxr_pipeline.datasets.atomic import Atomic


class ChartDataset(Atomic, MatplotlibDataset):  # type: ignore[misc]
    """Saves a figure as PNG, whole or not at all."""
