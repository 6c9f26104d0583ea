"""Sets of images that are compared: what is in them, and whom they are of."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cxr_pipeline.data.files import json_digest

REAL = "real"
"""What real images are called where sets are named."""


@dataclass(frozen=True)
class ImageSet:
    """Images of one side, and what is known of them. `pixels` may be memory-mapped."""

    name: str
    """A model's, `real`, or a folder's."""
    pixels: npt.NDArray[np.uint8]
    """(N, S, S)."""
    groups: npt.NDArray[np.int64]
    """(N,), which patient each is of: images of one belong together when sets are resampled or
    parted. Every synthetic image is its own."""
    labels: tuple[str, ...]
    """N findings as NIH writes them, `A|B`; blank where none are known."""
    drawn: tuple[Path, ...] = ()
    """Files, .npy, of the same as the model draws them, (n, T, T) uint8 each, where T is not S."""
    facts: dict[str, Any] = field(default_factory=dict)
    """Where the images come from, in JSON's types: the `digest` of a model's weights, of a folder
    or of a store, and what else they follow from, such as `seed` and `temperature`."""

    def __len__(self) -> int:
        """Count the images."""
        return len(self.pixels)

    def take(self, places: npt.NDArray[np.int64]) -> "ImageSet":
        """Take some of the images, in that order; the facts tell the sets apart."""
        labels = tuple(self.labels[place] for place in places)
        taken = json_digest([self.facts.get("taken"), places.tolist()])
        facts = self.facts | {"taken": taken}
        pixels, groups = self.pixels[places], self.groups[places]
        return ImageSet(self.name, pixels, groups, labels, facts=facts)


def halves(
    groups: npt.NDArray[np.int64], seed: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Part images into two halves of about equal size, no group in both.

    Args:
        groups: (N,), which patient each image is of.
        seed: Decides who goes where.

    Returns:
        Positions of the images in each half, ascending; both are empty of fewer than two groups.
    """
    names, counts = np.unique(groups, return_counts=True)
    if len(names) < 2:
        nobody = np.empty(0, dtype=np.int64)
        return nobody, nobody
    order = np.random.default_rng(seed).permutation(len(names))
    first: list[int] = []
    sizes = [0, 0]
    # The largest go first, in random order among equals: then the halves end up of one size.
    for place in sorted(order, key=lambda place: -counts[place]):
        smaller = int(sizes[1] < sizes[0])
        sizes[smaller] += int(counts[place])
        if smaller == 0:
            first.append(int(names[place]))
    here = np.isin(groups, first)
    return np.flatnonzero(here), np.flatnonzero(~here)
