"""The one training loop: when things happen. What happens in a step is the task's business."""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
import torch
from lightning.fabric import Fabric
from torch import Tensor

from cxr_pipeline.data.batches import batch_positions, steps_per_epoch, to_pixels
from cxr_pipeline.randomness import derive_seed, random_generator
from cxr_pipeline.training.checkpoint import (
    Checkpoint,
    HistoryRow,
    find_checkpoint,
    restore,
    write_checkpoint,
)
from cxr_pipeline.training.precision import Accelerator, Precision, choose_precision
from cxr_pipeline.training.progress import progress
from cxr_pipeline.training.task import Diagnosis, Examples, Task

logger = logging.getLogger(__name__)

Resume = Literal["auto", True, False]

SPEED = "speed/images_per_second"


@dataclass(frozen=True)
class Settings:
    """How to train; nothing here depends on the model."""

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
    reuse: bool = False
    """With `auto`: take a finished run of the same identity and length for this one."""

    def sample_steps(self) -> set[int]:
        """Resolve `sample_at`: the steps after which samples are drawn."""
        steps = {self.steps if step == -1 else step for step in self.sample_at}
        return {step for step in steps if step <= self.steps}


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


@dataclass(frozen=True)
class Outcome:
    """What training leaves behind."""

    weights: dict[str, Tensor]
    """Every network's state on the CPU, as `network.key`, and what `Task.finish` adds."""
    history: list[HistoryRow]
    seconds: float
    """Time spent in training steps, interruptions, samples and checkpoints left out."""
    images_per_second: float
    precision: str
    device: str
    warnings: tuple[str, ...]
    """What the last look at the model found wrong."""
    reconstructions: npt.NDArray[np.uint8] | None
    """(N, H, W) uint8, the held-out images as the model draws them again, if it does."""


def planned_steps(images: int, batch_size: int, *, max_steps: int | None, epochs: int) -> int:
    """Decide how long to train: `max_steps` where it is given, else whole epochs."""
    return max_steps if max_steps is not None else epochs * steps_per_epoch(images, batch_size)


def train(
    build_task: Callable[[], Task],
    examples: Examples,
    held_out: HeldOut,
    settings: Settings,
    *,
    checkpoints: Path,
    identity: dict[str, Any],
    watchers: Watchers,
) -> Outcome:
    """Train a model.

    Args:
        build_task: Builds the model and its optimisers, with weights from torch's global generator.
        examples: What to train on, at least a batch of it.
        held_out: What to look at the model with.
        settings: How to train.
        checkpoints: The folder of the resumable checkpoint.
        identity: What is trained on what, in JSON's types.
        watchers: Whom to tell.

    Raises:
        ValueError: If a loss or gradient is not finite (named with its step; the last checkpoint
            stays), the device is not there, or the checkpoint to resume from is damaged or of
            another identity.
    """
    precision = choose_precision(settings.precision, settings.accelerator)
    fabric = Fabric(accelerator=settings.accelerator, devices=1, precision=precision)
    torch.backends.cudnn.deterministic = True
    with torch.random.fork_rng():
        torch.manual_seed(derive_seed(settings.seed, "weights"))
        task = build_task()
    modules, optimizers = dict(task.modules), dict(task.optimizers)
    for module in modules.values():
        # The layout that convolution kernels are fastest in.
        module.to(memory_format=torch.channels_last)
    for name, module in modules.items():
        task.modules[name], task.optimizers[name] = fabric.setup(module, optimizers[name])
    identity = {**identity, "precision": precision}
    found = _checkpoint_to_resume(settings, checkpoints, identity)
    start, history, watch = 0, [], _Stopwatch()
    if found:
        # Only now: a restored optimiser's state goes to the device that its weights are on.
        restore(found, modules, optimizers)
        start, history, watch.seconds = found.step, found.history, found.seconds
        logger.info("Resumed at step %d of %d from '%s'", start, settings.steps, checkpoints)

    data = _placed(examples, fabric.device)
    looked_at = _placed(held_out.examples, fabric.device)
    images = len(data["pixels"])
    per_epoch = steps_per_epoch(images, settings.batch_size)
    sample_at = settings.sample_steps()
    recorder = _Recorder(history)
    alarms = _Alarms()

    def draw_samples(step: int) -> None:
        noise = random_generator(settings.seed, "progress")
        # Where there are fewer examples than samples, their findings come round again.
        asked = data["findings"][torch.arange(settings.samples) % images]
        drawn = to_pixels(task.sample(noise, asked))
        watchers.on_samples(step, drawn[:, 0].cpu().numpy())

    def diagnose() -> Diagnosis:
        noise = random_generator(settings.seed, "diagnosis")
        return task.diagnose(looked_at, held_out.split, noise)

    if start == 0 and 0 in sample_at:
        draw_samples(0)
    with progress(settings.steps, start) as report:
        for done in range(start + 1, settings.steps + 1):
            last = done == settings.steps
            with watch:
                batch = batch_positions(images, settings.batch_size, settings.seed, done - 1)
                batch = batch.to(fabric.device)
                losses = task.step(
                    {name: tensor[batch] for name, tensor in data.items()},
                    done,
                    partial(random_generator, settings.seed, step=done),
                    partial(update_network, fabric, task, done),
                )
                recorder.add(done, losses)
                news = recorder.read() if done % settings.log_every == 0 or last else {}
            if news:
                rate = watch.steps_per_second() * settings.batch_size
                history.append((done, SPEED, rate))
                report(done, news, rate)
                watchers.on_metrics(done, {**news, SPEED: rate})
            if done % per_epoch == 0 or last:
                recorder.read()
                diagnosis = diagnose()
                metrics = diagnosis.metrics | {f"warning/{name}": 1.0 for name in diagnosis.warnings}
                history.extend((done, metric, value) for metric, value in metrics.items())
                alarms.hear(done, diagnosis.warnings)
                watchers.on_metrics(done, metrics)
            if done in sample_at:
                draw_samples(done)
            if done % settings.checkpoint_every == 0 or last:
                recorder.read()
                write_checkpoint(
                    checkpoints,
                    step=done,
                    identity=identity,
                    history=history,
                    seconds=watch.seconds,
                    finished=last,
                    modules=modules,
                    optimizers=optimizers,
                )
    extra = task.finish(data, random_generator(settings.seed, "finish"))
    drawn_again = task.reconstruct(looked_at)
    return Outcome(
        weights={
            f"{name}.{key}": tensor.cpu().contiguous()
            for name, module in modules.items()
            for key, tensor in module.state_dict().items()
        }
        | extra,
        history=history,
        seconds=watch.seconds,
        images_per_second=settings.steps * settings.batch_size / watch.seconds,
        precision=precision,
        device=str(fabric.device),
        warnings=tuple(diagnose().warnings.values()),
        reconstructions=None
        if drawn_again is None
        else to_pixels(drawn_again)[:, 0].cpu().numpy(),
    )


