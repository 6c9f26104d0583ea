"""What describes images by features, so that sets of them can be compared."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d

from cxr_pipeline.evaluation.extractor_weights import load_pretrained
from cxr_pipeline.models.classifier import MEAN, STD, WIDTHS, Classifier
from cxr_pipeline.models.digest import weights_digest
from cxr_pipeline.randomness import derive_seed
from cxr_pipeline.training.classifier import ImageClassifier, look_at
from cxr_pipeline.training.precision import Accelerator, choose_accelerator

RANDOM_IMAGE_SIZE = 128
"""Side that images are resized to for the random network."""

RANDOM_GAIN = 16.0
"""Brings the random network's features to about 1, where KID's kernel sees more than means."""


@dataclass(frozen=True)
class Extractor:
    """A network that describes images of any size."""

    name: str
    """`classifier`, `random`, `inception` or `torchxrayvision`."""
    sha256: str
    """Of its weights, or of the file they are from: features of another are not comparable."""
    dimensions: int
    """How many features, F."""
    features: Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.float32]]
    """Given (N, S, S) images: (N, F)."""


def build_extractors(
    names: Sequence[str],
    *,
    classifier: ImageClassifier,
    seed: int,
    weights: str | None = None,
    weights_sha256: str | None = None,
    accelerator: Accelerator = "auto",
) -> tuple[list[Extractor], dict[str, str]]:
    """Build the extractors asked for, as far as they can be.

    Args:
        names: Which, of `Extractor.name`.
        classifier: Trained on training patients.
        seed: Decides the random network's weights.
        weights: The file of inception's or torchxrayvision's.
        weights_sha256: What its SHA-256 has to be; `None` for any.
        accelerator: Where they run; the classifier already has its place.

    Returns:
        The extractors; and why others could not be built, a line with the remedy by name, so that
        what the rest says is still reported.

    Raises:
        ValueError: If the accelerator is not there.
    """
    device = torch.device(choose_accelerator(accelerator))
    built: list[Extractor] = []
    obstacles: dict[str, str] = {}
    for name in names:
        if name == "classifier":
            built.append(
                Extractor(name, classifier.sha256, classifier.dimensions, classifier.features)
            )
        elif name == "random":
            built.append(_random(seed, device))
        else:
            try:
                built.append(_from_file(name, weights, weights_sha256, device))
            except ValueError as error:
                obstacles[name] = str(error)
    return built, obstacles


def _random(seed: int, device: torch.device) -> Extractor:
    """The small network with the first weights that the seed gives it, at all its depths.

    Its first layers see grain and blur, its last shapes; of either, trained networks learn to
    overlook what their own task does not need.
    """
    with torch.random.fork_rng():
        torch.manual_seed(derive_seed(seed, "random extractor"))
        network = Classifier("small", 1)
    digest = weights_digest(network.state_dict())
    network.to(device)
    # The stem belongs to the first block.
    stages: list[nn.Module] = list(network.body.children())
    first, blocks = stages[: -len(WIDTHS)], stages[-len(WIDTHS) :]

    def describe(images: Tensor) -> Tensor:
        maps, features = (images - MEAN) / STD, []
        for layer in first:
            maps = layer(maps)
        for block in blocks:
            maps = block(maps)
            features.append(adaptive_avg_pool2d(maps, 1).flatten(1))
        return RANDOM_GAIN * torch.cat(features, dim=1)

    return Extractor(
        "random",
        digest,
        sum(WIDTHS),
        lambda pixels: look_at(pixels, network, describe, RANDOM_IMAGE_SIZE),
    )


def _from_file(
    name: str, weights: str | None, sha256: str | None, device: torch.device
) -> Extractor:
    if weights is None:
        raise ValueError(
            f"{name} needs its weights: set evaluation.weights=FILE, or leave {name} out of "
            "evaluation.extractors"
        )
    loaded = load_pretrained(name, Path(weights), sha256)
    network = loaded.network.to(device)
    return Extractor(
        name,
        loaded.sha256,
        loaded.dimensions,
        lambda pixels: look_at(pixels, network, loaded.describe, loaded.image_size),
    )
