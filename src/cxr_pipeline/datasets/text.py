"""Text files, such as the report's page."""

from pathlib import Path
from typing import Any

from kedro.io import AbstractDataset

from cxr_pipeline.data.files import write_bytes


class TextDataset(AbstractDataset[str, str]):
    """Saves and loads UTF-8 text."""

    def __init__(self, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        """Name the file."""
        self._filepath = Path(filepath)
        self.metadata = metadata

    def save(self, data: str) -> None:
        """Write the text."""
        write_bytes(self._filepath, data.encode())

    def load(self) -> str:
        """Read the text."""
        return self._filepath.read_text(encoding="utf-8")

    def _exists(self) -> bool:
        return self._filepath.is_file()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}
