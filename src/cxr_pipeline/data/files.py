"""Writing files so that a crash leaves the old one or the new one, never half of either."""

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

NO_ROOM = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)
"""No space left, file too large, quota exceeded."""


def write_atomically(path: Path, write: Callable[[BinaryIO], None]) -> None:
    """Write a file beside its place, flush it to the disk, and only then put it there.

    The folder is flushed too: after a power cut the new file has its name.

    Args:
        path: Where the file shall be; its folder is made if needed.
        write: Writes the content to the open file it is given.

    Raises:
        OSError: If it cannot be written; in one line with a remedy where there is no room for it.
    """
    make_folder(path.parent)
    sibling = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with sibling.open("wb") as file:
            write(file)
        flush(sibling)
        sibling.replace(path)
    except OSError as error:
        if error.errno in NO_ROOM:
            raise OSError(
                f"'{path}' could not be written ({os.strerror(error.errno)}): make room on its "
                "disk, or raise the limit on the size of files (`ulimit -f`), and run again"
            ) from error
        raise
    finally:
        sibling.unlink(missing_ok=True)
    flush(path.parent)


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, each of which a power cut leaves there."""
    if not folder.is_dir():
        make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        flush(folder.parent)


def flush(path: Path) -> None:
    """Wait until a file, or the names of the files in a folder, are on the disk."""
    if os.name == "nt" and path.is_dir():
        return  # Windows opens no folders
    # Opened anew: who wrote by the file's name may have put another in its place.
    opened = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def remove_litter(folder: Path) -> None:
    """Remove what killed processes left half written in a folder, and in those below it.

    No other process may be writing there: hold a lock.
    """
    # safetensors gathers a file under a name of its own before it takes the one it is given.
    for path in [*folder.rglob(".*.part"), *folder.rglob(".tmp??????")]:
        path.unlink(missing_ok=True)


def write_json(path: Path, content: Any) -> None:
    """Write `content` as indented JSON, atomically."""
    text = json.dumps(content, indent=2, sort_keys=True) + "\n"
    write_atomically(path, lambda file: _write(file, text.encode()))


def write_bytes(path: Path, content: bytes) -> None:
    """Write `content`, atomically."""
    write_atomically(path, lambda file: _write(file, content))


def write_array(path: Path, array: npt.NDArray[Any]) -> None:
    """Write an array as .npy, atomically."""
    plain = np.ascontiguousarray(array)

    def write(file: BinaryIO) -> None:
        header = np.lib.format.header_data_from_array_1_0(plain)
        np.lib.format.write_array_header_1_0(file, header)
        # Not `np.save`: of a full disk it only says that less was written.
        file.write(plain.data)

    write_atomically(path, write)


def _write(file: BinaryIO, content: bytes) -> None:
    file.write(content)


def file_digest(path: Path, algorithm: str = "sha256") -> str:
    """Digest of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()


def json_digest(content: Any) -> str:
    """SHA-256 of `content` as canonical JSON, in hexadecimal."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def readable_size(count: float) -> str:
    """A number of bytes as people say it: `3.9 GB`."""
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count:.0f} bytes"


def require_space(folder: Path, needed: int, what: str) -> None:
    """Refuse to begin what the disk cannot hold.

    Args:
        folder: Where it is going to be written.
        needed: Bytes.
        what: What needs them, for the message.

    Raises:
        ValueError: If the folder's disk has less room.
    """
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise ValueError(
            f"'{folder}' has room for {readable_size(free)}, but {what} needs "
            f"{readable_size(needed)}: free some or choose a folder on another disk"
        )
