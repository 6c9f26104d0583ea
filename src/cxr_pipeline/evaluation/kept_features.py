"""Features of image sets, computed once and kept."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from cxr_pipeline.data.store import ImageStore
from cxr_pipeline.evaluation.evaluated import facts_of
from cxr_pipeline.evaluation.image_sets import ImageSet
from cxr_pipeline.evaluation.kept_arrays import kept_rows

DESCRIBES = ("digest", "data", "seed", "temperature", "findings", "rows", "taken", "image_size")
"""Facts of a set that its pixels follow from, with their size."""


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

    def read(first: int, last: int) -> npt.NDArray[np.uint8]:
        return images.pixels[first:last]

    key = {name: images.facts[name] for name in DESCRIBES if name in images.facts}
    size = images.pixels.shape[1]
    return _kept(folder, extractor, key | {"size": size}, len(images), read, images.name)


def kept_features_of_rows(
    folder: Path, extractor: FeatureExtractor, images: ImageStore, rows: npt.NDArray[np.int64]
) -> npt.NDArray[np.float32]:
    """Describe images of a store, or find them described; never many in memory.

    Args:
        folder: Where features are kept.
        extractor: What looks at them.
        images: The store.
        rows: Positions in its index.

    Returns:
        (N, F) float32.
    """
    key = facts_of(images, rows) | {"size": images.size}
    return _kept(
        folder,
        extractor,
        key,
        len(rows),
        lambda first, last: images.read(rows[first:last]),
        "training images",
    )


def _kept(
    folder: Path,
    extractor: FeatureExtractor,
    key: dict[str, Any],
    count: int,
    read: Callable[[int, int], npt.NDArray[np.uint8]],
    name: str,
) -> npt.NDArray[np.float32]:
    rows: npt.NDArray[np.float32] = kept_rows(
        folder / "features",
        {"extractor": [extractor.name, extractor.sha256], "set": key},
        count,
        lambda first, last: extractor.features(read(first, last)),
        what=f"Features of {name} by {extractor.name}",
    )
    return rows
