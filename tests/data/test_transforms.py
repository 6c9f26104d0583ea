import io
import struct
import tempfile
import zlib
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from cxr_pipeline.data.transforms import PNG_SIGNATURE, decode, transform

SEEDS = st.integers(0, 2**32 - 1)
# Mean grey levels between our transform and the authors', which is Pillow's. Measured: 0.08 on the
# smooth images and 0.69 on the real one before equalisation (Pillow's antialiasing looks a little
# wider than an area's mean), 0.55 to 1.53 and 1.24 after it (the two round the levels differently).
RESIZED, RESIZED_REAL, EQUALISED = 0.2, 1.0, 2.0


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width), dtype=np.uint8)


def png(pixels, mode=None, **options):
    image = Image.fromarray(pixels) if isinstance(pixels, np.ndarray) else pixels
    buffer = io.BytesIO()
    (image.convert(mode) if mode else image).save(buffer, "png", **options)
    return buffer.getvalue()


def decode_bytes(data, name="a.png"):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(data)
        return decode(path)


def refusal(data):
    with pytest.raises(ValueError, match=r"\S") as caught:
        decode_bytes(data)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def png_chunk(kind, content):
    check = struct.pack(">I", zlib.crc32(kind + content))
    return struct.pack(">I", len(content)) + kind + content + check


# -- decoding ------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "LA"])
def test_grey_in_any_channels_decodes_to_the_same_grey_levels(mode):
    every_level = np.arange(256, dtype=np.uint8).reshape(8, 32)
    assert np.array_equal(decode_bytes(png(every_level, mode)), every_level)


def test_alpha_is_dropped_and_not_multiplied_in():
    grey = noise(9, 7)
    transparent = np.dstack([grey, grey, grey, noise(9, 7, seed=1)])
    assert np.array_equal(decode_bytes(png(transparent)), grey)


def test_sixteen_bits_become_eight_over_the_whole_range():
    every_level = np.arange(256, dtype=np.uint8).reshape(8, 32)
    assert np.array_equal(decode_bytes(png(every_level.astype(np.uint16) * 257)), every_level)


def test_colour_becomes_luminance_with_red_green_and_blue_in_their_places():
    colours = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]]], dtype=np.uint8)
    assert decode_bytes(png(colours)).tolist() == [[76, 150, 29, 255]]


def test_palettes_and_single_bits_are_taken():
    levels = np.array([[0, 255, 255], [255, 0, 255]], dtype=np.uint8)
    assert np.array_equal(decode_bytes(png(levels, "P")), levels)
    assert np.array_equal(decode_bytes(png(levels, "1")), levels)


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_jpegs_decode_to_nearly_what_was_encoded(mode):
    smooth = np.add.outer(np.arange(40), 3 * np.arange(50)).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(smooth).convert(mode).save(buffer, "jpeg", quality=95)
    pixels = decode_bytes(buffer.getvalue(), "a.jpg")
    assert pixels.shape == (40, 50)
    assert np.abs(pixels.astype(int) - smooth).max() <= 4
    assert refusal(buffer.getvalue()[:-200]) == "truncated file"


def test_the_content_counts_and_not_the_name():
    grey = noise(5, 6)
    assert np.array_equal(decode_bytes(png(grey), "a.jpg"), grey)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty file"),
        (b"this is no picture", "not a readable image"),
        (png(noise(20, 20))[:100], "truncated file"),
        (PNG_SIGNATURE, "truncated file"),
        (b"\xff\xd8\xff\xe0", "truncated file"),
        (png(noise(60, 60))[:500] + png(noise(60, 60))[-12:], "not a readable image"),
    ],
    ids=["empty", "text", "half a PNG", "signature alone", "JPEG's start", "PNG without middle"],
)
def test_what_is_no_whole_image_is_refused_with_the_reason(data, reason):
    assert refusal(data) == reason


def test_a_file_that_claims_more_pixels_than_memory_holds_is_refused():
    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 0, 0, 0, 0)
    data = PNG_SIGNATURE + png_chunk(b"IHDR", header)
    data += png_chunk(b"IDAT", zlib.compress(bytes(100))) + png_chunk(b"IEND", b"")
    assert refusal(data) == "not a readable image"


def test_samples_that_are_no_grey_levels_are_refused_by_type():
    buffer = io.BytesIO()
    Image.new("F", (8, 8), 0.5).save(buffer, "tiff")
    assert refusal(buffer.getvalue()) == "unsupported sample type float32"


def test_what_cannot_be_opened_is_refused_with_the_systems_reason(tmp_path):
    with pytest.raises(ValueError, match=r"^unreadable file \(No such file or directory\)$"):
        decode(tmp_path / "absent.png")
    with pytest.raises(ValueError, match=r"^unreadable file \(Is a directory\)$"):
        decode(tmp_path)


