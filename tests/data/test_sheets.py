import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.data.pictures import encoded, noise
from tests.data.stores import damage, refusal

from cxr_pipeline.data.sheets import GAP, comparison_sheet, image_sheet, pair_sheet


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


@settings(deadline=None, derandomize=True)
@given(count=st.integers(1, 12), columns=st.integers(1, 15))
def test_each_image_is_compared_with_the_one_below_it(count, columns):
    rng = np.random.default_rng(count)
    above, below = rng.integers(1, 256, (2, count, 3, 4), dtype=np.uint8)
    sheet = comparison_sheet(above, below, columns=columns)
    across = min(columns, count)
    down = 2 * ((count + across - 1) // across)
    assert sheet.shape == (down * 3 + (down - 1) * GAP, across * 4 + (across - 1) * GAP)
    for number in range(count):
        left = number % across * (4 + GAP)
        for images, row in ((above, 0), (below, 1)):
            top = (number // across * 2 + row) * (3 + GAP)
            assert np.array_equal(sheet[top : top + 3, left : left + 4], images[number])
    assert np.count_nonzero(sheet) == above.size + below.size


# -- before and after ----------------------------------------------------------------------------

NAMES = ["a.png", "b.png", "c.png"]
BEFORE = {"a.png": noise(8, 8), "b.png": noise(16, 8, seed=1), "c.png": noise(4, 8, seed=2)}
AFTER = np.stack([np.full((8, 8), level, dtype=np.uint8) for level in (50, 100, 150)])


@pytest.fixture
def raw(tmp_path):
    for name, pixels in BEFORE.items():
        (tmp_path / name).write_bytes(encoded(pixels))
    return tmp_path


def sheet_of(raw, names=NAMES, max_pixels=10_000):
    return pair_sheet(names, AFTER[: len(names)], raw, columns=4, max_pixels=max_pixels)


def place(sheet, row, column):
    top, left = row * (8 + GAP), column * (8 + GAP)
    return sheet[top : top + 8, left : left + 8]


def test_each_image_stands_beside_what_became_of_it(raw):
    sheet = sheet_of(raw)
    assert sheet.shape == (2 * 8 + GAP, 4 * 8 + 3 * GAP)
    for number, (row, column) in enumerate([(0, 1), (0, 3), (1, 1)]):
        assert (place(sheet, row, column) == AFTER[number]).all()
    assert np.array_equal(place(sheet, 0, 0), BEFORE["a.png"])


def test_an_image_is_shown_whole_in_the_middle_of_its_square(raw):
    sheet = sheet_of(raw)
    tall, wide = place(sheet, 0, 2), place(sheet, 1, 0)
    assert (tall[:, :2] == 0).all()
    assert (tall[:, 6:] == 0).all()
    halves = BEFORE["b.png"].reshape(8, 2, 4, 2).mean(axis=(1, 3))
    assert np.abs(tall[:, 2:6] - halves).max() <= 0.5
    assert (wide[:2] == 0).all()
    assert (wide[6:] == 0).all()
    assert np.array_equal(wide[2:6], BEFORE["c.png"])


@pytest.mark.parametrize("shape", [(1, 300), (300, 1), (1, 1)])
def test_lines_and_points_are_shown_too(raw, shape):
    (raw / "a.png").write_bytes(encoded(np.full(shape, 200, dtype=np.uint8)))
    assert place(sheet_of(raw), 0, 0).max() == 200


@pytest.mark.parametrize(
    ("kind", "reason"),
    [("missing file", "no such file"), ("truncated file", "truncated file")],
)
def test_an_image_that_is_gone_or_spoilt_by_now_is_named(raw, kind, reason):
    damage(raw / "b.png", kind)
    message = refusal(sheet_of, raw)
    assert message.startswith(f"image 'b.png' of the store is not to be read from '{raw}' any more")
    assert f"({reason}): build the store anew, or set preprocessing.sheet=after" in message


def test_an_image_of_more_pixels_than_the_store_allowed_is_not_decoded(raw):
    assert "(more than 100 pixels)" in refusal(sheet_of, raw, max_pixels=100)
