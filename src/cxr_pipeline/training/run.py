"""Training a model on an image store, with its samples, history and configuration on record."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import Tensor

from cxr_pipeline.data.conditions import (
    asked_findings,
    conditions,
    label_balance,
    multi_hot,
)
from cxr_pipeline.data.files import write_bytes
from cxr_pipeline.data.findings import BALANCES
from cxr_pipeline.data.png import encode_png
from cxr_pipeline.data.selection import Selection, selection_from
from cxr_pipeline.data.sheets import comparison_sheet, image_sheet
from cxr_pipeline.data.store import ImageStore
from cxr_pipeline.training.engine import train
from cxr_pipeline.training.feature_cache import FeatureCache
from cxr_pipeline.training.models import MODELS
from cxr_pipeline.training.record import record_outcome
from cxr_pipeline.training.settings import Settings, planned_steps
from cxr_pipeline.training.task import Examples
from cxr_pipeline.training.watching import HeldOut, Watchers

logger = logging.getLogger(__name__)

PROGRESS_IMAGES = 64
SHEET_COLUMNS = 8
HELD_OUT_IMAGES = 256
"""Images at most that training is looked at with, once an epoch."""
RECONSTRUCTED_IMAGES = 32

# What may change between an interrupted run and the one that goes on from its checkpoint.
NOT_IDENTITY = {
    "accelerator", "checkpoint_every", "epochs", "log_every", "max_steps", "mixture_components",
    "precision", "resume", "sample_at", "sample_findings", "sample_seed", "sampler", "samples",
    "temperature",
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
    reconstructions: npt.NDArray[np.uint8] | None
    """A sheet, uint8: images held out, each above what became of it; None from a GAN."""


def own_identity(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters that a checkpoint must share with the run that goes on from it."""
    return {key: value for key, value in parameters.items() if key not in NOT_IDENTITY}


def check_image_size(model: str, size: int) -> None:
    """Check that a model draws images of a size.

    Raises:
        ValueError: If it draws others.
    """
    own = MODELS[model].IMAGE_SIZE
    if size != own:
        raise ValueError(
            f"the {model} draws {own} px images, the image store holds {size} px: set "
            f"preprocessing.size={own}"
        )


def train_on_store(
    model: str,
    images: ImageStore,
    parameters: Mapping[str, Any],
    *,
    checkpoints: Path,
    progress: Path,
    on_metrics: Callable[[int, Mapping[str, float]], None],
    on_sheet: Callable[[int, npt.NDArray[np.uint8]], None],
    features: FeatureCache | None = None,
    reuse: bool = False,
) -> Trained:
    """Train a model on the training split of a store.

    Args:
        model: Its name, one of `MODELS`.
        images: The store.
        parameters: `TrainingParameters` and the model's own, in JSON's types.
        checkpoints: The folder of the resumable checkpoint.
        progress: The folder for sheets of samples drawn as training goes on.
        on_metrics: Told the step and the latest metrics.
        on_sheet: Told the step and the (H, W) uint8 sheet drawn then.
        features: What a frozen encoder made of the store's images, for models that have one.
        reuse: Whether a finished run of the same parameters and data may be taken for this one.

    Raises:
        ValueError: If the store holds images of another size, no image is left to train on, or as
            `engine.train` says.
    """
    kind = MODELS[model]
    check_image_size(model, images.size)
    selection = selection_from(parameters["selection"])
    rows = images.rows(split="train", selection=selection)
    settings = _settings(model, parameters, len(rows), reuse=reuse)
    architecture = kind.architecture(parameters, conditions(images.classes))
    entries = architecture["findings"]
    labels = images.index["findings"].iloc[rows]
    if entries and labels.nunique() == 1:
        raise ValueError(
            f"all {len(rows)} training images have the same findings ({labels.iloc[0]}): a "
            f"conditional model learns nothing from them; widen {model}.selection"
        )
    asked = [name for name in parameters.get("sample_findings", ()) if name not in BALANCES]
    if asked:
        asked_findings(asked, entries)  # the labels may know fewer findings than there are
    held_out = _held_out(images, selection, entries, features)

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
    origin = {"encoder": features.encoder} if features else {}
    outcome = train(
        partial(kind.build_task, architecture, parameters),
        read_examples(images, rows, entries, features),
        held_out,
        settings,
        checkpoints=checkpoints,
        identity={
            "model": model,
            "image_store_digest": images.digest,
            **origin,
            **own_identity(parameters),
        },
        watchers=Watchers(on_metrics, keep_samples),
    )
    config = {
        "model": model,
        "architecture": architecture,
        "image_size": images.size,
        "parameters": dict(parameters),
        "steps": settings.steps,
        "data": images.manifest["data"],
        "training_images": len(rows),
        "image_store": images.version,
        "image_store_digest": images.digest,
        **origin,
        **record_outcome(outcome),
    }
    if entries:
        config["training_labels"] = label_balance(labels)
    history = pd.DataFrame(outcome.history, columns=["step", "metric", "value"])
    again = outcome.reconstructions
    sheet = None
    if again is not None:
        before = held_out.examples["pixels"][:, 0].numpy()
        sheet = comparison_sheet(
            before[:RECONSTRUCTED_IMAGES], again[:RECONSTRUCTED_IMAGES], columns=SHEET_COLUMNS
        )
    return Trained(outcome.weights, config, history, sheet)


def read_examples(
    images: ImageStore,
    rows: npt.NDArray[np.int64],
    entries: Sequence[str],
    features: FeatureCache | None,
) -> Examples:
    """Read images, their label vectors and features into memory.

    Args:
        images: The store.
        rows: Positions in its index.
        entries: The label vector's entries; none where the model is not conditional.
        features: Where the encoder is frozen, what it made of the images.
    """
    labels = images.index["findings"].iloc[rows].tolist()
    examples = {
        "pixels": torch.from_numpy(images.read(rows))[:, None],  # (N, 1, S, S)
        "findings": multi_hot(labels, entries),
    }
    if features is not None and features.frozen:
        examples["features"] = torch.from_numpy(features.read(images, rows))
    return examples


def _held_out(
    images: ImageStore,
    selection: Selection,
    entries: Sequence[str],
    features: FeatureCache | None,
) -> HeldOut:
    """Some of the validation split; where that is empty, of the training split."""
    split = "validation"
    try:
        rows = images.rows(split=split, selection=selection)
    except ValueError:
        split = "train"
        rows = images.rows(split=split, selection=selection)
        logger.warning("No image in the validation split: diagnostics look at training images")
    # Spread over the split, for variety.
    some = rows[np.linspace(0, len(rows) - 1, min(HELD_OUT_IMAGES, len(rows))).astype(np.int64)]
    return HeldOut(read_examples(images, some, entries, features), split)


def _settings(model: str, parameters: Mapping[str, Any], images: int, *, reuse: bool) -> Settings:
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
        reuse=reuse,
    )
