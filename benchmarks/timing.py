"""Timing two ways of doing the same in turns, so that a noisy machine troubles both alike."""

import statistics
import time
from collections.abc import Callable
from functools import partial

ROUNDS = 5


def seconds_of(run: Callable[[], object]) -> float:
    """Run once."""
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def compare(
    ours: Callable[[], object], plain: Callable[[], object], items: int, rounds: int = ROUNDS
) -> dict[str, float]:
    """Time both in turns; items a second of each, and the median of the rounds' ratios."""
    return compare_seconds(partial(seconds_of, ours), partial(seconds_of, plain), items, rounds)


def compare_seconds(
    ours: Callable[[], float], plain: Callable[[], float], items: int, rounds: int = ROUNDS
) -> dict[str, float]:
    """Compare two that time themselves."""
    ours(), plain()  # the first time is not like the others
    pairs = [(ours(), plain()) for _ in range(rounds)]
    return {
        "ours": items / statistics.median(o for o, _ in pairs),
        "plain": items / statistics.median(p for _, p in pairs),
        "ratio": statistics.median(p / o for o, p in pairs),
    }
