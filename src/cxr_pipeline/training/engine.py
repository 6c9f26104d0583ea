"""The one training loop: when things happen. What happens in a step is the task's business."""

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cxr_pipeline.data.batches import steps_per_epoch, to_pixels
from cxr_pipeline.randomness import random_generator
from cxr_pipeline.training.checkpoint import HistoryRow
from cxr_pipeline.training.distributed import agreed_signal
from cxr_pipeline.training.feed import Feed, place, prefetching
from cxr_pipeline.training.interruption import deferred_signals
from cxr_pipeline.training.networks import GAIN, compile_gain
from cxr_pipeline.training.progress import progress
from cxr_pipeline.training.session import Session, begin
from cxr_pipeline.training.settings import Settings
from cxr_pipeline.training.task import Examples, Task, first_examples
from cxr_pipeline.training.watching import HeldOut, Observer, Watchers

RECONSTRUCTED_IMAGES = 32

SPEED = "speed/images_per_second"


@dataclass(frozen=True)
class Outcome:
    """What training leaves behind; except in rank 0 its networks' weights and little else."""

    weights: dict[str, Tensor]
    """Every network's state on the CPU, as `network.key`, and what `Task.finish` adds."""
    history: list[HistoryRow]
    seconds: float
    """Time spent in training steps, interruptions, samples and checkpoints left out."""
    images_per_second: float
    learned_parameters: int
    """Numbers that training changes, in all networks."""
    precision: str
    device: str
    warnings: tuple[str, ...]
    """What the last look at the model found wrong."""
    reconstructions: npt.NDArray[np.uint8] | None
    """(N, H, W) uint8, the held-out images as the model draws them again, if it does."""


def train(
    build_task: Callable[[], Task],
    examples: Examples,
    held_out: HeldOut,
    settings: Settings,
    *,
    checkpoints: Path,
    identity: dict[str, Any],
    watchers: Watchers,
    notes: Mapping[str, str] | None = None,
) -> Outcome:
    """Train a model; under `torchrun` all processes do, and rank 0 looks, writes and tells.

    Whoever keeps the outcome marks the training as finished (`checkpoint.mark_finished`). Until
    then another call goes on from the last checkpoint and gives the same outcome.

    Args:
        build_task: Builds the model and its optimisers, with weights from torch's global generator.
        examples: What to train on, at least a batch of it.
        held_out: What to look at the model with.
        settings: How to train.
        checkpoints: The folder of the resumable checkpoint.
        identity: What is trained on what, in JSON's types.
        watchers: Whom to tell.
        notes: What to keep with the checkpoints, see `Checkpoint.notes`.

    Raises:
        NotFiniteError: If a loss or gradient is no number; the last checkpoint stays.
        ValueError: If the device is not there, or the checkpoint to resume from is damaged or of
            another identity.
        KeyboardInterrupt: On Ctrl-C, once the step has ended and is saved.
    """
    # So that resumed training repeats to the bit.
    torch.backends.cudnn.deterministic = True
    session = begin(build_task, settings, checkpoints, identity, notes or {})
    device = session.fabric.device
    data = place(examples, device, settings.data_placement)
    held_out = HeldOut(place(held_out.examples, device, "device"), held_out.split)
    observer = Observer(session, data["findings"], held_out, watchers)
    fabric = session.fabric
    feed = Feed(
        data,
        session.task.noise,
        settings.batch_size,
        settings.seed,
        device,
        rank=fabric.global_rank,
        processes=fabric.world_size,
    )
    if settings.compile:
        gain = compile_gain(
            build_task, feed.batch(1), settings.compile, settings.accelerator, session.precision
        )
        if session.leads and session.start == 0:
            session.history.append((0, GAIN, gain))
            watchers.on_metrics(0, {GAIN: gain})
    _take_steps(session, feed, observer)

    with session.drawing():
        weights = {
            f"{name}.{key}": tensor.cpu().contiguous()
            for name, module in session.task.modules.items()
            for key, tensor in module.state_dict().items()
        }
        again: Tensor | None = None
        warnings: tuple[str, ...] = ()
        if session.leads:
            some = first_examples(held_out.examples, RECONSTRUCTED_IMAGES)
            again = session.task.reconstruct(some)
            weights |= session.task.finish(data, random_generator(settings.seed, "finish"))
            warnings = observer.standing_warnings(settings.steps)
    seconds = session.watch.seconds
    return Outcome(
        weights=weights,
        history=session.history,
        seconds=seconds,
        images_per_second=settings.steps * settings.batch_size / seconds,
        learned_parameters=sum(
            parameter.numel()
            for network in session.networks.values()
            for parameter in network.parameters()
        ),
        precision=session.precision,
        device=str(device),
        warnings=warnings,
        reconstructions=None if again is None else to_pixels(again)[:, 0].cpu().numpy(),
    )


def _take_steps(session: Session, feed: Feed, observer: Observer) -> None:
    """Take the steps that are left, and do between them what is due."""
    settings, watch, start = session.settings, session.watch, session.start
    per_epoch = steps_per_epoch(len(feed.examples["pixels"]), settings.batch_size)
    sample_at = settings.sample_steps()
    if start == 0 and 0 in sample_at:
        observer.draw_samples(0)
    with (
        prefetching(feed, settings.steps) as batch,
        progress(settings.steps, start) if session.leads else nullcontext() as report,
        deferred_signals() as signals,
    ):
        for done in range(start + 1, settings.steps + 1):
            last = done == settings.steps
            with watch:
                session.step(batch(done), done)
                # Waits for the device, so that the seconds are the steps' own.
                news = session.read() if done % settings.log_every == 0 or last else {}
            if news and report:
                news[SPEED] = watch.steps_per_second() * settings.batch_size
                session.history.append((done, SPEED, news[SPEED]))
                report(done, news, news[SPEED])
                observer.watchers.on_metrics(done, news)
            if done % per_epoch == 0 or last:
                observer.end_epoch(done)
            if done in sample_at:
                observer.draw_samples(done)
            stop = agreed_signal(signals.number, meeting=bool(news))
            if done % settings.checkpoint_every == 0 or last or stop:
                session.save(done)
            signals.deliver(stop)
