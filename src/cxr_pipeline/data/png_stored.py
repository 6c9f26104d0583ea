"""PNGs inflated with ISA-L, in half of zlib's time, before a decoder gets them.

Most of what decoding a radiograph waits for is zlib. The decoder's own cannot be exchanged, but it
copies data that is stored instead of compressed: so the pixels are inflated here and handed on in
stored blocks. Filters, palettes and bit depths remain the decoder's business.
"""

import math
import struct
from collections.abc import Iterator

from isal import isal_zlib

SIGNATURE = b"\x89PNG\r\n\x1a\n"
HEADER = struct.Struct(">IIBBBBB")
"""Width, height, bit depth, colour type, compression, filter, interlace: IHDR's content."""

CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""By colour type: grey, RGB, palette, grey and alpha, RGBA."""

LARGEST_STORED_BLOCK = 65535
ZLIB_HEADER = b"\x78\x01"


class MalformedError(Exception):
    """The bytes are no PNG that is taken apart here; a decoder may still make something of it."""


def store_png(png: bytes) -> bytes:
    """Rewrite a PNG with its pixels stored instead of compressed.

    Args:
        png: The file. Its pixels are inflated no further than its header says they go.

    Returns:
        A PNG of the same pixels; the chunks between header and pixels are kept, later ones not.

    Raises:
        MalformedError: If it is interlaced, damaged, or no PNG at all.
    """
    before = []
    compressed = []
    for kind, content in _chunks(png):
        if kind == b"IDAT":
            compressed.append(content)
        elif compressed:
            break
        else:
            before.append(_chunk(kind, content))
            if kind == b"IHDR":
                length = _length_of_pixels(content)
    if not compressed or len(before[0]) != HEADER.size + 12:
        raise MalformedError
    data = compressed[0] if len(compressed) == 1 else b"".join(compressed)
    inflate = isal_zlib.decompressobj()
    try:
        pixels = inflate.decompress(data, length)
    except isal_zlib.IsalError as error:  # type: ignore[misc]  # its stub hides that it is one
        raise MalformedError from error
    if len(pixels) != length:
        raise MalformedError
    return b"".join([SIGNATURE, *before, _chunk(b"IDAT", _stored(pixels)), _chunk(b"IEND", b"")])


def _chunks(png: bytes) -> Iterator[tuple[bytes, memoryview]]:
    """The chunks, header first, each with its checksum checked."""
    if not png.startswith(SIGNATURE + b"\0\0\0\x0dIHDR"):
        raise MalformedError
    view = memoryview(png)
    start = len(SIGNATURE)
    while start + 12 <= len(png):
        (length,) = struct.unpack_from(">I", view, start)
        end = start + 8 + length
        if end + 4 > len(png):
            raise MalformedError
        (checksum,) = struct.unpack_from(">I", view, end)
        if isal_zlib.crc32(view[start + 4 : end]) != checksum:
            raise MalformedError
        yield bytes(view[start + 4 : start + 8]), view[start + 8 : end]
        start = end + 4


def _length_of_pixels(header: memoryview) -> int:
    """Bytes of the inflated pixels: a filter byte and the packed samples for each row."""
    width, height, depth, colour, _, _, interlace = HEADER.unpack(header)
    if interlace or colour not in CHANNELS:
        raise MalformedError
    return int(height * (1 + math.ceil(width * CHANNELS[colour] * depth / 8)))


def _stored(pixels: bytes) -> bytes:
    """A zlib stream that holds `pixels` in stored blocks (RFC 1950, RFC 1951 section 3.2.4)."""
    view = memoryview(pixels)
    parts: list[bytes | memoryview] = [ZLIB_HEADER]
    for start in range(0, len(pixels), LARGEST_STORED_BLOCK):
        block = view[start : start + LARGEST_STORED_BLOCK]
        last = start + LARGEST_STORED_BLOCK >= len(pixels)
        parts += [struct.pack("<BHH", last, len(block), 0xFFFF ^ len(block)), block]
    parts.append(struct.pack(">I", isal_zlib.adler32(pixels)))
    return b"".join(parts)


def _chunk(kind: bytes, content: bytes | memoryview) -> bytes:
    checksum = isal_zlib.crc32(content, isal_zlib.crc32(kind))
    return b"".join([struct.pack(">I", len(content)), kind, content, struct.pack(">I", checksum)])
