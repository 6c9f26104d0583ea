"""Unpacking archives of images: whole or not at all, and nothing but images, in one folder."""

import gzip
import io
import json
import logging
import os
import shutil
import tarfile
import zlib
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from cxr_pipeline.data.download import OnProgress
from cxr_pipeline.data.files import file_digest, readable_size, write_json

logger = logging.getLogger(__name__)

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg")
RECORD = "archive.json"
"""In an unpacked folder: the name, bytes and SHA-256 of the archive it is from, and its images."""
MOST_MEMBERS = 200_000
"""Of an archive; all of ChestX-ray14 is 112,120 images."""
LONGEST_READ = 2**20
"""Bytes that tarfile may ask for at once: a header that names more than that is an attack."""
GZIP = b"\x1f\x8b"

BROKEN = (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile)
"""What reading a truncated or damaged archive raises."""


def unpack(archive: Path, folder: Path, *, max_bytes: int, on_progress: OnProgress) -> None:
    """Unpack a tar, gzipped or not, as `folder/images/NAME.png`.

    Everything goes to a sibling that becomes `folder` when it is complete: a folder that is there
    is whole. Folders inside the archive are not kept. Members that are no image are left out and
    counted in the log.

    Args:
        archive: The archive.
        folder: What it becomes; must not exist.
        max_bytes: How much it may unpack to.
        on_progress: Told how much of the archive has been read.

    Raises:
        ValueError: If the archive is damaged, holds no image or one twice, unpacks to more than
            allowed, or has a member that is a link, a device or outside the archive.
    """
    fresh = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(fresh, ignore_errors=True)
    (fresh / "images").mkdir(parents=True)
    try:
        with archive.open("rb") as file:
            images = _unpack_images(file, archive, fresh, max_bytes, on_progress)
        record = {
            "archive": archive.name,
            "bytes": archive.stat().st_size,
            "sha256": file_digest(archive),
            "images": images,
        }
        write_json(fresh / RECORD, record)
        os.sync()  # the archive may be deleted as soon as the folder is there
        fresh.replace(folder)
    except BROKEN as error:
        raise ValueError(
            f"archive '{archive}' is truncated or damaged ({error}): delete it and run again"
        ) from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def archive_record(folder: Path) -> dict[str, Any]:
    """What an unpacked folder was unpacked from; empty for a folder that was filled by hand."""
    try:
        record: dict[str, Any] = json.loads((folder / RECORD).read_text())
    except (OSError, ValueError):  # none, or not one of ours
        return {}
    return record


def _unpack_images(
    file: BinaryIO, archive: Path, fresh: Path, max_bytes: int, on_progress: OnProgress
) -> int:
    """Unpack the images into `fresh/images`; returns how many."""
    size = archive.stat().st_size
    taken: set[str] = set()
    others: list[str] = []
    packed = file.read(len(GZIP)) == GZIP
    file.seek(0)
    with (
        _Bounded(gzip.open(file) if packed else file, max_bytes, archive) as stream,
        tarfile.open(fileobj=stream, mode="r:") as tar,
    ):
        for count, member in enumerate(tar, start=1):
            on_progress(file.tell(), size)
            if count > MOST_MEMBERS:
                raise _refusal(archive, f"has more than {MOST_MEMBERS:,} members")
            _refuse_unsafe(member, archive)
            if member.isdir():
                continue
            if not _is_image(member):
                others.append(member.name)
                continue
            image = PurePosixPath(member.name).name
            if image in taken:
                raise _refusal(archive, f"holds {image!r} twice")
            taken.add(image)
            content = tar.extractfile(member)
            assert content is not None  # it is a regular file
            path = fresh / "images" / image
            with path.open("xb") as unpacked:
                shutil.copyfileobj(content, unpacked, LONGEST_READ)
            # As in the archive: unpacked again, they are the same data set.
            os.utime(path, (member.mtime, member.mtime))
        _require_end(stream)
        on_progress(size, size)
    if not taken:
        raise _refusal(archive, f"holds no image ({', '.join(IMAGE_SUFFIXES)})")
    if others:
        logger.warning(
            "%s: %d members are no images and were left out (the first: %r)",
            archive.name,
            len(others),
            others[0],
        )
    return len(taken)


def _refuse_unsafe(member: tarfile.TarInfo, archive: Path) -> None:
    """Raise for what no archive of images has any business holding."""
    path = PurePosixPath(member.name)
    if path.is_absolute() or ".." in path.parts or "\\" in member.name:
        raise _refusal(archive, f"has a member outside itself, {member.name!r}")
    if not (member.isdir() or member.isreg()) or member.issparse():
        raise _refusal(archive, f"has a link, device or the like, {member.name!r}")


def _is_image(member: tarfile.TarInfo) -> bool:
    path = PurePosixPath(member.name)
    hidden = any(part.startswith(".") for part in path.parts)
    return path.suffix.lower() in IMAGE_SUFFIXES and member.name.isprintable() and not hidden


def _require_end(stream: "_Bounded") -> None:
    """Read on to the very end: tarfile takes a damaged header, too, for the end of the archive.

    An archive ends with two blocks of zeros, of which tarfile has read one. The reading itself has
    gzip compare its checksum.
    """
    if stream.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
        raise tarfile.ReadError("its end is missing")
    while stream.read(LONGEST_READ):
        pass


def _refusal(archive: Path, reason: str) -> ValueError:
    return ValueError(
        f"archive '{archive}' {reason}: it is not NIH's, delete it and correct its url"
    )


class _Bounded(io.RawIOBase):
    """What an archive unpacks to, no more of it than is allowed."""

    def __init__(self, stream: BinaryIO | gzip.GzipFile, limit: int, archive: Path) -> None:
        self.stream = stream
        self.limit = limit
        self.archive = archive

    def read(self, size: int = -1, /) -> bytes:
        if size > LONGEST_READ:
            raise tarfile.ReadError(f"a header of {size} bytes")
        data = self.stream.read(size)
        self._require_within(self.stream.tell())
        return data

    def seek(self, position: int, whence: int = io.SEEK_SET, /) -> int:
        self._require_within(position)
        return self.stream.seek(position)

    def tell(self) -> int:
        return self.stream.tell()

    def _require_within(self, position: int) -> None:
        if position > self.limit:
            raise ValueError(
                f"archive '{self.archive}' unpacks to more than {readable_size(self.limit)}: "
                "delete it if it is not NIH's, else raise download.max_unpacked_gb"
            )
