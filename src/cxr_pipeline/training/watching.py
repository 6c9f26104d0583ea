"""What is seen of a training run: losses, speed, samples, and how it is going once an epoch."""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cxr_pipeline.data.batches import to_pixels
from cxr_pipeline.randomness import random_generator
from cxr_pipeline.training.checkpoint import HistoryRow
from cxr_pipeline.training.task import Diagnosis, Examples, Task

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class HeldOut:
    """What training is looked at with, once an epoch."""

    examples: Examples
    split: str
    """Which split they are from; metrics are named by it."""


@dataclass(frozen=True)
class Watchers:
    """Whom the engine tells what it sees, while it trains."""

    on_metrics: Callable[[int, Mapping[str, float]], None]
    """Called with the step and the latest metrics."""
    on_samples: Callable[[int, npt.NDArray[np.uint8]], None]
    """Called with the step and (N, H, W) uint8 samples."""


class Observer:
    """Looks at a model in training and tells what it sees; training is the same without it."""

    def __init__(
        self,
        task: Task,
        examples: Examples,
        held_out: HeldOut,
        history: list[HistoryRow],
        watchers: Watchers,
        seed: int,
    ) -> None:
        """Take what to look at, where to write it down and whom to tell."""
        self.task, self.findings, self.held_out = task, examples["findings"], held_out
        self.history, self.watchers, self.seed = history, watchers, seed
        self.alarms = _Alarms()
        self.found: Diagnosis | None = None

    def draw_samples(self, step: int, count: int) -> None:
        """Draw from the same noise as ever, asking for the findings of the first examples."""
        # Where there are fewer examples than samples, their findings come round again.
        asked = self.findings[torch.arange(count) % len(self.findings)]
        drawn = to_pixels(self.task.sample(random_generator(self.seed, "progress"), asked))
        self.watchers.on_samples(step, drawn[:, 0].cpu().numpy())

    def diagnose(self) -> Diagnosis:
        """Look how training is going."""
        noise = random_generator(self.seed, "diagnosis")
        self.found = self.task.diagnose(self.held_out.examples, self.held_out.split, noise)
        return self.found

    def standing_warnings(self, step: int) -> tuple[str, ...]:
        """What was wrong at the last look; at the first steps that says nothing yet."""
        found = self.found or self.diagnose()
        return tuple(found.warnings.values()) if step >= EARLIEST_ALARM else ()

    def end_epoch(self, step: int) -> None:
        """Write down how training is going, and warn of what goes wrong."""
        found = self.diagnose()
        metrics = found.metrics | {f"warning/{name}": 1.0 for name in found.warnings}
        self.history.extend((step, metric, value) for metric, value in metrics.items())
        self.watchers.on_metrics(step, metrics)
        self.alarms.hear(step, found.warnings)


EARLIEST_ALARM = 50
"""Steps before which nothing is warned of: at first every model draws one picture."""


class _Alarms:
    """Says what has gone wrong once it has stood for two looks in a row, and then no more."""

    def __init__(self) -> None:
        self.before: set[str] = set()
        self.said: set[str] = set()

    def hear(self, step: int, warnings: Mapping[str, str]) -> None:
        if step < EARLIEST_ALARM:
            return
        for name in (warnings.keys() & self.before) - self.said:
            logger.warning("Step %d: %s", step, warnings[name])
            self.said.add(name)
        self.before = set(warnings)


class Recorder:
    """Gathers losses where they are made and reads them from the device only when asked."""

    def __init__(self, history: list[HistoryRow]) -> None:
        self.history = history
        self.pending: list[tuple[int, dict[str, Tensor]]] = []

    def add(self, step: int, losses: dict[str, Tensor]) -> None:
        """Keep a step's losses where they are."""
        self.pending.append((step, losses))

    def read(self) -> dict[str, float]:
        """Move what was gathered to the history; return the latest."""
        latest: dict[str, float] = {}
        for step, losses in self.pending:
            latest = {metric: float(value) for metric, value in losses.items()}
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
