"""What is seen of a training run: samples, and how it is going once an epoch."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cxr_pipeline.data.batches import to_pixels
from cxr_pipeline.randomness import random_generator
from cxr_pipeline.training.recording import EARLIEST_ALARM
from cxr_pipeline.training.session import Session
from cxr_pipeline.training.task import Diagnosis, Examples


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
        self, session: Session, findings: Tensor, held_out: HeldOut, watchers: Watchers
    ) -> None:
        """Take what to look at and whom to tell.

        Args:
            session: The training.
            findings: (N, C), of what is trained on: what samples are asked for.
            held_out: What to look at the model with.
            watchers: Whom to tell.
        """
        self.session, self.findings = session, findings
        self.held_out, self.watchers = held_out, watchers
        self.found: Diagnosis | None = None

    def draw_samples(self, step: int) -> None:
        """Draw from the same noise as ever, asking for the findings of the first examples.

        Of a model that draws nothing there is nothing to tell.
        """
        self.session.read()
        if not self.session.leads:
            return
        settings = self.session.settings
        # Where there are fewer examples than samples, their findings come round again.
        asked = self.findings[torch.arange(settings.samples) % len(self.findings)]
        with self.session.drawing():
            drawn = self.session.task.sample(random_generator(settings.seed, "progress"), asked)
        if drawn is None:
            return
        self.watchers.on_samples(step, to_pixels(drawn)[:, 0].cpu().numpy())

    def diagnose(self) -> Diagnosis:
        """Look how training is going."""
        noise = random_generator(self.session.settings.seed, "diagnosis")
        with self.session.drawing():
            self.found = self.session.task.diagnose(
                self.held_out.examples, self.held_out.split, noise
            )
        return self.found

    def standing_warnings(self, step: int) -> tuple[str, ...]:
        """What was wrong at the last look; at the first steps that says nothing yet."""
        found = self.found or self.diagnose()
        return tuple(found.warnings.values()) if step >= EARLIEST_ALARM else ()

    def end_epoch(self, step: int) -> None:
        """Write down how training is going, and warn of what goes wrong."""
        self.session.read()
        if not self.session.leads:
            return
        found = self.diagnose()
        metrics = found.metrics | {f"warning/{name}": 1.0 for name in found.warnings}
        self.session.history.extend((step, metric, value) for metric, value in metrics.items())
        self.watchers.on_metrics(step, metrics)
        self.session.alarms.hear(step, found.warnings)
