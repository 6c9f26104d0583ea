"""The one training loop: when things happen. What happens in a step is the task's business."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from lightning.fabric import Fabric
from torch import Tensor

from cxr_pipeline.data.batches import batch_positions, steps_per_epoch, to_pixels
from cxr_pipeline.randomness import derive_seed, random_generator
from cxr_pipeline.training.checkpoint import HistoryRow, mark_finished, restore, write_checkpoint
from cxr_pipeline.training.precision import choose_precision
from cxr_pipeline.training.progress import progress
from cxr_pipeline.training.settings import Settings, checkpoint_to_resume
from cxr_pipeline.training.task import Examples, Task, first_examples
from cxr_pipeline.training.watching import HeldOut, Observer, Recorder, Stopwatch, Watchers

logger = logging.getLogger(__name__)

RECONSTRUCTED_IMAGES = 32

SPEED = "speed/images_per_second"


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
    found = checkpoint_to_resume(settings, checkpoints, identity)
    start, history, watch = 0, [], Stopwatch()
    if found:
        # Only now: a restored optimiser's state goes to the device that its weights are on.
        restore(found, modules, optimizers)
        start, history, watch.seconds = found.step, found.history, found.seconds
        logger.info("Resumed at step %d of %d from '%s'", start, settings.steps, checkpoints)

    data = _placed(examples, fabric.device)
    held_out = HeldOut(_placed(held_out.examples, fabric.device), held_out.split)
    images = len(data["pixels"])
    per_epoch = steps_per_epoch(images, settings.batch_size)
    sample_at = settings.sample_steps()
    recorder = Recorder(history)
    observer = Observer(task, data, held_out, history, watchers, settings.seed)

    if start == 0 and 0 in sample_at:
        observer.draw_samples(0, settings.samples)
    with progress(settings.steps, start) as report:
        for done in range(start + 1, settings.steps + 1):
            last = done == settings.steps
            with watch:
                batch = batch_positions(images, settings.batch_size, settings.seed, done - 1)
                losses = task.step(
                    _batch(data, batch, fabric.device),
                    done,
                    partial(random_generator, settings.seed, step=done),
                    partial(update_network, fabric, task, done),
                )
                recorder.add(done, losses)
                news = recorder.read() if done % settings.log_every == 0 or last else {}
            if news:
                rate = watch.steps_per_second() * settings.batch_size
                history.append((done, SPEED, rate))
                report(done, {k: v for k, v in news.items() if k.startswith("loss/")}, rate)
                watchers.on_metrics(done, {**news, SPEED: rate})
            if done % per_epoch == 0 or last:
                recorder.read()
                observer.end_epoch(done)
            if done in sample_at:
                observer.draw_samples(done, settings.samples)
            if done % settings.checkpoint_every == 0 or last:
                recorder.read()
                write_checkpoint(
                    checkpoints,
                    step=done,
                    identity=identity,
                    history=history,
                    seconds=watch.seconds,
                    modules=modules,
                    optimizers=optimizers,
                )
    weights = {
        f"{name}.{key}": tensor.cpu().contiguous()
        for name, module in modules.items()
        for key, tensor in module.state_dict().items()
    }
    again = task.reconstruct(first_examples(held_out.examples, RECONSTRUCTED_IMAGES))
    weights |= task.finish(data, random_generator(settings.seed, "finish"))
    # Only now: what is interrupted before goes on from here.
    mark_finished(checkpoints)
    return Outcome(
        weights=weights,
        history=history,
        seconds=watch.seconds,
        images_per_second=settings.steps * settings.batch_size / watch.seconds,
        precision=precision,
        device=str(fabric.device),
        warnings=observer.standing_warnings(settings.steps),
        reconstructions=None if again is None else to_pixels(again)[:, 0].cpu().numpy(),
    )


def _placed(examples: Examples, device: torch.device) -> dict[str, Tensor]:
    """Put examples on the device, if at most half of its free memory holds them."""
    if device.type == "cuda":
        needed = sum(tensor.nbytes for tensor in examples.values())
        if needed > torch.cuda.mem_get_info(device)[0] / 2:
            return dict(examples)
    return {name: tensor.to(device) for name, tensor in examples.items()}


def _batch(data: Examples, positions: Tensor, device: torch.device) -> dict[str, Tensor]:
    """Take a batch from where the examples are to the device."""
    return {name: t[positions.to(t.device)].to(device) for name, t in data.items()}


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
