"""Nodes from the image store to a trained model, its losses and its samples.

torch and Fabric take seconds to import: the functions that need them import them, so that runs
without training start at once.
"""

import logging
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from cxr_pipeline import tracking
from cxr_pipeline.data.files import write_bytes
from cxr_pipeline.data.png import encode_png
from cxr_pipeline.data.raw_folder import RawFolder
from cxr_pipeline.data.store import ImageStore
from cxr_pipeline.data.synthetic import synthetic_folder
from cxr_pipeline.evaluation.sheets import image_sheet
from cxr_pipeline.parameters import GanParameters, TrainingParameters

logger = logging.getLogger(__name__)

PROGRESS_IMAGES = 64
SHEET_IMAGES = 64
SHEET_COLUMNS = 8

# What may change between an interrupted run and the one that goes on from its checkpoint.
NOT_IDENTITY = {
    "epochs", "max_steps", "log_every", "checkpoint_every", "sample_at", "resume", "samples",
    "sample_seed",
}  # fmt: skip


def train_gan(
    images: ImageStore, parameters: GanParameters, checkpoints: Path, progress: Path
) -> tuple[dict[str, Any], dict[str, Any], pd.DataFrame, float]:
    """Train the LSGAN: its weights, configuration, history, and images/s."""
    from cxr_pipeline.models.lsgan import IMAGE_SIZE
    from cxr_pipeline.training.lsgan import LsganTask

    if images.size != IMAGE_SIZE:
        raise ValueError(
            f"the gan draws {IMAGE_SIZE} px images, the image store holds {images.size} px: set "
            f"preprocessing.size={IMAGE_SIZE}"
        )
    architecture: dict[str, Any] = {
        "dim_z": parameters.dim_z,
        "patch_scores": parameters.patch_scores,
    }

    def build() -> LsganTask:
        return LsganTask(
            **architecture,
            learning_rate=parameters.learning_rate,
            betas=parameters.betas,
            generator_steps=parameters.generator_steps,
        )

    return _train("gan", build, architecture, images, parameters, checkpoints, progress)


def draw_samples(
    config: dict[str, Any], weights: dict[str, Any], count: int, seed: int
) -> tuple[RawFolder, npt.NDArray[np.uint8]]:
    """Draw synthetic images: a data set in the raw layout, and a sheet of the first ones."""
    from cxr_pipeline.training.sampling import build_sampler, sample_images

    sampler = build_sampler(config, weights)

    def draw(images: int) -> Iterator[npt.NDArray[np.uint8]]:
        return sample_images(sampler, count=images, seed=seed)

    sheet = image_sheet(np.stack(list(draw(min(SHEET_IMAGES, count)))), columns=SHEET_COLUMNS)
    return synthetic_folder(draw(count), config, count=count, seed=seed), sheet


def _train(
    model: str,
    build_task: Callable[[], Any],
    architecture: Mapping[str, Any],
    images: ImageStore,
    parameters: TrainingParameters,
    checkpoints: Path,
    progress: Path,
) -> tuple[dict[str, Any], dict[str, Any], pd.DataFrame, float]:
    """Train any model on the training split, telling MLflow and the progress folder live."""
    from cxr_pipeline.training.engine import Settings, Watchers, planned_steps, train
    from cxr_pipeline.training.record import record_outcome

    rows = images.rows(split="train", findings=parameters.findings)
    batch_size = min(parameters.batch_size, len(rows))
    if batch_size < parameters.batch_size:
        logger.warning(
            "Only %d images to train on: a batch holds them all, not %s.batch_size=%d",
            len(rows),
            model,
            parameters.batch_size,
        )
    settings = Settings(
        steps=planned_steps(
            len(rows), batch_size, max_steps=parameters.max_steps, epochs=parameters.epochs
        ),
        batch_size=batch_size,
        seed=parameters.seed,
        accelerator=parameters.accelerator,
        precision=parameters.precision,
        log_every=parameters.log_every,
        checkpoint_every=parameters.checkpoint_every,
        sample_at=parameters.sample_at,
        samples=PROGRESS_IMAGES,
        resume=parameters.resume,
    )
    logger.info("Training %s on %d images for %d steps", model, len(rows), settings.steps)
    trained_on = {"image_store": images.version, "image_store_digest": images.digest}
    identity = {
        "model": model,
        **trained_on,
        **{k: v for k, v in parameters.model_dump(mode="json").items() if k not in NOT_IDENTITY},
    }

    def progress_file(step: int) -> Path:
        return progress / f"step_{step:06d}.png"

    # Samples of an earlier run, drawn at other steps, would pass for this one's.
    for stale in {*progress.glob("step_*.png")} - {*map(progress_file, settings.sample_steps())}:
        stale.unlink()

    def keep_samples(step: int, samples: npt.NDArray[np.uint8]) -> None:
        sheet = image_sheet(samples, columns=SHEET_COLUMNS)
        write_bytes(progress_file(step), encode_png(sheet))
        tracking.log_picture(f"{model}_samples", step, sheet)

    outcome = train(
        build_task,
        images.read(rows),
        settings,
        checkpoints=checkpoints,
        identity=identity,
        watchers=Watchers(tracking.log_metrics, keep_samples),
    )
    config = {
        "model": model,
        "architecture": dict(architecture),
        "image_size": images.size,
        "parameters": parameters.model_dump(mode="json"),
        "steps": settings.steps,
        "training_images": len(rows),
        **trained_on,
        **record_outcome(outcome),
    }
    history = pd.DataFrame(outcome.history, columns=["step", "metric", "value"])
    return outcome.weights, config, history, outcome.images_per_second
