"""Training a model on an image store, with its samples, history and configuration on record."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from torch import Tensor

from cxr_pipeline.data.batches import batch_positions
from cxr_pipeline.data.conditions import label_balance
from cxr_pipeline.data.files import write_bytes, write_json
from cxr_pipeline.data.png import encode_png
from cxr_pipeline.data.sheets import comparison_sheet, image_sheet
from cxr_pipeline.data.store import ImageStore
from cxr_pipeline.training.distributed import leads
from cxr_pipeline.training.engine import train
from cxr_pipeline.training.examples import choose_examples, read_examples, read_held_out
from cxr_pipeline.training.feature_cache import FeatureCache, wanted_encoder
from cxr_pipeline.training.models import MODELS
from cxr_pipeline.training.record import record_outcome
from cxr_pipeline.training.settings import Settings, planned_steps
from cxr_pipeline.training.updates import NotFiniteError
from cxr_pipeline.training.watching import Watchers

logger = logging.getLogger(__name__)

PROGRESS_IMAGES = 64
IMAGES_NAMED = 3
SHEET_COLUMNS = 8

# What may change between an interrupted run and the one that goes on from its checkpoint.
NOT_IDENTITY = {
    "accelerator", "checkpoint_every", "data_placement", "epochs", "keep_checkpoints", "log_every",
    "max_steps", "mixture_components", "precision", "resume", "sample_at", "sample_findings",
    "sample_seed", "sampler", "samples", "temperature",
}  # fmt: skip


# Settings that are as the parameter of their name says.
AS_SET = (
    "accelerator", "checkpoint_every", "compile", "data_placement", "ema_decay", "gradient_clip",
    "keep_checkpoints", "learning_rate_warmup", "log_every", "precision", "resume", "seed",
)  # fmt: skip


@dataclass(frozen=True)
class Trained:
    """A trained model."""

    weights: dict[str, Tensor]
    """See `engine.Outcome`."""
    config: dict[str, Any]
    """What it is, what it was trained on and how, in JSON's types."""
    history: pd.DataFrame
    """`step`, `metric`, `value`."""
    reconstructions: npt.NDArray[np.uint8] | None
    """A sheet, uint8: images held out, each above what became of it; None from a GAN."""


def own_identity(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters that a checkpoint must share with the run that goes on from it."""
    return {key: value for key, value in parameters.items() if key not in NOT_IDENTITY}


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
    notes: Mapping[str, str] | None = None,
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
        notes: See `Checkpoint.notes`.

    Raises:
        ValueError: If the features are another encoder's, or as `choose_examples` and
            `engine.train` say.
    """
    chosen = choose_examples(model, images, parameters)
    rows, architecture = chosen.rows, chosen.architecture
    if features is not None:
        features.require(wanted_encoder(parameters))
    settings = engine_settings(model, parameters, len(rows), reuse=reuse)
    held_out = read_held_out(images, chosen, features)

    def sheet_file(step: int) -> Path:
        return progress / f"step_{step:06d}.png"

    if not all(sheet_file(step).is_file() for step in settings.sample_steps()):
        settings = replace(settings, reuse=False)
    # Samples of an earlier run, drawn at other steps, would pass for this one's.
    for stale in {*progress.glob("step_*.png")} - {*map(sheet_file, settings.sample_steps())}:
        stale.unlink(missing_ok=True)  # another process may have been faster

    def keep_samples(step: int, samples: npt.NDArray[np.uint8]) -> None:
        sheet = image_sheet(samples, columns=SHEET_COLUMNS)
        write_bytes(sheet_file(step), encode_png(sheet))
        on_sheet(step, sheet)

    logger.info(
        "Training %s on %d images%s for %d steps",
        model,
        len(rows),
        f" ({chosen.selection})" if str(chosen.selection) else "",
        settings.steps,
    )
    origin = {"encoder": features.encoder} if features else {}
    culprits = checkpoints / "not_finite.json"
    culprits.unlink(missing_ok=True)
    try:
        outcome = train(
            partial(MODELS[model].build_task, architecture, parameters),
            read_examples(images, rows, chosen.entries, features),
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
            notes=notes,
        )
    except NotFiniteError as error:
        if not leads():
            raise
        at = batch_positions(len(rows), settings.batch_size, settings.seed, error.step - 1)
        names = images.index["image"].iloc[rows[at.numpy()]].tolist()
        write_json(culprits, {"step": error.step, "error": str(error), "images": names})
        shown = ", ".join(names[:IMAGES_NAMED]) + (" ..." if len(names) > IMAGES_NAMED else "")
        raise ValueError(f"{error} (its images: {shown}; all in '{culprits}')") from error
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
    if chosen.entries:
        config["training_labels"] = label_balance(chosen.labels)
    history = pd.DataFrame(outcome.history, columns=["step", "metric", "value"])
    again = outcome.reconstructions
    sheet = None
    if again is not None:
        before = held_out.examples["pixels"][: len(again), 0].numpy()
        sheet = comparison_sheet(before, again, columns=SHEET_COLUMNS)
    return Trained(outcome.weights, config, history, sheet)


def engine_settings(
    model: str, parameters: Mapping[str, Any], images: int, *, reuse: bool
) -> Settings:
    """Say how to train a model from its parameters.

    Args:
        model: Its name.
        parameters: `EngineParameters` or `TrainingParameters`, in JSON's types.
        images: How many there are to train on.
        reuse: See `Settings`.
    """
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
        sample_at=tuple(parameters.get("sample_at", ())),
        samples=PROGRESS_IMAGES,
        reuse=reuse,
        **{name: parameters[name] for name in AS_SET},
    )
