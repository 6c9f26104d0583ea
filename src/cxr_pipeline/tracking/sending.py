"""One thread that speaks to MLflow, so that no training waits for it or fails with it.

What training has to say is put in a queue; the thread says it in that order. After trouble MLflow
is left alone for ten times as long as the trouble took, so that a server that hangs costs little
and one that comes back is used again. What it did not take is said once more at the end of the run;
what is then still lacking is lost to MLflow, never to the files below `data/`, and a warning says
how much it is.
"""

import logging
import threading
import time
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from queue import SimpleQueue

logger = logging.getLogger(__name__)

REST = 10.0
"""How long MLflow is left alone after trouble, in times of what the trouble took."""

LONGEST_PAUSE = 1.0
"""Seconds of rest that are waited for at the end; MLflow hangs where it takes more."""

WARNINGS = 3
"""How many troubles are warned of one by one; the end of the run tells what they amount to."""

PATIENCE = 60.0
"""Seconds that the end of a run waits for what is not said yet."""

MOST_KEPT = 300
"""Things that are kept for an MLflow that is slow or in trouble."""

Send = Callable[[], object]


@dataclass(frozen=True)
class Message:
    """Something to say."""

    what: str
    action: Send
    count: int
    """How many things it says."""


class Sender:
    """A queue of what is to be said to MLflow, and the thread that says it."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[Callable[[], object]] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self.begin()

    def begin(self) -> None:
        """Forget an earlier run and its troubles."""
        self.trouble: str | None = None
        self.run: str | None = None
        """The run that all threads record in."""
        self.notes: dict[str, str] = {}
        """What checkpoints keep beside the name of their run."""
        with self._lock:
            self._unsaid: dict[Hashable, Message] = {}
            self._lost = 0
        self._failures = 0
        self._reason = "too slow"
        self._rest_until = 0.0

    def give_up(self, reason: str) -> None:
        """Say nothing more to MLflow until `begin`; `trouble` is why."""
        self.trouble = reason

    def send(self, what: str, action: Send, *, key: Hashable = None) -> None:
        """Have the thread call an action, which may fail.

        Args:
            what: Names it in a warning.
            action: Says it; called again at the end of the run if it fails.
            key: Of unsaid actions of one key only the last is kept, which says what all would.
        """
        if self.trouble is not None:
            return
        if self._thread is None:
            # A daemon: a server that hangs does not keep the process from ending.
            self._thread = threading.Thread(target=self._work, name="mlflow", daemon=True)
            self._thread.start()
        key = object() if key is None else key
        with self._lock:
            before = self._unsaid.pop(key, None)
            self._unsaid[key] = Message(what, action, 1 + (before.count if before else 0))
            if len(self._unsaid) > MOST_KEPT:
                self._lost += self._unsaid.pop(next(iter(self._unsaid))).count
        self._queue.put(partial(self._say, key))

    def _work(self) -> None:
        while True:
            self._queue.get()()

    def _say(self, key: Hashable, *, again: bool = False) -> None:
        with self._lock:
            message = self._unsaid.get(key)
        if message is None or self.trouble is not None or time.monotonic() < self._rest_until:
            return
        began = time.monotonic()
        try:
            message.action()
        except Exception as error:  # as in `minding`
            self._after_trouble(message.what, error, began, warn=not again)
            return
        with self._lock:
            # While it was said, there may have come more of the key.
            left = self._unsaid.pop(key, message)
            if left.count > message.count:
                self._unsaid[key] = replace(left, count=left.count - message.count)

    def _say_again(self) -> None:
        """Say what is unsaid, unless MLflow hangs."""
        self._rest_until = 0.0
        with self._lock:
            keys = list(self._unsaid)
        for key in keys:
            pause = max(0.0, self._rest_until - time.monotonic())
            if pause > LONGEST_PAUSE:
                return
            time.sleep(pause)
            self._say(key, again=True)

    @contextmanager
    def minding(self, what: str) -> Iterator[None]:
        """Turn whatever MLflow raises inside into a warning; what it did not take is lost to it.

        A server, a database or a proxy may fail in any way, and none is worth a training.
        """
        began = time.monotonic()
        try:
            yield
        except Exception as error:
            self.lose(1)
            self._after_trouble(what, error, began)

    def lose(self, count: int) -> None:
        """Count what MLflow is never going to have."""
        with self._lock:
            self._lost += count

    def _after_trouble(
        self, what: str, error: Exception, began: float, *, warn: bool = True
    ) -> None:
        now = time.monotonic()
        self._rest_until = now + REST * (now - began)
        self._failures += 1
        self._reason = reason_of(error)
        if warn and self._failures <= WARNINGS:
            logger.warning("MLflow did not take %s (%s); training goes on", what, self._reason)
        logger.debug("MLflow's trouble in full", exc_info=error)

    def flush(self, patience: float = PATIENCE) -> None:
        """Wait until all is said that was to be said before, but not for ever."""
        if self._thread is not None:
            done = threading.Event()
            self._queue.put(done.set)
            if not done.wait(patience):
                logger.warning("MLflow is slow: not waiting for it any longer")

    def conclude(self, patience: float = PATIENCE) -> None:
        """At the end of a run say once more what MLflow did not take, and tell what it lacks."""
        if self._thread is not None:
            self._queue.put(self._say_again)
        self.flush(patience)
        with self._lock:
            unsaid = list(self._unsaid.values())
            lacking = self._lost + sum(message.count for message in unsaid)
        if lacking:
            logger.warning(
                "MLflow lacks %d thing%s of this run%s (%s): look into the files below data/",
                lacking,
                "s" if lacking > 1 else "",
                f", such as {unsaid[-1].what}" if unsaid else "",
                self._reason,
            )
        elif self._failures:
            logger.info("MLflow has taken in the end all that it did not take at first")


def reason_of(error: BaseException) -> str:
    """The first line of an error's message, or its kind where it has none."""
    return next((line for line in str(error).splitlines() if line.strip()), repr(error))


sender = Sender()
