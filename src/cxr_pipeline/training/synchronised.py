"""Layers that look at the whole batch where several processes have a share of it each.

torch's own `SyncBatchNorm` refuses to work on CPUs. All shares are of the same size.
"""

from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.autograd import Function
from torch.nn.functional import batch_norm
from torch.nn.modules.batchnorm import _BatchNorm

from cxr_pipeline.models.vae import Centre


def synchronise(network: nn.Module) -> None:
    """Let every layer that looks at a batch look at all processes' shares of it.

    Parameters, buffers and their names stay as they are.
    """
    for layer in network.modules():
        # In place: whoever holds the layer or its weights, as an optimiser does, holds them still.
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            layer.__class__ = SynchronisedBatchNorm  # type: ignore[assignment]
        elif isinstance(layer, Centre):
            layer.__class__ = SynchronisedCentre


class SynchronisedBatchNorm(_BatchNorm):
    """BatchNorm over the shares of all processes; made from one by `synchronise`."""

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def forward(self, inputs: Tensor) -> Tensor:
        """Normalise, (B, C) or (B, C, H, W), with a scale and a shift a channel."""
        if not self.training:
            return super().forward(inputs)
        values = inputs.detach()
        values = values.to(torch.promote_types(values.dtype, self.weight.dtype))
        var, mean = torch.var_mean(values, dim=_all_but_channels(values), correction=0)  # (C,) each
        means, variances = _gathered(torch.stack([mean, var])).unbind(dim=1)  # (P, C) each
        mean = means.mean(dim=0)
        # No difference of large squares, in which float32 would lose its digits.
        var = variances.mean(dim=0) + (means - mean).square().mean(dim=0)
        count = len(means) * values.numel() // values.shape[1]
        self._remember(mean, var * count / (count - 1))
        normalised: Tensor = _Normalise.apply(
            inputs, self.weight, self.bias, mean, var, self.eps, count
        )
        return normalised

    def _remember(self, mean: Tensor, var: Tensor) -> None:
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        assert self.momentum is not None
        self.num_batches_tracked += 1
        # As BatchNorm has it, and not `lerp`, whose last digit may be another.
        for running, latest in ((self.running_mean, mean), (self.running_var, var)):
            running.mul_(1 - self.momentum).add_(latest, alpha=self.momentum)

    def _check_input_dim(self, inputs: Tensor) -> None:
        """Any will do."""


class SynchronisedCentre(Centre):
    """`Centre` over the shares of all processes; made from one by `synchronise`."""

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def batch_mean(self, means: Tensor) -> Tensor:
        """Average over the whole batch, (B, Z) to (Z,)."""
        own = super().batch_mean(means)
        averaged: Tensor = _Average.apply(own)
        return averaged


class _Normalise(Function):
    """y = weight (x - mean) / sqrt(var + eps) + bias, where mean and var follow from all x.

    With x^ = (x - mean) / sqrt(var + eps), and averages over all processes' examples:

        dx = weight / sqrt(var + eps) (dy - average(dy) - x^ average(dy x^))

    of which the first term is what it would be were mean and var given.
    """

    @staticmethod
    def forward(
        context: Any,
        inputs: Tensor,
        weight: Tensor,
        bias: Tensor,
        mean: Tensor,
        var: Tensor,
        eps: float,
        count: int,
    ) -> Tensor:
        context.save_for_backward(inputs, weight, mean, var)
        context.eps, context.count = eps, count
        return batch_norm(inputs, mean, var, weight, bias, False, 0.0, eps)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        inputs, weight, mean, var = context.saved_tensors
        eps = context.eps
        by_inputs, by_weight, by_bias = torch.ops.aten.native_batch_norm_backward(
            gradients[0], inputs, weight, mean, var, None, None, False, eps, [True, True, True]
        )
        averages = torch.stack([by_weight, by_bias])
        distributed.all_reduce(averages)
        averages = averages * (weight * (var + eps).rsqrt() / context.count)
        by_statistics = batch_norm(inputs, mean, var, averages[0], averages[1], False, 0.0, eps)
        # Those of weight and bias are this process's own: DDP adds them up.
        return by_inputs - by_statistics, by_weight, by_bias, None, None, None, None


class _Average(Function):
    """The average over processes of a tensor that each has."""

    @staticmethod
    def forward(context: Any, own: Tensor) -> Tensor:
        return _averaged(own)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> Tensor:
        return _averaged(gradients[0])


def _averaged(values: Tensor) -> Tensor:
    summed = values.clone()
    distributed.all_reduce(summed)
    return summed / distributed.get_world_size()


def _gathered(values: Tensor) -> Tensor:
    """Every process's values, (...) to (P, ...), without gradient."""
    every = values.new_zeros(distributed.get_world_size(), *values.shape)
    every[distributed.get_rank()] = values
    distributed.all_reduce(every)
    return every


def _all_but_channels(values: Tensor) -> list[int]:
    return [dim for dim in range(values.dim()) if dim != 1]
