"""Training a classifier of findings on the engine, and looking at images with it afterwards."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import Tensor, nn

from cxr_pipeline.data.batches import to_unit_interval
from cxr_pipeline.data.resizing import resize_images
from cxr_pipeline.models.classifier import Classifier
from cxr_pipeline.models.digest import weights_digest
from cxr_pipeline.models.modes import in_evaluation
from cxr_pipeline.training.classifier_task import NAME, ClassifierTask
from cxr_pipeline.training.engine import train
from cxr_pipeline.training.precision import Accelerator, choose_accelerator
from cxr_pipeline.training.record import record_outcome
from cxr_pipeline.training.run import engine_settings, own_identity
from cxr_pipeline.training.saved_model import load_network, require_own_weights
from cxr_pipeline.training.task import Examples
from cxr_pipeline.training.watching import HeldOut, Watchers

LOOKED_AT_ONCE = 32


@dataclass(frozen=True)
class TrainedClassifier:
    """A trained classifier."""

    weights: dict[str, Tensor]
    """See `engine.Outcome`."""
    config: dict[str, Any]
    """What it is, what it was trained on and how, in JSON's types."""
    history: pd.DataFrame
    """`step`, `metric`, `value`."""


def train_classifier(
    examples: Examples,
    held_out: Examples,
    entries: Sequence[str],
    parameters: Mapping[str, Any],
    *,
    checkpoints: Path,
    identity: Mapping[str, Any],
    on_metrics: Callable[[int, Mapping[str, float]], None],
    notes: Mapping[str, str] | None = None,
    reuse: bool = False,
    first_weights: Mapping[str, Tensor] | None = None,
    positive_weights: Tensor | None = None,
) -> TrainedClassifier:
    """Train a classifier of findings; as after `engine.train`, its keeper marks it as finished.

    Args:
        examples: To train on: `pixels`, (N, 1, S, S) uint8 of side `image_size`, and `findings`,
            (N, C) float32 in [0, 1], between them where a finding is not sure.
        held_out: Some hundreds at most, alike, to look at it with once an epoch: the history's
            `validation/loss` and `validation/auroc`.
        entries: The findings' names, C.
        parameters: `ClassifierParameters`, in JSON's types.
        checkpoints: The folder of the resumable checkpoint.
        identity: What it is trained on, such as `image_store_digest`, in JSON's types; a checkpoint
            is gone on from only where all of this is the same.
        on_metrics: Told the step and the latest metrics.
        notes: See `Checkpoint.notes`.
        reuse: Whether a finished run of the same parameters and data may be taken for this one.
        first_weights: Those of a `TrainedClassifier` of the same network and entries, to begin
            with; random ones where not given.
        positive_weights: (C,), see `findings_cross_entropy`.

    Raises:
        ValueError: If the examples do not fit the parameters or the entries, or as `engine.train`
            says.
    """
    for what, some in (("training", examples), ("held-out", held_out)):
        _check_examples(some, what, len(entries), parameters["image_size"])
    count = len(examples["pixels"])
    settings = engine_settings(NAME, parameters, count, reuse=reuse)
    given = {
        "first_weights": None if first_weights is None else weights_digest(first_weights),
        "positive_weights": None if positive_weights is None else positive_weights.tolist(),
    }
    outcome = train(
        partial(
            _build_task, len(entries), parameters, settings.steps, first_weights, positive_weights
        ),
        examples,
        HeldOut(held_out, "validation"),
        settings,
        checkpoints=checkpoints,
        identity={
            "model": NAME,
            "entries": list(entries),
            "training_images": count,
            # The learning rate falls over them: with another end each step is another.
            "steps": settings.steps,
            **given,
            **identity,
            **own_identity(parameters),
        },
        watchers=Watchers(on_metrics, lambda step, samples: None),
        notes=notes,
    )
    config = {
        "model": NAME,
        "network": parameters["network"],
        "entries": list(entries),
        "image_size": parameters["image_size"],
        "parameters": dict(parameters),
        "steps": settings.steps,
        "training_images": count,
        **given,
        **identity,
        **record_outcome(outcome),
    }
    history = pd.DataFrame(outcome.history, columns=["step", "metric", "value"])
    return TrainedClassifier(outcome.weights, config, history)


