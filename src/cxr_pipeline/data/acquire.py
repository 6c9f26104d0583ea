"""A raw data set from the web: every file fetched, checked, unpacked and accounted for."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from cxr_pipeline.data.download import fetch
from cxr_pipeline.data.files import file_digest, require_space
from cxr_pipeline.data.partial import Partial, part_of
from cxr_pipeline.data.transfer_progress import transfer_progress
from cxr_pipeline.data.unpack import archive_record, unpack

logger = logging.getLogger(__name__)

NIH_PAGE = "https://nihcc.app.box.com/v/ChestXray-NIHCC"

FETCHED, UNPACKED, KEPT, MISSING = "fetched", "unpacked", "kept", "missing"
"""What a run did with a file: fetched it (and unpacked it), unpacked what lay there, found it done
before, or found neither it nor an address."""


@dataclass(frozen=True)
class RemoteFile:
    """A file on the web, and what is known of it."""

    name: str
    url: str | None
    """Its address; `None` where it has to be put into the folder by hand."""
    size: int | None = None
    """Bytes."""
    md5: str | None = None
    sha256: str | None = None


def acquire(
    label_file: RemoteFile,
    archives: Sequence[RemoteFile],
    folder: Path,
    *,
    attempts: int,
    timeout: float,
    keep_archives: bool,
    max_unpacked_bytes: int,
) -> pd.DataFrame:
    """Make a folder hold the label file, and the images of each archive in a folder of its own.

    What is there already stays: the label file if it is the right one, an archive's folder as it
    is.

    Args:
        label_file: The label file.
        archives: The archives of images; `images_001.tar.gz` becomes the folder `images_001`.
        folder: Where to; made if needed.
        attempts: Requests in a row, for one file, that may bring nothing new.
        timeout: Seconds without a sign of the server.
        keep_archives: Whether an archive stays after it was unpacked.
        max_unpacked_bytes: How much one archive may unpack to.

    Returns:
        A file a row: file, bytes, sha256 and status (fetched, unpacked, kept or missing).

    Raises:
        ValueError: If a file cannot be fetched or unpacked, or the disk is too small.
    """
    folder.mkdir(parents=True, exist_ok=True)
    pending = [file for file in archives if not _unpacked(file, folder).is_dir()]
    require_space(folder, _space_needed(pending, folder, keep_archives), "the download")

    status = _obtain(label_file, folder, attempts, timeout)
    path = folder / label_file.name
    there = {"bytes": path.stat().st_size, "sha256": file_digest(path)} if path.is_file() else {}
    rows = [_row(label_file, there, status)]
    for archive in archives:
        status = KEPT
        if archive in pending:
            status = _obtain(archive, folder, attempts, timeout)
            if status != MISSING:
                _unpack(archive, folder, keep_archives, max_unpacked_bytes)
                status = FETCHED if status == FETCHED else UNPACKED
        rows.append(_row(archive, archive_record(_unpacked(archive, folder)), status))
    table = pd.DataFrame(rows).astype({"bytes": "Int64"})
    _say_what_is_there(table, folder)
    return table


def _unpacked(archive: RemoteFile, folder: Path) -> Path:
    return folder / archive.name.removesuffix(".gz").removesuffix(".tar")


def _space_needed(pending: Sequence[RemoteFile], folder: Path, keep_archives: bool) -> int:
    """Bytes still to come, as far as is known; X-rays take as much room unpacked as packed."""
    sizes = [archive.size or 0 for archive in pending]
    paths = [folder / archive.name for archive in pending]
    here = sum(p.stat().st_size for path in paths for p in (path, part_of(path)) if p.is_file())
    return sum(sizes) + (sum(sizes) if keep_archives else max(sizes, default=0)) - here


def _obtain(file: RemoteFile, folder: Path, attempts: int, timeout: float) -> str:
    target = folder / file.name
    if file.url is None:
        if not target.is_file():
            return MISSING
        digests = {"md5": file.md5, "sha256": file.sha256}
        problem = Partial("", target, file.size, digests).problem(target)
        if problem:
            raise ValueError(
                f"'{target}', which was put there by hand, has {problem}: fetch it anew, or set "
                f"the size and checksum of '{file.name}' to null"
            )
        return KEPT
    with transfer_progress(f"fetching {file.name}") as on_progress:
        fetched = fetch(
            file.url,
            target,
            size=file.size,
            md5=file.md5,
            sha256=file.sha256,
            attempts=attempts,
            timeout=timeout,
            on_progress=on_progress,
        )
    return FETCHED if fetched else KEPT


def _unpack(archive: RemoteFile, folder: Path, keep_archive: bool, max_bytes: int) -> None:
    path = folder / archive.name
    with transfer_progress(f"unpacking {archive.name}") as on_progress:
        unpack(path, _unpacked(archive, folder), max_bytes=max_bytes, on_progress=on_progress)
    if not keep_archive:
        path.unlink()


def _row(file: RemoteFile, found: dict[str, Any], status: str) -> dict[str, Any]:
    images = f", {found['images']} images" if "images" in found else ""
    logger.info("%s: %s%s", file.name, status, images)
    return {
        "file": file.name,
        "bytes": found.get("bytes"),
        "sha256": found.get("sha256"),
        "status": status,
    }


def _say_what_is_there(table: pd.DataFrame, folder: Path) -> None:
    missing = table.loc[table["status"] == MISSING, "file"]
    if len(missing):
        logger.warning(
            "MISSING, for want of a url: %s. Fetch by hand from %s into '%s', then run again",
            ", ".join(missing),
            NIH_PAGE,
            folder,
        )
    else:
        logger.info("The data are complete; use them with --params=raw_dir=%s", folder)
