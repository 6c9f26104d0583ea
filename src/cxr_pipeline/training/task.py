"""What the engine needs to know of a model: its networks, and what one step does with them."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

Examples = Mapping[str, Tensor]
"""Examples by what is known of them, the first dimension counting them:

    pixels    (N, 1, H, W) uint8
    findings  (N, C) float32, 1 for each finding; C is 0 where the model is not conditional
    features  (N, F, 7, 7) float16, of a frozen encoder; only where the model has one

A batch has its noise beside them, see `Task.noise`.
"""

Update = Callable[[str, Tensor], Tensor]
"""Given a network's name and its loss: backward pass and one optimiser step.

Returns the norm of the gradient.
"""


def first_examples(examples: Examples, count: int) -> Examples:
    """Take some examples from the beginning."""
    return {name: tensor[:count] for name, tensor in examples.items()}


def split_examples(examples: Examples, count: int) -> Iterator[Examples]:
    """Take examples some at a time, so that memory is taken for these alone."""
    for first in range(0, len(examples["pixels"]), count):
        yield {name: tensor[first : first + count] for name, tensor in examples.items()}


@dataclass(frozen=True)
class Sampler:
    """A trained model that draws images: first their latents, then the images of these."""

    draw_latents: Callable[[int, torch.Generator, float], Tensor]
    """Given how many, where random numbers come from and the temperature: (N, Z) float32.

    The temperature scales the noise: below 1, images are more typical and more alike.
    """
    draw_images: Callable[[Tensor, Tensor], Tensor]
    """Given (N, Z) latents and (N, C) findings: (N, 1, H, W) float32 in [0, 1]."""
    gaussian: bool
    """Whether latents are Gaussian, else uniform on [-1, 1)."""
    encode: Callable[[Examples], tuple[Tensor, Tensor]] | None = None
    """Given examples: means and variances of their posteriors, (N, Z) float32 each.

    None of a model that encodes no images.
    """
    mixture: tuple[Tensor, Tensor] | None = None
    """Means and variances, (K, Z) each, of a prior of K learnt Gaussians."""

    def __call__(self, findings: Tensor, noise: torch.Generator, temperature: float) -> Tensor:
        """Draw an image for each row of (N, C) findings: (N, 1, H, W) float32 in [0, 1]."""
        return self.draw_images(self.draw_latents(len(findings), noise, temperature), findings)


@dataclass(frozen=True)
class Diagnosis:
    """How training is going."""

    metrics: dict[str, float]
    """By metric name, such as `validation/kl`."""
    warnings: dict[str, str] = field(default_factory=dict)
    """What has gone wrong by its name, such as `posterior_collapse`: a line with the remedy."""


class Task(Protocol):
    """One model's training step. The engine owns the loop, the task what happens in it."""

    modules: dict[str, nn.Module]
    """The networks by name; the engine replaces them by ones placed on its device."""
    optimizers: dict[str, Optimizer]
    """The optimiser of each network that learns, under the network's name; see `updates.adam`."""
    drawing: str
    """The network that draws images, whose weights may be averaged to sample from; of a model that
    draws none the one that is kept to be used."""
    processes: int
    """Among how many a batch is split; the engine says so. Gradients are averaged over them, so
    that a loss which is a sum over the batch has to be multiplied by it."""

    def noise(self, count: int, generator: torch.Generator) -> dict[str, Tensor]:
        """Draw all random numbers of a step.

        Args:
            count: Examples in the whole batch, B.
            generator: On the CPU.

        Returns:
            Tensors by name, on the CPU, the first dimension counting the examples.
        """
        ...

    def step(self, batch: Examples, step: int, update: Update) -> dict[str, Tensor]:
        """Take one step.

        Args:
            batch: Examples with their noise, on the device: a batch or this process's part of it.
            step: The step, from 1.
            update: Changes one network's weights to lower a loss.

        Returns:
            Scalar tensors to record, by metric name such as `loss/generator`; not yet read from
            the device.
        """
        ...

    def sample(self, noise: torch.Generator, findings: Tensor) -> Tensor | None:
        """Draw an image for each row of `findings`, leaving training alone.

        Args:
            noise: Where all random numbers come from.
            findings: (N, C) float32 on any device.

        Returns:
            (N, 1, H, W) float32 in [0, 1]; None from a model that draws none.
        """
        ...

    def diagnose(self, examples: Examples, split: str, noise: torch.Generator) -> Diagnosis:
        """Look how training is going, once an epoch, leaving it alone.

        Args:
            examples: Some hundreds at most, on the device.
            split: Which split they are from, to name metrics by.
            noise: Where all random numbers come from; the same each time.
        """
        ...

    def finish(self, examples: Examples, noise: torch.Generator) -> dict[str, Tensor]:
        """Make what sampling needs beside the networks' weights, once training is over.

        Args:
            examples: All that was trained on.
            noise: Where all random numbers come from.

        Returns:
            Tensors to keep with the weights; empty for most models.
        """
        ...

    def reconstruct(self, examples: Examples) -> Tensor | None:
        """Encode images and draw them again, leaving training alone.

        Returns:
            (N, 1, H, W) float32 in [0, 1]; None from a model that does not encode.
        """
        ...
