"""Pictures and image files to test with: Pillow's, and PNGs put together by hand."""

import io
import struct
import zlib

import cv2
import numpy as np
from PIL import Image

SIGNATURE = b"\x89PNG\r\n\x1a\n"
PASSES = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2)]
PASSES += [(0, 1, 1, 2)]


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width), dtype=np.uint8)


def smooth(height, width):
    """Waves of grey levels, the same at any size."""
    y, x = np.mgrid[:height, :width] / 400
    return (120 + 60 * np.sin(5 * x + 2 * y) + 50 * np.cos(4 * y - 3 * x * x)).astype(np.uint8)


def encoded(pixels, kind="png", mode=None, **options):
    """The bytes of an image file, by Pillow."""
    image = Image.fromarray(pixels) if isinstance(pixels, np.ndarray) else pixels
    buffer = io.BytesIO()
    (image.convert(mode) if mode else image).save(buffer, kind, **options)
    return buffer.getvalue()


def chunk(kind, content=b""):
    checksum = struct.pack(">I", zlib.crc32(kind + content))
    return struct.pack(">I", len(content)) + kind + content + checksum


def header(width, height, depth=8, colour=0, compression=0, filters=0, interlace=0):
    fields = (width, height, depth, colour, compression, filters, interlace)
    return chunk(b"IHDR", struct.pack(">IIBBBBB", *fields))


def rows(pixels):
    """Rows of samples as a PNG has them before it compresses them, unfiltered."""
    return b"".join(b"\0" + row.tobytes() for row in pixels)


def png_of(start, *, packed, before=b"", after=b""):
    """A PNG from its header, its compressed pixels, and chunks before and after them."""
    return SIGNATURE + start + before + chunk(b"IDAT", packed) + after + chunk(b"IEND")


def grey_png(pixels, **chunks):
    height, width = pixels.shape
    return png_of(header(width, height), packed=zlib.compress(rows(pixels)), **chunks)


def interlaced_png(pixels, depth=8, colour=0):
    """An Adam7 PNG of (H, W) or (H, W, C) samples of 1, 8 or 16 bits."""
    packed = b""
    for left, top, across, down in PASSES:
        part = pixels[top::down, left::across]
        if part.size:
            samples = np.packbits(part, axis=1) if depth == 1 else part.astype(f">u{depth // 8}")
            packed += rows(samples)
    height, width = pixels.shape[:2]
    start = header(width, height, depth, colour, interlace=1)
    return png_of(start, packed=zlib.compress(packed))


def opencv(data):
    """What OpenCV makes of a file by itself; None if nothing."""
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)


def mutated(draw, data):
    """Change a file's bytes in one place, as drawn."""
    damaged = bytearray(data)
    kind = draw(["flip", "cut", "remove", "insert", "copy"])
    place = draw(range(len(data)))
    if kind == "flip":
        damaged[place] ^= draw(range(1, 256))
    elif kind == "cut":
        del damaged[place:]
    elif kind == "remove":
        del damaged[place : place + draw(range(1, 41))]
    elif kind == "insert":
        damaged[place:place] = bytes([draw(range(256))]) * draw(range(1, 41))
    else:
        start = draw(range(len(data)))
        damaged[place:place] = data[start : start + draw(range(1, 41))]
    return bytes(damaged)
