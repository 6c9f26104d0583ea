"""What an image store shall hold, decided without opening an image."""

import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from cxr_pipeline.data.files import json_digest
from cxr_pipeline.data.findings import classes_among
from cxr_pipeline.data.labels import findings_text
from cxr_pipeline.data.selection import EVERYTHING, Selection, select
from cxr_pipeline.data.shards import LINK, Listed, ShardJob
from cxr_pipeline.data.sources import Source, find_images
from cxr_pipeline.data.transforms import Transform

logger = logging.getLogger(__name__)

BYTES_A_PIXEL = 16
"""Files of more, by `max_pixels`, are not opened: 16-bit RGBA that nothing compressed takes 8."""


@dataclass(frozen=True)
class StorePlan:
    """What a store shall hold: everything that decides its bytes, and the workers that make it."""

    table: pd.DataFrame
    """image, patient, age, sex, view, split, findings: the store's index before it is built."""
    sources: dict[str, Source]
    """Image name to file; a listed image that is not here will be quarantined as missing."""
    name: str
    """What the data set is called; the store is the same under any name."""
    classes: tuple[str, ...]
    """The classes that the labels know."""
    selection: Selection
    """Which rows of the labels are in `table`."""
    counts: dict[str, int]
    """`not_selected` rows of the labels, and `unlisted_files` that no row names."""
    how: Transform
    shard_size: int
    max_pixels: int
    follow_links: bool
    max_quarantined: float
    """The share of images, in [0, 1], that may be quarantined before the build is refused."""
    workers: int
    dask_scheduler: str | None
    verify: bool

    @property
    def parameters(self) -> dict[str, Any]:
        """What turns files into pixels, in JSON's types."""
        return {
            **self.how.identity(),
            "shard_size": self.shard_size,
            "max_pixels": self.max_pixels,
            "follow_links": self.follow_links,
        }

    @property
    def particulars(self) -> dict[str, Any]:
        """What the manifest tells of this data set, though the store would be the same without."""
        return {"data": self.name, "selection": str(self.selection), **self.counts}

    def version(self) -> str:
        """Digest of the labels, the files' names, sizes and times, and the parameters."""
        found = (self.sources.get(image) for image in self.table["image"])
        # Not its path: a data set that was moved is the same.
        files = [s and [s.size, s.modified, s.leads_out, s.trouble] for s in found]
        labels = self.table.to_csv(index=False)
        return json_digest([files, labels, self.classes, self.parameters])[:16]

    def jobs(self, folder: Path) -> list[ShardJob]:
        """Part the images into shards."""
        images = [self._listed(image) for image in self.table["image"]]
        return [
            ShardJob(
                folder=str(folder.resolve()),
                number=number,
                images=tuple(images[start : start + self.shard_size]),
                how=self.how,
                max_pixels=self.max_pixels,
                verify=self.verify,
            )
            for number, start in enumerate(range(0, len(images), self.shard_size))
        ]

    def _listed(self, image: str) -> Listed:
        source = self.sources.get(image)
        if source is None:
            return Listed(image, None)
        refused = source.trouble
        most = BYTES_A_PIXEL * self.max_pixels
        if source.leads_out and not self.follow_links:
            refused = LINK
        elif source.size > most:
            refused = f"more than {most:,} bytes"
        return Listed(image, os.path.abspath(source.path), refused)


def plan_store(
    labels: pd.DataFrame,
    raw_dir: str | Path,
    *,
    how: Transform,
    shard_size: int,
    max_quarantined: float,
    max_pixels: int,
    follow_links: bool = False,
    selection: Selection = EVERYTHING,
    workers: int | None = None,
    dask_scheduler: str | None = None,
    verify: bool = False,
) -> StorePlan:
    """Decide what the store shall hold, without opening an image.

    Args:
        labels: The label table with its splits.
        raw_dir: Where the images are (see `sources.find_images`).
        how: What is done to each image.
        shard_size: Images a shard.
        max_quarantined: Share of images, in [0, 1], that may be unusable.
        max_pixels: Images that claim more are not decoded but quarantined.
        follow_links: Whether to read images behind links that lead out of `raw_dir`.
        selection: Which images of the labels to take.
        workers: Images decoded at a time; `None` is one a core.
        dask_scheduler: Address of a Dask scheduler whose workers shall build instead. They need
            this package, and both folders under the same paths.
        verify: Whether to read the images of shards that are there already.

    Raises:
        ValueError: If `raw_dir` holds no image file at all, or the selection leaves none.
    """
    sources = find_images(raw_dir)
    if not sources:
        raise ValueError(
            f"raw_dir '{raw_dir}' holds no PNG, JPEG or DICOM, neither itself nor in images/ or "
            "images_001/images/ and so on: put the images there"
        )
    unlisted = len(sources.keys() - set(labels["image"]))
    if unlisted:
        logger.warning("%d image files in '%s' are in no row of the labels", unlisted, raw_dir)
    table = labels[["image", "patient", "age", "sex", "view", "split"]].assign(
        findings=findings_text(labels)
    )
    table = table[select(table, selection)].reset_index(drop=True)
    if table.empty:
        raise ValueError(
            f"preprocessing.selection ({selection}) leaves none of the {len(labels)} images: "
            "widen it"
        )
    return StorePlan(
        table=table,
        sources=sources,
        name=Path(raw_dir).resolve().name,
        classes=tuple(classes_among(labels.columns)),
        selection=selection,
        counts={"not_selected": len(labels) - len(table), "unlisted_files": unlisted},
        how=how,
        shard_size=shard_size,
        max_pixels=max_pixels,
        follow_links=follow_links,
        max_quarantined=max_quarantined,
        workers=workers or os.cpu_count() or 1,
        dask_scheduler=dask_scheduler,
        verify=verify,
    )
