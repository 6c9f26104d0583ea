import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from tests.data.pictures import encoded, noise

from cxr_pipeline.data.jpeg_markers import SIGNATURE, jpeg_size

JPEG = encoded(noise(40, 50), "jpeg")


@st.composite
def pillow_jpegs(draw):
    """JPEGs of any mode and coding, as Pillow writes them, some with a thumbnail inside."""
    height, width = draw(st.integers(1, 70)), draw(st.integers(1, 70))
    options = {
        "quality": draw(st.integers(1, 100)),
        "progressive": draw(st.booleans()),
        "restart_marker_blocks": draw(st.integers(0, 3)),
        "comment": draw(st.binary(max_size=20)),
    }
    if draw(st.booleans()):
        options["exif"] = b"Exif\0\0" + encoded(noise(8, 9), "jpeg")
    mode = draw(st.sampled_from(["L", "RGB", "CMYK"]))
    return encoded(noise(height, width), "jpeg", mode, **options)


@settings(deadline=None, derandomize=True, max_examples=100)
@given(jpeg=pillow_jpegs(), data=st.data())
def test_the_size_is_pillows_and_only_that_of_whole_files(jpeg, data):
    size = Image.open(io.BytesIO(jpeg)).size
    assert jpeg_size(jpeg) == size
    assert jpeg_size(jpeg + data.draw(st.binary())) == size
    assert jpeg_size(jpeg[: data.draw(st.integers(0, len(jpeg) - 1))]) is None


def test_any_number_of_fill_bytes_may_stand_before_a_marker():
    assert jpeg_size(SIGNATURE + b"\xff" * 2_000_000 + JPEG[2:]) == (50, 40)
    assert jpeg_size(SIGNATURE + b"\xff" * 2_000_000 + b"\0") is None


@pytest.mark.parametrize(
    "jpeg", [b"", SIGNATURE, SIGNATURE + b"\xff\xc0\0\x11\x08\0", JPEG[: len(JPEG) // 2]]
)
def test_what_stops_before_its_end_has_no_size(jpeg):
    assert jpeg_size(jpeg) is None


def test_an_end_without_a_frame_before_it_is_told_from_a_cut():
    assert jpeg_size(SIGNATURE + b"\xff\xd9") == (0, 0)


@settings(deadline=None, derandomize=True, max_examples=300)
@given(content=st.binary(max_size=200) | st.lists(st.sampled_from(JPEG)).map(bytes))
def test_any_bytes_have_a_size_or_none(content):
    size = jpeg_size(SIGNATURE + content)
    assert size is None or all(0 <= side < 2**16 for side in size)
