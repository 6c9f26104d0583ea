"""Real DICOM bytes, written by pydicom."""

import io
import subprocess
import sys

import cv2
import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pydicom import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLosslessSV1,
    RLELossless,
)
from tests.data.dicoms import dicom

from cxr_pipeline.data.dicom import decode_dicom, is_dicom

# pydicom warns of what it finds odd; see `test_nothing_of_a_header_is_printed`.
pytestmark = pytest.mark.filterwarnings("ignore:::pydicom")

MANY = 10_000_000


def noise(high=4096, dtype=np.uint16, low=0):
    return np.random.default_rng(0).integers(low, high, (14, 10)).astype(dtype)


def spread(values):
    """The values' own range as 0 to 255, to the nearest grey level."""
    values = np.asarray(values, dtype=np.float64)
    return np.rint((values - values.min()) / (values.max() - values.min()) * 255)


def decode(data, max_pixels=MANY):
    grey = decode_dicom(data, max_pixels=max_pixels)
    assert grey.dtype == np.uint8
    return grey


def refusal(data, max_pixels=MANY):
    with pytest.raises(ValueError, match=r"\S") as caught:
        decode_dicom(data, max_pixels=max_pixels)
    assert "\n" not in str(caught.value)
    assert caught.value.__cause__ is None
    return str(caught.value)


def table(entries, *, first=0, bits=16):
    """A LUT's item."""
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [len(entries), first, bits])
    item.add_new("LUTData", "US", [int(entry) for entry in entries])
    return [item]


# -- grey levels ---------------------------------------------------------------------------------


def test_dicom_is_told_by_its_magic_and_not_by_a_name():
    assert is_dicom(dicom(noise()))
    assert not is_dicom(b"")
    assert not is_dicom(b"\x89PNG\r\n\x1a\n" + bytes(200))


@pytest.mark.parametrize(
    ("pixels", "bits"),
    [
        (noise(256, np.uint8), 8),
        (noise(4096), 12),
        (noise(65536), 16),
        (noise(32768, np.int16, low=-32768), 16),
        (noise(2048, np.int16, low=-2048), 16),
    ],
    ids=["8 bits", "12 bits", "16 bits", "16 bits signed", "12 bits signed"],
)
def test_without_a_window_the_image_s_own_range_is_shown(pixels, bits):
    assert np.array_equal(decode(dicom(pixels, bits=bits)), spread(pixels))


def test_what_stands_in_the_bits_not_stored_is_no_grey_level():
    pixels = noise(4096)
    assert np.array_equal(decode(dicom(pixels | 0xF000, bits=12)), spread(pixels))


@pytest.mark.parametrize("window", [{}, {"WindowCenter": 2000, "WindowWidth": 1500}])
def test_monochrome1_is_monochrome2_inverted(window):
    bright_high = dicom(noise(), **window)
    bright_low = dicom(noise(), PhotometricInterpretation="MONOCHROME1", **window)
    assert np.array_equal(decode(bright_low), 255 - decode(bright_high))


def test_an_image_of_one_level_is_black():
    assert not decode(dicom(np.full((4, 5), 700, dtype=np.uint16))).any()


def linear(x, centre, width):
    """PS3.3 C.11.2.1.2.1, pixel for pixel, for y from 0 to 255."""
    if x <= centre - 0.5 - (width - 1) / 2:
        return 0.0
    if x > centre - 0.5 + (width - 1) / 2:
        return 255.0
    return ((x - (centre - 0.5)) / (width - 1) + 0.5) * 255


def linear_exact(x, centre, width):
    """PS3.3 C.11.2.1.3.2."""
    if x <= centre - width / 2:
        return 0.0
    if x > centre + width / 2:
        return 255.0
    return ((x - centre) / width + 0.5) * 255


def sigmoid(x, centre, width):
    """PS3.3 C.11.2.1.3.1."""
    return 255 / (1 + np.exp(min(-4 * (x - centre) / width, 700)))


