"""PNGs inflated with ISA-L, in half of zlib's time, before a decoder gets them.

Most of what decoding a radiograph waits for is zlib. The decoder's own cannot be exchanged, but it
copies data that is stored instead of compressed: so the pixels are inflated here and handed on in
stored blocks. Filters, palettes, bit depths and interlacing remain the decoder's business.

Damage is found here too, by each chunk's checksum and that of the pixels: libpng would report it on
standard error, without saying of which file.
"""

import math
import struct
from collections.abc import Iterator

from isal import isal_zlib

SIGNATURE = b"\x89PNG\r\n\x1a\n"
HEADER = struct.Struct(">IIBBBBB")
"""Width, height, bit depth, colour type, compression, filter, interlace: IHDR's content."""
START = SIGNATURE + struct.pack(">I", HEADER.size) + b"IHDR"

CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""By colour type: grey, RGB, palette, grey and alpha, RGBA."""
DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
"""Bits a sample may have, by colour type."""
KEPT = {2: (b"tRNS",), 3: (b"PLTE", b"tRNS")}
"""The other chunks that tell what the samples mean, by colour type. Profiles, texts and the frames
of an animation, which stand beside its picture, are left out."""

PASSES = (
    (0, 0, 8, 8),
    (4, 0, 8, 8),
    (0, 4, 4, 8),
    (2, 0, 4, 4),
    (0, 2, 2, 4),
    (1, 0, 2, 2),
    (0, 1, 1, 2),
)
"""Adam7: each pass's first column and row, and the steps between its columns and rows."""

LARGEST_STORED_BLOCK = 65535
ZLIB_HEADER = b"\x78\x01"


class MalformedError(Exception):
    """The bytes are no PNG, or a damaged one."""


def png_size(png: bytes) -> tuple[int, int] | None:
    """Read a PNG's width and height, and see that the file is all there.

    What stands behind the end mark is no part of the picture and not looked at.

    Returns:
        None if a chunk reaches beyond the file or none marks the end; zeros if the header has none.
    """
    start = len(SIGNATURE)
    while start + 12 <= len(png):
        length, kind = struct.unpack_from(">I4s", png, start)
        start += 12 + length
        if kind == b"IEND" and start <= len(png):
            width, height, *_ = HEADER.unpack_from(png, len(START)) if _begins(png) else (0, 0)
            return width, height
    return None


def store_png(png: bytes) -> bytes:
    """Rewrite a PNG with its pixels stored instead of compressed.

    Args:
        png: The file. Its pixels are inflated no further than its header says they go.

    Returns:
        A PNG of the same pixels, without the chunks that do not bear on them.

    Raises:
        MalformedError: If it is damaged, or no PNG at all.
    """
    compressed = []
    header: list[memoryview] = []
    for kind, chunk in _chunks(png):
        if kind == b"IDAT":
            compressed.append(_content(chunk))
        elif compressed:
            break
        elif not header:
            header.append(chunk)
            length, kept = _shape_of_pixels(_content(chunk))
        elif kind in kept:
            _content(chunk)
            header.append(chunk)
        elif kind != b"PLTE" and kind[:1].isupper():
            raise MalformedError  # a second header, an early end, or something unknown and critical
    if not compressed:
        raise MalformedError
    data = compressed[0] if len(compressed) == 1 else b"".join(compressed)
    pixels = _inflated(data, length)
    return b"".join([SIGNATURE, *header, *_chunk(b"IDAT", _stored(pixels)), *_chunk(b"IEND", [])])


def _chunks(png: bytes) -> Iterator[tuple[bytes, memoryview]]:
    """The kinds and bytes of the chunks, header first, as far as they lie within the file."""
    if not _begins(png):
        raise MalformedError
    view = memoryview(png)
    start = len(SIGNATURE)
    while start + 12 <= len(png):
        (length,) = struct.unpack_from(">I", view, start)
        end = start + 12 + length
        if end > len(png):
            raise MalformedError
        yield bytes(view[start + 4 : start + 8]), view[start:end]
        start = end


def _begins(png: bytes) -> bool:
    return png.startswith(START) and len(png) >= len(START) + HEADER.size


def _content(chunk: memoryview) -> memoryview:
    """What a chunk holds, its checksum checked."""
    if isal_zlib.crc32(chunk[4:-4]) != int.from_bytes(chunk[-4:], "big"):
        raise MalformedError
    return chunk[8:-4]


def _shape_of_pixels(header: memoryview) -> tuple[int, tuple[bytes, ...]]:
    """The inflated pixels' number of bytes, and which other chunks tell what they mean."""
    width, height, depth, colour, *methods, interlace = HEADER.unpack(header)
    if not (width and height and depth in DEPTHS.get(colour, ()) and interlace in (0, 1)):
        raise MalformedError
    if any(methods):  # none but the first, deflate and the five filters, was ever defined
        raise MalformedError
    bits = CHANNELS[colour] * depth
    length = 0
    for left, top, across, down in PASSES if interlace else ((0, 0, 1, 1),):
        columns, rows = math.ceil((width - left) / across), math.ceil((height - top) / down)
        if columns > 0:  # else the pass has no rows either
            length += rows * (1 + math.ceil(columns * bits / 8))  # a row: a filter byte and samples
    return length, KEPT.get(colour, ())


def _inflated(data: bytes | memoryview, length: int) -> bytes:
    """The first `length` bytes; where they are all, their checksum agrees."""
    inflate = isal_zlib.decompressobj()
    try:
        # A byte more than there should be: only then does it read on to the checksum.
        pixels = inflate.decompress(data, length + 1)
    except (isal_zlib.IsalError, OverflowError) as error:  # type: ignore[misc]  # by its stub
        raise MalformedError from error
    if len(pixels) < length or (len(pixels) == length and not inflate.eof):
        raise MalformedError
    return pixels[:length]


def _stored(pixels: bytes) -> list[bytes | memoryview]:
    """A zlib stream that holds `pixels` in stored blocks (RFC 1950, RFC 1951 section 3.2.4)."""
    view = memoryview(pixels)
    parts: list[bytes | memoryview] = [ZLIB_HEADER]
    for start in range(0, len(pixels), LARGEST_STORED_BLOCK):
        block = view[start : start + LARGEST_STORED_BLOCK]
        last = start + LARGEST_STORED_BLOCK >= len(pixels)
        parts += [struct.pack("<BHH", last, len(block), 0xFFFF ^ len(block)), block]
    return [*parts, struct.pack(">I", isal_zlib.adler32(pixels))]


def _chunk(kind: bytes, content: list[bytes | memoryview]) -> list[bytes | memoryview]:
    # In parts: each joining of a megabyte would hold up the other threads.
    checksum = isal_zlib.crc32(kind)
    for part in content:
        checksum = isal_zlib.crc32(part, checksum)
    length = struct.pack(">I", sum(map(len, content)))
    return [length, kind, *content, struct.pack(">I", checksum)]
