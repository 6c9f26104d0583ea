"""The image store as a versioned Kedro data set."""

from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from kedro.io import AbstractVersionedDataset, Version
from kedro.io.core import VersionNotFoundError

from cxr_pipeline.data.build import build_store
from cxr_pipeline.data.plan import StorePlan
from cxr_pipeline.data.sheets import image_sheet
from cxr_pipeline.data.store import MANIFEST, ImageStore, open_store
from cxr_pipeline.datasets.picture import ImagePreview, as_preview

PREVIEW_IMAGES = 24


class ImageStoreDataset(AbstractVersionedDataset[StorePlan, ImageStore]):
    """Saves a plan by building the store it describes; loads the store, memory-mapped.

    A version's name is the digest of what the store was made from, not a time: saving the same plan
    again finds the version that is there. Without a version asked for (`--load-versions=
    images:VERSION`), the one last saved or reused is loaded.
    """

    def __init__(
        self,
        filepath: str,
        version: Version | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        """Name the folder that holds the versions."""
        super().__init__(PurePosixPath(filepath), version or Version(None, None))
        self.metadata = metadata
        self._saved: str | None = None

    def save(self, data: StorePlan) -> None:
        """Build the store, or find it built."""
        self._saved = build_store(data, Path(self._filepath)).version

    def load(self) -> ImageStore:
        """Open the store."""
        return open_store(Path(self._get_load_path()))

    def preview(self) -> ImagePreview:
        """A sheet of the first images, as a base64 PNG for Kedro-Viz."""
        store = self.load()
        images = store.read(np.arange(min(PREVIEW_IMAGES, len(store))))
        return as_preview(image_sheet(images, columns=8))

    def resolve_load_version(self) -> str | None:
        """The version asked for, else the one saved in this run, else the one last used."""
        if self._version and self._version.load:
            return str(self._version.load)
        if self._saved:
            return self._saved
        manifests = list(Path(self._filepath).glob(f"*/{MANIFEST}"))
        if not manifests:
            raise VersionNotFoundError(
                f"no image store in '{self._filepath}': run `kedro run --pipeline=preprocessing`"
            )
        return max(manifests, key=lambda path: path.stat().st_mtime_ns).parent.name

    def _get_versioned_path(self, version: str) -> PurePosixPath:
        return super()._get_versioned_path(version).parent

    @classmethod
    def _save_wrapper(
        cls, save_func: Callable[["ImageStoreDataset", StorePlan], None]
    ) -> Callable[["ImageStoreDataset", StorePlan], None]:
        # Kedro compares the version it wanted to save (a time) with the one it would load; a
        # digest is known only once the plan is, so that comparison has to be passed over.
        wrapped: Callable[[ImageStoreDataset, StorePlan], None] = super(
            AbstractVersionedDataset, cls
        )._save_wrapper(save_func)
        return wrapped

    def _exists(self) -> bool:
        return (Path(self._get_load_path()) / MANIFEST).is_file()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath), "version": self._version}
