"""Stores compared byte for byte, files that are written anew, and errors of one line."""

import os
from pathlib import Path

import numpy as np
import pytest

from cxr_pipeline.data.decode import decode
from cxr_pipeline.data.store import DUPLICATES, INDEX, MANIFEST, QUARANTINE
from cxr_pipeline.data.transforms import Transform, transform

LONG_AGO = 1_000_000_000 * 10**9

ALWAYS_WRITTEN = {INDEX, QUARANTINE, DUPLICATES, MANIFEST}
"""What a build writes though all its shards are there."""

REASONS = ["missing file", "empty file", "truncated file", "not a readable image"]


def contents(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def age(folder):
    """Date every file back, so that one written anew shows."""
    for path in folder.iterdir():
        os.utime(path, ns=(LONG_AGO, LONG_AGO))


def written(folder):
    """Files written since `age`."""
    return {path.name for path in folder.iterdir() if path.stat().st_mtime_ns != LONG_AGO}


def transformed(path, size=16):
    pixels = decode(path.read_bytes(), max_pixels=10_000)
    return transform(pixels, Transform(size, equalise=True))


def refusal(action, *arguments, **options):
    """What is said to the user, in one line."""
    with pytest.raises(ValueError, match=r"\S") as caught:
        action(*arguments, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def damage(path, kind):
    """Spoil an image file such that `kind` is why it is left out."""
    data = path.read_bytes()
    if kind == "missing file":
        path.unlink()
    else:
        broken = {
            "empty file": b"",
            "truncated file": data[: len(data) // 2],
            "not a readable image": b"a note, not a picture",
        }
        path.write_bytes(broken[kind])


def swap_unseen(first, second):
    """Exchange two files' contents, but keep each one's length and time."""
    stamps = [path.stat() for path in (first, second)]
    data = [path.read_bytes() for path in (first, second)]
    length = max(map(len, data))
    for path, other, stamp in zip((first, second), data[::-1], stamps, strict=True):
        assert stamp.st_size == length, "make both as long first, with `pad`"
        path.write_bytes(other)
        os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))


def pad(paths, length=4096):
    """Make files as long as one another, with bytes behind the picture's end."""
    for path in paths:
        data = Path(path).read_bytes()
        Path(path).write_bytes(data + bytes(length - len(data)))


def pixels_of(store):
    """Image name to pixels."""
    return dict(zip(store.index["image"], store.read(np.arange(len(store))), strict=True))
