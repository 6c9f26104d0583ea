"""The closest pairs: samples beside the training images that they may be copies of."""

import numpy as np
import numpy.typing as npt

from cxr_pipeline.data.labelled_sheets import LabelledImages
from cxr_pipeline.data.resizing import resize_images
from cxr_pipeline.evaluation.memorisation.descriptors import Read
from cxr_pipeline.evaluation.memorisation.flags import Bools, Nearness, limits
from cxr_pipeline.evaluation.memorisation.measures import FEATURES, PIXELS, Looked

SAMPLES, HELD_OUT = 8, 3
"""Rows of each."""
NEAREST = ("nearest training image", "2nd nearest", "3rd nearest")
BY_FEATURES = "nearest by features"

Images = npt.NDArray[np.uint8]


def closest_pairs(samples: Looked, flagged: Bools, held_out: Looked, read: Read) -> LabelledImages:
    """Show the samples that are most like a training image, and held-out images as the yardstick.

    Args:
        samples: N samples and what lies near to them.
        flagged: (N,), which of them are taken for copies: these come first.
        held_out: Held-out images and what lies near to them; the nearest are shown.
        read: Reads training images.
    """
    near, real = samples.near[PIXELS], held_out.near[PIXELS]
    chosen = np.lexsort((near.distances, ~flagged))[:SAMPLES]
    beside = np.argsort(real.distances, kind="stable")[:HELD_OUT]
    rows = [_row("COPY" if flagged[place] else "sample", near, place) for place in chosen]
    rows += [_row("held-out", real, place) for place in beside]
    by_features = FEATURES in samples.found and FEATURES in held_out.found
    limit = limits(real)
    closer = int((real.distances < limit.distance).sum())
    alone = int((real.ratios < limit.ratio).sum())
    return LabelledImages(
        images=np.concatenate(
            [
                _with_nearest(look, places, read, by_features=by_features)
                for look, places in ((samples, chosen), (held_out, beside))
            ]
        ),
        rows=tuple(rows),
        columns=("image", *NEAREST, *([BY_FEATURES] * by_features)),
        caption=f"{int(flagged.sum()):,} of {len(flagged):,} samples are taken for copies. These "
        "and the nearest others, each beside its nearest training images in pixels, as they are (a "
        "copy may be flipped or shifted), then the nearest held-out images with theirs. The ratio "
        f"is of the distance to the nearest and to the next ones. Of {len(real.distances):,} "
        f"held-out images {closer} are nearer than {limit.distance:.2f} and {alone} have a ratio "
        f"below {limit.ratio:.2f}; a copy is below both, here or by features.",
    )


def _row(name: str, near: Nearness, place: np.int64) -> str:
    return f"{name}\nat {near.distances[place]:.2f}, ratio {near.ratios[place]:.2f}"


def _with_nearest(
    look: Looked, places: npt.NDArray[np.int64], read: Read, *, by_features: bool
) -> Images:
    """Set R images beside their nearest training images: (R, C, S, S)."""
    near = [look.found[PIXELS].places[places, : len(NEAREST)]]
    if by_features:
        near.append(look.found[FEATURES].places[places, :1])
    wanted = np.concatenate(near, axis=1)
    shown = read(wanted.flatten())
    side = shown.shape[1]
    first = resize_images(look.images.pixels[places], side)[:, None]
    return np.concatenate([first, shown.reshape(*wanted.shape, side, side)], axis=1)
