"""What a training run records of itself: losses, speed, and what goes wrong."""

import logging
import time
from collections.abc import Callable, Mapping
from typing import Self

import torch
from torch import Tensor

from cxr_pipeline.training.checkpoint import HistoryRow

logger = logging.getLogger(__name__)

EARLIEST_ALARM = 50
"""Steps before which nothing is warned of: at first every model draws one picture."""


class Alarms:
    """Says what has gone wrong once it has stood for two looks in a row, and then no more."""

    def __init__(self, state: Mapping[str, list[str]]) -> None:
        """Go on from a `state`."""
        self.before = set(state.get("before", ()))
        self.said = set(state.get("said", ()))

    def state(self) -> dict[str, list[str]]:
        """What a resumed run has to know, in JSON's types."""
        return {"before": sorted(self.before), "said": sorted(self.said)}

    def hear(self, step: int, warnings: Mapping[str, str]) -> None:
        """Take in what is wrong at a look."""
        if step < EARLIEST_ALARM:
            return
        for name in (warnings.keys() & self.before) - self.said:
            logger.warning("Step %d: %s", step, warnings[name])
            self.said.add(name)
        self.before = set(warnings)


class Recorder:
    """Gathers losses where they are made and reads them from the device only when asked."""

    def __init__(
        self, history: list[HistoryRow], average: Callable[[Tensor], Tensor] = lambda t: t
    ) -> None:
        """Take where to write losses down, and what averages them over processes."""
        self.history, self.average = history, average
        self.pending: list[tuple[int, dict[str, Tensor]]] = []

    def add(self, step: int, losses: dict[str, Tensor]) -> None:
        """Keep a step's losses where they are."""
        self.pending.append((step, losses))

    def read(self) -> dict[str, float]:
        """Move what was gathered to the history; return the latest."""
        latest: dict[str, float] = {}
        if not self.pending:
            return latest
        values = torch.stack([t.float() for _, losses in self.pending for t in losses.values()])
        # One transfer for all of them.
        read = iter(self.average(values).tolist())
        for step, losses in self.pending:
            latest = {metric: next(read) for metric in losses}
            self.history.extend((step, metric, value) for metric, value in latest.items())
        self.pending.clear()
        return latest


class Stopwatch:
    """Time spent in training steps alone: samples and checkpoints do not count."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.lap_seconds = 0.0
        self.lap_steps = 0

    def __enter__(self) -> Self:
        self.entered = time.monotonic()
        return self

    def __exit__(self, *_: object) -> None:
        elapsed = time.monotonic() - self.entered
        self.seconds += elapsed
        self.lap_seconds += elapsed
        self.lap_steps += 1

    def steps_per_second(self) -> float:
        """Speed since this was last asked."""
        speed = self.lap_steps / max(self.lap_seconds, 1e-9)
        self.lap_seconds, self.lap_steps = 0.0, 0
        return speed
