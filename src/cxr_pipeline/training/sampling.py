"""From a trained model to synthetic images.

from cxr_pipeline import load_generator
images = load_generator("data/06_models/gan").sample(16, seed=0)  # (16, 1, 128, 128) in [0, 1]
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cxr_pipeline.data.batches import to_pixels
from cxr_pipeline.data.conditions import (
    asked_findings,
    balanced_labels,
    flat_labels,
    multi_hot,
)
from cxr_pipeline.data.findings import NO_FINDING
from cxr_pipeline.randomness import random_generator
from cxr_pipeline.training.models import MODELS
from cxr_pipeline.training.saved_model import load_model
from cxr_pipeline.training.task import Examples, Sampler

BATCH = 64

HIGHEST_TEMPERATURE = 2.0

Asked = Sequence[str] | None
"""Findings that every image shall have, as a list or `A|B`; or `training` for those of the training
set, as often as there; or `flat` for each finding equally often. None is `training` where the model
is conditional."""


def load_generator(folder: str | Path) -> "ImageGenerator":
    """Load a trained model to draw images with.

    Args:
        folder: The model's, such as `data/06_models/gan`.

    Raises:
        ValueError: If it holds no trained model, or one that is damaged or unknown.
    """
    return ImageGenerator(*load_model(Path(folder)))


class ImageGenerator:
    """A trained model that draws images. Image i follows from the seed and i alone."""

    def __init__(self, config: Mapping[str, Any], weights: Mapping[str, Tensor]) -> None:
        """Rebuild a model.

        Args:
            config: The model's `config.json`.
            weights: The model's `weights.safetensors`.

        Raises:
            ValueError: If the configuration names an unknown model or lacks something, or the
                weights are not its own.
        """
        model = config.get("model")
        if model not in MODELS:
            raise ValueError(f"config.json: unknown model {model!r}: expected {', '.join(MODELS)}")
        self.config = dict(config)
        try:
            self.findings: tuple[str, ...] = tuple(config["architecture"]["findings"])
            """What the model can be asked for; empty where it is not conditional."""
            self._balance: dict[str, int] = config["training_labels"] if self.findings else {}
            self._sampler: Sampler = MODELS[model].build_sampler(config, weights)
        except KeyError as error:
            raise ValueError(f"config.json lacks {error}: train the model anew") from error

    def sample(
        self, n: int, *, seed: int = 0, findings: Asked = None, temperature: float = 1.0
    ) -> Tensor:
        """Draw images.

        Args:
            n: How many; more begin with the same ones.
            seed: Another seed, other images.
            findings: See `Asked`; `["Cardiomegaly", "Effusion"]` asks each image to show both.
            temperature: Scales the noise, above 0 and at most 2; below 1, images are more typical
                and more alike.

        Returns:
            (N, 1, H, W) float32 in [0, 1], on the CPU.

        Raises:
            ValueError: If an argument is out of range, or the model was not trained with a finding.
        """
        return torch.cat(list(self._batches(n, seed, findings, temperature)))

    def pictures(
        self,
        n: int,
        *,
        seed: int = 0,
        findings: Asked = None,
        temperature: float = 1.0,
        first: int = 0,
    ) -> Iterator[npt.NDArray[np.uint8]]:
        """Draw images as `sample` does, one after the other: (H, W) uint8 each.

        Memory is taken for a batch alone, however many are drawn. With `first`, those before it are
        passed over.
        """
        before = first - first % BATCH  # only whole batches can be left undrawn
        pixels = self._batches(n, seed, findings, temperature, before // BATCH)
        pictures = (picture for images in pixels for picture in to_pixels(images)[:, 0].numpy())
        return islice(pictures, first - before, None)

    def labels(self, n: int, *, seed: int = 0, findings: Asked = None) -> list[str]:
        """List what each image is asked to show, as NIH writes it: `A|B`, `No Finding`.

        Blank from a model that is not conditional.
        """
        batches = range(-(-n // BATCH))
        return [label for b in batches for label in self._labels(findings, seed, b)][:n]

    def latents(self, n: int, *, seed: int = 0, temperature: float = 1.0) -> Tensor:
        """Draw the latents (of a GAN: the noise) of the images that `sample` draws.

        Args:
            n: How many; more begin with the same ones.
            seed: As for `sample`.
            temperature: As for `sample`.

        Returns:
            (N, Z) float32, on the CPU.

        Raises:
            ValueError: If an argument is out of range.
        """
        _check(n, seed, temperature)
        batches = [
            self._sampler.draw_latents(BATCH, random_generator(seed, "sample", b), temperature)
            for b in range(-(-n // BATCH))
        ]
        return torch.cat(batches)[:n].cpu()

    def draw(self, latents: Tensor, findings: Tensor | None = None) -> Tensor:
        """Turn latents into images.

        Args:
            latents: (N, Z).
            findings: (N, C), an entry for each of `self.findings`, as `multi_hot` makes them, or
                anything between; None asks for No Finding.

        Returns:
            (N, 1, H, W) float32 in [0, 1], on the CPU.
        """
        if findings is None:
            findings = multi_hot([NO_FINDING] * len(latents), self.findings)
        parts = zip(torch.split(latents, BATCH), torch.split(findings, BATCH), strict=True)
        return torch.cat([self._sampler.draw_images(some, asked).cpu() for some, asked in parts])

    @property
    def encodes(self) -> bool:
        """Whether the model can tell an image's latents; a GAN cannot."""
        return self._sampler.encode is not None

    @property
    def gaussian(self) -> bool:
        """Whether latents are Gaussian; a GAN's noise is uniform."""
        return self._sampler.gaussian

    @property
    def mixture(self) -> tuple[Tensor, Tensor] | None:
        """Means and variances, (K, Z) each, of a GMVAE's prior; None of other models."""
        return self._sampler.mixture

    def encode(self, examples: Examples) -> tuple[Tensor, Tensor]:
        """Find where images lie among the latents.

        Args:
            examples: Images as `examples.read_examples` gives them.

        Returns:
            Means and variances of their posteriors, (N, Z) float32 each, on the CPU.

        Raises:
            ValueError: If the model encodes no images.
        """
        if self._sampler.encode is None:
            raise ValueError(
                f"model={self.config['model']} cannot encode images: take a vae or a gmvae"
            )
        mean, variance = self._sampler.encode(examples)
        return mean.cpu(), variance.cpu()

    def _batches(
        self, n: int, seed: int, findings: Asked, temperature: float, passed_over: int = 0
    ) -> Iterator[Tensor]:
        _check(n, seed, temperature)
        for number in range(passed_over, -(-n // BATCH)):
            # Always whole batches: the last digit of a convolution may depend on their size.
            asked = multi_hot(self._labels(findings, seed, number), self.findings)
            noise = random_generator(seed, "sample", number)
            yield self._sampler(asked, noise, temperature).cpu()[: n - number * BATCH]

    def _labels(self, findings: Asked, seed: int, number: int) -> list[str]:
        """The labels of batch `number`."""
        names = findings.split("|") if isinstance(findings, str) else list(findings or ())
        if not names and not self.findings:
            return [""] * BATCH
        if self.findings and names in ([], ["training"]):
            return balanced_labels(self._balance, BATCH, seed, number)
        if self.findings and names == ["flat"]:
            return flat_labels(self.findings, number * BATCH, BATCH)
        return [asked_findings(names, self.findings)] * BATCH


def _check(n: int, seed: int, temperature: float) -> None:
    if not isinstance(n, int) or n < 1:
        raise ValueError(f"n={n!r}: draw at least 1 image, a whole number")
    if not isinstance(seed, int):
        raise ValueError(f"seed={seed!r}: give a whole number")
    if not isinstance(temperature, int | float) or not 0 < temperature <= HIGHEST_TEMPERATURE:
        raise ValueError(f"temperature={temperature!r}: above 0, at most {HIGHEST_TEMPERATURE}")
