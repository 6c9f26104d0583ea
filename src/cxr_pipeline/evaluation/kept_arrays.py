"""Arrays that take long to make, made and kept in blocks: a run that was stopped goes on."""

import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cxr_pipeline.data.files import json_digest, write_array, write_json
from cxr_pipeline.data.prune import KEY
from cxr_pipeline.training.progress import progress

logger = logging.getLogger(__name__)

BLOCK = 2048
"""Rows that are made and written at once."""

FORMAT = 1
"""Another number where images are resized, or features made of them, in another way than before."""

Make = Callable[[int, int], npt.NDArray[Any]]
"""Makes the rows from the first to before the last."""


def kept_rows(
    folder: Path, key: Mapping[str, Any], count: int, make: Make, *, what: str, block: int = BLOCK
) -> npt.NDArray[Any]:
    """Make an array block by block, or find its blocks made; see `kept_blocks`.

    Returns:
        (N, ...), in memory.
    """
    paths = kept_blocks(folder, key, count, make, what=what, block=block)
    return np.concatenate([load_block(path) for path in paths])


def load_block(path: Path) -> npt.NDArray[Any]:
    """Read a block that was kept.

    Raises:
        ValueError: If it is damaged.
    """
    try:
        rows: npt.NDArray[Any] = np.load(path, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ValueError(
            f"'{path}' is damaged ({error}): delete it and run again, which makes it anew"
        ) from error
    return rows


def kept_blocks(
    folder: Path, key: Mapping[str, Any], count: int, make: Make, *, what: str, block: int = BLOCK
) -> tuple[Path, ...]:
    """Make an array block by block, or find its blocks made; one block is in memory at a time.

    Args:
        folder: Where arrays are kept, each in a folder named by the digest of its key.
        key: What the rows follow from, in JSON's types, whatever their number.
        count: Rows, N; of more, whole blocks that are there are not made again.
        make: Makes some of them.
        what: What they are, for messages.
        block: Rows to a file.

    Returns:
        The blocks' files, .npy, in the rows' order.
    """
    place = folder / json_digest([FORMAT, dict(key), block])[:16]
    spans = [(first, min(first + block, count)) for first in range(0, count, block)]
    files = [place / f"rows_{first:08d}_{last:08d}.npy" for first, last in spans]
    absent = [number for number, path in enumerate(files) if not path.is_file()]
    if absent:
        done = count - sum(spans[number][1] - spans[number][0] for number in absent)
        logger.info("%s: %d of %d images to do", what, count - done, count)
        write_json(place / KEY, dict(key))
        with progress(count, done, unit="image") as report:
            for number in absent:
                first, last = spans[number]
                began = time.perf_counter()
                write_array(files[number], make(first, last))
                done += last - first
                report(done, {}, (last - first) / (time.perf_counter() - began))
    (place / KEY).touch()  # used now: see `data.prune`
    return tuple(files)
