"""From an image file to the square grey picture that the models see (the paper's section 4)."""

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

VERSION = 1
"""Goes up when the same file and settings would give other pixels: old stores are then rebuilt."""

# The caller runs several decoders at once; OpenCV's own threads would only get in their way.
cv2.setNumThreads(1)
# What OpenCV has to say of a broken file reaches the user as a quarantine reason.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)

UNREADABLE = "unreadable file"
"""How the reason begins where the disk, not the image, is at fault."""

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
PNG_END = b"IEND\xaeB`\x82"
JPEG_SIGNATURE = b"\xff\xd8"
JPEG_END = b"\xff\xd9"


def decode(path: Path) -> npt.NDArray[np.uint8]:
    """Decode a PNG or JPEG file to 8-bit grey.

    Colour becomes luminance, alpha is dropped, and 16 bits become 8 (NIH's RGB and RGBA files
    hold the same grey in each channel).

    Args:
        path: The image file.

    Returns:
        (H, W) uint8.

    Raises:
        ValueError: If the file is unreadable, empty, cut short, or no image; the text says which.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ValueError(f"{UNREADABLE} ({error.strerror})") from error
    if not data:
        raise ValueError("empty file")
    # Looked at before decoding, since libraries differ in what they make of half an image.
    if (data.startswith(PNG_SIGNATURE) and PNG_END not in data[-64:]) or (
        data.startswith(JPEG_SIGNATURE) and JPEG_END not in data[-64:]
    ):
        raise ValueError("truncated file")
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:  # it claims more pixels than OpenCV takes
        pixels = None
    if pixels is None:
        raise ValueError("not a readable image")
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


def transform(pixels: npt.NDArray[np.uint8], size: int, *, equalise: bool) -> npt.NDArray[np.uint8]:
    """Resize, crop and equalise one image, as the paper's section 4.

    The shorter side becomes `size` (antialiased where it shrinks), the centre is cut out, and
    the grey levels are spread by histogram equalisation.

    Args:
        pixels: (H, W) uint8.
        size: Side S of the result, in pixels.
        equalise: Whether to equalise the histogram.

    Returns:
        (S, S) uint8.
    """
    height, width = pixels.shape
    shorter = min(height, width)
    new_height, new_width = (round(side * size / shorter) for side in (height, width))
    if (new_height, new_width) != (height, width):
        # Area averaging is the antialiased choice when shrinking; it only copies when growing.
        method = cv2.INTER_AREA if size < shorter else cv2.INTER_LINEAR
        pixels = np.asarray(
            cv2.resize(pixels, (new_width, new_height), interpolation=method), dtype=np.uint8
        )
    top, left = (new_height - size) // 2, (new_width - size) // 2
    pixels = np.ascontiguousarray(pixels[top : top + size, left : left + size])
    return np.asarray(cv2.equalizeHist(pixels), dtype=np.uint8) if equalise else pixels
