"""Images and labels in the layout of a raw data set: one CSV with NIH's headers, and `images/`."""

import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from cxr_pipeline.data.files import flush, make_folder, write_bytes, write_json

PROVENANCE = "provenance.json"
FRESH, OLD = ".images.part", ".images.old"
"""Images on their way in and out."""


@dataclass(frozen=True)
class RawFolder:
    """A data set about to be written."""

    label_file: str
    """Name of the CSV."""
    table: pd.DataFrame
    """NIH's columns, an image a row."""
    images: Iterable[tuple[str, bytes]]
    """Each image's file name and its PNG bytes; drawn one at a time, so never all in memory."""
    provenance: dict[str, Any]
    """Where the images come from, in JSON's types; empty writes no record."""


def write_raw_folder(content: RawFolder, folder: Path) -> None:
    """Write a data set, in place of the one that was there.

    The images go to a sibling first, so that the old ones stay until the new are complete and on
    the disk. Files with the very bytes wanted keep their times: an image store made from them stays
    valid.

    Args:
        content: What to write.
        folder: Where; other files in it are left alone.
    """
    images, fresh = folder / "images", folder / FRESH
    shutil.rmtree(fresh, ignore_errors=True)
    make_folder(fresh)
    for name, data in content.images:
        same = images / name
        if same.is_file() and same.read_bytes() == data:
            shutil.copy2(same, fresh / name)
        else:
            (fresh / name).write_bytes(data)
    # At the end: by then the system has written most of them of its own accord.
    for path in fresh.iterdir():
        flush(path)
    flush(fresh)
    old = folder / OLD
    shutil.rmtree(old, ignore_errors=True)
    if images.exists():
        images.replace(old)
    fresh.replace(images)
    flush(folder)
    write_bytes(folder / content.label_file, content.table.to_csv(index=False).encode())
    if content.provenance:
        write_json(folder / PROVENANCE, content.provenance)
    shutil.rmtree(old, ignore_errors=True)


def remove_raw_folder(folder: Path, label_file: str) -> None:
    """Remove a data set that was written, if there is one; other files in the folder stay.

    Args:
        folder: Where it is.
        label_file: Name of its CSV.
    """
    for name in (label_file, PROVENANCE):
        (folder / name).unlink(missing_ok=True)
    for name in ("images", FRESH, OLD):
        shutil.rmtree(folder / name, ignore_errors=True)
    if folder.is_dir():
        flush(folder)
