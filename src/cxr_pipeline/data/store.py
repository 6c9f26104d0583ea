"""The image store: preprocessed images in memory-mapped shards, with an index and a manifest.

    <version>/
      manifest.json        what it was made from and what is in it; written last
      index.parquet        an image a row: its labels, its split, its shard and row there
      quarantine.csv       the images left out, each with its reason
      duplicates.csv       the images that are the same picture in several patients
      shard_00000.npy      (N, S, S) uint8
      shard_00000.json     which images the shard holds, and digests of them, their files and itself

A version's name is the digest of what it was made from. A build that was killed goes on where it
stopped: a shard with a valid record beside it is not made again.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from cxr_pipeline.data.files import file_digest
from cxr_pipeline.data.selection import EVERYTHING, Selection, select

MANIFEST = "manifest.json"
INDEX = "index.parquet"
QUARANTINE = "quarantine.csv"
DUPLICATES = "duplicates.csv"

QUARANTINE_COLUMNS = ["image", "reason"]
DUPLICATES_COLUMNS = ["picture", "image", "patient", "split"]


def shard_name(number: int) -> str:
    """Name a shard's file."""
    return f"shard_{number:05d}.npy"


@dataclass(frozen=True)
class ImageStore:
    """A finished store, opened for reading."""

    folder: Path
    manifest: dict[str, Any]
    index: pd.DataFrame
    """image, patient, age, sex, view, findings (`A|B`), split, shard, row."""

    @property
    def version(self) -> str:
        """The digest of what the store was made from; its folder's name."""
        return str(self.manifest["version"])

    @property
    def digest(self) -> str:
        """The digest of what the store holds (pixels and index), wherever it was made."""
        return str(self.manifest["digest"])

    @property
    def size(self) -> int:
        """Side of the images, in pixels."""
        return int(self.manifest["parameters"]["size"])

    def __len__(self) -> int:
        """Count the images kept."""
        return len(self.index)

    def quarantine(self) -> pd.DataFrame:
        """Return the images left out, as columns `image` and `reason`."""
        return _read_csv(self.folder / QUARANTINE, QUARANTINE_COLUMNS)

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes that the labels know, in the order of `findings.CLASSES`."""
        return tuple(self.manifest["classes"])

    def duplicates(self) -> pd.DataFrame:
        """Return the images that are one picture in several patients: picture, image, patient."""
        return _read_csv(self.folder / DUPLICATES, DUPLICATES_COLUMNS)

    def rows(self, *, split: str, selection: Selection = EVERYTHING) -> npt.NDArray[np.int64]:
        """Choose images for training or testing.

        Args:
            split: `train`, `validation` or `test`.
            selection: Which of them; all by default.

        Returns:
            Positions in `index`, ascending.

        Raises:
            ValueError: If no image is left.
        """
        within = self.index[self.index["split"] == split]
        chosen = within.index[select(within, selection)]
        if len(chosen) == 0:
            asked = f" with {selection}" if str(selection) else ""
            raise ValueError(
                f"the {split} split holds no image{asked} (of {len(within)} there, {len(self)} in "
                "the store): add images, or change the selection or the labels' splits"
            )
        return chosen.to_numpy(dtype=np.int64)

    def read(self, positions: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
        """Read images into memory, a shard at a time.

        Args:
            positions: Positions in `index`, in any order.

        Returns:
            (N, S, S) uint8, in the order of `positions`.

        Raises:
            ValueError: If the store was mended or removed since it was opened, as another run may.
        """
        images = np.empty((len(positions), self.size, self.size), dtype=np.uint8)
        try:
            read_shards(self.folder, self.index.iloc[positions], images)
            # Afterwards: whoever exchanges shards removes the manifest first.
            same = json.loads((self.folder / MANIFEST).read_text())["digest"] == self.digest
        except FileNotFoundError:
            same = False
        if not same:
            raise ValueError(
                f"image store '{self.folder}' was changed while this run used it: run again"
            )
        return images


def read_shards(folder: Path, chosen: pd.DataFrame, into: npt.NDArray[Any]) -> None:
    """Read rows of shards into memory, a shard at a time.

    Args:
        folder: Where the shards are.
        chosen: `shard` and `row` of each of N things, in any order.
        into: (N, ...), filled in that order.

    Raises:
        ValueError: If a file there is no array of numbers, or another than the rows are of.
    """
    shards, rows = chosen["shard"].to_numpy(), chosen["row"].to_numpy()
    for shard in np.unique(shards):
        path = folder / shard_name(int(shard))
        here = shards == shard
        try:
            into[here] = np.load(path, mmap_mode="r", allow_pickle=False)[rows[here]]
        except (ValueError, IndexError) as error:
            raise ValueError(
                f"'{path}' is no shard ({error}): delete '{folder}' and run again, which makes it "
                "anew"
            ) from error


def _read_csv(path: Path, columns: list[str]) -> pd.DataFrame:
    # An image may be called NA.
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    if list(table.columns) != columns:
        raise ValueError(f"'{path}' is damaged: `kedro run --pipeline=preprocessing` mends it")
    return table


def open_store(folder: Path) -> ImageStore:
    """Open a finished store.

    Raises:
        ValueError: If the folder holds no finished store, or a file is absent or not as the
            manifest says (of a shard only the size is looked at).
    """
    remedy = "`kedro run --pipeline=preprocessing` mends it, or builds another"
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
        index = pd.read_parquet(folder / INDEX)
        whole = {
            INDEX: file_digest(folder / INDEX) == manifest["index_sha256"],
            QUARANTINE: (folder / QUARANTINE).is_file(),
            DUPLICATES: (folder / DUPLICATES).is_file(),
        }
        for shard in manifest["shards"]:
            path = folder / shard["file"]
            whole[path.name] = path.is_file() and path.stat().st_size == shard["bytes"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"'{folder}' holds no finished image store ({error}): {remedy}") from error
    for name, as_it_was in whole.items():
        if not as_it_was:
            raise ValueError(f"image store '{folder}': {name} is damaged: {remedy}")
    return ImageStore(folder, manifest, index)
