"""Nodes from the image store to a trained model and its samples.

torch and Fabric take seconds to import: the functions that need them import them, so that runs
without training start at once.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from cxr_pipeline import tracking
from cxr_pipeline.data.labelled_sheets import labelled_sheet
from cxr_pipeline.data.raw_folder import RawFolder
from cxr_pipeline.data.sheets import image_sheet
from cxr_pipeline.data.store import ImageStore
from cxr_pipeline.data.synthetic import synthetic_folder
from cxr_pipeline.parameters.models import GanParameters, GmvaeParameters, VaeParameters

if TYPE_CHECKING:
    from cxr_pipeline.training.run import Trained

SHEET_IMAGES = 64
SHEET_COLUMNS = 8

Made = tuple[Any, ...]
"""weights, config, history and, of a model that encodes, reconstructions"""


def train_gan(
    images: ImageStore, parameters: GanParameters, checkpoints: Path, progress: Path
) -> Made:
    """Train the LSGAN."""
    return _made(_train("gan", images, parameters.model_dump(mode="json"), checkpoints, progress))


def train_vae(
    images: ImageStore, parameters: VaeParameters, checkpoints: Path, progress: Path
) -> Made:
    """Train the VAE."""
    return _made(_train("vae", images, parameters.model_dump(mode="json"), checkpoints, progress))


def plan_features(images: ImageStore, parameters: GmvaeParameters) -> Any:
    """Decide what the encoder shall look at; the catalog computes it as it saves the plan.

    Returns:
        A `FeaturePlan`; were it named as the type, Kedro would look for it here.
    """
    from cxr_pipeline.training.examples import choose_examples
    from cxr_pipeline.training.feature_cache import FeaturePlan, wanted_encoder

    own = parameters.model_dump(mode="json")
    choose_examples("gmvae", images, own)  # to refuse now what could not be trained on later
    return FeaturePlan(
        images=images,
        accelerator=parameters.accelerator,
        precision=parameters.precision,
        **wanted_encoder(own),
    )


def train_gmvae(
    images: ImageStore,
    features: Any,
    parameters: GmvaeParameters,
    checkpoints: Path,
    progress: Path,
) -> Made:
    """Train the GMVAE; `features` is a `FeatureCache`."""
    own = parameters.model_dump(mode="json")
    return _made(_train("gmvae", images, own, checkpoints, progress, features=features))


def _train(
    model: str,
    images: ImageStore,
    parameters: dict[str, Any],
    checkpoints: Path,
    progress: Path,
    **more: Any,
) -> "Trained":
    from cxr_pipeline.training.followers import train_with_followers
    from cxr_pipeline.training.record import speed_and_size

    trained = train_with_followers(
        model,
        images,
        parameters,
        checkpoints=checkpoints,
        progress=progress,
        on_metrics=tracking.log_metrics,
        on_sheet=partial(tracking.log_picture, "samples"),
        notes=tracking.notes(),
        **more,
    )
    tracking.log_metrics(0, speed_and_size(trained.config))  # of no step: MLflow draws bars
    return trained


def _made(trained: "Trained") -> Made:
    made = (trained.weights, trained.config, trained.history)
    return made if trained.reconstructions is None else (*made, trained.reconstructions)


def draw_samples(
    config: dict[str, Any],
    weights: dict[str, Any],
    count: int,
    seed: int,
    temperature: float,
    findings: Sequence[str] = (),
) -> tuple[RawFolder, npt.NDArray[np.uint8]]:
    """Draw synthetic images: a data set in the raw layout, and a sheet of the first ones.

    Raises:
        ValueError: If the weights are not those that `config` was written for.
    """
    from cxr_pipeline.training.sampling import ImageGenerator
    from cxr_pipeline.training.saved_model import require_own_weights

    require_own_weights(config, weights)
    generator = ImageGenerator(config, weights)
    draw = partial(generator.pictures, seed=seed, findings=findings, temperature=temperature)
    first = np.stack(list(draw(min(SHEET_IMAGES, count))))
    folder = synthetic_folder(
        draw(count),
        generator.labels(count, seed=seed, findings=findings),
        config,
        seed=seed,
        temperature=temperature,
    )
    return folder, image_sheet(first, columns=SHEET_COLUMNS)


def explore_latents(
    config: dict[str, Any],
    weights: dict[str, Any],
    images: ImageStore,
    seed: int,
    features: Any = None,
) -> dict[str, npt.NDArray[np.uint8]]:
    """Look at a model's latents in every way that applies to it: sheets by name.

    `features` is a `FeatureCache`, of a GMVAE.

    Raises:
        ValueError: If the weights are not those that `config` was written for, or another store or
            other features were trained on.
    """
    from cxr_pipeline.training.exploration import explore
    from cxr_pipeline.training.sampling import ImageGenerator
    from cxr_pipeline.training.saved_model import require_own_weights

    require_own_weights(config, weights)
    looks = explore(ImageGenerator(config, weights), images, features=features, seed=seed)
    return {name: labelled_sheet(look) for name, look in looks.items()}


def compare_samplers(
    config: dict[str, Any], weights: dict[str, Any], seed: int, temperature: float
) -> npt.NDArray[np.uint8]:
    """Draw from the prior (above the line) and from the fitted mixture (below it).

    Raises:
        ValueError: If the weights are not those that `config` was written for.
    """
    from cxr_pipeline.training.sampling import ImageGenerator
    from cxr_pipeline.training.saved_model import require_own_weights

    require_own_weights(config, weights)
    parts = []
    for sampler in ("prior", "mixture"):
        own = config | {"parameters": config["parameters"] | {"sampler": sampler}}
        generator = ImageGenerator(own, weights)
        drawn = list(generator.pictures(SHEET_IMAGES // 2, seed=seed, temperature=temperature))
        parts.append(image_sheet(np.stack(drawn), columns=SHEET_COLUMNS))
    line = np.full((4, parts[0].shape[1]), 255, dtype=np.uint8)
    return np.concatenate([parts[0], line, parts[1]])
