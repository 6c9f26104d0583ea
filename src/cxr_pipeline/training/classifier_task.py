"""The classifier's training step: which images, how they are moved, at which learning rate."""

import math

import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn
from torch.nn.functional import affine_grid, grid_sample
from torch.optim import Optimizer

from cxr_pipeline.data.batches import to_unit_interval
from cxr_pipeline.losses.classification import findings_cross_entropy
from cxr_pipeline.models.classifier import Classifier
from cxr_pipeline.models.modes import in_evaluation
from cxr_pipeline.training.task import Diagnosis, Examples, Update, split_examples
from cxr_pipeline.training.updates import adam

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
