"""Sheets of images, pixel for pixel."""

import math

import numpy as np
import numpy.typing as npt

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
