"""Grey pictures as PNG files that Kedro-Viz shows."""

import base64
from pathlib import Path
from typing import Any, NewType

import cv2
import numpy as np
import numpy.typing as npt
from kedro.io import AbstractDataset

from cxr_pipeline.data.files import write_bytes
from cxr_pipeline.data.png import encode_png

# Kedro-Viz goes by the name of what `preview` is annotated to return.
ImagePreview = NewType("ImagePreview", str)


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
        """The picture, as Kedro-Viz takes it."""
        return as_preview(self.load())

    def _exists(self) -> bool:
        return self._filepath.is_file()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}


def as_preview(picture: npt.NDArray[np.uint8]) -> ImagePreview:
    """Encode a (H, W) uint8 picture as the base64 PNG that Kedro-Viz shows."""
    return ImagePreview(base64.b64encode(encode_png(picture)).decode())
