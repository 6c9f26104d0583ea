"""How to train, and from where: nothing here depends on the model."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from cxr_pipeline.data.batches import steps_per_epoch
from cxr_pipeline.training.checkpoint import Checkpoint, find_checkpoint
from cxr_pipeline.training.feed import Placement
from cxr_pipeline.training.networks import Compile
from cxr_pipeline.training.precision import Accelerator, Precision

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
    folder: Path,
    identity: Mapping[str, Any],
    *,
    resume: Resume,
    steps: int | None,
    reuse: bool = False,
    known_later: Collection[str] = (),
) -> Checkpoint | None:
    """Find the checkpoint to go on from; `None` is to start anew.

    Args:
        folder: The checkpoints'.
        identity: What shall be trained on what.
        resume: See `Settings`.
        steps: Steps to train in all; `None` if that is not known yet.
        reuse: See `Settings`.
        known_later: What of the identity is not known yet.

    Raises:
        ValueError: If there is an unfinished run of another identity or further than `steps`, or
            every checkpoint is damaged; with `resume=True` also if there is none, and of a finished
            run too. Beginning anew would in time remove what is there.
    """
    if resume is False:
        return None
    found = find_checkpoint(folder)
    if found is None:
        if resume is True:
            raise ValueError(f"resume=true, but '{folder}' holds no checkpoint: set resume=false")
        return None
    later = {key: found.identity[key] for key in known_later if key in found.identity}
    obstacle = _obstacle(found, {**later, **identity}, found.step if steps is None else steps)
    if found.finished and resume == "auto":
        return found if reuse and not obstacle and found.step == steps else None
    if obstacle:
        state = "" if found.finished else "unfinished "
        raise ValueError(
            f"the {state}training in '{folder}' {obstacle}: set resume=false to start anew"
        )
    return found


def _obstacle(found: Checkpoint, identity: Mapping[str, Any], steps: int) -> str | None:
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
