"""Kedro data sets: thin adapters between the catalog and the rooms below."""

from cxr_pipeline.datasets.folder import FolderDataset, ProgressDataset
from cxr_pipeline.datasets.image_store import ImageStoreDataset
from cxr_pipeline.datasets.label_validator import LabelRowsValidator
from cxr_pipeline.datasets.picture import PictureDataset, PicturesDataset
from cxr_pipeline.datasets.raw_folder import RawFolderDataset

__all__ = [
    "FolderDataset",
    "ImageStoreDataset",
    "LabelRowsValidator",
    "PictureDataset",
    "PicturesDataset",
    "ProgressDataset",
    "RawFolderDataset",
]
