"""How far a file's transfer is: a bar on a terminal, a plain line now and then elsewhere."""

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from cxr_pipeline.data.download import OnProgress
from cxr_pipeline.data.files import readable_size

logger = logging.getLogger(__name__)

SECONDS_BETWEEN_LINES = 10.0


@contextmanager
def transfer_progress(action: str) -> Iterator[OnProgress]:
    """Report how far a transfer is to whoever watches.

    Args:
        action: What is done to which file, such as `fetching images_001.tar.gz`.

    Yields:
        The function to call with the bytes that are done and, where known, those in all.
    """
    if sys.stderr.isatty():
        with _bar(action) as report:
            yield report
    else:
        yield _lines(action)


@contextmanager
def _bar(action: str) -> Iterator[OnProgress]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(action, total=None)

        def report(done: int, total: int | None) -> None:
            bar.update(task, completed=done, total=total)

        yield report


def _lines(action: str) -> OnProgress:
    started = last_line = time.monotonic()
    first: int | None = None

    def report(done: int, total: int | None) -> None:
        nonlocal first, last_line
        first = done if first is None else first
        now = time.monotonic()
        if now - last_line < SECONDS_BETWEEN_LINES:
            return
        last_line = now
        rate = (done - first) / (now - started)
        news = readable_size(done)
        if total is not None:
            news += f" of {readable_size(total)}"
        news += f", {readable_size(rate)}/s"
        if total is not None and rate > 0:
            news += f", {(total - done) / rate:.0f} s left"
        logger.info("%s: %s", action, news)

    return report
