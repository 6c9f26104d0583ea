"""DICOM files to 8-bit grey, as a viewer would first show them.

Numbers in brackets are sections of the DICOM standard's part 3. pydicom is an optional extra.
"""

import logging
import warnings
from io import BytesIO
from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

if TYPE_CHECKING:
    from pydicom import Dataset
    from pydicom.uid import UID

MAGIC = b"DICM"
MAGIC_PLACE = 128
JP2_SIGNATURE = b"\x00\x00\x00\x0cjP  "

UNREADABLE_DICOM = "not a readable DICOM"
NEEDS_PYDICOM = "DICOM needs pydicom"
UNSUPPORTED = "DICOM compression not supported"

# All that is read of a file: who the patient is, is in none of these.
KEYWORDS = [
    "BitsAllocated", "BitsStored", "Columns", "ExtendedOffsetTable", "ExtendedOffsetTableLengths",
    "HighBit", "ModalityLUTSequence", "NumberOfFrames", "PhotometricInterpretation", "PixelData",
    "PixelPaddingRangeLimit", "PixelPaddingValue", "PixelRepresentation", "PlanarConfiguration",
    "RescaleIntercept", "RescaleSlope", "Rows", "SamplesPerPixel", "VOILUTFunction",
    "VOILUTSequence", "WindowCenter", "WindowWidth",
]  # fmt: skip
WINDOW = ("WindowCenter", "WindowWidth")

# pydicom quotes what it finds odd in a header. Here and not where pydicom is imported, since the
# filters are one list for all threads; a level would be set anew by that import.
logging.getLogger("pydicom").propagate = False
warnings.filterwarnings("ignore", module=r"pydicom\b")


class _RefusalError(ValueError):
    """A reason in our own words: nothing of the header is in it."""


def is_dicom(data: bytes) -> bool:
    """Tell whether a file's content calls itself DICOM."""
    return data[MAGIC_PLACE : MAGIC_PLACE + len(MAGIC)] == MAGIC


def decode_dicom(data: bytes, *, max_pixels: int) -> npt.NDArray[np.uint8]:
    """Decode a DICOM file with one image to 8-bit grey.

    Grey images go through the modality LUT or the rescaling (C.11.1), then through the first VOI
    LUT or, without one, the first window (C.11.2), whose range becomes 0 to 255. Without either,
    the image's own range does; pixels of the padding value (C.7.5.1.1.2) are left out as that range
    is measured and then fall to its nearer end. MONOCHROME1 is inverted, so that bone is bright.
    Colour becomes luminance.

    Args:
        data: The file's content.
        max_pixels: The most pixels an image may have; looked at before its pixels are decoded.

    Returns:
        (H, W) uint8.

    Raises:
        ValueError: If pydicom is not installed, or the file is cut short, damaged, too large, holds
            no or several images, or is compressed or coloured in a way that cannot be decoded. The
            text is short and says nothing of the patient or the file.
    """
    try:
        import pydicom  # noqa: F401
    except ImportError:
        raise ValueError(f"{NEEDS_PYDICOM}: pip install pydicom") from None
    try:
        return _decode(data, max_pixels)
    except (MemoryError, _RefusalError):
        raise
    except Exception:
        # Any: what pydicom raises of damaged bytes ranges from AttributeError to struct.error. Its
        # texts quote the header, so neither they nor a traceback that holds them may go on.
        raise ValueError(UNREADABLE_DICOM) from None


def _decode(data: bytes, max_pixels: int) -> npt.NDArray[np.uint8]:
    from pydicom import dcmread
    from pydicom.pixels.decoders.base import get_decoder

    syntax = _transfer_syntax(data)
    dataset = dcmread(BytesIO(data), specific_tags=KEYWORDS)
    _check_header(dataset, max_pixels)
    if syntax.is_encapsulated:
        _check_frame(dataset)
    else:
        _check_length(dataset)
    pixels, properties = get_decoder(syntax).as_array(dataset, index=0)
    colours = properties["photometric_interpretation"]
    if colours == "RGB":
        luminance = np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), dtype=np.float64)
        levels = luminance * (255 / (2**dataset.BitsStored - 1))
    elif colours in ("MONOCHROME1", "MONOCHROME2"):
        with np.errstate(all="ignore"):  # looked at below
            levels = _grey_levels(dataset, pixels)
    else:
        raise _RefusalError("DICOM colours not supported")
    if levels.shape != (dataset.Rows, dataset.Columns) or not np.isfinite(levels).all():
        raise _RefusalError(UNREADABLE_DICOM)
    grey: npt.NDArray[np.uint8] = np.rint(levels).clip(0, 255).astype(np.uint8)
    return 255 - grey if colours == "MONOCHROME1" else grey


def _transfer_syntax(data: bytes) -> "UID":
    """Read how the file is encoded, and refuse what cannot be decoded."""
    from pydicom.filereader import read_dataset, read_preamble
    from pydicom.pixels.decoders.base import get_decoder
    from pydicom.uid import UID, DeflatedExplicitVRLittleEndian

    stream = BytesIO(data)
    read_preamble(stream, force=False)
    meta = read_dataset(
        stream,
        is_implicit_VR=False,
        is_little_endian=True,
        stop_when=lambda tag, *_: tag.group != 2,
    )
    syntax = UID(meta.TransferSyntaxUID)
    try:
        # A deflated file would be inflated whole, to any size, before its header can be looked at.
        supported = syntax != DeflatedExplicitVRLittleEndian and get_decoder(syntax).is_available
    except NotImplementedError:
        supported = False
    if not supported:
        named = f" ({syntax})" if syntax.type else ""  # it has one where the standard lists it
        raise _RefusalError(f"{UNSUPPORTED}{named}")
    return syntax


