"""The classifier's training step, its training on the engine, and its use once it is trained."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn
from torch.nn.functional import affine_grid, grid_sample
from torch.optim import Optimizer

from cxr_pipeline.data.batches import to_unit_interval
from cxr_pipeline.data.resizing import resize_images
from cxr_pipeline.losses.classification import findings_cross_entropy
from cxr_pipeline.models.classifier import Classifier
from cxr_pipeline.models.digest import weights_digest
from cxr_pipeline.models.modes import in_evaluation
from cxr_pipeline.training.engine import train
from cxr_pipeline.training.precision import Accelerator, choose_accelerator
from cxr_pipeline.training.record import record_outcome
from cxr_pipeline.training.run import engine_settings, own_identity
from cxr_pipeline.training.saved_model import load_network, require_own_weights
from cxr_pipeline.training.task import Diagnosis, Examples, Update, split_examples
from cxr_pipeline.training.updates import adam
from cxr_pipeline.training.watching import HeldOut, Watchers

NAME = "classifier"

LOOKED_AT_ONCE = 64

SHIFT, TURN, SCALE = 0.08, 8.0, 0.08
"""How far an augmented image is moved at most (of its side), turned (degrees) and scaled."""


def learning_rate_scale(step: int, steps: int, warmup: int) -> float:
    """The learning rate of a step as a share of its highest.

        min(1, t / warmup) (1 + cos(pi (t - 1) / T)) / 2

    It follows from the step alone, so that a resumed run goes on as it would have.

    Args:
        step: t, from 1.
        steps: T, in all.
        warmup: Steps over which it rises first; 0 for none.
    """
    rise = min(1.0, step / warmup) if warmup else 1.0
    return rise * (1 + math.cos(math.pi * (step - 1) / steps)) / 2


def augment(images: Tensor, moves: Tensor) -> Tensor:
    """Shift, turn and scale images a little; what was outside is as the nearest edge.

    They are not mirrored: hearts are on the left.

    Args:
        images: (B, 1, S, S) in [0, 1].
        moves: (B, 4) in [-1, 1], how much of the greatest shift to the side and down, turn and
            scale each is to have.

    Returns:
        (B, 1, S, S) in [0, 1].
    """
    across, down = (2 * SHIFT * moves[:, :2]).unbind(1)  # the grid is 2 wide
    turn = torch.deg2rad(TURN * moves[:, 2])
    scale = 1 + SCALE * moves[:, 3]
    cos, sin = scale * turn.cos(), scale * turn.sin()
    rows = [torch.stack(row, dim=1) for row in ((cos, -sin, across), (sin, cos, down))]
    grid = affine_grid(torch.stack(rows, dim=1), list(images.shape), align_corners=False)
    return grid_sample(images, grid, padding_mode="border", align_corners=False)


class ClassifierTask:
    """One step down the cross-entropy. It draws no images."""

    drawing = NAME
    processes = 1

    def __init__(
        self,
        network: Classifier,
        *,
        steps: int,
        learning_rate: float,
        weight_decay: float,
        warmup: int,
        augmented: bool,
        positive_weights: Tensor | None = None,
    ) -> None:
        """Build the optimiser.

        Args:
            network: What learns.
            steps: Steps in all, over which the learning rate falls.
            learning_rate: The highest, see `learning_rate_scale`.
            weight_decay: Adam's, decoupled from the gradients (AdamW's).
            warmup: Steps over which the learning rate rises first.
            augmented: Whether images are moved, see `augment`.
            positive_weights: See `findings_cross_entropy`.
        """
        self.steps, self.learning_rate, self.warmup = steps, learning_rate, warmup
        self.augmented, self.positive_weights = augmented, positive_weights
        self.modules: dict[str, nn.Module] = {NAME: network}
        optimizer = adam(
            network,
            learning_rate=learning_rate,
            weight_decay=weight_decay,
            decoupled_weight_decay=True,
        )
        self.optimizers: dict[str, Optimizer] = {NAME: optimizer}

    def noise(self, count: int, generator: torch.Generator) -> dict[str, Tensor]:
        """Draw how images are moved (see `Task.noise`)."""
        if not self.augmented:
            return {}
        return {"moves": 2 * torch.rand(count, 4, generator=generator) - 1}

    def step(self, batch: Examples, step: int, update: Update) -> dict[str, Tensor]:
        """Take one step (see `Task.step`)."""
        for group in self.optimizers[NAME].param_groups:
            group["lr"] = self.learning_rate * learning_rate_scale(step, self.steps, self.warmup)
        images = to_unit_interval(batch["pixels"])
        if self.augmented:
            images = augment(images, batch["moves"])
        if self.positive_weights is not None:
            self.positive_weights = self.positive_weights.to(images.device)
        logits = self.modules[NAME](images)
        loss = findings_cross_entropy(logits, batch["findings"], self.positive_weights).mean()
        gradient = update(NAME, loss)
        return {"loss/total": loss.detach(), f"gradient/{NAME}": gradient}

    def sample(self, noise: torch.Generator, findings: Tensor) -> None:
        """Draw nothing (see `Task.sample`)."""

    def diagnose(self, examples: Examples, split: str, noise: torch.Generator) -> Diagnosis:
        """Look for the findings of other images (see `Task.diagnose`).

        The mean AUROC is over the findings that some images show and some do not.
        """
        network = self.modules[NAME]
        with in_evaluation(network):
            logits = torch.cat(
                [
                    network(to_unit_interval(some["pixels"])).float()
                    for some in split_examples(examples, LOOKED_AT_ONCE)
                ]
            )
        metrics = {
            f"{split}/loss": float(findings_cross_entropy(logits, examples["findings"]).mean())
        }
        scores, truths = logits.cpu().numpy(), examples["findings"].cpu().numpy() >= 0.5
        mixed = truths.any(axis=0) & ~truths.all(axis=0)
        if mixed.any():
            metrics[f"{split}/auroc"] = float(roc_auc_score(truths[:, mixed], scores[:, mixed]))
        return Diagnosis(metrics)

    def finish(self, examples: Examples, noise: torch.Generator) -> dict[str, Tensor]:
        """Make nothing (see `Task.finish`)."""
        return {}

    def reconstruct(self, examples: Examples) -> None:
        """Draw nothing (see `Task.reconstruct`)."""


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
        return self._look(pixels, lambda images: self.network(images).sigmoid(), len(self.entries))

    def features(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Describe images by what the findings are told from.

        Args:
            pixels: (N, S, S) uint8.

        Returns:
            (N, F) float32, at least 0.

        Raises:
            ValueError: If the pixels are something else.
        """
        return self._look(pixels, self.network.features, self.dimensions)

    def _look(
        self, pixels: npt.NDArray[np.uint8], how: Callable[[Tensor], Tensor], columns: int
    ) -> npt.NDArray[np.float32]:
        if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[1] != pixels.shape[2]:
            raise ValueError(
                f"pixels are {pixels.shape} {pixels.dtype}, not (N, S, S) uint8: give grey levels"
            )
        seen = np.empty((len(pixels), columns), dtype=np.float32)
        with in_evaluation(self.network) as device:
            for first in range(0, len(pixels), LOOKED_AT_ONCE):
                some = resize_images(pixels[first : first + LOOKED_AT_ONCE], self.image_size)
                images = to_unit_interval(torch.tensor(some, device=device)[:, None])
                seen[first : first + len(some)] = how(images).float().cpu().numpy()
        return seen
