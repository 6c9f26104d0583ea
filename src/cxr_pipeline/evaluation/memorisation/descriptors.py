"""What images are compared by in pixels, such that a changed copy stays near to its original.

Grey levels are replaced by their ranks (`equalise`), so that any curve that brightens or darkens
changes nothing. What is compared is the middle, so that an image moved by up to `MARGIN` of
`SIDE` pixels still holds all that is compared of the original. Two descriptors are made of it:

- the overview, 14 x 14, which finds candidates;
- the detail, 28 x 28, in which they are compared at every shift, without what is smooth over a
  chest's width: so CLAHE, which changes that, moves a copy little.

Each has mean zero and length one: distances are from 0, the same, over 1.41, nothing in common, to
2, the negative.
"""

from collections.abc import Callable
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from cxr_pipeline.data.resizing import resize_images
from cxr_pipeline.data.transforms import equalise

SIDE = 64
"""Pixels a side that every image is brought to."""
MARGIN = 4
"""Pixels of these on each side that are not compared: the farthest shift that is looked for."""
MIDDLE = SIDE - 2 * MARGIN
OVERVIEW, DETAIL = 4, 2
"""Pixels a side that are averaged into one number."""
SMOOTH = 4.0
"""Standard deviation, in pixels, of the blur that is taken from the detail."""
OVERVIEW_SHIFTS = (-3, 0, 3)
"""No shift is farther than a pixel from one of them."""
DETAIL_SHIFTS = tuple(range(-MARGIN, MARGIN + 1))
BLOCK = 1024
"""Images that are read at once."""

Read = Callable[[npt.NDArray[np.int64]], npt.NDArray[np.uint8]]
"""Reads images by their positions: (N, S, S) uint8."""


class PixelDescriptors(NamedTuple):
    """Descriptors of N images."""

    overviews: npt.NDArray[np.float32]
    """(N, 196)."""
    details: npt.NDArray[np.float32]
    """(N, 784)."""


def describe(read: Read, count: int, *, block: int = BLOCK) -> PixelDescriptors:
    """Describe images that others are compared with.

    Args:
        read: Reads them, of any size.
        count: How many there are, N.
        block: How many are read at once.
    """
    found = PixelDescriptors(
        np.empty((count, (MIDDLE // OVERVIEW) ** 2), dtype=np.float32),
        np.empty((count, (MIDDLE // DETAIL) ** 2), dtype=np.float32),
    )
    for first in range(0, count, block):
        places = np.arange(first, min(first + block, count))
        ranks = ranked(read(places))
        found.overviews[places] = shifted(ranks, OVERVIEW, (0,))[:, 0].numpy()
        found.details[places] = shifted(sharpened(ranks), DETAIL, (0,))[:, 0].numpy()
    return found


def ranked(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Bring images to one size and spread their grey levels.

    Args:
        images: (N, S, S) uint8.

    Returns:
        (N, `SIDE`, `SIDE`), 0 to 255.
    """
    spread = [equalise(image) for image in resize_images(images, SIDE)]
    return np.asarray(spread, dtype=np.float32).reshape(-1, SIDE, SIDE)


def sharpened(ranks: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Take from images what is smooth in them."""
    smooth = [cv2.GaussianBlur(image, (0, 0), SMOOTH) for image in ranks]
    return ranks - np.asarray(smooth, dtype=np.float32).reshape(ranks.shape)


def shifted(images: npt.NDArray[np.float32], pool: int, shifts: tuple[int, ...]) -> Tensor:
    """Describe the middle of images at each shift, down and across.

    Args:
        images: (N, `SIDE`, `SIDE`).
        pool: Pixels a side to average.
        shifts: In pixels, none beyond `MARGIN`.

    Returns:
        (N, shifts squared, F), of mean zero and length one; all zero of an image of one grey.
    """
    # Averages at every pixel first: each shift then only picks some of them.
    pooled = avg_pool2d(torch.from_numpy(images)[:, None], pool, stride=1)[:, 0]
    middles = [
        pooled[:, MARGIN + down : MARGIN + down + MIDDLE : pool, left : left + MIDDLE : pool]
        for down in shifts
        for left in (MARGIN + across for across in shifts)
    ]
    vectors = torch.stack([middle.flatten(1) for middle in middles], dim=1)
    centred: Tensor = vectors - vectors.mean(dim=2, keepdim=True)
    # Less than a grey level of contrast is rounding.
    length: Tensor = centred.norm(dim=2, keepdim=True)
    return centred / length.clamp(min=centred.shape[2] ** 0.5)


def mirrored(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Exchange left and right."""
    return np.ascontiguousarray(images[:, :, ::-1])
