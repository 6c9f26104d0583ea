"""What Kedro-Viz shows of a data set when its node is clicked.

Viz goes by the name of what `preview` is annotated to return, which leaves no room for `| None`:
what is not made yet returns `NOTHING_YET`, and Viz shows the command that makes it and no more.
"""

import base64
import json
import re
from collections.abc import Iterable, Sequence
from html import escape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, NewType

import cv2
import numpy as np
import numpy.typing as npt

from cxr_pipeline.data.decode import decode
from cxr_pipeline.data.png import encode_png
from cxr_pipeline.data.sheets import GAP, image_sheet

ImagePreview = NewType("ImagePreview", str)
TablePreview = NewType("TablePreview", dict[str, Any])
JSONPreview = NewType("JSONPreview", str)
HTMLPreview = NewType("HTMLPreview", str)

NOTHING_YET: Any = None

SHEET_COLUMNS = 8
SHEET_IMAGES = 24
LONGEST_SIDE = 128
"""Pixels of an image in a sheet: Viz shows it on a page that is shared."""
MOST_PIXELS = 50_000_000
LABEL_HEIGHT = 26


def png_preview(png: bytes) -> ImagePreview:
    """Give the bytes of a PNG file as Kedro-Viz takes them."""
    return ImagePreview(base64.b64encode(png).decode())


def sheet_preview(images: Iterable[npt.NDArray[np.uint8]]) -> ImagePreview:
    """Lay out (H, W) uint8 images, at most 128 pixels a side each."""
    small = [_shrunk(image) for image in images]
    return png_preview(encode_png(image_sheet(np.stack(small), columns=SHEET_COLUMNS)))


def folder_preview(folder: Path) -> ImagePreview:
    """Lay out the first images of a folder, by name."""
    paths = sorted(path for path in folder.iterdir() if path.suffix == ".png")[:SHEET_IMAGES]
    return sheet_preview(decode(path.read_bytes(), max_pixels=MOST_PIXELS) for path in paths)


def progress_preview(folder: Path) -> ImagePreview:
    """Set the first rows of sheets drawn as training went on below one another, by step."""
    rows = []
    for path in sorted(folder.glob("step_*.png")):
        sheet = decode(path.read_bytes(), max_pixels=MOST_PIXELS)
        side = (sheet.shape[1] + GAP) // SHEET_COLUMNS
        label = np.zeros((LABEL_HEIGHT, sheet.shape[1]), dtype=np.uint8)
        text = f"step {int(path.stem.removeprefix('step_'))}"
        cv2.putText(label, text, (4, 18), cv2.FONT_HERSHEY_SIMPLEX, 0.55, 255, 1, cv2.LINE_AA)
        rows += [label, sheet[:side]]
    return png_preview(encode_png(np.concatenate(rows)))


def table_preview(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> TablePreview:
    """Lay a table out as Kedro-Viz takes it.

    Args:
        columns: Their names.
        rows: Texts and numbers; `None` leaves a cell empty.
    """
    index = list(range(len(rows)))
    return TablePreview({"columns": list(columns), "index": index, "data": [*map(list, rows)]})


def weights_preview(path: Path) -> TablePreview:
    """List the tensors of a safetensors file, by its header alone; the first row counts them all.

    Columns: `tensor`, `shape`, `type` and `numbers`, how many it holds.
    """
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header: dict[str, Any] = json.loads(file.read(length))
    header.pop("__metadata__", None)
    counts = {name: int(np.prod(entry["shape"], dtype=np.int64)) for name, entry in header.items()}
    rows = [("all", "", "", f"{sum(counts.values()):,}")]
    for name, entry in sorted(header.items(), key=lambda item: _natural(item[0])):
        shape = " x ".join(map(str, entry["shape"]))
        rows.append((name, shape, entry["dtype"], f"{counts[name]:,}"))
    return table_preview(["tensor", "shape", "type", "numbers"], rows)


def contents_preview(folder: Path) -> TablePreview:
    """List what stands in a folder: each file or folder, how many files that is, and their size."""
    rows = []
    for path in sorted(folder.iterdir()):
        files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
        megabytes = sum(file.stat().st_size for file in files) / 1e6
        name = path.name if path.is_file() else f"{path.name}/"
        rows.append((name, len(files), f"{megabytes:,.1f}"))
    return table_preview(["in the folder", "files", "MB"], rows)


def page_preview(page: str, filepath: Path) -> HTMLPreview:
    """Say where a page is and what stands on it: its headings. Its styles would spoil Viz's own."""
    headings = _Headings()
    headings.feed(page)
    items = "".join(f"<li>{escape(heading)}</li>" for heading in headings.found)
    return HTMLPreview(
        f"<p>One page, to be opened in a browser: <code>{escape(str(filepath))}</code></p>"
        f"<ul>{items}</ul>"
    )


class _Headings(HTMLParser):
    """Gathers the texts of a page's headings of the first two levels."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.within = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in {"h1", "h2"}:
            self.within = True
            self.found.append("")

    def handle_endtag(self, tag: str) -> None:
        if tag in {"h1", "h2"}:
            self.within = False

    def handle_data(self, data: str) -> None:
        if self.within:
            self.found[-1] = " ".join([*self.found[-1].split(), *data.split()])


def _natural(name: str) -> list[str | int]:
    """Sorts `layers.2` before `layers.10`."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]


def _shrunk(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    scale = LONGEST_SIDE / max(image.shape)
    if scale >= 1:
        return image
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
