"""Training a model on an image store, with its samples, history and configuration on record."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from torch import Tensor

from cxr_pipeline.data.files import write_bytes
from cxr_pipeline.data.png import encode_png
from cxr_pipeline.data.selection import selection_from
from cxr_pipeline.data.sheets import image_sheet
from cxr_pipeline.data.store import ImageStore
from cxr_pipeline.training.engine import Settings, Watchers, planned_steps, train
from cxr_pipeline.training.record import record_outcome
from cxr_pipeline.training.task import Task

logger = logging.getLogger(__name__)

PROGRESS_IMAGES = 64
SHEET_COLUMNS = 8

# What may change between an interrupted run and the one that goes on from its checkpoint.
NOT_IDENTITY = {
    "accelerator", "checkpoint_every", "epochs", "log_every", "max_steps", "precision", "resume",
    "sample_at", "sample_seed", "samples",
}  # fmt: skip


@dataclass(frozen=True)
class Trained:
    """A trained model."""

    weights: dict[str, Tensor]
    """Every network's state on the CPU, as `network.key`."""
    config: dict[str, Any]
    """What it is, what it was trained on and how, in JSON's types."""
    history: pd.DataFrame
    """`step`, `metric`, `value`."""


def train_on_store(
    model: str,
    build_task: Callable[[], Task],
    architecture: Mapping[str, Any],
    images: ImageStore,
    parameters: Mapping[str, Any],
    *,
    checkpoints: Path,
    progress: Path,
    on_metrics: Callable[[int, Mapping[str, float]], None],
    on_sheet: Callable[[int, npt.NDArray[np.uint8]], None],
) -> Trained:
    """Train a model on the training split of a store.

    Args:
        model: The model's name.
        build_task: See `engine.train`.
        architecture: What sampling needs to rebuild the model, in JSON's types.
        images: The store.
        parameters: `TrainingParameters` and the model's own, in JSON's types.
        checkpoints: The folder of the resumable checkpoint.
        progress: The folder for sheets of samples drawn as training goes on.
        on_metrics: Told the step and the latest metrics.
        on_sheet: Told the step and the (H, W) uint8 sheet drawn then.

    Raises:
        ValueError: If no image is left to train on, or as `engine.train` says.
    """
    selection = selection_from(parameters["selection"])
    rows = images.rows(split="train", selection=selection)
    settings = _settings(model, parameters, len(rows))

    def sheet_file(step: int) -> Path:
        return progress / f"step_{step:06d}.png"

    # Samples of an earlier run, drawn at other steps, would pass for this one's.
    for stale in {*progress.glob("step_*.png")} - {*map(sheet_file, settings.sample_steps())}:
        stale.unlink()

    def keep_samples(step: int, samples: npt.NDArray[np.uint8]) -> None:
        sheet = image_sheet(samples, columns=SHEET_COLUMNS)
        write_bytes(sheet_file(step), encode_png(sheet))
        on_sheet(step, sheet)

    logger.info(
        "Training %s on %d images%s for %d steps",
        model,
        len(rows),
        f" ({selection})" if str(selection) else "",
        settings.steps,
    )
    own = {key: value for key, value in parameters.items() if key not in NOT_IDENTITY}
    outcome = train(
        build_task,
        images.read(rows),
        settings,
        checkpoints=checkpoints,
        identity={"model": model, "image_store_digest": images.digest, **own},
        watchers=Watchers(on_metrics, keep_samples),
    )
    config = {
        "model": model,
        "architecture": dict(architecture),
        "image_size": images.size,
        "parameters": dict(parameters),
        "steps": settings.steps,
        "data": images.manifest["data"],
        "training_images": len(rows),
        "image_store": images.version,
        "image_store_digest": images.digest,
        **record_outcome(outcome),
    }
    history = pd.DataFrame(outcome.history, columns=["step", "metric", "value"])
    return Trained(outcome.weights, config, history)


def _settings(model: str, parameters: Mapping[str, Any], images: int) -> Settings:
    batch_size = min(parameters["batch_size"], images)
    if batch_size < parameters["batch_size"]:
        logger.warning(
            "Only %d images to train on: a batch holds them all, not %s.batch_size=%d",
            images,
            model,
            parameters["batch_size"],
        )
    return Settings(
        steps=planned_steps(
            images, batch_size, max_steps=parameters["max_steps"], epochs=parameters["epochs"]
        ),
        batch_size=batch_size,
        seed=parameters["seed"],
        accelerator=parameters["accelerator"],
        precision=parameters["precision"],
        log_every=parameters["log_every"],
        checkpoint_every=parameters["checkpoint_every"],
        sample_at=tuple(parameters["sample_at"]),
        samples=PROGRESS_IMAGES,
        resume=parameters["resume"],
    )