FUNCTIONS = {None: linear, "LINEAR": linear, "LINEAR_EXACT": linear_exact, "SIGMOID": sigmoid}


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("window", [(2048, 4096), (1800, 700.5), (100, 1), (-300, 50), (9000, 80)])
@pytest.mark.parametrize("rescale", [None, (1.5, -200), (-1, 4095)])
def test_a_window_is_applied_by_the_standard_s_formula(function, window, rescale):
    centre, width = window
    elements = {"WindowCenter": centre, "WindowWidth": width}
    if function:
        elements["VOILUTFunction"] = function
    slope, intercept = rescale or (1, 0)
    if rescale:
        elements |= {"RescaleSlope": slope, "RescaleIntercept": intercept}
    pixels = noise()
    formula = np.vectorize(FUNCTIONS[function], otypes=[np.float64])
    expected = np.rint(formula(pixels * float(slope) + intercept, centre, width))
    assert np.array_equal(decode(dicom(pixels, bits=12, **elements)), expected)


def test_the_first_of_several_windows_is_taken():
    one = dicom(noise(), WindowCenter=1000, WindowWidth=900)
    several = dicom(noise(), WindowCenter=[1000, 3000], WindowWidth=[900, 40])
    assert np.array_equal(decode(several), decode(one))


def test_a_window_left_empty_is_none():
    pixels = noise()
    assert np.array_equal(decode(dicom(pixels, WindowCenter="", WindowWidth="")), spread(pixels))


def test_a_negative_slope_turns_the_levels_round():
    pixels = noise()
    negative = dicom(pixels, RescaleSlope=-2, RescaleIntercept=100)
    assert np.array_equal(decode(negative), spread(-pixels.astype(int)))


def test_a_modality_table_comes_before_the_window():
    pixels = noise(300) + 1000
    entries = np.arange(256) ** 2 // 4
    data = dicom(
        pixels,
        ModalityLUTSequence=table(entries, first=1020),
        WindowCenter=8000,
        WindowWidth=9000,
    )
    values = entries[np.clip(pixels.astype(int) - 1020, 0, 255)]
    expected = np.rint([[linear(value, 8000, 9000) for value in row] for row in values])
    assert np.array_equal(decode(data), expected)


@pytest.mark.parametrize(("bits", "size"), [(8, 256), (8, 4096), (12, 4096), (16, 4096)])
def test_a_voi_table_is_looked_up_and_goes_before_a_window(bits, size):
    pixels = noise(4500)
    entries = (np.linspace(0, 1, size) ** 2 * (2**bits - 1)).astype(int)
    data = dicom(
        pixels,
        VOILUTSequence=table(entries, first=40, bits=bits),
        WindowCenter=1,
        WindowWidth=1,
    )
    values = entries[np.clip(pixels.astype(int) - 40, 0, size - 1)]
    assert np.array_equal(decode(data), np.rint(values * (255 / (2**bits - 1))))


def test_a_table_for_signed_pixels_begins_below_zero():
    pixels = noise(500, np.int16, low=-500)
    item = table(np.arange(1000), bits=10)
    item[0].add_new("LUTDescriptor", "SS", [1000, -500, 10])
    expected = np.rint((pixels.astype(int) + 500) * (255 / 1023))
    assert np.array_equal(decode(dicom(pixels, VOILUTSequence=item)), expected)


@pytest.mark.parametrize(("colours", "padding"), [("MONOCHROME2", 0), ("MONOCHROME1", 65535)])
def test_padding_does_not_stretch_the_range_and_comes_out_black(colours, padding):
    pixels = noise(3000, low=1000)
    pixels[:3] = padding
    grey = decode(dicom(pixels, PhotometricInterpretation=colours, PixelPaddingValue=padding))
    assert not grey[:3].any()
    inner = spread(pixels[3:])
    assert np.array_equal(grey[3:], inner if colours == "MONOCHROME2" else 255 - inner)


def test_a_range_of_padding_values_is_left_out():
    pixels = noise(3000, low=1000)
    pixels[0, :4] = [0, 5, 9, 10]
    data = dicom(pixels, PixelPaddingValue=0, PixelPaddingRangeLimit=10)
    within = pixels[pixels > 10].astype(np.float64)
    expected = (pixels.astype(np.float64) - within.min()) / np.ptp(within) * 255
    assert np.array_equal(decode(data), np.rint(expected.clip(0, 255)))


# -- colour and compression ----------------------------------------------------------------------


def colours():
    return np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)


def test_colour_becomes_luminance():
    assert np.array_equal(decode(dicom(colours())), cv2.cvtColor(colours(), cv2.COLOR_RGB2GRAY))
    planes = {"data": colours().transpose(2, 0, 1).tobytes(), "PlanarConfiguration": 1}
    assert np.array_equal(decode(dicom(colours(), **planes)), decode(dicom(colours())))


