"""Ctrl-C and SIGTERM: the step ends, a checkpoint is written, and only then does the run end."""

import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

logger = logging.getLogger(__name__)

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Deferred:
    """Remembers the first signal; the second acts at once, as it would without."""

    def __init__(self) -> None:
        self.number: int | None = None
        """The signal that came, if one did."""
        self.previous: dict[int, Any] = {}

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Take a signal (see `signal.signal`)."""
        self.restore()
        self.number = number
        logger.warning(
            "%s: the step ends and a checkpoint is written; once more ends at once",
            signal.Signals(number).name,
        )

    def restore(self) -> None:
        """Let signals act as before."""
        for number, handler in self.previous.items():
            signal.signal(number, handler)
        self.previous.clear()

    def deliver(self, number: int | None) -> None:
        """Let a signal act now, if there is one."""
        if number is not None:
            self.restore()
            signal.raise_signal(number)


@contextmanager
def deferred_signals() -> Iterator[Deferred]:
    """Hold back the first Ctrl-C or SIGTERM until it is delivered, or until the end.

    Outside the main thread, which alone is told of signals, there is nothing to hold back.
    """
    deferred = Deferred()
    if threading.current_thread() is threading.main_thread():
        for number in SIGNALS:
            deferred.previous[number] = signal.signal(number, deferred)
    try:
        yield deferred
    finally:
        deferred.restore()
    deferred.deliver(deferred.number)
