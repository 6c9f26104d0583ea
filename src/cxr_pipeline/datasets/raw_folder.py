"""Images and labels in the layout of a raw data set, written through the catalog."""

from pathlib import Path
from typing import Any

from kedro.io import AbstractDataset

from cxr_pipeline.data.raw_folder import RawFolder, write_raw_folder
from cxr_pipeline.datasets.previews import NOTHING_YET, ImagePreview, folder_preview


class RawFolderDataset(AbstractDataset[RawFolder, Path]):
    """Saves images and labels so that `raw_dir` can point at them; loads as the folder's path."""

    def __init__(self, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        """Name the folder."""
        self._filepath = Path(filepath)
        self.metadata = metadata

    def save(self, data: RawFolder) -> None:
        """Write the CSV and the images, in place of those that were there."""
        write_raw_folder(data, self._filepath)

    def load(self) -> Path:
        """Return the folder."""
        return self._filepath

    def preview(self) -> ImagePreview:
        """A sheet of the first images, for Kedro-Viz."""
        return folder_preview(self._filepath / "images") if self._exists() else NOTHING_YET

    def _exists(self) -> bool:
        return (self._filepath / "images").is_dir()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}
