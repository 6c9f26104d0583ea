"""From grey levels of any size to the square picture that models see (the paper's section 4)."""

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

VERSION = 2
"""Goes up when the same file and settings would give other pixels: old stores are then rebuilt."""


@dataclass(frozen=True)
class Transform:
    """What is done to an image; see `transform`."""

    size: int
    """Side S of the result, in pixels."""
    equalise: bool | Literal["clahe"]
    """Over the whole image (the paper's), not at all, or tile by tile."""
    clahe_clip_limit: float = 2.0
    """How far a tile's contrast may rise, as a multiple of a flat histogram's bin."""
    clahe_tiles: int = 8
    """Tiles a side."""

    def identity(self) -> dict[str, object]:
        """What decides the pixels, in JSON's types: settings that do nothing are left out."""
        clahe = {"clip_limit": self.clahe_clip_limit, "tiles": self.clahe_tiles}
        return {
            "size": self.size,
            "equalise": {"clahe": clahe} if self.equalise == "clahe" else self.equalise,
            "transform_version": VERSION,
        }


LONGEST = 32
"""Of a side more than so many times as long as the other, only the middle is resized."""


def transform(pixels: npt.NDArray[np.uint8], how: Transform) -> npt.NDArray[np.uint8]:
    """Resize, crop and equalise one image, as the paper's section 4.

    The shorter side becomes S (antialiased where it shrinks), the centre is cut out, and the grey
    levels are spread.

    Args:
        pixels: (H, W) uint8.
        how: The settings.

    Returns:
        (S, S) uint8.
    """
    cropped = resize_and_crop(pixels, how.size)
    if how.equalise == "clahe":
        tiles = (how.clahe_tiles, how.clahe_tiles)
        clahe = cv2.createCLAHE(clipLimit=how.clahe_clip_limit, tileGridSize=tiles)
        return np.asarray(clahe.apply(cropped), dtype=np.uint8)
    return equalise(cropped) if how.equalise else cropped


def resize_and_crop(pixels: npt.NDArray[np.uint8], size: int) -> npt.NDArray[np.uint8]:
    """Make the shorter side of an (H, W) image `size` and cut out the centre: (S, S).

    Sides are rounded and the centre is placed as torchvision's `resize` and `center_crop` do, which
    the authors use.
    """
    shorter = min(pixels.shape)
    if shorter != size:
        # Else a line of a million pixels would become a picture too large for memory.
        pixels = _centre(pixels, LONGEST * shorter, LONGEST * shorter)
        height, width = (int(size * side / shorter) for side in pixels.shape)
        # Area averaging is the antialiased choice when shrinking; it only copies when growing.
        method = cv2.INTER_AREA if size < shorter else cv2.INTER_LINEAR
        resized = cv2.resize(pixels, (width, height), interpolation=method)
        pixels = np.asarray(resized, dtype=np.uint8)
    return np.ascontiguousarray(_centre(pixels, size, size))


def _centre(pixels: npt.NDArray[np.uint8], height: int, width: int) -> npt.NDArray[np.uint8]:
    """Cut out at most so many rows and columns."""
    wanted = zip(pixels.shape, (height, width), strict=True)
    top, left = (max(0, round((there - asked) / 2)) for there, asked in wanted)
    return pixels[top : top + height, left : left + width]


def equalise(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Spread an image's grey levels over 0 to 255.

    The levels that Pillow's `ImageOps.equalize`, which the authors use, would give: OpenCV's
    `equalizeHist` rounds otherwise, up to several levels on real images.
    """
    counts = np.bincount(pixels.ravel(), minlength=256)
    present = counts[counts > 0]
    # Pixels a level: all but those of the brightest, shared out over 255 steps.
    step = (pixels.size - present[-1]) // 255
    if len(present) < 2 or step == 0:
        return pixels
    darker = np.cumsum(counts) - counts
    levels = np.minimum((step // 2 + darker) // step, 255).astype(np.uint8)
    return np.asarray(cv2.LUT(pixels, levels), dtype=np.uint8)
