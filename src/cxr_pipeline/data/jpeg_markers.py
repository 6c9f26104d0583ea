"""A JPEG's size and end, from its markers (ITU-T T.81, annex B), without decoding it."""

import re
import struct

SIGNATURE = b"\xff\xd8"

MARKER = re.compile(rb"\xff([\x01-\xfe])")
"""In the coded pixels 0xFF is followed by 0; elsewhere any number of 0xFF may stand before it."""
END = 0xD9
ALONE = {0x01, *range(0xD0, 0xD9)}
"""Markers that no length follows, such as those between the intervals of coded pixels."""
FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
"""Markers of a frame's header, by coding process."""


def jpeg_size(jpeg: bytes) -> tuple[int, int] | None:
    """Read a JPEG's width and height, and see that its end mark is there.

    What stands behind the end mark is no part of the picture and not looked at.

    Returns:
        None if the markers do not lead to an end mark; zeros if no frame comes before it.
    """
    place, size = len(SIGNATURE), (0, 0)
    while marker := MARKER.search(jpeg, place):
        kind, place = marker[1][0], marker.end()
        if kind == END:
            return size
        if kind in ALONE:
            continue
        if kind in FRAMES and not any(size) and place + 7 <= len(jpeg):
            height, width = struct.unpack_from(">HH", jpeg, place + 3)
            size = width, height
        place += int.from_bytes(jpeg[place : place + 2], "big")
    return None
