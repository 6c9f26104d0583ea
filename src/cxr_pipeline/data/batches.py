"""Which images make up the batch of step t, and what scale they come in."""

from functools import lru_cache

import torch
from torch import Tensor

from cxr_pipeline.randomness import random_generator


def steps_per_epoch(images: int, batch_size: int) -> int:
    """Count the full batches in an epoch; what is over is left to the next epoch's order."""
    return images // batch_size


def batch_positions(images: int, batch_size: int, seed: int, step: int) -> Tensor:
    """Choose the images of one step.

    Each epoch runs through its own random order of all images, which depends on the seed and the
    epoch alone.

    Args:
        images: Number of images to train on, at least `batch_size`.
        batch_size: Images a step.
        seed: The run's seed.
        step: The step, from 0.

    Returns:
        (B,) int64 positions.
    """
    per_epoch = steps_per_epoch(images, batch_size)
    epoch, place = divmod(step, per_epoch)
    order = _order(images, seed, epoch)
    return order[place * batch_size : (place + 1) * batch_size]


@lru_cache(maxsize=2)
def _order(images: int, seed: int, epoch: int) -> Tensor:
    """The order of an epoch's images: of 100,000 it takes longer than a small step."""
    return torch.randperm(images, generator=random_generator(seed, "batches", epoch))


def to_unit_interval(pixels: Tensor) -> Tensor:
    """Scale uint8 grey levels to float32 in [0, 1]."""
    return pixels.float() / 255


def to_signed_interval(pixels: Tensor) -> Tensor:
    """Scale uint8 grey levels to float32 in [-1, 1], the range of a tanh."""
    return pixels.float() / 127.5 - 1


def to_pixels(images: Tensor) -> Tensor:
    """Turn images in [0, 1] into uint8 grey levels, rounding to the nearest."""
    return (images.clamp(0, 1) * 255).round().to(torch.uint8)
