"""Copies that are planted on purpose: how many of them the audit finds is its power."""

from collections.abc import Callable, Mapping

import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd

from cxr_pipeline.evaluation.memorisation.descriptors import Read, mirrored
from cxr_pipeline.evaluation.memorisation.flags import (
    Bools,
    Nearness,
    copies,
    copies_in_any,
    crossed,
    limits,
)
from cxr_pipeline.evaluation.shares import wilson

PLANTED = 100
"""Training images that are copied at most."""
UNPLANTED = "none: held-out images"
"""Images that copy nothing: what is found among them are false alarms."""
ANY = "any"
"""The space of copies that are found in one space at least."""
COLUMNS = ["space", "change", "planted", "found", "share", "low", "high"]

Images = npt.NDArray[np.uint8]
Look = Callable[[Images], Mapping[str, Nearness]]
"""Tells how near images lie to the training images, by space."""


def changes(images: Images, seed: int) -> dict[str, Callable[[], Images]]:
    """Name the ways in which a copy may differ from its original, and how to make each.

    Args:
        images: (N, S, S) uint8.
        seed: Decides directions and noise.
    """
    rng = np.random.default_rng(seed)
    return {
        "exact": lambda: images,
        "flipped": lambda: mirrored(images),
        "shifted by 2 pixels": lambda: moved(images, 2, rng),
        "shifted by 4 pixels": lambda: moved(images, 4, rng),
        "brightened (gamma 0.6)": lambda: _curved(images, 0.6),
        "darkened (gamma 1.6)": lambda: _curved(images, 1.6),
        "equalised by tiles (CLAHE)": lambda: _each(images, cv2.createCLAHE(2.0, (8, 8)).apply),
        "noisy (8 grey levels)": lambda: _noisy(images, 8, rng),
        "blurred (1 pixel)": lambda: _each(images, lambda one: cv2.GaussianBlur(one, (0, 0), 1)),
        "flipped, shifted by 2 pixels, brightened": lambda: _curved(
            moved(mirrored(images), 2, rng), 0.6
        ),
        "turned by 5 degrees": lambda: _turned(images, 5, 1),
        "enlarged by 10 %": lambda: _turned(images, 0, 1.1),
    }


def power(
    look: Look,
    held_out: Mapping[str, Nearness],
    groups: npt.NDArray[np.int64],
    read: Read,
    count: int,
    *,
    seed: int,
    planted: int = PLANTED,
) -> pd.DataFrame:
    """Plant copies of training images and count those that are found.

    Args:
        look: Finds how near images lie to the training images, by space.
        held_out: What it found of M held-out images.
        groups: (M,), their patients.
        read: Reads training images.
        count: How many there are.
        seed: Decides which are copied, and how.
        planted: How many are, at most.

    Returns:
        A row a space and change: `space`, `change`, `planted`, `found`, `share`, and `low` and
        `high` by Wilson; and the held-out images, each half judged by the other.
    """
    chosen = np.random.default_rng(seed).choice(count, min(planted, count), replace=False)
    found = [
        (change, space, judged)
        for change, made in changes(read(np.sort(chosen)), seed).items()
        for space, judged in _judged(look(made()), held_out).items()
    ]
    found += [
        (UNPLANTED, space, crossed(copies_in_any, [near], groups, seed))
        for space, near in held_out.items()
    ]
    found += [(UNPLANTED, ANY, crossed(copies_in_any, list(held_out.values()), groups, seed))]
    rows = []
    for change, space, judged in found:
        count, total = int(judged.sum()), len(judged)
        rows.append([space, change, total, count, count / total, *wilson(count, total)])
    return pd.DataFrame(rows, columns=COLUMNS)


def moved(images: Images, distance: int, rng: np.random.Generator) -> Images:
    """Shift each image down or up, to a side, or both; what is at the border is drawn out."""
    steps = [(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1) if (y, x) != (0, 0)]
    ways = [steps[place] for place in rng.integers(len(steps), size=len(images))]
    out = np.empty_like(images)
    for image, (down, across), into in zip(images, ways, out, strict=True):
        wide = np.pad(image, distance, mode="edge")
        top, left = distance * (1 - down), distance * (1 - across)
        into[:] = wide[top : top + image.shape[0], left : left + image.shape[1]]
    return out


def _judged(near: Mapping[str, Nearness], held_out: Mapping[str, Nearness]) -> dict[str, Bools]:
    alone = {space: copies(near[space], limits(held_out[space])) for space in near}
    real = [held_out[space] for space in near]
    return alone | {ANY: copies_in_any(list(near.values()), real)}


def _curved(images: Images, gamma: float) -> Images:
    levels = np.rint(255 * (np.arange(256) / 255) ** gamma).astype(np.uint8)
    return np.asarray(levels[images])


def _noisy(images: Images, deviation: float, rng: np.random.Generator) -> Images:
    noise = rng.normal(0, deviation, images.shape)
    return np.clip(np.rint(images + noise), 0, 255).astype(np.uint8)


def _turned(images: Images, degrees: float, scale: float) -> Images:
    side = images.shape[1]
    centre = ((side - 1) / 2, (side - 1) / 2)
    matrix = cv2.getRotationMatrix2D(centre, degrees, scale)
    mode = cv2.BORDER_REPLICATE
    return _each(images, lambda one: cv2.warpAffine(one, matrix, (side, side), borderMode=mode))


def _each(images: Images, change: Callable[[Images], object]) -> Images:
    return np.asarray([change(image) for image in images], dtype=np.uint8)