def test_brightness_and_colour_differences_become_luminance():
    ybr = cv2.cvtColor(colours(), cv2.COLOR_RGB2YCrCb)[:, :, [0, 2, 1]]
    grey = decode(dicom(ybr, PhotometricInterpretation="YBR_FULL"))
    assert np.abs(grey.astype(int) - decode(dicom(colours()))).max() <= 2


def test_a_palette_is_refused():
    data = dicom(noise(256, np.uint8), PhotometricInterpretation="PALETTE COLOR")
    assert refusal(data) == "DICOM colours not supported"


def compressed(pixels, syntax, kind="jpeg", **options):
    return dicom(pixels, syntax=syntax, data=encapsulate([encode(pixels, kind, **options)]))


def encode(pixels, kind="jpeg", **options):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, **options)
    return file.getvalue()


def test_a_jpeg_inside_is_decoded():
    smooth = np.add.outer(np.arange(0, 160, 4), 2 * np.arange(48)).astype(np.uint8)
    grey = decode(compressed(smooth, JPEGBaseline8Bit, quality=95))
    assert np.abs(grey - spread(smooth)).max() <= 4


def test_jpeg_2000_is_decoded_bare_as_dicom_wants_it_and_refused_as_a_file_of_its_own():
    pixels = noise(256, np.uint8)
    bare = compressed(pixels, JPEG2000Lossless, "jpeg2000", no_jp2=True)
    assert np.array_equal(decode(bare), spread(pixels))
    boxed = compressed(pixels, JPEG2000Lossless, "jpeg2000")
    assert refusal(boxed) == "DICOM with a JP2 file inside"


def test_run_lengths_are_decoded():
    pixels = noise()
    dataset = pydicom.dcmread(io.BytesIO(dicom(pixels)))
    dataset.compress(RLELossless)
    file = io.BytesIO()
    dataset.save_as(file)
    assert np.array_equal(decode(file.getvalue()), spread(pixels))


def test_compression_without_a_decoder_is_refused_by_its_number():
    data = compressed(noise(256, np.uint8), JPEGLosslessSV1)
    assert refusal(data) == "DICOM compression not supported (1.2.840.10008.1.2.4.70)"


def test_what_only_stands_where_the_compression_should_is_not_repeated():
    data = dicom(noise()).replace(b"1.2.840.10008.1.2.1\x00", b"Mustermann^Erika1970")
    assert refusal(data) == "DICOM compression not supported"


# -- refusals ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "not a readable DICOM"),
        (b"this is no picture", "not a readable DICOM"),
        (bytes(128) + b"DICM", "not a readable DICOM"),
        (dicom(noise())[:-20], "truncated file"),
        (dicom(noise())[:300], "DICOM without pixels"),
        (dicom(noise(), data=noise().tobytes()[:-2]), "truncated file"),
        (dicom(noise(), data=noise().tobytes() + b"more"), "DICOM with more data than pixels"),
        (dicom(noise(), NumberOfFrames=5), "DICOM with 5 frames"),
        (dicom(noise(), PixelData=None), "DICOM without pixels"),
        (dicom(noise(), data=b""), "DICOM without pixels"),
        (dicom(noise(), Rows=None), "not a readable DICOM"),
        (dicom(noise(), SamplesPerPixel=60000), "DICOM colours not supported"),
        (dicom(noise(), bits=12, HighBit=15), "DICOM bit order not supported"),
        (dicom(noise(), WindowCenter=1, WindowWidth=0), "not a readable DICOM"),
        (dicom(noise(), RescaleSlope="1e300", RescaleIntercept="1e999"), "not a readable DICOM"),
    ],
    ids=[
        "empty", "text", "magic alone", "half", "header cut", "too short", "too long",
        "several frames", "no pixels", "empty pixels", "no rows", "many channels",
        "upper bits", "no width", "not finite",
    ],
)  # fmt: skip
def test_what_is_no_single_whole_image_is_refused_with_the_reason(data, reason):
    assert refusal(data) == reason


def test_one_byte_of_padding_after_an_odd_number_of_pixels_is_no_fault():
    pixels = noise(256, np.uint8)[:7, :9]
    assert np.array_equal(decode(dicom(pixels, data=pixels.tobytes() + b"\0")), spread(pixels))


