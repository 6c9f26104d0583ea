"""One optimiser step: warm-up, clipping, and a guard against what is no number.

The guard never waits for the device. A loss or gradient that is not finite raises a flag there,
which the optimiser's kernel obeys: from that update on no weight changes. The flag is read when the
losses are, and before anything is written.
"""

import math
from collections.abc import Mapping
from typing import Any

import torch
from lightning.fabric import Fabric
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from cxr_pipeline.training.distributed import average_over_processes
from cxr_pipeline.training.task import Task

SMALLEST_SCALE = 1.0
"""fp16's loss scale, which begins at 65,536 and halves at each gradient that overflows."""


def adam(network: nn.Module, *, learning_rate: float, **options: Any) -> Adam:
    """Build Adam in one kernel for all weights, which also knows how to leave them alone."""
    return Adam(network.parameters(), lr=learning_rate, fused=True, **options)


class NotFiniteError(ValueError):
    """A loss or gradient is no number to learn from."""

    def __init__(self, step: int, what: str) -> None:
        """Take the step, from 1, and what is not finite."""
        super().__init__(
            f"step {step}: {what}: stopped before its weights changed; lower the learning rate, "
            "set gradient_clip or use precision=32-true"
        )
        self.step = step


class Updater:
    """Takes optimiser steps, and remembers what it learnt from until that is checked."""

    def __init__(
        self,
        fabric: Fabric,
        task: Task,
        optimizers: Mapping[str, Optimizer],
        *,
        gradient_clip: float | None = None,
        learning_rate_warmup: int = 0,
    ) -> None:
        """Take what is updated, and how.

        Args:
            fabric: What networks and optimisers were set up with.
            task: Whose networks learn.
            optimizers: The networks' optimisers themselves, built by `adam`.
            gradient_clip: The greatest norm of a gradient; longer ones are shortened to it.
            learning_rate_warmup: Steps over which the learning rate grows to its value.
        """
        self.fabric, self.task, self.optimizers = fabric, task, optimizers
        self.gradient_clip, self.warmup = gradient_clip, learning_rate_warmup
        self.rates = {
            name: [group["lr"] for group in optimizer.param_groups]
            for name, optimizer in optimizers.items()
        }
        self.scaler: Any = getattr(fabric.strategy.precision, "scaler", None)
        self.stopped = torch.zeros((), device=fabric.device)
        self.seen: list[tuple[int, str, Tensor, Tensor, Tensor]] = []
        self.step = 0

    def begin(self, step: int) -> None:
        """Begin a step, from 1: updates are from now on part of it."""
        self.step = step
        if step <= self.warmup:
            for name, optimizer in self.optimizers.items():
                for group, rate in zip(optimizer.param_groups, self.rates[name], strict=True):
                    group["lr"] = rate * (step / self.warmup)  # exactly the rate at the end

    def __call__(self, name: str, loss: Tensor) -> Tensor:
        """Take one optimiser step (see `task.Update`).

        Returns:
            The norm of the gradient, before it is clipped.
        """
        optimizer: Any = self.task.optimizers[name]
        optimizer.zero_grad(set_to_none=True)
        seen = loss.detach()
        self._stop_unless(torch.isfinite(seen))
        if self.scaler is not None:
            # fp16's scaler does not know the flag; gradients that are no numbers it knows.
            loss = loss * torch.where(self.stopped > 0, torch.nan, 1.0)
        self.fabric.backward(loss)
        weights = self.task.modules[name].parameters()
        gradients = [w.grad for w in weights if w.grad is not None]
        norm = torch.nn.utils.get_total_norm(gradients)
        scale = self._scale()
        if self.gradient_clip is not None:
            # Not by torch's own, which waits for the device. Scaled gradients are clipped at the
            # scaled norm: they need not be unscaled first.
            longest = self.gradient_clip * scale
            torch._foreach_mul_(gradients, (longest / (norm + 1e-6)).clamp(max=1.0))
        norm = norm / scale
        if self.scaler is None:  # else overflowing gradients are what the scaler is there for
            self._stop_unless(torch.isfinite(norm))
            # Adam's kernel changes nothing where this is 1.
            self.optimizers[name].found_inf = self.stopped  # type: ignore[attr-defined]
        self.seen.append((self.step, name, seen.float(), norm.float(), scale))
        optimizer.step()
        return norm

    def check(self) -> None:
        """Read from the device whether all was finite since the last check.

        Raises:
            NotFiniteError: If it was not.
        """
        seen, self.seen = self.seen, []
        if not seen:
            return
        # Over processes, so that what is no number in one of them stops them all.
        found = torch.stack([torch.stack(list(row[2:])) for row in seen])
        values = average_over_processes(found).tolist()
        for (step, name, *_), (loss, norm, scale) in zip(seen, values, strict=True):
            if not math.isfinite(loss):
                raise NotFiniteError(step, f"the {name}'s loss is {loss}")
            if self.scaler is None and not math.isfinite(norm):
                raise NotFiniteError(step, f"the {name}'s gradient is {norm}")
            if scale < SMALLEST_SCALE:
                raise NotFiniteError(step, f"the {name}'s gradient overflows fp16 at every scale")

    def _stop_unless(self, finite: Tensor) -> None:
        self.stopped = torch.maximum(self.stopped, (~finite).float())

    def _scale(self) -> Tensor:
        """fp16's loss scale, still on the device; 1 without."""
        one = torch.ones((), device=self.fabric.device)
        return one if self.scaler is None else self.scaler.scale(one)
