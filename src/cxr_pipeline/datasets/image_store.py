"""The image store as a versioned Kedro data set."""

from pathlib import Path

import numpy as np

from cxr_pipeline.data.build import build_store
from cxr_pipeline.data.plan import StorePlan
from cxr_pipeline.data.store import MANIFEST, ImageStore, open_store
from cxr_pipeline.datasets.digest_versions import DigestVersionedDataset
from cxr_pipeline.datasets.previews import (
    NOTHING_YET,
    SHEET_IMAGES,
    ImagePreview,
    sheet_preview,
)


class ImageStoreDataset(DigestVersionedDataset[StorePlan, ImageStore]):
    """Saves a plan by building the store it describes; loads the store, memory-mapped."""

    MANIFEST = MANIFEST
    ABSENT = "image store in '{}': run `kedro run --pipeline=preprocessing`"

    def make(self, plan: StorePlan, root: Path) -> str:
        """Build the store, or find it built."""
        return build_store(plan, root).version

    def open(self, folder: Path) -> ImageStore:
        """Open the store."""
        return open_store(folder)

    def preview(self) -> ImagePreview:
        """A sheet of the first images, for Kedro-Viz."""
        return _first_images(self.load()) if self.exists() else NOTHING_YET


def _first_images(store: ImageStore) -> ImagePreview:
    return sheet_preview(store.read(np.arange(min(SHEET_IMAGES, len(store)))))
