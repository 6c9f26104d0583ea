"""A folder that a node writes to while it runs, such as that of the checkpoints."""

from pathlib import Path
from typing import Any, Never

from kedro.io import AbstractDataset, DatasetError

from cxr_pipeline.datasets.previews import (
    NOTHING_YET,
    ImagePreview,
    TablePreview,
    contents_preview,
    progress_preview,
)


class _Folder(AbstractDataset[Never, Path]):
    """Loads as the folder's path; the folder is made if it is not there."""

    def __init__(self, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        """Name the folder."""
        self._filepath = Path(filepath)
        self.metadata = metadata

    def load(self) -> Path:
        """Return the folder."""
        self._filepath.mkdir(parents=True, exist_ok=True)
        return self._filepath

    def save(self, data: Never) -> None:
        """Refuse: the nodes that load the folder write to it."""
        raise DatasetError(f"folder '{self._filepath}' is written to by the nodes that load it")

    def _exists(self) -> bool:
        return self._filepath.is_dir()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}


class FolderDataset(_Folder):
    """A folder of any files; loads as its path, and is made if it is not there."""

    def preview(self) -> TablePreview:
        """What is in the folder, for Kedro-Viz."""
        return contents_preview(self._filepath) if self._exists() else NOTHING_YET


class ProgressDataset(_Folder):
    """The folder of the sheets of samples that are drawn as training goes on; loads as its path."""

    def preview(self) -> ImagePreview:
        """The first samples at each step, for Kedro-Viz."""
        drawn = any(self._filepath.glob("step_*.png"))
        return progress_preview(self._filepath) if drawn else NOTHING_YET
