"""How to train, and from where: nothing here depends on the model."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from cxr_pipeline.data.batches import steps_per_epoch
from cxr_pipeline.training.checkpoint import Checkpoint, find_checkpoint
from cxr_pipeline.training.feed import Placement
from cxr_pipeline.training.networks import Compile
from cxr_pipeline.training.precision import Accelerator, Precision

logger = logging.getLogger(__name__)

Resume = Literal["auto", True, False]


@dataclass(frozen=True)
class Settings:
    """How to train."""

    steps: int
    batch_size: int
    seed: int
    accelerator: Accelerator
    precision: Precision
    log_every: int
    """Steps between two looks at the losses; each is recorded all the same."""
    checkpoint_every: int
    """Steps between two checkpoints."""
    sample_at: tuple[int, ...]
    """Steps after which to draw samples; -1 is the last."""
    samples: int
    """Images to draw then, always from the same noise."""
    resume: Resume
    """`auto` goes on after an interruption and else starts anew, `True` must find a checkpoint."""
    keep_checkpoints: int = 2
    """How many of the latest to keep."""
    data_placement: Placement = "auto"
    """See `feed.place`."""
    compile: Compile = False
    """See `networks.set_up`."""
    ema_decay: float | None = None
    """See `averaging.Average`; `None` draws with the latest weights."""
    gradient_clip: float | None = None
    """See `updates.Updater`."""
    learning_rate_warmup: int = 0
    """See `updates.Updater`."""
    reuse: bool = False
    """With `auto`: take a finished run of the same identity and length for this one."""

    def sample_steps(self) -> set[int]:
        """Resolve `sample_at`: the steps after which samples are drawn."""
        steps = {self.steps if step == -1 else step for step in self.sample_at}
        return {step for step in steps if step <= self.steps}


def planned_steps(images: int, batch_size: int, *, max_steps: int | None, epochs: int) -> int:
    """Decide how long to train: `max_steps` where it is given, else whole epochs."""
    return max_steps if max_steps is not None else epochs * steps_per_epoch(images, batch_size)


def checkpoint_to_resume(
    settings: Settings, folder: Path, identity: dict[str, Any]
) -> Checkpoint | None:
    """Find the checkpoint to go on from; `None` is to start anew."""
    if settings.resume is False:
        return None
    if settings.resume is True:
        found = require_checkpoint(folder)
        require_same_run(found, folder, identity, settings.steps)
        return found
    latest = find_checkpoint(folder)
    if latest is None:
        return None
    obstacle = obstacle_to_resuming(latest, identity, settings.steps)
    if latest.finished:
        same = settings.reuse and not obstacle and latest.step == settings.steps
        return latest if same else None
    if obstacle:
        logger.warning("The unfinished run in '%s' %s: starting anew", folder, obstacle)
        return None
    return latest


def require_checkpoint(folder: Path) -> Checkpoint:
    """Find the checkpoint that `resume=true` goes on from.

    Raises:
        ValueError: If there is none, or it is damaged.
    """
    found = find_checkpoint(folder)
    if found is None:
        raise ValueError(f"resume=true, but '{folder}' holds no checkpoint: set resume=false")
    return found


def require_same_run(found: Checkpoint, folder: Path, identity: dict[str, Any], steps: int) -> None:
    """Check that `resume=true` can go on from a checkpoint.

    Raises:
        ValueError: If it is of another run, or further than `steps`.
    """
    obstacle = obstacle_to_resuming(found, identity, steps)
    if obstacle:
        raise ValueError(f"the checkpoint in '{folder}' {obstacle}: set resume=false")


def obstacle_to_resuming(found: Checkpoint, identity: dict[str, Any], steps: int) -> str | None:
    """Say why a run cannot go on from a checkpoint, if so."""
    if found.identity != identity:
        keys = sorted(found.identity.keys() | identity.keys())
        changes = ", ".join(
            f"{key} was {found.identity.get(key)!r}, is {identity.get(key)!r}"
            for key in keys
            if found.identity.get(key) != identity.get(key)
        )
        return f"is of another run ({changes})"
    if found.step > steps:
        return f"is of step {found.step}, past the {steps} asked for"
    return None
