"""Building the image store: in parallel, resumable, every image accounted for."""

import io
import json
import logging
import os
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cxr_pipeline import __version__
from cxr_pipeline.data import transforms
from cxr_pipeline.data.files import (
    file_digest,
    json_digest,
    write_atomically,
    write_bytes,
    write_json,
)
from cxr_pipeline.data.labels import findings_text
from cxr_pipeline.data.sources import find_images
from cxr_pipeline.data.store import INDEX, MANIFEST, QUARANTINE, ImageStore, open_store, shard_name

logger = logging.getLogger(__name__)

SECONDS_BETWEEN_REPORTS = 10.0


@dataclass(frozen=True)
class StorePlan:
    """What a store shall hold: everything that decides its bytes, and the workers that make it."""

    table: pd.DataFrame
    """image, patient, age, sex, view, findings, split: the store's index before it is built."""
    sources: dict[str, Path]
    """Image name to file; a listed image that is not here will be quarantined as missing."""
    name: str
    """What the data set is called; the store is the same under any name."""
    size: int
    equalise: bool
    shard_size: int
    max_quarantined: float
    """The share of images, in [0, 1], that may be quarantined before the build is refused."""
    workers: int

    @property
    def parameters(self) -> dict[str, Any]:
        """What turns files into pixels, in JSON's types."""
        return {
            "size": self.size,
            "equalise": self.equalise,
            "shard_size": self.shard_size,
            "transform_version": transforms.VERSION,
        }

    def version(self) -> str:
        """Digest of the labels, the files' names, sizes and times, and the parameters."""
        files = []
        for image in self.table["image"]:
            path = self.sources.get(image)
            status = path.stat() if path and path.exists() else None
            files.append([image, status and status.st_size, status and status.st_mtime_ns])
        labels = self.table.to_csv(index=False)
        return json_digest([files, labels, self.parameters])[:16]


def plan_store(
    labels: pd.DataFrame,
    raw_dir: str | Path,
    *,
    size: int,
    equalise: bool,
    shard_size: int,
    max_quarantined: float,
    workers: int | None,
) -> StorePlan:
    """Decide what the store shall hold, without opening an image.

    Args:
        labels: The label table with its splits.
        raw_dir: Where the images are (see `sources.find_images`).
        size: Side of the images, in pixels.
        equalise: Whether to equalise their histograms.
        shard_size: Images a shard.
        max_quarantined: Share of images, in [0, 1], that may be unusable.
        workers: Images decoded at a time; `None` is one a core.

    Raises:
        ValueError: If `raw_dir` holds no image file at all.
    """
    sources = find_images(raw_dir)
    if not sources:
        raise ValueError(
            f"raw_dir '{raw_dir}' holds no PNG or JPEG, neither itself nor in images/ or "
            "images_001/images/ and so on: put the images there"
        )
    table = labels[["image", "patient", "age", "sex", "view", "split"]].assign(
        findings=findings_text(labels)
    )
    unlisted = len(sources.keys() - set(table["image"]))
    if unlisted:
        logger.warning("%d image files in '%s' are in no row of the labels", unlisted, raw_dir)
    return StorePlan(
        table=table,
        sources=sources,
        name=Path(raw_dir).resolve().name,
        size=size,
        equalise=equalise,
        shard_size=shard_size,
        max_quarantined=max_quarantined,
        workers=workers or os.cpu_count() or 1,
    )


def build_store(plan: StorePlan, root: Path) -> ImageStore:
    """Build the planned store under `root`, or open it if it is there already.

    Args:
        plan: What to build.
        root: The folder that holds all versions; the store becomes `root/<version>`.

    Raises:
        ValueError: If no image is usable, or more are quarantined than the plan allows.
    """
    version = plan.version()
    folder = root / version
    store = open_store(folder) if (folder / MANIFEST).is_file() else None
    if store and not _may_be_mended(store.quarantine()["reason"]):
        # Kedro loads the version used last when none is named (see `ImageStoreDataset`).
        os.utime(folder / MANIFEST)
        logger.info("Image store %s is up to date: %d images, reused", version, len(store))
        return store

    started = time.monotonic()
    starts = range(0, len(plan.table), plan.shard_size)
    with ThreadPoolExecutor(plan.workers) as pool:
        # Threads suffice: OpenCV decodes and resizes outside Python's lock.
        jobs = [pool.submit(_build_shard, plan, folder, start) for start in starts]
        try:
            records = [_result(job, done, plan, started) for done, job in enumerate(jobs)]
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return _finish(plan, folder, version, records, time.monotonic() - started)


