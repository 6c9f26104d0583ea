"""What can be refused before any work: devices, checkpoints and weights that will not do."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cxr_pipeline.training.checkpoint import find_checkpoint
from cxr_pipeline.training.distributed import check_processes
from cxr_pipeline.training.examples import check_image_size
from cxr_pipeline.training.feature_cache import build_encoder
from cxr_pipeline.training.networks import check_compiling
from cxr_pipeline.training.precision import choose_accelerator, choose_precision
from cxr_pipeline.training.run import outcome_is_lost, own_identity
from cxr_pipeline.training.settings import (
    obstacle_to_resuming,
    require_checkpoint,
    require_same_run,
)

KNOWN_LATER = ("encoder", "image_store_digest")
"""What of a checkpoint's identity is settled by the data; the engine compares it."""


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
            the precision asked for, the processes cannot share a batch, every checkpoint is
            damaged, or `resume` is true and there is none, or it is of another run.
    """
    if image_size is not None:
        check_image_size(model, image_size)
    precision = choose_precision(parameters["precision"], parameters["accelerator"])
    accelerator = choose_accelerator(parameters["accelerator"])
    check_compiling(parameters["compile"], accelerator)
    check_processes(parameters["batch_size"], accelerator)
    resume = parameters["resume"]
    if resume is False:
        return {}
    found = require_checkpoint(checkpoints) if resume is True else find_checkpoint(checkpoints)
    if found is None:
        return {}
    later = {key: found.identity[key] for key in KNOWN_LATER if key in found.identity}
    identity = {**later, "model": model, "precision": precision, **own_identity(parameters)}
    # How long whole epochs take is known once the images are.
    steps = parameters["max_steps"] or found.step
    if resume is True:
        require_same_run(found, checkpoints, identity, steps)
        return found.notes
    if obstacle_to_resuming(found, identity, steps):
        return {}
    if found.finished and not (found.step == steps and outcome_is_lost(checkpoints)):
        return {}
    return found.notes


def check_encoder(name: str, weights: str | None) -> None:
    """Refuse weights that an encoder cannot have, by giving it them.

    Args:
        name: `vgg16` or `densenet121`.
        weights: See `load_encoder_weights`, which also says what it raises.
    """
    if weights is not None:
        build_encoder(name, normalise=True, weights=weights, seed=0)
