"""Grey pictures as PNG files that Kedro-Viz shows."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from kedro.io import AbstractDataset

from cxr_pipeline.data.files import write_bytes
from cxr_pipeline.data.png import encode_png
from cxr_pipeline.datasets.previews import NOTHING_YET, ImagePreview, png_preview

Pictures = dict[str, npt.NDArray[np.uint8]]

GAP = 16
"""Pixels between two pictures in a preview."""


class PictureDataset(AbstractDataset[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]):
    """Saves and loads a (H, W) uint8 picture."""

    def __init__(self, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        """Name the PNG file."""
        self._filepath = Path(filepath)
        self.metadata = metadata

    def save(self, data: npt.NDArray[np.uint8]) -> None:
        """Write the picture."""
        write_bytes(self._filepath, encode_png(data))

    def load(self) -> npt.NDArray[np.uint8]:
        """Read the picture."""
        picture = cv2.imdecode(np.fromfile(self._filepath, np.uint8), cv2.IMREAD_GRAYSCALE)
        return np.asarray(picture, dtype=np.uint8)

    def preview(self) -> ImagePreview:
        """The picture, for Kedro-Viz."""
        return png_preview(self._filepath.read_bytes()) if self._exists() else NOTHING_YET

    def _exists(self) -> bool:
        return self._filepath.is_file()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}


class PicturesDataset(AbstractDataset[Pictures, Pictures]):
    """Saves and loads (H, W) uint8 pictures by name: the PNG files of a folder."""

    def __init__(self, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        """Name the folder."""
        self._filepath = Path(filepath)
        self.metadata = metadata

    def save(self, data: Pictures) -> None:
        """Write the pictures, each whole or not at all; others in the folder are removed first."""
        for path in self._paths():
            if path.stem not in data:
                path.unlink()
        for name, picture in data.items():
            write_bytes(self._filepath / f"{name}.png", encode_png(picture))

    def load(self) -> Pictures:
        """Read the pictures, in the order of their names."""
        return {path.stem: PictureDataset(str(path)).load() for path in self._paths()}

    def preview(self) -> ImagePreview:
        """The pictures below one another, for Kedro-Viz."""
        return _below_one_another([*self.load().values()]) if self._exists() else NOTHING_YET

    def _paths(self) -> list[Path]:
        return sorted(self._filepath.glob("*.png"))

    def _exists(self) -> bool:
        return bool(self._paths())

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}


def _below_one_another(pictures: list[npt.NDArray[np.uint8]]) -> ImagePreview:
    width = max(picture.shape[1] for picture in pictures)
    wide = [np.pad(picture, ((0, GAP), (0, width - picture.shape[1]))) for picture in pictures]
    return png_preview(encode_png(np.concatenate(wide)))