@settings(deadline=None, derandomize=True, max_examples=200)
@given(data=st.data())
def test_a_damaged_png_is_refused_or_gives_the_very_pixels(data):
    pixels = noise(12, 17)
    original = png(pixels, data.draw(st.sampled_from(["L", "RGB", "RGBA"])))
    damaged = bytearray(original)
    kind = data.draw(st.sampled_from(["flip", "cut", "remove", "insert"]), label="kind")
    place = data.draw(st.integers(0, len(original) - 1), label="place")
    if kind == "flip":
        damaged[place] ^= data.draw(st.integers(1, 255), label="bits")
    elif kind == "cut":
        del damaged[place:]
    elif kind == "remove":
        del damaged[place : place + data.draw(st.integers(1, 40), label="bytes")]
    else:
        damaged[place:place] = data.draw(st.binary(min_size=1, max_size=40), label="bytes")
    try:
        decoded = decode_bytes(bytes(damaged))
    except ValueError:
        assert refusal(bytes(damaged)) in {"empty file", "truncated file", "not a readable image"}
    else:
        assert np.array_equal(decoded, pixels)


# -- transforming --------------------------------------------------------------------------------


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
    new_height, new_width = (round(Fraction(side * size, shorter)) for side in pixels.shape)
    weights = area_weights if size < shorter else linear_weights
    rows, columns = weights(pixels.shape[0], new_height), weights(pixels.shape[1], new_width)
    resized = rows @ pixels.astype(np.float64) @ columns.T
    top, left = (new_height - size) // 2, (new_width - size) // 2
    return resized[top : top + size, left : left + size]


@settings(deadline=None, derandomize=True, max_examples=150)
@given(height=st.integers(1, 90), width=st.integers(1, 90), size=st.integers(1, 64), seed=SEEDS)
def test_the_shorter_side_is_resized_and_the_centre_cut_out(height, width, size, seed):
    pixels = noise(height, width, seed)
    result = transform(pixels, size, equalise=False)
    assert result.shape == (size, size)
    assert result.dtype == np.uint8
    assert np.abs(result - reference(pixels, size)).max() <= 1


@settings(deadline=None, derandomize=True)
@given(size=st.integers(1, 40), extra=st.integers(0, 40), tall=st.booleans(), seed=SEEDS)
def test_an_image_with_the_right_shorter_side_is_only_cropped(size, extra, tall, seed):
    pixels = noise(size + extra, size, seed)
    expected = pixels[extra // 2 : extra // 2 + size]
    if tall:
        assert np.array_equal(transform(pixels, size, equalise=False), expected)
    else:
        assert np.array_equal(transform(pixels.T, size, equalise=False), expected.T)


def test_the_image_given_is_left_as_it_was():
    pixels = noise(32, 32)
    before = pixels.copy()
    transform(pixels, 32, equalise=True)
    assert np.array_equal(pixels, before)


@settings(deadline=None, derandomize=True)
@given(height=st.integers(8, 60), width=st.integers(8, 60), low=st.integers(0, 200), seed=SEEDS)
def test_equalising_spreads_the_levels_and_keeps_their_order(height, width, low, seed):
    pixels = low + noise(height, width, seed) % 50
    plain = transform(pixels, 8, equalise=False).ravel()
    equalised = transform(pixels, 8, equalise=True).ravel()
    order = np.argsort(plain)
    assert (np.diff(equalised[order].astype(int)) >= 0).all()
    if plain.min() < plain.max():
        assert (equalised.min(), equalised.max()) == (0, 255)


def test_an_image_of_one_level_stays_as_it_is():
    flat = np.full((20, 30), 77, dtype=np.uint8)
    assert (transform(flat, 16, equalise=True) == 77).all()


def pillow_transform(pixels, size, *, equalise):
    """The authors' transform: bilinear with antialiasing, centre crop, `ImageOps.equalize`."""
    height, width = pixels.shape
    scale = size / min(height, width)
    shape = (round(width * scale), round(height * scale))
    image = Image.fromarray(pixels).resize(shape, Image.Resampling.BILINEAR)
    left, top = (shape[0] - size) // 2, (shape[1] - size) // 2
    image = image.crop((left, top, left + size, top + size))
    return np.asarray(ImageOps.equalize(image) if equalise else image)


@pytest.mark.parametrize("equalise", [False, True])
@pytest.mark.parametrize("shape", [(400, 512), (512, 400), (300, 300)])
def test_a_smooth_image_comes_out_as_from_pillow(shape, equalise):
    y, x = np.mgrid[: shape[0], : shape[1]] / 400
    smooth = 120 + 60 * np.sin(5 * x + 2 * y) + 50 * np.cos(4 * y - 3 * x * x)
    pixels = smooth.astype(np.uint8)
    ours = transform(pixels, 128, equalise=equalise)
    theirs = pillow_transform(pixels, 128, equalise=equalise)
    assert np.abs(ours.astype(int) - theirs).mean() < (EQUALISED if equalise else RESIZED)


@pytest.mark.parametrize("equalise", [False, True])
def test_a_real_image_comes_out_nearly_as_from_pillow(shared_data, equalise):
    pixels = decode(shared_data / "00000001_000.png")
    assert pixels.shape == (512, 512)
    ours = transform(pixels, 128, equalise=equalise)
    theirs = pillow_transform(pixels, 128, equalise=equalise)
    assert np.abs(ours.astype(int) - theirs).mean() < (EQUALISED if equalise else RESIZED_REAL)
