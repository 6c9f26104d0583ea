import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from cxr_pipeline.data.sheets import GAP, image_sheet


@settings(deadline=None, derandomize=True)
@given(
    count=st.integers(1, 20),
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    columns=st.integers(1, 25),
)
def test_every_image_is_found_again_in_its_place_and_all_else_is_black(
    count, height, width, columns
):
    rng = np.random.default_rng(count)
    images = rng.integers(1, 256, (count, height, width), dtype=np.uint8)
    sheet = image_sheet(images, columns=columns)
    across = min(columns, count)
    down = (count + across - 1) // across
    assert sheet.dtype == np.uint8
    assert sheet.shape == (down * height + (down - 1) * GAP, across * width + (across - 1) * GAP)
    for number, image in enumerate(images):
        top = number // across * (height + GAP)
        left = number % across * (width + GAP)
        assert np.array_equal(sheet[top : top + height, left : left + width], image)
    # No pixel of an image is black, so what is not black is theirs.
    assert np.count_nonzero(sheet) == images.size


def test_one_image_is_its_own_sheet():
    image = np.arange(12, dtype=np.uint8).reshape(1, 3, 4)
    assert np.array_equal(image_sheet(image, columns=8), image[0])
