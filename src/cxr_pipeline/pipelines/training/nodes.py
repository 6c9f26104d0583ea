"""Nodes from the image store to a trained model and its samples.

torch and Fabric take seconds to import: the functions that need them import them, so that runs
without training start at once.
"""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from cxr_pipeline import tracking
from cxr_pipeline.data.raw_folder import RawFolder
from cxr_pipeline.data.sheets import image_sheet
from cxr_pipeline.data.store import ImageStore
from cxr_pipeline.data.synthetic import synthetic_folder
from cxr_pipeline.parameters import GanParameters

SHEET_IMAGES = 64
SHEET_COLUMNS = 8


def train_gan(
    images: ImageStore, parameters: GanParameters, checkpoints: Path, progress: Path
) -> tuple[dict[str, Any], dict[str, Any], pd.DataFrame, float]:
    """Train the LSGAN: its weights, configuration, history, and mean images/s."""
    from cxr_pipeline.models.lsgan import IMAGE_SIZE
    from cxr_pipeline.training.lsgan import LsganTask
    from cxr_pipeline.training.run import train_on_store

    if images.size != IMAGE_SIZE:
        raise ValueError(
            f"the gan draws {IMAGE_SIZE} px images, the image store holds {images.size} px: set "
            f"preprocessing.size={IMAGE_SIZE}"
        )
    architecture: dict[str, Any] = {
        "dim_z": parameters.dim_z,
        "patch_scores": parameters.patch_scores,
    }
    trained = train_on_store(
        "gan",
        partial(
            LsganTask,
            **architecture,
            learning_rate=parameters.learning_rate,
            betas=parameters.betas,
            generator_steps=parameters.generator_steps,
        ),
        architecture,
        images,
        parameters.model_dump(mode="json"),
        checkpoints=checkpoints,
        progress=progress,
        on_metrics=tracking.log_metrics,
        on_sheet=partial(tracking.log_picture, "gan_samples"),
    )
    speed = trained.config["images_per_second"]
    return trained.weights, trained.config, trained.history, speed


def draw_samples(
    config: dict[str, Any], weights: dict[str, Any], count: int, seed: int
) -> tuple[RawFolder, npt.NDArray[np.uint8]]:
    """Draw synthetic images: a data set in the raw layout, and a sheet of the first ones."""
    from cxr_pipeline.training.sampling import build_sampler, sample_images

    draw = partial(sample_images, build_sampler(config, weights), seed=seed)
    first = np.stack(list(draw(count=min(SHEET_IMAGES, count))))
    folder = synthetic_folder(draw(count=count), config, count=count, seed=seed)
    return folder, image_sheet(first, columns=SHEET_COLUMNS)
