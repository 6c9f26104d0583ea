"""How far training is: a bar on a terminal, a plain line now and then elsewhere."""

import logging
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

logger = logging.getLogger(__name__)

SECONDS_BETWEEN_LINES = 10.0

Report = Callable[[int, Mapping[str, float], float], None]
"""Given the steps done, the latest losses and images/s."""


@contextmanager
def progress(total: int, done: int = 0, unit: str = "step") -> Iterator[Report]:
    """Report training's progress to whoever watches.

    Args:
        total: Steps in all.
        done: Steps done before.
        unit: What is counted.

    Yields:
        The function to call with news.
    """
    if sys.stderr.isatty():
        with _bar(total, done, unit) as report:
            yield report
    else:
        yield _lines(total, done, unit)


@contextmanager
def _bar(total: int, done: int, unit: str) -> Iterator[Report]:
    columns = (
        TextColumn(f"{unit}s"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[news]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(unit, total=total, completed=done, news="")

        def report(steps: int, losses: Mapping[str, float], rate: float) -> None:
            bar.update(task, completed=steps, news=_news(losses, rate))

        yield report


def _lines(total: int, done: int, unit: str) -> Report:
    started = time.monotonic()
    last_line = started

    def report(steps: int, losses: Mapping[str, float], rate: float) -> None:
        nonlocal last_line
        now = time.monotonic()
        if now - last_line < SECONDS_BETWEEN_LINES and steps < total:
            return
        last_line = now
        left = (now - started) / (steps - done) * (total - steps)
        logger.info("%s %d of %d, %s, %.0f s left", unit, steps, total, _news(losses, rate), left)

    return report


def _news(losses: Mapping[str, float], rate: float) -> str:
    parts = [
        f"{name.removeprefix('loss/')} {value:.3f}"
        for name, value in losses.items()
        if name.startswith("loss/")
    ]
    return ", ".join([*parts, f"{rate:.0f} images/s"])