def test_a_header_that_claims_too_many_pixels_is_refused_before_they_are_decoded(monkeypatch):
    monkeypatch.setattr(
        "pydicom.pixels.decoders.base.Decoder.as_array", lambda *_, **__: pytest.fail("decoded")
    )
    data = dicom(noise(), Rows=60000, Columns=60000)
    assert refusal(data) == "more than 10,000,000 pixels"
    assert refusal(dicom(noise()), max_pixels=139) == "more than 139 pixels"
    # A small header before a large JPEG.
    lying = dicom(
        noise(256, np.uint8),
        syntax=JPEGBaseline8Bit,
        data=encapsulate([encode(np.zeros((900, 900), dtype=np.uint8))]),
    )
    assert refusal(lying) == "not a readable DICOM"


def test_a_deflated_file_which_may_inflate_to_anything_is_refused():
    data = dicom(noise(), syntax=DeflatedExplicitVRLittleEndian)
    assert refusal(data) == "DICOM compression not supported (1.2.840.10008.1.2.1.99)"


def test_without_pydicom_it_is_asked_for(monkeypatch):
    data = dicom(noise())
    monkeypatch.setitem(sys.modules, "pydicom", None)
    assert refusal(data) == "DICOM needs pydicom: pip install pydicom"


def test_nothing_of_a_header_is_printed(tmp_path):
    """In a process of its own, since pytest has its own way with warnings and logs."""
    pixels = noise(256, np.uint8)
    odd = {
        "compression": dicom(noise()).replace(b"1.2.840.10008.1.2.1\x00", b"Mustermann^Erika1970"),
        "window": dicom(noise(), WindowCenter=1970, WindowWidth=9).replace(b"1970", b"Must"),
        "jpeg": dicom(pixels, bits=7, syntax=JPEGExtended12Bit, data=encapsulate([encode(pixels)])),
    }
    for name, data in odd.items():
        (tmp_path / f"Mustermann_{name}.dcm").write_bytes(data)
    code = """
import logging, sys
from pathlib import Path
from cxr_pipeline.data.dicom import decode_dicom
logging.basicConfig(level=logging.INFO)
for path in sorted(Path(sys.argv[1]).iterdir()):
    try:
        decode_dicom(path.read_bytes(), max_pixels=1000)
    except ValueError as error:
        print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "DICOM compression not supported",
        "not a readable DICOM",
        "not a readable DICOM",
    ]


ORIGINALS = [
    dicom(
        noise(),
        bits=12,
        WindowCenter=[1000, 3000],
        WindowWidth=[900, 40],
        RescaleSlope=1.5,
        RescaleIntercept=-20,
        PixelPaddingValue=0,
    ),
    dicom(
        noise(300, np.int16, low=-300),
        PhotometricInterpretation="MONOCHROME1",
        ModalityLUTSequence=table(np.arange(40)),
        VOILUTSequence=table(np.arange(40) * 6, bits=8),
    ),
    dicom(colours()),
    compressed(noise(256, np.uint8), JPEGBaseline8Bit),
    compressed(noise(256, np.uint8), JPEG2000Lossless, "jpeg2000"),
    compressed(noise(256, np.uint8), JPEG2000Lossless, "jpeg2000", no_jp2=True),
]


@settings(deadline=None, derandomize=True, max_examples=400)
@given(data=st.data())
def test_damaged_bytes_give_an_image_or_a_reason_and_no_other_error(data):
    damaged = bytearray(data.draw(st.sampled_from(ORIGINALS), label="original"))
    for _ in range(data.draw(st.integers(1, 3), label="times")):
        # The preamble says nothing.
        place = data.draw(st.integers(128, len(damaged)), label="place")
        kind = data.draw(st.sampled_from(["flip", "cut", "remove", "insert"]), label="kind")
        if kind == "flip" and place < len(damaged):
            damaged[place] ^= data.draw(st.integers(1, 255), label="bits")
        elif kind == "cut":
            del damaged[max(place, 129) :]
        elif kind == "remove":
            del damaged[place : place + data.draw(st.integers(1, 40), label="bytes")]
        else:
            damaged[place:place] = data.draw(st.binary(min_size=1, max_size=40), label="bytes")
    try:
        grey = decode(bytes(damaged), max_pixels=5000)
    except ValueError:
        reason = refusal(bytes(damaged), max_pixels=5000)
        assert len(reason) < 70
        assert "Muster" not in reason
    else:
        assert grey.ndim == 2
