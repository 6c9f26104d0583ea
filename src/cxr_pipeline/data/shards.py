"""A shard: some hundred images, preprocessed; the unit of parallel work and of resuming."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cxr_pipeline.data.decode import decode
from cxr_pipeline.data.dicom import NEEDS_PYDICOM, UNSUPPORTED
from cxr_pipeline.data.files import file_digest, write_array, write_json
from cxr_pipeline.data.store import MANIFEST, shard_name
from cxr_pipeline.data.transforms import Transform, transform

MISSING = "missing file"
LINK = "link out of the folder"

UNREADABLE = "unreadable file"
"""How the reason begins where the disk, not the image, is at fault."""

MENDABLE = (UNREADABLE, NEEDS_PYDICOM, UNSUPPORTED)
"""How reasons begin that may go away though the file stays: the disk's, and software not there."""


@dataclass(frozen=True)
class Listed:
    """An image that a shard shall hold."""

    image: str
    path: str | None
    """None if there is no such file."""
    refused: str | None = None
    """Why the file is not even to be opened."""


@dataclass(frozen=True)
class ShardJob:
    """All that a worker, on this machine or another, needs to make one shard."""

    folder: str
    """The store's folder, absolute."""
    number: int
    images: tuple[Listed, ...]
    how: Transform
    max_pixels: int
    verify: bool
    """Whether to read the files of a shard that is there and compare them with its record."""


def build_shard(job: ShardJob) -> dict[str, Any]:
    """Make one shard and its record, or find it made by an earlier run.

    Returns:
        The record, as written beside the shard: `images` kept, in the shard's order; `pictures`,
        a digest of the stored pixels of each; `sources`, a digest of each file read;
        `quarantine`, the images left out with their reasons; the shard's size and SHA-256; and,
        not written, whether it was `made` now.
    """
    path = Path(job.folder) / shard_name(job.number)
    record = _record_of(path, job)
    if record and _is_good_enough(record, job):
        return record | {"made": False}
    return _make_shard(job, path)


def _is_good_enough(record: dict[str, Any], job: ShardJob) -> bool:
    if may_be_mended(reason for _, reason in record["quarantine"]):
        return False
    return not job.verify or record["sources"] == _source_digests(job)


def may_be_mended(reasons: Iterable[str]) -> bool:
    """Tell whether a file could be read another time though its name, size and time stay."""
    return any(reason.startswith(MENDABLE) for reason in reasons)


def _record_of(path: Path, job: ShardJob) -> dict[str, Any] | None:
    """The record of a shard that is whole and holds what it shall."""
    try:
        record: dict[str, Any] = json.loads(path.with_suffix(".json").read_text())
        left_out = dict(record["quarantine"])
        if file_digest(path) != record["sha256"]:
            return None
    except (OSError, ValueError, KeyError, TypeError):  # absent or damaged
        return None
    if {*record["images"], *left_out} != {listed.image for listed in job.images}:
        return None
    return record


def _make_shard(job: ShardJob, path: Path) -> dict[str, Any]:
    pictures = np.empty((len(job.images), job.how.size, job.how.size), np.uint8)
    kept: list[str] = []
    sources: dict[str, str] = {}
    quarantine: list[list[str]] = []
    for listed in job.images:
        try:
            data = _read(listed)
            sources[listed.image] = _digest(data)
            pictures[len(kept)] = transform(decode(data, max_pixels=job.max_pixels), job.how)
        except ValueError as error:
            quarantine.append([listed.image, str(error)])
            continue
        kept.append(listed.image)
    pictures = pictures[: len(kept)]
    there = _record_of(path, job)
    if there and (there["sources"], there["quarantine"]) == (sources, quarantine):
        return there | {
            "made": False
        }  # nothing could be mended, or another run over the same data was quicker
    # A finished store is none while its shards are exchanged.
    path.with_name(MANIFEST).unlink(missing_ok=True)
    write_array(path, pictures)
    record = {
        "file": path.name,
        "images": kept,
        "pictures": [_digest(picture.tobytes()) for picture in pictures],
        "sources": sources,
        "quarantine": quarantine,
        "bytes": path.stat().st_size,
        "sha256": file_digest(path),
    }
    write_json(path.with_suffix(".json"), record)
    return record | {"made": True}


def _read(listed: Listed) -> bytes:
    if listed.path is None:
        raise ValueError(MISSING)
    if listed.refused:
        raise ValueError(listed.refused)
    try:
        return Path(listed.path).read_bytes()
    except OSError as error:
        raise ValueError(f"{UNREADABLE} ({error.strerror})") from error


def _source_digests(job: ShardJob) -> dict[str, str]:
    digests = {}
    for listed in job.images:
        try:
            digests[listed.image] = _digest(_read(listed))
        except ValueError:
            continue  # no digest: as in the record of a file that could not be read
    return digests


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:32]
