import zlib

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
    opencv,
    png_of,
    rows,
)

from cxr_pipeline.data.png_stored import MalformedError, png_size, store_png

PIXELS = noise(6, 5)
PACKED = zlib.compress(rows(PIXELS))
PNG = grey_png(PIXELS)
MODES = ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"]


def same(first, second):
    return first.dtype == second.dtype and np.array_equal(first, second)


@st.composite
def pillow_pngs(draw):
    """PNGs of any mode and size, as Pillow writes them."""
    height, width = draw(st.integers(1, 70)), draw(st.integers(1, 70))
    pixels = noise(height, width, draw(st.integers(0, 2**32 - 1)))
    mode = draw(st.sampled_from(MODES))
    options = {"compress_level": draw(st.integers(0, 9)), "optimize": draw(st.booleans())}
    if mode == "I;16":
        image = Image.fromarray(pixels.astype(np.uint16) * 250)
    elif mode == "P":
        image = Image.fromarray(pixels).quantize(draw(st.sampled_from([2, 4, 16, 256])))
        if draw(st.booleans()):
            options["transparency"] = 0
    else:
        image = Image.fromarray(np.dstack([pixels, pixels[::-1], pixels.max() - pixels, pixels]))
        image = image.convert(mode)
    return encoded(image, **options)


@settings(deadline=None, derandomize=True, max_examples=300)
@given(png=pillow_pngs())
def test_opencv_sees_the_very_pixels_of_the_original(png):
    assert same(opencv(store_png(png)), opencv(png))


@settings(deadline=None, derandomize=True, max_examples=100)
@given(
    height=st.integers(1, 20),
    width=st.integers(1, 20),
    kind=st.sampled_from([(1, 0), (8, 0), (8, 2), (8, 6), (16, 0), (16, 2)]),
)
def test_interlaced_pictures_are_stored_too(height, width, kind):
    depth, colour = kind
    samples = {0: 1, 2: 3, 6: 4}[colour]
    pixels = np.random.default_rng(width).integers(0, 2**depth, (height, width, samples))
    png = interlaced_png(pixels[..., 0] if samples == 1 else pixels, depth, colour)
    assert same(opencv(store_png(png)), opencv(png))


def test_pixels_of_several_blocks_are_stored_as_they_are():
    pixels = noise(300, 400)
    stored = store_png(encoded(pixels))
    assert np.array_equal(opencv(stored), pixels)
    assert 0 < len(stored) - 300 * 401 < 100


@pytest.mark.parametrize(
    "png",
    [
        grey_png(PIXELS, before=chunk(b"gAMA", bytes(4)) + chunk(b"iCCP", b"no profile")),
        grey_png(PIXELS, before=chunk(b"tEXt", b"Title\0A chest")[:-1] + b"?"),
        grey_png(PIXELS, before=chunk(b"tRNS", b"\0\5")),
        grey_png(PIXELS, after=chunk(b"tEXt", b"Title\0A chest")),
        png_of(header(5, 6), packed=zlib.compress(rows(PIXELS) + bytes(1000))),
        PNG + bytes(1000),
        SIGNATURE + header(5, 6) + chunk(b"IDAT") + chunk(b"IDAT", PACKED[:9])
        + chunk(b"IDAT", PACKED[9:]) + chunk(b"IEND"),
    ],
    ids=["profile", "text of a wrong checksum", "transparent level", "text behind",
         "more data than pixels", "trailing bytes", "pixels in parts"],
)  # fmt: skip
def test_what_does_not_bear_on_the_pixels_is_passed_over(png):
    assert np.array_equal(opencv(store_png(png)), PIXELS)
    assert png_size(png) == (5, 6)


def test_of_an_animation_the_still_picture_stays():
    frames = [Image.fromarray(noise(6, 5, seed)) for seed in range(3)]
    for default_image in (False, True):
        png = encoded(
            frames[0], save_all=True, append_images=frames[1:], default_image=default_image
        )
        assert np.array_equal(opencv(store_png(png)), np.asarray(frames[0]))


def spoilt(png, kind):
    """Flip a bit of the first chunk of that kind, so that its checksum is wrong."""
    place = png.index(kind) + 5
    return png[:place] + bytes([png[place] ^ 1]) + png[place + 1 :]