def _check_header(dataset: "Dataset", max_pixels: int) -> None:
    """Refuse what is not one image of a size that fits into memory."""
    frames = int(dataset.get("NumberOfFrames") or 1)
    if frames != 1:
        raise _RefusalError(f"DICOM with {frames} frames")
    if not dataset.get("PixelData"):
        raise _RefusalError("DICOM without pixels")
    if dataset.Rows * dataset.Columns > max_pixels:
        raise _RefusalError(f"more than {max_pixels:,} pixels")
    if dataset.SamplesPerPixel not in (1, 3):
        raise _RefusalError("DICOM colours not supported")
    if dataset.HighBit != dataset.BitsStored - 1:  # as the standard once allowed
        raise _RefusalError("DICOM bit order not supported")


def _check_length(dataset: "Dataset") -> None:
    """Refuse pixels that are more or fewer than rows and columns say; one byte may pad them."""
    from pydicom.pixels.utils import get_expected_length

    spare = len(dataset.PixelData) - get_expected_length(dataset)
    if spare < 0:
        raise _RefusalError("truncated file")
    if spare > 1:
        raise _RefusalError("DICOM with more data than pixels")


def _check_frame(dataset: "Dataset") -> None:
    """Refuse a compressed image of another size than the header says, before it is decoded."""
    from pydicom.encaps import get_frame

    frame = get_frame(dataset.PixelData, 0, number_of_frames=1)
    if frame.startswith(JP2_SIGNATURE):
        # DICOM wants JPEG 2000 bare (PS3.5 A.4.4), and pydicom never comes to the end of a damaged
        # file of it.
        raise _RefusalError("DICOM with a JP2 file inside")
    try:
        with Image.open(BytesIO(frame), formats=("JPEG", "JPEG2000")) as image:
            size = image.size
    except UnidentifiedImageError:  # run lengths, which say no size
        return
    if size != (dataset.Columns, dataset.Rows):
        raise _RefusalError(UNREADABLE_DICOM)


def _grey_levels(dataset: "Dataset", pixels: npt.NDArray[np.generic]) -> npt.NDArray[np.float64]:
    """Turn stored numbers into grey levels, 0 to 255 where they lie in the range to show."""
    from pydicom.pixels.processing import apply_modality_lut

    # 64 bits: pydicom counts in the pixels' own type, which a table's place may exceed.
    values = np.asarray(apply_modality_lut(pixels.astype(np.int64), dataset), dtype=np.float64)
    if dataset.get("VOILUTSequence"):
        return _looked_up(dataset, values)
    if all(_is_given(dataset, keyword) for keyword in WINDOW):
        return _windowed(dataset, values)
    shown = values[~_is_padding(dataset, pixels)]
    low, high = float(shown.min()), float(shown.max())
    return (values - low) * (255 / (high - low) if high > low else 0)


def _looked_up(dataset: "Dataset", values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Apply the first VOI LUT (C.11.2.1.1); the range of its bits becomes 0 to 255."""
    from pydicom.pixels.processing import apply_voi

    item = dataset.VOILUTSequence[0]
    entries, first, bits = item.LUTDescriptor
    if bits == 8:
        # pydicom would look places up with 8 bits too, which ends at 256 entries.
        item.LUTDescriptor = [entries, first, 16]
    last = first + (entries or 2**16) - 1
    places = np.rint(values).clip(first, last).astype(np.int64)
    levels: npt.NDArray[np.float64] = apply_voi(places, dataset) * (255 / (2**bits - 1))
    return levels


def _windowed(dataset: "Dataset", values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Apply the first window by its function (C.11.2.1.2 and C.11.2.1.3)."""
    from pydicom import Dataset
    from pydicom.pixels.processing import apply_windowing

    # pydicom spreads the window over the range that the bits stored and the rescaling allow. Over
    # 8 bits without rescaling, that range is the one wanted.
    window = Dataset()
    window.PhotometricInterpretation = "MONOCHROME2"
    window.PixelRepresentation = 0
    window.BitsStored = 8
    for keyword in (*WINDOW, "VOILUTFunction"):
        if _is_given(dataset, keyword):
            window[keyword] = dataset[keyword]
    levels: npt.NDArray[np.float64] = apply_windowing(values, window)
    return levels


def _is_padding(dataset: "Dataset", pixels: npt.NDArray[np.generic]) -> npt.NDArray[np.bool_]:
    """Mark the pixels outside the image proper."""
    if not _is_given(dataset, "PixelPaddingValue"):
        return np.zeros(pixels.shape, dtype=np.bool_)
    value = dataset.PixelPaddingValue
    limit = dataset.get("PixelPaddingRangeLimit", value)
    padding: npt.NDArray[np.bool_] = (pixels >= min(value, limit)) & (pixels <= max(value, limit))
    return padding


def _is_given(dataset: "Dataset", keyword: str) -> bool:
    """Tell whether an element is there and not empty."""
    return keyword in dataset and not dataset[keyword].is_empty
