"""A folder that a node writes to while it runs, such as that of the checkpoints."""

from pathlib import Path
from typing import Any, Never

from kedro.io import AbstractDataset, DatasetError


class FolderDataset(AbstractDataset[Never, Path]):
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
