import tracemalloc

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps
from tests.data.pictures import noise, smooth
from torchvision.transforms import functional

from cxr_pipeline.data.decode import decode
from cxr_pipeline.data.transforms import LONGEST, Transform, equalise, resize_and_crop, transform

SEEDS = st.integers(0, 2**32 - 1)
# Mean grey levels between our transform and the authors', whose antialiasing looks a little wider
# than an area's mean. Measured: 0.08 on smooth images and 0.69 on the real one as resized; 0.17 at
# most and 0.82 after equalising.
SMOOTH = {False: 0.09, True: 0.2}
REAL = {False: 0.7, True: 0.83}


def authors_transform(pixels, size, *, equalised):
    """As in the authors' code: torchvision and Pillow."""
    resized = functional.resize(Image.fromarray(pixels), size)
    cropped = functional.center_crop(resized, size)
    return np.asarray(ImageOps.equalize(cropped) if equalised else cropped)


def mean_difference(first, second):
    return np.abs(first.astype(int) - second).mean()


def area_weights(old, new):
    """(new, old): how much of each old pixel a new one covers, rows adding up to 1."""
    edges = np.arange(new + 1) * old / new
    left, right = edges[:-1, None], edges[1:, None]
    pixel = np.arange(old)[None]
    overlap = np.clip(np.minimum(right, pixel + 1) - np.maximum(left, pixel), 0, None)
    return overlap / overlap.sum(axis=1, keepdims=True)


def linear_weights(old, new):
    """(new, old): linear interpolation between the centres of old pixels, held at the edges."""
    centres = np.clip((np.arange(new) + 0.5) * old / new - 0.5, 0, old - 1)
    return np.clip(1 - np.abs(centres[:, None] - np.arange(old)[None]), 0, None)