@pytest.mark.parametrize(
    "png",
    [
        b"",
        b"no picture",
        SIGNATURE,
        PNG[:20],
        encoded(PIXELS, "jpeg"),
        png_of(header(0, 6), packed=PACKED),
        png_of(header(5, 0), packed=PACKED),
        png_of(header(2**31 - 1, 2**31 - 1, 16, 6), packed=PACKED),
        png_of(header(2**32 - 1, 2**32 - 1, 16, 6), packed=PACKED),
        png_of(header(5, 6, depth=255), packed=PACKED),
        png_of(header(5, 6, depth=4, colour=6), packed=PACKED),
        png_of(header(5, 6, colour=1), packed=PACKED),
        png_of(header(5, 6, compression=1), packed=PACKED),
        png_of(header(5, 6, filters=64), packed=PACKED),
        png_of(header(5, 6, interlace=2), packed=PACKED),
        png_of(header(5, 7), packed=PACKED),
        png_of(header(5, 6), packed=b""),
        png_of(header(5, 6), packed=PACKED[:-4]),
        png_of(header(5, 6), packed=PACKED[:-1] + bytes([PACKED[-1] ^ 1])),
        png_of(header(5, 6), packed=PACKED[:5] + b"\xff\xff" + PACKED[7:]),
        spoilt(PNG, b"IHDR"),
        spoilt(PNG, b"IDAT"),
        spoilt(encoded(PIXELS, mode="P"), b"PLTE"),
        png_of(header(5, 6), packed=PACKED, before=chunk(b"ABCD")),
        png_of(header(5, 6), packed=PACKED, before=header(6, 5)),
        png_of(header(5, 6), packed=PACKED, before=chunk(b"IEND")),
        SIGNATURE + chunk(b"tEXt", b"0123456789abc") + PNG[8:],
        SIGNATURE + header(5, 6) + chunk(b"IEND"),
        PNG[:33] + b"\xff\xff\xff\xff" + PNG[37:],
        PNG[:33] + b"\x7f\xff\xff\xff" + PNG[37:],
    ],
    ids=["nothing", "text", "signature alone", "cut header", "a JPEG", "no width", "no height",
         "huge", "as large as can be written", "255 bits", "RGBA of 4 bits", "no such colours",
         "no such compression", "no such filters", "no such interlacing", "fewer rows",
         "no pixels", "pixels without checksum", "wrong checksum of pixels", "damaged pixels",
         "damaged header", "damaged data", "damaged palette", "unknown critical chunk",
         "two headers", "end before pixels", "header not first", "no data", "chunk of 4 GB",
         "chunk of 2 GB"],
)  # fmt: skip
def test_what_is_no_whole_png_is_refused(png):
    with pytest.raises(MalformedError):
        store_png(png)


def test_pixels_are_inflated_no_further_than_the_header_says():
    bomb = zlib.compress(rows(PIXELS) + bytes(50_000_000), 9)
    stored = store_png(png_of(header(5, 6), packed=bomb))
    assert len(stored) < 200
    assert np.array_equal(opencv(stored), PIXELS)


@settings(deadline=None, derandomize=True, max_examples=400)
@given(data=st.data(), mode=st.sampled_from(["1", "L", "RGB", "RGBA", "P", "interlaced"]))
def test_changed_bytes_are_refused_or_leave_the_very_pixels(data, mode):
    pixels = noise(12, 17)
    png = interlaced_png(pixels) if mode == "interlaced" else encoded(pixels, mode=mode)
    damaged = mutated(lambda values: data.draw(st.sampled_from(values)), png)
    try:
        stored = store_png(damaged)
    except MalformedError:
        return
    seen = opencv(stored)
    assert seen is None or same(seen, opencv(png))


@settings(deadline=None, derandomize=True, max_examples=300)
@given(content=st.binary(max_size=60), fields=st.binary(min_size=13, max_size=13))
def test_any_content_under_right_checksums_is_refused_or_stored(content, fields):
    png = SIGNATURE + chunk(b"IHDR", fields) + chunk(b"IDAT", content) + chunk(b"IEND")
    try:
        assert store_png(png).startswith(SIGNATURE)
    except MalformedError:
        assert png_size(png) is not None


@settings(deadline=None, derandomize=True, max_examples=50)
@given(png=pillow_pngs(), data=st.data())
def test_the_size_is_read_from_whole_files_only(png, data):
    height, width = opencv(png).shape[:2]
    assert png_size(png) == (width, height)
    assert png_size(png + data.draw(st.binary())) == (width, height)
    assert png_size(png[: data.draw(st.integers(8, len(png) - 1))]) is None


def test_a_header_that_is_none_has_no_size():
    assert png_size(SIGNATURE + chunk(b"tEXt", b"0123456789abc") + PNG[8:]) == (0, 0)
    assert png_size(png_of(header(0, 6), packed=PACKED)) == (0, 6)
