"""From a trained model's weights to synthetic images."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cxr_pipeline.data.batches import to_pixels
from cxr_pipeline.models.lsgan import Generator, draw_images, draw_noise
from cxr_pipeline.randomness import random_generator

BATCH = 64

Sampler = Callable[[int, torch.Generator], Tensor]
"""Given a count and a generator: (N, 1, H, W) float32 in [0, 1]."""


def build_sampler(config: Mapping[str, Any], weights: Mapping[str, Tensor]) -> Sampler:
    """Rebuild a trained model for sampling.

    Args:
        config: The model's `config.json`.
        weights: The model's `weights.safetensors`, each network's state as `network.key`.

    Raises:
        ValueError: If the configuration names an unknown model or the weights are not its own.
    """
    builders = {"gan": _gan_sampler}
    model = config.get("model")
    if model not in builders:
        raise ValueError(f"config.json: unknown model {model!r}: expected {', '.join(builders)}")
    return builders[model](config["architecture"], weights)


def sample_images(sampler: Sampler, *, count: int, seed: int) -> Iterator[npt.NDArray[np.uint8]]:
    """Draw synthetic images, a batch at a time.

    Image i depends on the seed and i alone: a larger count begins with the same images.

    Yields:
        (H, W) uint8, one after the other.
    """
    for number, start in enumerate(range(0, count, BATCH)):
        # Always whole batches: the last digit of a convolution may depend on their size.
        drawn = to_pixels(sampler(BATCH, random_generator(seed, "sample", number)))
        yield from drawn[: count - start, 0].cpu().numpy()


def _gan_sampler(architecture: Mapping[str, Any], weights: Mapping[str, Tensor]) -> Sampler:
    generator = Generator(architecture["dim_z"])
    prefix = "generator."
    own = {key.removeprefix(prefix): t for key, t in weights.items() if key.startswith(prefix)}
    try:
        generator.load_state_dict(own)
    except RuntimeError as error:
        raise ValueError(
            "the weights do not fit config.json's architecture: train the model anew"
        ) from error
    return lambda count, noise: draw_images(generator, draw_noise(count, generator.dim_z, noise))
