"""Pictures as a page carries them: small, and within its own text."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from PIL import Image

from cxr_pipeline.data.sheets import GAP

QUALITY = 85
"""Of WebP: what is lost is not seen, and a sheet of X-rays takes half to a tenth of its PNG."""
LONGEST_SIDE = 4096
"""Pixels: larger sheets are shrunk, for browsers of phones and for WebP's own limit of 16,383."""
DOTS_PER_INCH = 120


@dataclass(frozen=True)
class Picture:
    """A picture for `<img>`."""

    source: str
    """A `data:` address: WebP in base 64."""
    width: int
    """Pixels."""
    height: int
    """Pixels."""


def picture(path: Path) -> Picture | None:
    """Carry a picture as it is on disk; None where there is none."""
    if not path.is_file():
        return None
    with Image.open(path) as image:
        return _carried(image.convert("L" if image.mode in {"1", "L"} else "RGB"))


def first_row(path: Path, size: int, *, columns: int | None = None) -> Picture | None:
    """Carry the first images of a sheet.

    Args:
        path: A sheet as `data.sheets.image_sheet` lays it out.
        size: Side of its images, in pixels.
        columns: How many; None for the whole row.
    """
    if not path.is_file():
        return None
    with Image.open(path) as image:
        width = image.width if columns is None else columns * (size + GAP) - GAP
        box = (0, 0, min(width, image.width), min(size, image.height))
        return _carried(image.convert("L").crop(box))


def rows_of(path: Path, count: int) -> Sequence[Picture]:
    """Carry a sheet of `count` rows of one height as a picture each; none where there is none."""
    if not path.is_file() or not count:
        return []
    with Image.open(path) as image:
        grey: npt.NDArray[np.uint8] = np.asarray(image.convert("L"))
    return [_carried(Image.fromarray(row)) for row in np.array_split(grey, count)]


def chart_picture(figure: Figure) -> Picture:
    """Carry a chart, without loss: its lines and letters are sharp."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DOTS_PER_INCH)
    with Image.open(buffer) as image:
        return _carried(image.convert("RGB"), lossless=True)


def _carried(image: Image.Image, *, lossless: bool = False) -> Picture:
    image.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=QUALITY, lossless=lossless, method=4)
    source = "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()
    return Picture(source, *image.size)
