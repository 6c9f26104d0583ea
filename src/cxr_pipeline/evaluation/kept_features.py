"""Features of image sets, computed once and kept."""

from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from cxr_pipeline.evaluation.image_sets import ImageSet
from cxr_pipeline.evaluation.kept_arrays import kept_rows

DESCRIBES = ("digest", "seed", "temperature", "findings", "rows", "taken", "image_size")
"""Facts of a set that its pixels follow from, with their number and size."""


class FeatureExtractor(Protocol):
    """What looks at images."""

    @property
    def name(self) -> str:
        """Its name."""
        ...

    @property
    def sha256(self) -> str:
        """The digest of its weights."""
        ...

    def features(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Describe images, (N, S, S), by (N, F) numbers."""
        ...


def kept_features(
    folder: Path, extractor: FeatureExtractor, images: ImageSet
) -> npt.NDArray[np.float32]:
    """Describe a set's images, or find them described.

    Args:
        folder: Where features are kept.
        extractor: What looks at them.
        images: The set; its facts must name all that its pixels follow from.

    Returns:
        (N, F) float32.
    """
    key = {
        "extractor": extractor.sha256,
        "set": {name: images.facts[name] for name in DESCRIBES if name in images.facts},
        "size": images.pixels.shape[1],
        "count": len(images),
    }
    rows: npt.NDArray[np.float32] = kept_rows(
        folder / "features",
        key,
        len(images),
        lambda first, last: extractor.features(images.pixels[first:last]),
        what=f"Features of {images.name} by {extractor.name}",
    )
    return rows
