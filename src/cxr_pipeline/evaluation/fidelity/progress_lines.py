"""Telling how far a long loop is, in a line now and then; of a short one nothing is said."""

import logging
import time
from collections.abc import Callable

logger = logging.getLogger(__name__)

SECONDS_BETWEEN_LINES = 10.0


def progress_lines(what: str, total: int) -> Callable[[int], None]:
    """Begin a loop.

    Args:
        what: What is counted, for the lines.
        total: How many there are.

    Returns:
        What is to be told how many are done.
    """
    began = last_line = time.monotonic()

    def report(done: int) -> None:
        nonlocal last_line
        now = time.monotonic()
        if now - last_line >= SECONDS_BETWEEN_LINES:
            last_line = now
            left = (now - began) / done * (total - done)
            logger.info("%s: %d of %d, about %.0f s left", what, done, total, left)

    return report
