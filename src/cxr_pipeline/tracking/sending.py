"""One thread that speaks to MLflow, so that no training waits for it or fails with it.

What training has to say is put in a queue; the thread says it in that order. What MLflow does not
take is lost to it, never to the files below `data/`: a warning says so, a few times at most. After
trouble MLflow is left alone for ten times as long as the trouble took, so that a server that hangs
costs little and one that comes back is used again.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import SimpleQueue

logger = logging.getLogger(__name__)

REST = 10.0
"""How long MLflow is left alone after trouble, in times of what the trouble took."""

WARNINGS = 3
"""How many troubles are warned of one by one; the end of the run tells how many there were."""

PATIENCE = 60.0
"""Seconds that the end of a run waits for what is not said yet."""

Send = Callable[[], object]


class Sender:
    """A queue of what is to be said to MLflow, and the thread that says it."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[tuple[str | None, Send]] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self.begin()

    def begin(self) -> None:
        """Forget an earlier run and its troubles; `run` is the one that all threads record in."""
        self.trouble: str | None = None
        self.run: str | None = None
        self._failures = 0
        self._rest_until = 0.0

    def give_up(self, reason: str) -> None:
        """Say nothing more to MLflow until `begin`; `trouble` is why."""
        self.trouble = reason

    def send(self, what: str, action: Send) -> None:
        """Have the thread call an action, which may fail; `what` names it in a warning."""
        if self.trouble is not None:
            return
        if self._thread is None:
            # A daemon: a server that hangs does not keep the process from ending.
            self._thread = threading.Thread(target=self._work, name="mlflow", daemon=True)
            self._thread.start()
        self._queue.put((what, action))

    def _work(self) -> None:
        while True:
            what, action = self._queue.get()
            if what is None:
                action()
            elif self.trouble is None and time.monotonic() >= self._rest_until:
                with self.minding(what):
                    action()

    @contextmanager
    def minding(self, what: str) -> Iterator[None]:
        """Turn whatever MLflow raises inside into a warning.

        A server, a database or a proxy may fail in any way, and none is worth a training.
        """
        began = time.monotonic()
        try:
            yield
        except Exception as error:
            now = time.monotonic()
            self._rest_until = now + REST * (now - began)
            self._failures += 1
            if self._failures <= WARNINGS:
                logger.warning(
                    "MLflow did not take %s (%s); training goes on", what, reason_of(error)
                )
            logger.debug("MLflow's trouble in full", exc_info=True)

    def flush(self, patience: float = PATIENCE) -> None:
        """Wait until all is said that was to be said before, but not for ever."""
        if self._thread is not None:
            done = threading.Event()
            self._queue.put((None, done.set))
            if not done.wait(patience):
                logger.warning("MLflow is slow: not waiting for it any longer")

    def conclude(self) -> None:
        """Flush at the end of a run, and tell how often MLflow failed."""
        self.flush()
        if self._failures > WARNINGS:
            logger.warning(
                "MLflow failed %d times: what it lacks of this run is in the files below data/",
                self._failures,
            )


def reason_of(error: BaseException) -> str:
    """The first line of an error's message, or its kind where it has none."""
    return next((line for line in str(error).splitlines() if line.strip()), repr(error))


sender = Sender()
