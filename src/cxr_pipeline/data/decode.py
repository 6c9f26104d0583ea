"""From the bytes of an image file to 8-bit grey levels."""

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from cxr_pipeline.data.dicom import decode_dicom, is_dicom
from cxr_pipeline.data.jpeg_markers import SIGNATURE as JPEG_SIGNATURE
from cxr_pipeline.data.jpeg_markers import jpeg_size
from cxr_pipeline.data.png_stored import SIGNATURE as PNG_SIGNATURE
from cxr_pipeline.data.png_stored import MalformedError, png_size, store_png

# The caller runs several decoders at once; OpenCV's own threads would only get in their way.
cv2.setNumThreads(1)
# What OpenCV has to say of a broken file reaches the user as a quarantine reason.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)

NOT_READABLE = "not a readable image"

LONGEST_SIDE = 1_000_000
"""Pixels; libpng decodes no longer ones."""


def decode(data: bytes, *, max_pixels: int) -> npt.NDArray[np.uint8]:
    """Decode a PNG, JPEG or DICOM file to 8-bit grey.

    Colour becomes luminance and alpha is dropped (NIH's RGB and RGBA files hold the same grey in
    each channel). 16 bits become 8 over the range of as many bits as the brightest level needs:
    often it is 10 or 12 bits that are kept in 16. Of an animation the still picture is taken.

    A damaged PNG is refused, by its checksums. A JPEG has none: one that was cut or changed within
    its coded pixels but still has its end mark is taken as it decodes, grey from the cut on.

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
    if is_dicom(data):
        return decode_dicom(data, max_pixels=max_pixels)
    png = data.startswith(PNG_SIGNATURE)
    if not png and not data.startswith(JPEG_SIGNATURE):
        raise ValueError(NOT_READABLE)
    # Looked at before decoding, since libraries differ in what they make of half an image.
    size = png_size(data) if png else jpeg_size(data)
    if size is None:
        raise ValueError("truncated file")
    if size[0] * size[1] > max_pixels:
        raise ValueError(f"more than {max_pixels:,} pixels")
    if max(size) > LONGEST_SIDE:
        raise ValueError(f"more than {LONGEST_SIDE:,} pixels in a row or column")
    try:
        encoded = np.frombuffer(store_png(data) if png else data, np.uint8)
        pixels = cv2.imdecode(encoded, cv2.IMREAD_UNCHANGED)
    except (MalformedError, cv2.error) as error:
        raise ValueError(NOT_READABLE) from error
    if pixels is None:
        raise ValueError(NOT_READABLE)
    return _grey(pixels)


def _eight_bits(pixels: npt.NDArray[np.uint16]) -> npt.NDArray[np.uint8]:
    bits = max(8, int(pixels.max(initial=0)).bit_length())
    brightest = 2**bits - 1
    scaled = (pixels.astype(np.uint32) * 255 + brightest // 2) // brightest
    return np.asarray(scaled, dtype=np.uint8)


def _grey(pixels: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    if pixels.dtype == np.uint16:
        pixels = _eight_bits(pixels)
    if pixels.dtype != np.uint8:
        raise ValueError(f"unsupported sample type {pixels.dtype}")
    if pixels.ndim == 3:
        conversion = {3: cv2.COLOR_BGR2GRAY, 4: cv2.COLOR_BGRA2GRAY}
        channels = pixels.shape[2]
        if channels not in conversion:
            raise ValueError(f"unsupported number of channels {channels}")
        pixels = cv2.cvtColor(pixels, conversion[channels])
    return np.asarray(pixels, dtype=np.uint8)