def _placed(examples: Examples, device: torch.device) -> dict[str, Tensor]:
    return {name: tensor.to(device) for name, tensor in examples.items()}


def _checkpoint_to_resume(
    settings: Settings, folder: Path, identity: dict[str, Any]
) -> Checkpoint | None:
    """Find the checkpoint to go on from; `None` is to start anew."""
    found = None if settings.resume is False else find_checkpoint(folder)
    if found is None:
        if settings.resume is True:
            raise ValueError(f"resume=true, but '{folder}' holds no checkpoint: set resume=false")
        return None
    obstacle = _obstacle(found, settings, identity)
    if obstacle and settings.resume is True:
        raise ValueError(f"the checkpoint in '{folder}' {obstacle}: set resume=false")
    if settings.resume == "auto" and found.finished:
        same = settings.reuse and not obstacle and found.step == settings.steps
        return found if same else None
    if obstacle:
        logger.warning("The unfinished run in '%s' %s: starting anew", folder, obstacle)
        return None
    return found


def _obstacle(found: Checkpoint, settings: Settings, identity: dict[str, Any]) -> str | None:
    """Say why a run cannot go on from a checkpoint, if so."""
    if found.identity != identity:
        keys = sorted(found.identity.keys() | identity.keys())
        changes = ", ".join(
            f"{key} was {found.identity.get(key)!r}, is {identity.get(key)!r}"
            for key in keys
            if found.identity.get(key) != identity.get(key)
        )
        return f"is of another run ({changes})"
    if found.step > settings.steps:
        return f"is of step {found.step}, past the {settings.steps} asked for"
    return None


def update_network(fabric: Fabric, task: Task, step: int, name: str, loss: Tensor) -> Tensor:
    """Take one optimiser step, unless loss or gradient is not a number to learn from.

    Returns:
        The norm of the gradient.
    """
    remedy = "stopped before its weights changed; lower the learning rate or use precision=32-true"
    if not torch.isfinite(loss):
        raise ValueError(f"step {step}: the {name}'s loss is {loss.item()}: {remedy}")
    optimizer = task.optimizers[name]
    optimizer.zero_grad(set_to_none=True)
    fabric.backward(loss)
    gradients = [p.grad for p in task.modules[name].parameters() if p.grad is not None]
    norm = torch.nn.utils.get_total_norm(gradients)
    # With 16-bit floats the loss is scaled, and the scaler itself passes over infinite gradients.
    scaler = getattr(fabric.strategy.precision, "scaler", None)
    if scaler is not None:
        norm = norm / scaler.get_scale()
    elif not torch.isfinite(norm):
        raise ValueError(f"step {step}: the {name}'s gradient is {norm.item()}: {remedy}")
    optimizer.step()
    return norm


class _Recorder:
    """Gathers losses where they are made and reads them from the device only when asked."""

    def __init__(self, history: list[HistoryRow]) -> None:
        self.history = history
        self.pending: list[tuple[int, dict[str, Tensor]]] = []

    def add(self, step: int, losses: dict[str, Tensor]) -> None:
        self.pending.append((step, losses))

    def read(self) -> dict[str, float]:
        """Move what was gathered to the history; return the latest."""
        latest: dict[str, float] = {}
        for step, losses in self.pending:
            latest = {metric: float(value) for metric, value in losses.items()}
            self.history.extend((step, metric, value) for metric, value in latest.items())
        self.pending.clear()
        return latest


class _Alarms:
    """Says what has gone wrong once it has stood for two looks in a row, and then no more."""

    def __init__(self) -> None:
        self.before: set[str] = set()
        self.said: set[str] = set()

    def hear(self, step: int, warnings: Mapping[str, str]) -> None:
        for name in (warnings.keys() & self.before) - self.said:
            logger.warning("Step %d: %s", step, warnings[name])
            self.said.add(name)
        self.before = set(warnings)


class _Stopwatch:
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
