"""What the engine needs to know of a model: its networks, and what one step does with them."""

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

Update = Callable[[str, Tensor], None]
"""Given a network's name and its loss: backward pass and one optimiser step."""

Randomness = Callable[[str], torch.Generator]
"""Given a stream's name: the generator of that stream at the current step."""


class Task(Protocol):
    """One model's training step. The engine owns the loop, the task what happens in it."""

    modules: dict[str, nn.Module]
    """The networks by name; the engine replaces them by ones placed on its device."""
    optimizers: dict[str, Optimizer]
    """The optimiser of each network that learns, under the network's name."""

    def step(self, pixels: Tensor, randomness: Randomness, update: Update) -> dict[str, Tensor]:
        """Take one step.

        Args:
            pixels: (B, 1, H, W) uint8 on the device.
            randomness: Where all random numbers of the step come from.
            update: Changes one network's weights to lower a loss.

        Returns:
            Scalar tensors to record, by metric name such as `loss/generator`; not yet read from
            the device.
        """
        ...

    def sample(self, noise: torch.Generator, count: int) -> Tensor:
        """Draw `count` images: (N, 1, H, W) float32 in [0, 1], leaving training alone."""
        ...
