import warnings
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from tests.data.pictures import (
    SIGNATURE,
    chunk,
    encoded,
    grey_png,
    header,
    interlaced_png,
    mutated,
    noise,
    png_of,
    rows,
    smooth,
)

from cxr_pipeline.data.decode import decode

EVERY_LEVEL = np.arange(256, dtype=np.uint8).reshape(8, 32)
PNG = encoded(noise(60, 60))
REASONS = {"empty file", "truncated file", "not a readable image", "more than 10,000 pixels"}


def decoded(data, max_pixels=10_000):
    return decode(data, max_pixels=max_pixels)


def outcome(data):
    """The picture, or why there is none."""
    try:
        return decoded(data)
    except ValueError as error:
        return str(error)


def refusal(data, **options):
    with pytest.raises(ValueError, match=r"\S") as caught:
        decoded(data, **options)
    return str(caught.value)


# -- what is taken -------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "LA"])
def test_grey_in_any_channels_decodes_to_the_same_grey_levels(mode):
    assert np.array_equal(decoded(encoded(EVERY_LEVEL, mode=mode)), EVERY_LEVEL)


def test_alpha_is_dropped_and_not_multiplied_in():
    grey = noise(9, 7)
    transparent = np.dstack([grey, grey, grey, noise(9, 7, seed=1)])
    assert np.array_equal(decoded(encoded(transparent)), grey)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_sixteen_bits_become_eight_over_the_whole_range(channels):
    deep = cv2.merge([EVERY_LEVEL.astype(np.uint16) * 257] * channels)
    _, data = cv2.imencode(".png", deep)
    assert np.array_equal(decoded(data.tobytes()), EVERY_LEVEL)


@pytest.mark.parametrize("bits", range(8, 17))
def test_fewer_bits_kept_in_sixteen_keep_their_levels(bits):
    brightest = 2**bits - 1
    deep = np.round(EVERY_LEVEL * (brightest / 255)).astype(np.uint16)
    _, data = cv2.imencode(".png", deep)
    assert np.array_equal(decoded(data.tobytes()), EVERY_LEVEL)


@pytest.mark.parametrize("shape", [(1, 1_000_001), (1_000_001, 1)])
def test_a_side_that_libpng_would_not_take_is_refused_with_a_reason(shape, capfd):
    data = encoded(np.zeros(shape, dtype=np.uint8))
    with pytest.raises(ValueError, match=r"^more than 1,000,000 pixels in a row or column$"):
        decode(data, max_pixels=10_000_000)
    assert capfd.readouterr() == ("", "")


def test_colour_becomes_luminance_with_red_green_and_blue_in_their_places():
    colours = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]]], dtype=np.uint8)
    assert decoded(encoded(colours)).tolist() == [[76, 150, 29, 255]]


