import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image

from cxr_pipeline.data.png import encode_png

PICTURES = arrays(np.uint8, array_shapes(min_dims=2, max_dims=2, max_side=24))


def read(data):
    return Image.open(io.BytesIO(data))


@settings(deadline=None, derandomize=True)
@given(picture=PICTURES)
def test_pillow_reads_back_the_very_pixels(picture):
    image = read(encode_png(picture))
    assert (image.format, image.mode) == ("PNG", "L")
    assert np.array_equal(np.asarray(image), picture)


@settings(deadline=None, derandomize=True)
@given(picture=PICTURES)
def test_rgba_holds_the_same_grey_in_each_colour_and_is_opaque(picture):
    image = read(encode_png(picture, rgba=True))
    assert image.mode == "RGBA"
    red, green, blue, alpha = np.moveaxis(np.asarray(image), -1, 0)
    for colour in (red, green, blue):
        assert np.array_equal(colour, picture)
    assert (alpha == 255).all()


@settings(deadline=None, derandomize=True)
@given(picture=PICTURES, rgba=st.booleans())
def test_the_same_pixels_give_the_same_bytes_however_they_lie_in_memory(picture, rgba):
    assert encode_png(np.asfortranarray(picture), rgba=rgba) == encode_png(picture, rgba=rgba)


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [((4, 4, 3), "uint8"), ((16,), "uint8"), ((4, 4), "float32"), ((4, 4), "uint16")],
)
def test_what_is_no_grey_picture_is_refused_with_shape_and_type(shape, dtype):
    with pytest.raises(ValueError, match="give a") as caught:
        encode_png(np.zeros(shape, dtype=dtype))
    assert str(caught.value) == (
        f"picture: shape {shape}, dtype {dtype}: give a (H, W) uint8 array"
    )