def _build_shard(plan: StorePlan, folder: Path, start: int) -> dict[str, Any]:
    """Make one shard and its record, or take them from an earlier, interrupted build."""
    number = start // plan.shard_size
    path = folder / shard_name(number)
    record_path = path.with_suffix(".json")
    if record_path.is_file() and path.is_file():
        record: dict[str, Any] = json.loads(record_path.read_text())
        reasons = [reason for _, reason in record["quarantine"]]
        if file_digest(path) == record["sha256"] and not _may_be_mended(reasons):
            return record

    kept: list[str] = []
    pictures = []
    quarantine: list[list[str]] = []
    for image in plan.table["image"].iloc[start : start + plan.shard_size]:
        if image not in plan.sources:
            quarantine.append([image, "missing file"])
            continue
        try:
            pixels = transforms.decode(plan.sources[image])
        except ValueError as error:
            quarantine.append([image, str(error)])
            continue
        pictures.append(transforms.transform(pixels, plan.size, equalise=plan.equalise))
        kept.append(image)
    shard = np.stack(pictures) if pictures else np.empty((0, plan.size, plan.size), np.uint8)
    write_atomically(path, lambda file: np.save(file, shard, allow_pickle=False))
    record = {
        "file": path.name,
        "images": kept,
        "quarantine": quarantine,
        "bytes": path.stat().st_size,
        "sha256": file_digest(path),
    }
    write_json(record_path, record)
    return record


def _may_be_mended(reasons: Iterable[str]) -> bool:
    """Tell whether a file could be read another time though its name, size and time stay."""
    return any(reason.startswith(transforms.UNREADABLE) for reason in reasons)


def _result(job: Any, done: int, plan: StorePlan, started: float) -> dict[str, Any]:
    """Wait for a shard, saying now and then how far the build is."""
    # Not `job.result(timeout=...)`: a shard may itself fail with a TimeoutError, of a network disk.
    while not wait([job], timeout=SECONDS_BETWEEN_REPORTS).done:
        images = min(done * plan.shard_size, len(plan.table))
        rate = images / (time.monotonic() - started)
        logger.info("Preprocessing: %d of %d images, %.0f a second", images, len(plan.table), rate)
    record: dict[str, Any] = job.result()
    return record


def _finish(
    plan: StorePlan, folder: Path, version: str, records: list[dict[str, Any]], seconds: float
) -> ImageStore:
    """Write quarantine, index and, last, the manifest that makes the folder a store."""
    places = {
        image: (shard, row)
        for shard, record in enumerate(records)
        for row, image in enumerate(record["images"])
    }
    quarantine = pd.DataFrame(
        [entry for record in records for entry in record["quarantine"]], columns=["image", "reason"]
    )
    write_bytes(folder / QUARANTINE, quarantine.to_csv(index=False).encode())
    _judge_quarantine(quarantine, plan, folder)

    index = plan.table[plan.table["image"].isin(places)].reset_index(drop=True)
    index["shard"] = [places[image][0] for image in index["image"]]
    index["row"] = [places[image][1] for image in index["image"]]
    buffer = io.BytesIO()
    index.to_parquet(buffer, index=False)
    write_bytes(folder / INDEX, buffer.getvalue())

    shards = [{key: record[key] for key in ("file", "bytes", "sha256")} for record in records]
    manifest = {
        "version": version,
        "data": plan.name,
        "digest": json_digest([[s["sha256"] for s in shards], index.to_csv(index=False)]),
        "parameters": plan.parameters,
        "code_version": __version__,
        "listed": len(plan.table),
        "kept": len(index),
        "quarantined": len(quarantine),
        "shards": shards,
        "index_sha256": file_digest(folder / INDEX),
    }
    write_json(folder / MANIFEST, manifest)
    logger.info(
        "Image store %s: %d images kept, %d quarantined, %d shards, %.1f s",
        version,
        len(index),
        len(quarantine),
        len(shards),
        seconds,
    )
    return open_store(folder)


def _judge_quarantine(quarantine: pd.DataFrame, plan: StorePlan, folder: Path) -> None:
    """Refuse a store that would lack too many of its images."""
    if quarantine.empty:
        return
    reasons = ", ".join(
        f"{count} {reason}" for reason, count in quarantine["reason"].value_counts().items()
    )
    share = len(quarantine) / len(plan.table)
    where = folder / QUARANTINE
    if len(quarantine) == len(plan.table):
        raise ValueError(
            f"none of the {len(plan.table)} images is usable ({reasons}): see '{where}'"
        )
    if share > plan.max_quarantined:
        raise ValueError(
            f"{len(quarantine)} of {len(plan.table)} images ({share:.1%}) are unusable "
            f"({reasons}), more than preprocessing.max_quarantined={plan.max_quarantined:g} "
            f"allows: mend them (listed in '{where}') or raise that share"
        )
    logger.warning("%d images quarantined (%s): see '%s'", len(quarantine), reasons, where)