@pytest.mark.parametrize("levels", [2, 4, 16, 256])
@pytest.mark.parametrize("transparency", [{}, {"transparency": 0}])
def test_palettes_are_taken_with_transparent_colours_and_without(levels, transparency):
    step = 256 // levels
    pixels = noise(9, 11) // step * step
    image = Image.fromarray(pixels // step).convert("P")
    image.putpalette([level * step for level in range(levels) for _ in range(3)])
    assert np.array_equal(decoded(encoded(image, **transparency)), pixels)


@pytest.mark.parametrize(("depth", "highest"), [(1, 1), (2, 3), (4, 15)])
def test_few_bits_spread_over_all_grey_levels(depth, highest):
    samples = np.arange(16, dtype=np.uint8).reshape(2, 8) % (highest + 1)
    bits = np.unpackbits(samples[..., None], axis=2)[..., -depth:].reshape(2, -1)
    data = png_of(header(8, 2, depth=depth), packed=zlib.compress(rows(np.packbits(bits, axis=1))))
    assert np.array_equal(decoded(data), samples * (255 // highest))


def test_interlaced_pictures_are_taken():
    assert np.array_equal(decoded(interlaced_png(EVERY_LEVEL)), EVERY_LEVEL)


def test_of_an_animation_the_still_picture_is_taken():
    frames = [Image.fromarray(noise(6, 5, seed)) for seed in range(3)]
    data = encoded(frames[0], save_all=True, append_images=frames[1:])
    assert np.array_equal(decoded(data), np.asarray(frames[0]))


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
@pytest.mark.parametrize("progressive", [False, True])
def test_jpegs_decode_to_nearly_what_was_encoded(mode, progressive):
    pixels = smooth(40, 50)
    data = encoded(pixels, "jpeg", mode, quality=95, progressive=progressive)
    got = decoded(data)
    assert got.shape == (40, 50)
    assert np.abs(got.astype(int) - pixels).max() <= 4


def test_a_picture_lies_as_its_pixels_do_whatever_its_metadata_say():
    turned = Image.Exif()
    turned[0x0112] = 6
    for kind in ("png", "jpeg"):
        assert decoded(encoded(smooth(20, 30), kind, exif=turned)).shape == (20, 30)


@pytest.mark.parametrize("kind", ["png", "jpeg"])
def test_bytes_behind_the_end_are_no_part_of_the_picture(kind):
    data = encoded(smooth(40, 50), kind)
    assert np.array_equal(decoded(data + bytes(100_000)), decoded(data))


# -- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty file"),
        (b"this is no picture", "not a readable image"),
        (PNG[:100], "truncated file"),
        (PNG[:-1], "truncated file"),
        (SIGNATURE, "truncated file"),
        (b"\xff\xd8\xff\xe0", "truncated file"),
        (encoded(noise(60, 60), "jpeg")[:-2], "truncated file"),
        (PNG[:500] + PNG[-12:], "truncated file"),
        (PNG.replace(b"IDAT", b"IDAX"), "not a readable image"),
        (b"\xff\xd8\xff\xd9", "not a readable image"),
    ],
    ids=["empty", "text", "half a PNG", "PNG but a byte", "PNG's signature", "JPEG's start",
         "JPEG but its end", "PNG without middle", "PNG without pixels", "JPEG without pixels"],
)  # fmt: skip
def test_what_is_no_whole_image_is_refused_with_the_reason(data, reason):
    assert refusal(data) == reason


@pytest.mark.parametrize("kind", ["gif", "bmp", "tiff", "webp"])
def test_other_kinds_of_image_are_refused_whatever_they_are_called(kind):
    assert refusal(encoded(EVERY_LEVEL, kind)) == "not a readable image"


@pytest.mark.parametrize("kind", ["png", "jpeg"])
def test_an_image_of_more_pixels_than_allowed_is_not_decoded(kind):
    data = encoded(smooth(20, 30), kind)
    assert decoded(data, max_pixels=600).shape == (20, 30)
    assert refusal(data, max_pixels=599) == "more than 599 pixels"


@pytest.mark.parametrize("side", [10_000, 2**31 - 1])
def test_a_file_that_claims_more_pixels_than_memory_holds_is_refused(side):
    bomb = png_of(header(side, side), packed=zlib.compress(bytes(1000)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert refusal(bomb, max_pixels=50_000_000) == "more than 50,000,000 pixels"


def test_a_claim_of_no_pixels_is_refused():
    for size in ((0, 5), (5, 0), (0, 0)):
        packed = zlib.compress(bytes(1000))
        assert refusal(png_of(header(*size), packed=packed)) == "not a readable image"


def test_a_damaged_png_says_nothing_on_standard_error(capfd):
    place = PNG.index(b"IDAT") + 20
    for data in (
        PNG[:100],
        PNG[:place] + bytes([PNG[place] ^ 1]) + PNG[place + 1 :],
        grey_png(noise(5, 5), before=chunk(b"iCCP", b"no profile")),
        png_of(header(60, 61), packed=zlib.compress(rows(noise(60, 60)))),
        png_of(header(60, 60), packed=zlib.compress(rows(noise(60, 60)) + bytes(99))),
    ):
        outcome(data)
    assert capfd.readouterr() == ("", "")


def test_a_jpeg_cut_before_its_end_mark_is_grey_from_the_cut_on():
    pixels = noise(64, 64)
    data = encoded(pixels, "jpeg", quality=95)
    whole, cut = decoded(data), decoded(data[: len(data) // 2] + data[-2:])
    assert np.array_equal(cut[:16], whole[:16])
    assert (cut[-8:] == 128).all()


@settings(deadline=None, derandomize=True, max_examples=400)
@given(data=st.data(), mode=st.sampled_from(["1", "L", "LA", "P", "RGB", "RGBA", "interlaced"]))
def test_a_changed_png_is_refused_or_gives_the_very_pixels(data, mode):
    pixels = noise(12, 17)
    original = interlaced_png(pixels) if mode == "interlaced" else encoded(pixels, mode=mode)
    damaged = mutated(lambda values: data.draw(st.sampled_from(values)), original)
    got = outcome(damaged)
    if isinstance(got, str):
        assert got in REASONS
    else:
        assert np.array_equal(got, decoded(original))


@settings(deadline=None, derandomize=True, max_examples=300)
@given(data=st.data(), progressive=st.booleans(), mode=st.sampled_from(["L", "RGB"]))
def test_a_changed_jpeg_is_refused_or_gives_a_picture(data, progressive, mode):
    original = encoded(noise(20, 17), "jpeg", mode, progressive=progressive)
    damaged = mutated(lambda values: data.draw(st.sampled_from(values)), original)
    got = outcome(damaged)
    if isinstance(got, str):
        assert got in REASONS
    else:
        assert (got.dtype, got.ndim) == (np.uint8, 2)
        assert 0 < got.size <= 10_000


KINDS = [b"PLTE", b"tRNS", b"acTL", b"fcTL", b"IDAT", b"eXIf", b"IHDR"]


@settings(deadline=None, derandomize=True, max_examples=300)
@given(
    sides=st.tuples(st.integers(0, 150), st.integers(0, 150)),
    depth=st.sampled_from([1, 2, 4, 8, 16, 99]),
    colour=st.sampled_from([0, 2, 3, 4, 6, 7]),
    interlace=st.integers(0, 2),
    inside=st.lists(st.tuples(st.sampled_from(KINDS), st.binary(max_size=30)), max_size=3),
    pixels=st.integers(0, 200_000),
)
def test_hostile_content_under_right_checksums_is_refused_or_gives_a_picture(
    sides, depth, colour, interlace, inside, pixels
):
    data = png_of(
        header(*sides, depth, colour, interlace=interlace),
        packed=zlib.compress(bytes(pixels)),
        before=b"".join(chunk(kind, content) for kind, content in inside),
    )
    got = outcome(data)
    if isinstance(got, str):
        assert got in REASONS
    else:
        assert got.shape == sides[::-1]


@settings(deadline=None, derandomize=True, max_examples=200)
@given(content=st.binary(max_size=200), start=st.sampled_from([b"", SIGNATURE, b"\xff\xd8"]))
def test_any_bytes_are_refused(content, start):
    assert refusal(start + content) in REASONS
