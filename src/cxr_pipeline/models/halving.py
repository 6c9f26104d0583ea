"""Layers that halve or double an image's side (kernel 4, stride 2, padding 1), fast on a CPU.

They compute what torch's own layers do, whose weights they have. But oneDNN, which torch uses on
CPUs, is slow at some of what they need that can be had from something it is fast at:

- A transposed convolution to a single channel. Each block of 2 x 2 pixels that it draws depends on
  2 x 2 features: it is a plain convolution to four channels, which are then laid out as blocks.
- Halving where images are small, and above all its weights' gradient. With the neighbourhood of
  each position written out as a row, both are one product of two matrices.
- Opening single pixels to images, which is a product of two matrices as it is.

Measured on two cores of an AMD EPYC in bf16, 64 images: 3.2 ms in place of 8.0 (32 channels of
64 x 64 to one); 5.3 in place of 7.2 and, for the gradient, 6.2 in place of 11.7 (256 channels of
8 x 8 to 512); 0.3 in place of 1.8 (opening to 512 channels).
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

FEW_POSITIONS, SOME_POSITIONS = 16, 64
"""Positions of the smaller images up to which neighbourhoods pay, in halving and in learning."""


class Halving(nn.Conv2d):
    """(B, C, H, W) to (B, C', H / 2, W / 2), without a bias; H and W are even."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        """Take the channels C and C'."""
        super().__init__(channels_in, channels_out, 4, stride=2, padding=1, bias=False)

    def forward(self, images: Tensor) -> Tensor:
        """Halve the images' sides."""
        if images.device.type != "cpu":
            return super().forward(images)
        halved: Tensor = _Halve.apply(*_as_autocast(images, self.weight))
        return halved


class Doubling(nn.ConvTranspose2d):
    """(B, C, H, W) to (B, C', 2 H, 2 W), without a bias."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        """Take the channels C and C'."""
        super().__init__(channels_in, channels_out, 4, stride=2, padding=1, bias=False)

    def forward(self, images: Tensor, output_size: list[int] | None = None) -> Tensor:
        """Double the images' sides."""
        if images.device.type != "cpu":
            return super().forward(images, output_size)
        doubled: Tensor = _Double.apply(*_as_autocast(images, self.weight))
        return doubled


class Opening(nn.ConvTranspose2d):
    """(B, C, 1, 1) to (B, C', 4, 4), without a bias."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        """Take the channels C and C'."""
        super().__init__(channels_in, channels_out, 4, bias=False)

    def forward(self, images: Tensor, output_size: list[int] | None = None) -> Tensor:
        """Open pixels to images."""
        # Channels last, as weights and images lie in memory where they are trained.
        weight = self.weight.permute(0, 2, 3, 1).reshape(self.in_channels, -1)  # (C, 16 C')
        return (images.flatten(1) @ weight).view(-1, 4, 4, self.out_channels).permute(0, 3, 1, 2)


class _Halve(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, large: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(large, weight)
        return _halve(large, weight)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None]:
        large, weight = ctx.saved_tensors
        for_images, for_weight = ctx.needs_input_grad
        return (
            _double(gradient, weight) if for_images else None,
            _weight_gradient(large, gradient, weight) if for_weight else None,
        )


class _Double(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, small: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(small, weight)
        return _double(small, weight)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None]:
        small, weight = ctx.saved_tensors
        for_images, for_weight = ctx.needs_input_grad
        return (
            _halve(gradient, weight) if for_images else None,
            _weight_gradient(gradient, small, weight) if for_weight else None,
        )


def _halve(large: Tensor, weight: Tensor) -> Tensor:
    """(B, C, H, W) and (C', C, 4, 4) to (B, C', H / 2, W / 2)."""
    images, _, height, width = large.shape
    if height * width // 4 > FEW_POSITIONS:
        return functional.conv2d(large, weight, stride=2, padding=1)
    rows = weight.permute(0, 2, 3, 1).reshape(len(weight), -1)  # (C', 16 C)
    halved = _neighbourhoods(large) @ rows.t()
    return halved.view(images, height // 2, width // 2, -1).permute(0, 3, 1, 2)


def _double(small: Tensor, weight: Tensor) -> Tensor:
    """(B, C', H, W) and (C', C, 4, 4) to (B, C, 2 H, 2 W): what halving's gradients need, too."""
    if weight.shape[1] > 1:
        return functional.conv_transpose2d(small, weight, stride=2, padding=1)
    # Rows 2 i - 1 and 2 i of the drawn image see rows i - 1 and i alone; and so do columns.
    kernel = weight.view(-1, 2, 2, 2, 2).flip(1, 3).permute(2, 4, 0, 1, 3).reshape(4, -1, 2, 2)
    kernel = kernel.contiguous(memory_format=torch.channels_last)
    blocks = functional.conv2d(small, kernel, padding=1)  # (B, 4, H + 1, W + 1)
    images, _, height, width = blocks.shape
    laid_out = blocks.view(images, 2, 2, height, width).permute(0, 3, 1, 4, 2)
    with_edges = laid_out.reshape(images, 1, 2 * height, 2 * width)
    return with_edges[:, :, 1:-1, 1:-1].contiguous()


def _weight_gradient(large: Tensor, small: Tensor, weight: Tensor) -> Tensor:
    """(B, C, 2 H, 2 W) and (B, C', H, W) to (C', C, 4, 4), whichever of them is the gradient."""
    _, channels, height, width = small.shape
    if height * width > SOME_POSITIONS:
        geometry = ([2, 2], [1, 1], [1, 1], False, [0, 0], 1)
        only_weights = [False, True, False]
        gradients: tuple[Tensor, ...] = torch.ops.aten.convolution_backward(
            small, large, weight, None, *geometry, only_weights
        )
        return gradients[1]
    rows = small.permute(0, 2, 3, 1).reshape(-1, channels)
    gradient = rows.t() @ _neighbourhoods(large)
    return gradient.view(channels, 4, 4, -1).permute(0, 3, 1, 2)


def _neighbourhoods(large: Tensor) -> Tensor:
    """Write out the 4 x 4 pixels that each position of the smaller images sees.

    (B, C, H, W) to (B H W / 4, 16 C): the pixels in turn, each with all of its channels.
    """
    images, channels, height, width = large.shape
    padded = functional.pad(large.permute(0, 2, 3, 1), (0, 0, 1, 1, 1, 1))
    image, row, column, channel = padded.stride()
    seen = padded.as_strided(
        (images, height // 2, width // 2, 4, 4, channels),
        (image, 2 * row, 2 * column, row, column, channel),
    )
    return seen.reshape(-1, 16 * channels)


def _as_autocast(*tensors: Tensor) -> list[Tensor]:
    """Take the numbers autocast would: it does not look into functions with own gradients."""
    if not torch.is_autocast_enabled("cpu"):
        return list(tensors)
    return [tensor.to(torch.get_autocast_dtype("cpu")) for tensor in tensors]
