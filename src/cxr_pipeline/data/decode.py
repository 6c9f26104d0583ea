"""From the bytes of an image file to 8-bit grey levels."""

import io
from contextlib import suppress
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from cxr_pipeline.data.png_stored import SIGNATURE as PNG_SIGNATURE
from cxr_pipeline.data.png_stored import MalformedError, store_png

# The caller runs several decoders at once; OpenCV's own threads would only get in their way.
cv2.setNumThreads(1)
# What OpenCV has to say of a broken file reaches the user as a quarantine reason.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)

NOT_READABLE = "not a readable image"

PNG_END = b"IEND\xaeB`\x82"
JPEG_SIGNATURE = b"\xff\xd8"
JPEG_END = b"\xff\xd9"


def decode(data: bytes, *, max_pixels: int) -> npt.NDArray[np.uint8]:
    """Decode a PNG, JPEG or DICOM file to 8-bit grey.

    Colour becomes luminance, alpha is dropped, and 16 bits become 8 over their whole range (NIH's
    RGB and RGBA files hold the same grey in each channel).

    Args:
        data: The file.
        max_pixels: Refuse an image that claims more, before decoding it.

    Returns:
        (H, W) uint8.

    Raises:
        ValueError: If the file is empty, cut short, too large, or no image; the text says which.
    """
    if not data:
        raise ValueError("empty file")
    # Looked at before decoding, since libraries differ in what they make of half an image.
    if (data.startswith(PNG_SIGNATURE) and PNG_END not in data[-64:]) or (
        data.startswith(JPEG_SIGNATURE) and JPEG_END not in data[-64:]
    ):
        raise ValueError("truncated file")
    width, height = _claimed_size(data)
    if width * height > max_pixels:
        raise ValueError(f"more than {max_pixels:,} pixels")
    with suppress(MalformedError):  # a JPEG, or a PNG for OpenCV to take or refuse as it is
        data = store_png(data)
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        pixels = None
    if pixels is None:
        raise ValueError(NOT_READABLE)
    return _grey(pixels)


def _claimed_size(data: bytes) -> tuple[int, int]:
    """Width and height as the file's header has them."""
    try:
        with Image.open(io.BytesIO(data), formats=("PNG", "JPEG")) as image:
            return image.size
    except Image.DecompressionBombError:
        return 2**32, 2**32
    except (OSError, ValueError, SyntaxError) as error:  # as Pillow has it for broken headers
        raise ValueError(NOT_READABLE) from error


def _grey(pixels: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    if pixels.dtype == np.uint16:
        pixels = (pixels // 257).astype(np.uint8)
    if pixels.dtype != np.uint8:
        raise ValueError(f"unsupported sample type {pixels.dtype}")
    if pixels.ndim == 3:
        conversion = {3: cv2.COLOR_BGR2GRAY, 4: cv2.COLOR_BGRA2GRAY}
        channels = pixels.shape[2]
        if channels not in conversion:
            raise ValueError(f"unsupported number of channels {channels}")
        pixels = cv2.cvtColor(pixels, conversion[channels])
    return np.asarray(pixels, dtype=np.uint8)
