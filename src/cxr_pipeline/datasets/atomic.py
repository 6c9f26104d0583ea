"""Kedro's tables, JSON and texts, each written whole or not at all; Kedro's own write in place.

They load, and Kedro-Viz shows them, as those that they derive from.
"""

from copy import copy
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from kedro_datasets import json, pandas, text

from cxr_pipeline.data.files import write_atomically


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


class ParquetDataset(Atomic, pandas.ParquetDataset):  # type: ignore[misc]
    """Saves and loads a table as Parquet."""


class JSONDataset(Atomic, json.JSONDataset):  # type: ignore[misc]
    """Saves and loads what JSON knows."""


class TextDataset(Atomic, text.TextDataset):  # type: ignore[misc]
    """Saves and loads a text."""
