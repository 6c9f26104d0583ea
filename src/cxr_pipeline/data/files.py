"""Writing files so that a crash leaves the old one or the new one, never half of either."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO


def write_atomically(path: Path, write: Callable[[BinaryIO], None]) -> None:
    """Write a file beside its place, flush it to the disk, and only then put it there.

    Args:
        path: Where the file shall be; its folder is made if needed.
        write: Writes the content to the open file it is given.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    sibling = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with sibling.open("wb") as file:
            write(file)
        # Opened anew: who writes by the file's name may have put another in its place.
        with sibling.open("rb+") as file:
            os.fsync(file.fileno())
        sibling.replace(path)
    finally:
        sibling.unlink(missing_ok=True)


def write_json(path: Path, content: Any) -> None:
    """Write `content` as indented JSON, atomically."""
    text = json.dumps(content, indent=2, sort_keys=True) + "\n"
    write_atomically(path, lambda file: _write(file, text.encode()))


def write_bytes(path: Path, content: bytes) -> None:
    """Write `content`, atomically."""
    write_atomically(path, lambda file: _write(file, content))


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
