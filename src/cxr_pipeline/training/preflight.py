"""What can be refused before any work: devices, checkpoints and weights that will not do."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cxr_pipeline.training.distributed import check_processes
from cxr_pipeline.training.examples import check_image_size
from cxr_pipeline.training.feature_cache import build_encoder
from cxr_pipeline.training.networks import check_compiling
from cxr_pipeline.training.precision import choose_accelerator, choose_precision
from cxr_pipeline.training.run import own_identity
from cxr_pipeline.training.saved_model import WEIGHTS
from cxr_pipeline.training.settings import checkpoint_to_resume

KNOWN_LATER = (
    "encoder", "image_store_digest",
    "data", "entries", "first_weights", "positive_weights", "steps", "training_images",
)  # fmt: skip
"""What of a checkpoint's identity is settled by the data; the engine compares it."""

DRAWN_WITH = {
    "samples", "sample_seed", "sample_findings", "temperature",
    "accelerator", "log_every", "checkpoint_every", "keep_checkpoints", "data_placement", "resume",
}  # fmt: skip
"""Parameters of a model that may be others when it draws: how, and what is not of the model."""


def check_training(
    model: str, parameters: Mapping[str, Any], checkpoints: Path, *, image_size: int | None = None
) -> dict[str, str]:
    """Refuse a training that cannot begin, or not go on as asked.

    Args:
        model: Its name, one of `MODELS`.
        parameters: `TrainingParameters` and the model's own, in JSON's types.
        checkpoints: The folder of the resumable checkpoint.
        image_size: Side of the images it will get, in pixels; `None` if that is not known yet.

    Returns:
        The notes of the checkpoint that it goes on from (see `Checkpoint.notes`); empty if it
        starts anew, as far as is known before there are images.

    Raises:
        ValueError: If the images are of another size, the device is not there or cannot compute in
            the precision asked for, the processes cannot share a batch, or the checkpoints are not
            what `resume` needs (see `checkpoint_to_resume`).
    """
    if image_size is not None:
        check_image_size(model, image_size)
    precision = choose_precision(parameters["precision"], parameters["accelerator"])
    accelerator = choose_accelerator(parameters["accelerator"])
    check_compiling(parameters["compile"], accelerator)
    check_processes(parameters["batch_size"], accelerator)
    identity = {"model": model, "precision": precision, **own_identity(parameters)}
    found = checkpoint_to_resume(
        checkpoints,
        identity,
        resume=parameters["resume"],
        steps=parameters["max_steps"],  # how long whole epochs take is known once the images are
        known_later=KNOWN_LATER,
    )
    return found.notes if found else {}


def check_encoder(name: str, weights: str | None) -> None:
    """Refuse weights that an encoder cannot have, by giving it them.

    Args:
        name: `vgg16` or `densenet121`.
        weights: See `load_encoder_weights`, which also says what it raises.
    """
    if weights is not None:
        build_encoder(name, normalise=True, weights=weights, seed=0)


def check_kept_model(
    path: Path, model: str, parameters: Mapping[str, Any], asked: Mapping[str, Any]
) -> None:
    """Refuse to draw from a model that is not there, or under a name that is not its own.

    Args:
        path: Its `config.json`.
        model: Its name, one of `MODELS`.
        parameters: `TrainingParameters` and the model's own, in JSON's types.
        asked: Those of them that were given for this run, by name; the others may have changed
            since the model was trained.

    Raises:
        ValueError: If there is no model, or it was trained with another value of one asked for.
    """
    missing = [name for name in (path.name, WEIGHTS) if not (path.parent / name).is_file()]
    if missing:
        raise ValueError(
            f"'{path.parent}' holds no trained model to draw from ({missing[0]} is not there): "
            f"train it, with `kedro run --pipeline={model}`"
        )
    trained = json.loads(path.read_text())["parameters"]
    for name in asked.keys() - DRAWN_WITH:
        key = "row" if name == "versions" else name
        if parameters[key] != trained.get(key):
            raise ValueError(
                f"{model}.{name}={parameters[key]}, but the model in '{path.parent}' was trained "
                f"with {trained.get(key)}: leave it out to draw from that one, or train this one, "
                f"with `kedro run --pipeline={model}`"
            )