def reference(pixels, size):
    """The shorter side to `size`, the centre cut out; in floating point."""
    shorter = min(pixels.shape)
    new_height, new_width = (size * side // shorter for side in pixels.shape)
    weights = area_weights if size < shorter else linear_weights
    rows, columns = weights(pixels.shape[0], new_height), weights(pixels.shape[1], new_width)
    resized = rows @ pixels.astype(np.float64) @ columns.T
    top, left = round((new_height - size) / 2), round((new_width - size) / 2)
    return resized[top : top + size, left : left + size]


# -- resizing and cropping -----------------------------------------------------------------------


@settings(deadline=None, derandomize=True, max_examples=150)
@given(height=st.integers(3, 90), width=st.integers(3, 90), size=st.integers(1, 64), seed=SEEDS)
def test_the_shorter_side_is_resized_and_the_centre_cut_out(height, width, size, seed):
    pixels = noise(height, width, seed)
    result = transform(pixels, Transform(size, equalise=False))
    assert result.shape == (size, size)
    assert result.dtype == np.uint8
    assert np.abs(result - reference(pixels, size)).max() <= 1


@settings(deadline=None, derandomize=True, max_examples=100)
@given(size=st.integers(1, 40), extra=st.integers(0, 40), tall=st.booleans(), seed=SEEDS)
def test_an_image_with_the_right_shorter_side_is_cropped_as_by_the_authors(size, extra, tall, seed):
    pixels = noise(size + extra, size, seed) if tall else noise(size, size + extra, seed)
    expected = authors_transform(pixels, size, equalised=False)
    assert np.array_equal(resize_and_crop(pixels, size), expected)


@settings(deadline=None, derandomize=True, max_examples=100)
@given(height=st.integers(100, 700), width=st.integers(100, 700), size=st.integers(8, 90))
def test_odd_aspect_ratios_are_cropped_as_by_the_authors(height, width, size):
    # A ramp, whose grey levels tell the place: half a pixel of the result would show.
    across = np.tile(np.linspace(0, 255, width), (height, 1)).astype(np.uint8)
    ours = resize_and_crop(across, size).astype(int)
    theirs = authors_transform(across, size, equalised=False)
    pixel = 255 / (width * size / min(height, width))
    assert mean_difference(ours, theirs) < max(0.6, pixel / 4)


@pytest.mark.parametrize("equalised", [False, True])
@pytest.mark.parametrize("shape", [(400, 512), (512, 400), (300, 300), (501, 333), (413, 512)])
def test_a_smooth_image_comes_out_as_from_the_authors(shape, equalised):
    pixels = smooth(*shape)
    ours = transform(pixels, Transform(128, equalised))
    theirs = authors_transform(pixels, 128, equalised=equalised)
    assert mean_difference(ours, theirs) < SMOOTH[equalised]


@pytest.mark.parametrize("equalised", [False, True])
def test_a_real_image_comes_out_nearly_as_from_the_authors(shared_data, equalised):
    data = (shared_data / "00000001_000.png").read_bytes()
    pixels = decode(data, max_pixels=10**6)
    assert pixels.shape == (512, 512)
    ours = transform(pixels, Transform(128, equalised))
    theirs = authors_transform(pixels, 128, equalised=equalised)
    assert mean_difference(ours, theirs) < REAL[equalised]


def test_shrinking_is_antialiased():
    one_of_eight = np.tile(np.array([255, 0, 0, 0, 0, 0, 0, 0], dtype=np.uint8), (256, 32))
    assert (resize_and_crop(one_of_eight, 32) == 32).all()


@pytest.mark.parametrize("shape", [(1, 1), (1, 60_000), (60_000, 1), (3, 300_000)])
def test_lines_of_many_pixels_become_pictures_of_their_middle(shape):
    pixels = np.zeros(shape, dtype=np.uint8)
    middle = tuple(slice(max(0, side // 2 - 2), side // 2 + 3) for side in shape)
    pixels[middle] = 200
    tracemalloc.start()
    result = transform(pixels, Transform(64, equalise=False))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 2_000_000
    assert result.shape == (64, 64)
    assert (result[32, 32], result[31, 31]) == (200, 200)


@settings(deadline=None, derandomize=True, max_examples=50)
@given(shorter=st.integers(1, 4), times=st.integers(LONGEST + 1, 60), size=st.integers(1, 64))
def test_cutting_off_the_ends_of_a_long_image_first_moves_it_by_a_pixel_at_most(
    shorter, times, size
):
    longer = shorter * times
    ramp = np.tile(np.linspace(0, 255, longer), (shorter, 1)).astype(np.uint8)
    moved = np.abs(resize_and_crop(ramp, size) - reference(ramp, size)).max()
    assert moved <= 255 / longer * (1 + shorter / size) + 1


def test_the_image_given_is_left_as_it_was():
    pixels = noise(32, 32)
    before = pixels.copy()
    for how in (False, True, "clahe"):
        transform(pixels, Transform(32, how))
    assert np.array_equal(pixels, before)


# -- equalising ----------------------------------------------------------------------------------


@settings(deadline=None, derandomize=True, max_examples=300)
@given(
    height=st.integers(1, 60),
    width=st.integers(1, 60),
    low=st.integers(0, 255),
    levels=st.integers(1, 256),
    skew=st.integers(1, 4),
    seed=SEEDS,
)
def test_equalising_gives_exactly_pillows_levels(height, width, low, levels, skew, seed):
    share = np.random.default_rng(seed).random((height, width)) ** skew
    pixels = np.clip(low + share * levels, 0, 255).astype(np.uint8)
    assert np.array_equal(equalise(pixels), np.asarray(ImageOps.equalize(Image.fromarray(pixels))))


def test_an_image_of_one_level_stays_as_it_is():
    flat = np.full((20, 30), 77, dtype=np.uint8)
    assert (transform(flat, Transform(16, equalise=True)) == 77).all()


def test_clahe_equalises_tile_by_tile_with_the_settings_given():
    dark, bright = noise(32, 32) // 8, 200 + noise(32, 32) // 8
    pixels = np.hstack([np.vstack([dark, bright]), np.vstack([bright, dark])])
    how = Transform(64, "clahe", clahe_clip_limit=3.0, clahe_tiles=4)
    result = transform(pixels, how)
    expected = cv2.createCLAHE(clipLimit=3.0, tileGridSize=(4, 4)).apply(pixels)
    assert np.array_equal(result, expected)
    # Locally the levels spread; as a whole the dark parts would stay below the bright ones.
    assert np.ptp(result[:16, :16]) > 2 * np.ptp(dark)
    weaker = transform(pixels, Transform(64, "clahe", clahe_clip_limit=1.0, clahe_tiles=4))
    assert np.ptp(weaker[:16, :16]) < np.ptp(result[:16, :16])


@settings(deadline=None, derandomize=True, max_examples=30)
@given(size=st.integers(16, 80), tiles=st.integers(1, 64), limit=st.floats(1e-6, 40))
def test_clahe_takes_any_tiles_and_limit_that_the_parameters_allow(size, tiles, limit):
    result = transform(noise(50, 60), Transform(size, "clahe", limit, tiles))
    assert (result.shape, result.dtype) == ((size, size), np.uint8)


# -- identity ------------------------------------------------------------------------------------


def test_settings_that_do_nothing_are_no_part_of_the_identity():
    plain = Transform(128, equalise=True)
    assert Transform(128, True, clahe_tiles=4, clahe_clip_limit=9.0).identity() == plain.identity()
    others = [
        Transform(64, equalise=True),
        Transform(128, equalise=False),
        Transform(128, "clahe"),
        Transform(128, "clahe", clahe_tiles=4),
        Transform(128, "clahe", clahe_clip_limit=9.0),
    ]
    identities = [str(how.identity()) for how in [plain, *others]]
    assert len(set(identities)) == 6
