"""Sheets of images, pixel for pixel."""

import math
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from cxr_pipeline.data.decode import decode
from cxr_pipeline.data.sources import find_images

GAP = 2
"""Pixels between two images, in black."""


def image_sheet(images: npt.NDArray[np.uint8], *, columns: int) -> npt.NDArray[np.uint8]:
    """Lay images out in rows, as they are.

    Args:
        images: (N, H, W) uint8, N at least 1.
        columns: Images a row; the last row may be shorter.

    Returns:
        One grey picture, uint8.
    """
    count, height, width = images.shape
    columns = min(columns, count)
    rows = math.ceil(count / columns)
    shape = (rows * (height + GAP) - GAP, columns * (width + GAP) - GAP)
    sheet = np.zeros(shape, dtype=np.uint8)
    for number, image in enumerate(images):
        row, column = divmod(number, columns)
        top, left = row * (height + GAP), column * (width + GAP)
        sheet[top : top + height, left : left + width] = image
    return sheet


def comparison_sheet(
    above: npt.NDArray[np.uint8], below: npt.NDArray[np.uint8], *, columns: int
) -> npt.NDArray[np.uint8]:
    """Lay images out in pairs of rows, each image above another.

    Args:
        above: (N, H, W) uint8.
        below: (N, H, W) uint8.
        columns: Images a row.

    Returns:
        One grey picture, uint8.
    """
    count = len(above)
    columns = min(columns, count)
    rows = []
    for first in range(0, count, columns):
        for images in (above, below):
            row = np.zeros((columns, *images.shape[1:]), dtype=np.uint8)
            some = images[first : first + columns]
            row[: len(some)] = some
            rows.append(row)
    return image_sheet(np.concatenate(rows), columns=columns)


def pair_sheet(
    names: Iterable[str],
    after: npt.NDArray[np.uint8],
    raw_dir: str | Path,
    *,
    columns: int,
    max_pixels: int,
) -> npt.NDArray[np.uint8]:
    """Lay images out in pairs: the file, whole and as it is, and beside it what became of it.

    Args:
        names: The N images' names.
        after: (N, S, S) uint8, the same images after the transform.
        raw_dir: Where the files are (see `sources.find_images`).
        columns: Images a row, an even number: half as many pairs.
        max_pixels: As many as an image had to stay within when the store was built.

    Returns:
        One grey picture, uint8.

    Raises:
        ValueError: If a file is gone or can no longer be decoded.
    """
    sources = find_images(raw_dir)
    size = after.shape[1]
    pairs = np.empty((2 * len(after), size, size), dtype=np.uint8)
    for number, name in enumerate(names):
        try:
            data = Path(sources[name].path).read_bytes()
            pairs[2 * number] = _fitted(decode(data, max_pixels=max_pixels), size)
        except (KeyError, OSError, ValueError) as error:
            reason = "no such file" if isinstance(error, KeyError) else error
            raise ValueError(
                f"image '{name}' of the store is not to be read from '{raw_dir}' any more "
                f"({reason}): build the store anew, or set preprocessing.sheet=after"
            ) from error
    pairs[1::2] = after
    return image_sheet(pairs, columns=columns)


def _fitted(pixels: npt.NDArray[np.uint8], size: int) -> npt.NDArray[np.uint8]:
    """The whole image in the middle of a black square of that size."""
    height, width = pixels.shape
    scale = size / max(height, width)
    new_height, new_width = (max(1, round(side * scale)) for side in (height, width))
    small = cv2.resize(pixels, (new_width, new_height), interpolation=cv2.INTER_AREA)
    square = np.zeros((size, size), dtype=np.uint8)
    top, left = (size - new_height) // 2, (size - new_width) // 2
    square[top : top + new_height, left : left + new_width] = small
    return square
