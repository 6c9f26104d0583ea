"""Looks at where a model's images and latents lie among those that it was trained on.

Memory is taken for some images at a time, however many a store holds.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cxr_pipeline.data.batches import to_pixels
from cxr_pipeline.data.labelled_sheets import LabelledImages
from cxr_pipeline.data.selection import select, selection_from
from cxr_pipeline.data.store import ImageStore
from cxr_pipeline.losses.mixture import component_log_densities
from cxr_pipeline.randomness import random_generator
from cxr_pipeline.training.examples import read_examples
from cxr_pipeline.training.feature_cache import FeatureCache
from cxr_pipeline.training.latent_looks import drawn_pixels
from cxr_pipeline.training.sampling import ImageGenerator

COMPARED_AT_ONCE = 1024
ENCODED_AT_ONCE = 64
MOST_ENCODED = 1024
"""Training images that are encoded at most, spread over all."""

SAMPLES, REAL_IMAGES = 5, 3
"""Images that neighbours are looked for of."""
NEIGHBOURS = 6
NEXT = ("2nd nearest", "3rd nearest", "4th nearest", "5th nearest", "6th nearest")

COMPONENTS = 8
DRAWS = 7
"""Points of a component that are drawn, beside its mean."""

DIRECTIONS = 6
DEVIATIONS = (-3, -2, -1, 0, 1, 2, 3)


def rows_of_split(
    generator: ImageGenerator, images: ImageStore, split: str
) -> npt.NDArray[np.int64]:
    """Choose the images of a split as the model's training did.

    Args:
        generator: The model.
        images: The store that it was trained on.
        split: `train`, `validation` or `test`.

    Returns:
        Positions in the store's index, ascending; there may be none.

    Raises:
        ValueError: If the model was trained on another store.
    """
    config = generator.config
    if config["image_store_digest"] != images.digest:
        name, version = images.folder.parent.name, config["image_store"]
        raise ValueError(
            f"model={config['model']} was trained on other images than those of '{images.folder}': "
            f"open image store {version} (in a run: --load-versions={name}:{version})"
        )
    within = images.index[images.index["split"] == split]
    selection = selection_from(config["parameters"]["selection"])
    return within.index[select(within, selection)].to_numpy(dtype=np.int64)


def nearest(
    queries: npt.NDArray[np.uint8], images: ImageStore, rows: npt.NDArray[np.int64], count: int
) -> npt.NDArray[np.int64]:
    """Find the images nearest in pixel space, by Euclidean distance.

    Args:
        queries: (Q, S, S) uint8.
        images: Where to look.
        rows: Positions in its index to look at.
        count: Neighbours wanted; fewer where there are fewer rows.

    Returns:
        (Q, count) positions in the store's index, the nearest first.
    """
    asked = _flat(queries)
    distances = torch.empty(len(queries), 0)
    found = torch.empty(len(queries), 0, dtype=torch.int64)
    for some in _parts(rows, COMPARED_AT_ONCE):
        here = torch.cdist(asked, _flat(images.read(some)))
        distances = torch.cat([distances, here], dim=1)
        found = torch.cat([found, torch.tensor(some).expand(len(queries), -1)], dim=1)
        best = distances.topk(min(count, distances.shape[1]), largest=False).indices
        distances, found = distances.gather(1, best), found.gather(1, best)
    return found.numpy()


def neighbours(generator: ImageGenerator, images: ImageStore, *, seed: int = 0) -> LabelledImages:
    """Set samples beside the training images nearest in pixel space; so too held-out images.

    A sample that lies much nearer to a training image than unseen real images do is a copy.

    Args:
        generator: The model.
        images: The store that it was trained on.
        seed: As for `ImageGenerator.sample`.

    Returns:
        Rows: samples, then held-out images; columns: the image, then its neighbours. Distances are
        root mean squares over pixels, in grey levels.

    Raises:
        ValueError: If the model was trained on another store.
    """
    rows = rows_of_split(generator, images, "train")
    samples = to_pixels(generator.sample(SAMPLES, seed=seed))[:, 0].numpy()
    held_out = images.read(spread(rows_of_split(generator, images, "validation"), REAL_IMAGES))
    asked = np.concatenate([samples, held_out])
    found = nearest(asked, images, rows, NEIGHBOURS)
    near = images.read(found.flatten()).reshape(*found.shape, images.size, images.size)
    differences = near[:, 0].astype(np.float64) - asked
    distances = np.sqrt((differences**2).mean(axis=(1, 2)))
    names = [f"sample {number + 1}" for number in range(len(samples))]
    names += [f"held-out image {number + 1}" for number in range(len(held_out))]
    ranks = ["nearest training image", *NEXT[: found.shape[1] - 1]]
    return LabelledImages(
        images=np.concatenate([asked[:, None], near], axis=1),
        rows=tuple(
            f"{name}\nnearest at {distance:.0f}"
            for name, distance in zip(names, distances, strict=True)
        ),
        columns=("image", *ranks),
        caption=f"Samples, and real images held out from training, each beside the nearest of "
        f"{len(rows):,} training images. Distances are root mean squares in grey levels of 255: a "
        "sample much nearer than held-out images are would be a copy.",
    )


def encode_training_images(
    generator: ImageGenerator, images: ImageStore, features: FeatureCache | None = None
) -> tuple[Tensor, Tensor]:
    """Find where training images lie among the latents.

    Args:
        generator: A model that encodes.
        images: The store that it was trained on.
        features: What a frozen encoder made of the store's images, for models that have one.

    Returns:
        Means and variances of the posteriors of at most `MOST_ENCODED` images, (N, Z) float32 each.
    """
    rows = spread(rows_of_split(generator, images, "train"), MOST_ENCODED)
    parts = [
        generator.encode(read_examples(images, some, generator.findings, features))
        for some in _parts(rows, ENCODED_AT_ONCE)
    ]
    means, variances = zip(*parts, strict=True)
    return torch.cat(means), torch.cat(variances)


def directions(
    generator: ImageGenerator, means: Tensor, variances: Tensor, *, seed: int = 0
) -> LabelledImages:
    """Walk along what images' latents differ in most: the principal directions of their means.

    All walks are at one point of the average posterior, as a decoder has never seen means alone:
    what is drawn there lacks contrast.

    Args:
        generator: A model that encodes.
        means: (N, Z), as `encode_training_images` gives them.
        variances: (N, Z), likewise.
        seed: Decides that point.

    Returns:
        Rows: directions, that of the greatest variance first; columns: standard deviations.
    """
    mean = means.mean(dim=0)
    _, scales, axes = torch.linalg.svd(means - mean, full_matrices=False)
    axes, deviations = axes[:DIRECTIONS], scales[:DIRECTIONS] / len(means) ** 0.5
    noise = torch.randn(len(mean), generator=random_generator(seed, "encodings"))
    noise = noise * variances.mean(dim=0).sqrt()
    noise = noise - noise @ axes.T @ axes  # across all directions
    steps = torch.tensor(DEVIATIONS, dtype=torch.float32)[None, :, None]
    walks = mean + noise + steps * (deviations[:, None] * axes)[:, None]  # (directions, steps, Z)
    shares = scales.square() / scales.square().sum().clamp(min=torch.finfo().tiny)
    return LabelledImages(
        images=drawn_pixels(generator, walks).numpy(),
        rows=tuple(
            f"direction {number + 1}\n{share:.0%} of the variance"
            for number, share in enumerate(shares[:DIRECTIONS].tolist())
        ),
        columns=tuple("mean" if step == 0 else f"{step:+d} sd" for step in DEVIATIONS),
        caption=f"Walks along the principal directions of {len(means):,} training images' "
        "latents, in standard deviations (sd) from their mean: what images differ in most.",
    )


def components(generator: ImageGenerator, latents: Tensor, *, seed: int = 0) -> LabelledImages:
    """Draw from each of the Gaussians of a GMVAE's prior that most images lie in.

    Args:
        generator: A GMVAE.
        latents: (N, Z), the means that `encode_training_images` gives. An image counts for the
            component that its mean is likeliest under.
        seed: Decides the points drawn, the same of each component.

    Returns:
        Rows: components, that of most images first; columns: its mean, then points of it.

    Raises:
        ValueError: If the model's prior is no mixture.
    """
    if generator.mixture is None:
        raise ValueError(
            f"model={generator.config['model']} has no mixture for prior: take a gmvae"
        )
    means, variances = generator.mixture
    likeliest = component_log_densities(latents, means, variances).argmax(dim=1)
    used = likeliest.bincount(minlength=len(means))
    order = used.argsort(descending=True, stable=True)[:COMPONENTS]
    noise = torch.randn(DRAWS, means.shape[1], generator=random_generator(seed, "components"))
    noise = torch.cat([torch.zeros(1, means.shape[1]), noise])
    points = means[order][:, None] + variances[order].sqrt()[:, None] * noise
    return LabelledImages(
        images=drawn_pixels(generator, points).numpy(),
        rows=tuple(
            f"component {int(place) + 1}\n{int(used[place]):,} image{'s' * int(used[place] != 1)}"
            for place in order
        ),
        columns=("mean", *(f"draw {number + 1}" for number in range(DRAWS))),
        caption=f"The mixture prior: {int((used > 0).sum())} of {len(means)} components hold all "
        f"{len(latents):,} training images looked at. Those that hold most, at their means and "
        "at points of them, the same noise down a column.",
    )


def spread(rows: npt.NDArray[np.int64], most: int) -> npt.NDArray[np.int64]:
    """Take some of the rows, or all, evenly spread over them."""
    return rows[np.linspace(0, len(rows) - 1, min(most, len(rows))).astype(np.int64)]


def _parts(rows: npt.NDArray[np.int64], count: int) -> Iterator[npt.NDArray[np.int64]]:
    for first in range(0, len(rows), count):
        yield rows[first : first + count]


def _flat(pixels: npt.NDArray[np.uint8]) -> Tensor:
    return torch.from_numpy(pixels).flatten(1).float()
