"""Kedro's tables, JSON and texts, each written whole or not at all; Kedro's own write in place.

They load as those that they derive from, and Kedro-Viz shows them alike, but for what is not made
yet: of that Kedro's own would warn at each look.
"""

from copy import copy
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from kedro_datasets import json, pandas, text

from cxr_pipeline.data.files import write_atomically
from cxr_pipeline.datasets.previews import (
    NOTHING_YET,
    HTMLPreview,
    JSONPreview,
    TablePreview,
    page_preview,
)

PREVIEW_ROWS = 25
"""Enough for every table of the report but the long ones."""


class Atomic:
    """Goes before a Kedro data set of one local file, and saves it beside its place first."""

    _filepath: PurePosixPath

    def save(self, data: Any) -> None:
        """Write the file as the data set does, then put it where the old one is.

        Raises:
            OSError: If it cannot be written, see `write_atomically`; the old file stays.
        """

        def write(file: BinaryIO) -> None:
            beside: Any = copy(self)
            beside._filepath = PurePosixPath(file.name)
            in_place: Any = super(Atomic, beside)
            # Without Kedro's wrapping of errors, which hides that a disk is full.
            in_place.save.__wrapped__(beside, data)

        write_atomically(Path(self._filepath), write)


class CSVDataset(Atomic, pandas.CSVDataset):  # type: ignore[misc]
    """Saves and loads a table as CSV."""

    def preview(self, nrows: int = PREVIEW_ROWS) -> TablePreview:
        """The first rows, for Kedro-Viz."""
        return TablePreview(super().preview(nrows)) if self.exists() else NOTHING_YET


class ParquetDataset(Atomic, pandas.ParquetDataset):  # type: ignore[misc]
    """Saves and loads a table as Parquet."""


class JSONDataset(Atomic, json.JSONDataset):  # type: ignore[misc]
    """Saves and loads what JSON knows."""

    def preview(self) -> JSONPreview:
        """All of it, for Kedro-Viz."""
        return JSONPreview(super().preview()) if self.exists() else NOTHING_YET


class TextDataset(Atomic, text.TextDataset):  # type: ignore[misc]
    """Saves and loads a text."""


class PageDataset(TextDataset):
    """Saves and loads an HTML page."""

    def preview(self) -> HTMLPreview:
        """Where the page is and what stands on it, for Kedro-Viz."""
        return page_preview(self.load(), Path(self._filepath)) if self.exists() else NOTHING_YET
