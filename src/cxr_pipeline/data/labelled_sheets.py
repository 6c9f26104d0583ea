"""Sheets of images that say what they show: a caption, and a label for each row and column."""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

SIDE = 128
"""Pixels that an image has at most a side; larger ones are shown smaller."""
GAP = 4
MARGIN = 10
"""Pixels around the sheet, and between texts and images."""
LABEL_WIDTH = 118
"""Pixels that the rows' labels take."""
LABEL_SIZE, SMALLEST_LABEL, CAPTION_SIZE = 14, 6, 15
"""Pixels, of the letters."""
LINE = 18
"""Pixels from one line of text to the next."""
WHITE, GREY = 255, 200

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@dataclass(frozen=True)
class LabelledImages:
    """Images in rows and columns, and what they show."""

    images: npt.NDArray[np.uint8]
    """(R, C, H, W)."""
    rows: tuple[str, ...]
    """A label for each row."""
    columns: tuple[str, ...]
    """A label for each column."""
    caption: str
    """What is to be seen, in a sentence or two."""


def labelled_sheet(labelled: LabelledImages) -> npt.NDArray[np.uint8]:
    """Lay images out in rows and columns, labelled.

    Args:
        labelled: The images and what is written above and beside them.

    Returns:
        One grey picture, uint8, on black.

    Raises:
        ValueError: If there are more or fewer labels than rows or columns.
    """
    given, shape = (len(labelled.rows), len(labelled.columns)), labelled.images.shape[:2]
    if given != shape:
        raise ValueError(f"labels of {given} rows and columns for {shape} of images: give as many")
    images = _shrunk(labelled.images)
    _, columns, height, width = images.shape
    caption_font = ImageFont.load_default(CAPTION_SIZE)
    total = 2 * MARGIN + LABEL_WIDTH + columns * (width + GAP) - GAP
    caption = _wrapped(labelled.caption, caption_font, total - 2 * MARGIN)
    heads = [_label(text, width) for text in labelled.columns]
    sides = [_label(text, LABEL_WIDTH - MARGIN) for text in labelled.rows]
    head_top = 2 * MARGIN + len(caption) * LINE
    top = head_top + max(len(lines) for lines, _ in heads) * LINE + GAP
    left = MARGIN + LABEL_WIDTH
    sheet = np.zeros((top + len(images) * (height + GAP) - GAP + MARGIN, total), dtype=np.uint8)
    for row, across in enumerate(images):
        for column, image in enumerate(across):
            y, x = top + row * (height + GAP), left + column * (width + GAP)
            sheet[y : y + height, x : x + width] = image
    picture = Image.fromarray(sheet)
    draw = ImageDraw.Draw(picture)
    _write(draw, (MARGIN, MARGIN), caption, caption_font, WHITE)
    for column, (lines, font) in enumerate(heads):
        # On the images' heads, so that labels of one line stand beside the last of others.
        y = top - GAP - len(lines) * LINE
        _write(draw, (left + column * (width + GAP), y), lines, font, GREY)
    for row, (lines, font) in enumerate(sides):
        y = top + row * (height + GAP) + (height - len(lines) * LINE) // 2
        _write(draw, (MARGIN, y), lines, font, GREY)
    return np.asarray(picture)


def _shrunk(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    rows, columns, height, width = images.shape
    longest = max(height, width)
    if longest <= SIDE:
        return images
    size = (round(width * SIDE / longest), round(height * SIDE / longest))
    flat = images.reshape(-1, height, width)
    small = [cv2.resize(image, size, interpolation=cv2.INTER_AREA) for image in flat]
    return np.asarray(small, dtype=np.uint8).reshape(rows, columns, size[1], size[0])


def _label(text: str, width: int) -> tuple[list[str], Font]:
    """A label's lines and their letters: smaller ones where a word is wider than there is room."""
    for size in range(LABEL_SIZE, SMALLEST_LABEL - 1, -1):
        font = ImageFont.load_default(size)
        if all(font.getlength(word) <= width for word in text.split()):
            break
    return _wrapped(text, font, width), font


def _wrapped(text: str, font: Font, width: int) -> list[str]:
    """Break a text between words into lines that fit; its own line breaks stay."""
    lines: list[str] = []
    for paragraph in text.split("\n"):
        line = ""
        for word in paragraph.split():
            longer = f"{line} {word}".strip()
            if line and font.getlength(longer) > width:
                lines.append(line)
                line = word
            else:
                line = longer
        lines.append(line)
    return lines


def _write(
    draw: ImageDraw.ImageDraw,
    place: tuple[int, int],
    lines: list[str],
    font: Font,
    grey: int,
) -> None:
    x, y = place
    for number, line in enumerate(lines):
        draw.text((x, y + number * LINE), line, fill=grey, font=font)