def _build_task(
    findings: int,
    parameters: Mapping[str, Any],
    steps: int,
    first_weights: Mapping[str, Tensor] | None,
    positive_weights: Tensor | None,
) -> ClassifierTask:
    network = Classifier(parameters["network"], findings)
    if first_weights is not None:
        load_network(network, NAME, first_weights)
    return ClassifierTask(
        network,
        steps=steps,
        learning_rate=parameters["learning_rate"],
        weight_decay=parameters["weight_decay"],
        warmup=parameters["learning_rate_warmup"],
        augmented=parameters["augment"],
        positive_weights=positive_weights,
    )


def _check_examples(examples: Examples, what: str, findings: int, size: int) -> None:
    pixels, truths = examples["pixels"], examples["findings"]
    if pixels.dtype != torch.uint8 or pixels.shape[1:] != (1, size, size):
        raise ValueError(
            f"{what} pixels are {tuple(pixels.shape)} {pixels.dtype}, not (N, 1, {size}, {size}) "
            "uint8: resize them to classifier.image_size"
        )
    if len(pixels) < 2:
        raise ValueError(f"{len(pixels)} {what} images are too few for a classifier: give it 2")
    if truths.shape != (len(pixels), findings) or not findings:
        raise ValueError(
            f"{what} findings are {tuple(truths.shape)}, not ({len(pixels)}, {findings}), or none: "
            "give each image a value for each finding"
        )
    if not bool(((truths >= 0) & (truths <= 1)).all()):
        raise ValueError(f"{what} findings are not all in [0, 1]: give probabilities")


class ImageClassifier:
    """A trained classifier that looks at images of any size."""

    def __init__(
        self,
        config: Mapping[str, Any],
        weights: Mapping[str, Tensor],
        *,
        accelerator: Accelerator = "auto",
    ) -> None:
        """Rebuild a classifier.

        Args:
            config: A `TrainedClassifier`'s.
            weights: Its weights.
            accelerator: Where to look at images.

        Raises:
            ValueError: If the configuration lacks something, the weights are not its own, or the
                accelerator is not there.
        """
        require_own_weights(config, weights)
        try:
            self.entries: tuple[str, ...] = tuple(config["entries"])
            self.image_size: int = config["image_size"]
            network = Classifier(config["network"], len(self.entries))
        except KeyError as error:
            raise ValueError(f"config.json lacks {error}: train the classifier anew") from error
        load_network(network, NAME, weights)
        self.sha256: str = config["weights_sha256"]
        self.dimensions = network.dimensions
        self.network = network.to(choose_accelerator(accelerator)).eval()

    def probabilities(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Say how probable each finding is.

        Args:
            pixels: (N, S, S) uint8.

        Returns:
            (N, C) float32 in [0, 1].

        Raises:
            ValueError: If the pixels are something else.
        """
        return look_at(
            pixels, self.network, lambda some: self.network(some).sigmoid(), self.image_size
        )

    def features(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Describe images by what the findings are told from.

        Args:
            pixels: (N, S, S) uint8.

        Returns:
            (N, F) float32, at least 0.

        Raises:
            ValueError: If the pixels are something else.
        """
        return look_at(pixels, self.network, self.network.features, self.image_size)


def look_at(
    pixels: npt.NDArray[np.uint8],
    network: nn.Module,
    how: Callable[[Tensor], Tensor],
    image_size: int,
) -> npt.NDArray[np.float32]:
    """Look at images of any size with a network, some at a time.

    Args:
        pixels: (N, S, S) uint8.
        network: Which, on the device where to look.
        how: What it makes of (B, 1, s, s) images in [0, 1]: (B, F).
        image_size: s, that the images are resized to.

    Returns:
        (N, F) float32.

    Raises:
        ValueError: If the pixels are something else, or there is none.
    """
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or 0 in pixels.shape:
        raise ValueError(
            f"pixels are {pixels.shape} {pixels.dtype}, not (N, S, S) uint8: give grey levels"
        )
    seen = []
    with in_evaluation(network) as device:
        for first in range(0, len(pixels), LOOKED_AT_ONCE):
            some = resize_images(pixels[first : first + LOOKED_AT_ONCE], image_size)
            images = to_unit_interval(torch.tensor(some, device=device)[:, None])
            seen.append(how(images).float().cpu().numpy())
    return np.concatenate(seen)
