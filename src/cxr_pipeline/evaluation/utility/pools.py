"""The images that arms are put together from, as the classifier takes them."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cxr_pipeline.data.conditions import multi_hot
from cxr_pipeline.data.files import json_digest
from cxr_pipeline.data.resizing import resize_images
from cxr_pipeline.evaluation.image_sets import ImageSet
from cxr_pipeline.evaluation.utility.arms import Arm, drawn
from cxr_pipeline.training.task import Examples

Guess = Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.float32]]
"""Given (N, S, S) images: (N, C) probabilities of the findings."""

MOST_WEIGHT = 10.0
"""What a rare finding weighs at most."""


@dataclass(frozen=True)
class Pool:
    """Images of one side to train on."""

    pixels: Tensor
    """(N, 1, S, S) uint8, of the classifier's side."""
    findings: Tensor
    """(N, C) float32; of images without a label all 0."""
    labelled: Tensor
    """(N,) bool: whose findings are known."""
    digest: str
    """Of all of this."""

    @property
    def complete(self) -> bool:
        """Whether all findings are known."""
        return bool(self.labelled.all())


def pool_of(images: ImageSet, entries: Sequence[str], size: int) -> Pool:
    """Prepare images for training.

    Args:
        images: The images, with blank labels where nothing is known.
        entries: The findings' names, C.
        size: The classifier's side.
    """
    pixels = np.ascontiguousarray(resize_images(images.pixels, size))
    labelled = torch.tensor([bool(label) for label in images.labels], dtype=torch.bool)
    findings = torch.zeros(len(images), len(entries))
    findings[labelled] = multi_hot([label for label in images.labels if label], entries)
    digest = json_digest(
        [hashlib.sha256(pixels.data).hexdigest(), list(images.labels), list(entries)]
    )
    # A copy, where it may be a file that is only mapped.
    return Pool(torch.tensor(pixels)[:, None], findings, labelled, digest)


def real_examples(arm: Arm, real: Pool, seed: int) -> Examples:
    """Take an arm's real images: each once, and some again.

    Args:
        arm: The arm.
        real: All real training images.
        seed: Decides which are drawn again.
    """
    again = drawn(arm.again, len(real.pixels), seed, "utility/again")
    rows = torch.cat([torch.arange(arm.real), torch.from_numpy(again)])
    return {"pixels": real.pixels[rows], "findings": real.findings[rows]}


def synthetic_examples(arm: Arm, pool: Pool, seed: int, guess: Guess) -> Examples:
    """Take an arm's synthetic images, with the findings that they were asked for, or guessed ones.

    Args:
        arm: The arm.
        pool: All images of its model.
        seed: Decides which are taken.
        guess: Who says of images without a label what they show.
    """
    rows = torch.from_numpy(drawn(arm.synthetic, len(pool.pixels), seed, "utility/synthetic"))
    pixels, findings = pool.pixels[rows], pool.findings[rows]
    unknown = ~pool.labelled[rows]
    if unknown.any():
        findings[unknown] = torch.from_numpy(guess(pixels[unknown, 0].numpy()))
    return {"pixels": pixels, "findings": findings}


def rarity_weights(findings: Tensor) -> Tensor:
    """How much more each finding weighs where it is there, the rarer the more.

        w_c = min(10, max_k n_k / n_c), of the images n that show it

    Args:
        findings: (N, C), 1 for each finding.

    Returns:
        (C,) float32 in [1, 10].
    """
    counts = findings.sum(dim=0)
    return (counts.max() / counts.clamp(min=1)).clamp(1, MOST_WEIGHT)


def labelled_only(images: ImageSet) -> ImageSet:
    """Leave out real images of which nothing is known."""
    known = np.flatnonzero([bool(label) for label in images.labels])
    return images if len(known) == len(images) else images.take(known)
