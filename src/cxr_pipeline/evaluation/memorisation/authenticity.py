"""How many samples are their own: AuthPct (Alaa et al., "How faithful is your synthetic data?")."""

import numpy as np

from cxr_pipeline.evaluation.memorisation.descriptors import Read
from cxr_pipeline.evaluation.memorisation.flags import Bools
from cxr_pipeline.evaluation.memorisation.neighbours import Neighbours
from cxr_pipeline.evaluation.memorisation.searches import Search

BLOCK = 1024
"""Training images that are read at once."""


def authentic(found: Neighbours, search: Search, read: Read) -> Bools:
    """Tell which images are farther from their nearest training image than it is from the others.

    An image that lies as near to a training image as no other training image does is none of its
    own. Blurred images, which lie near to everything, are not either: a low share alone does not
    speak of copies.

    Args:
        found: The nearest training images of N images.
        search: What found them, two or more of each.
        read: Reads training images.

    Returns:
        (N,).
    """
    originals, places = np.unique(found.places[:, 0], return_inverse=True)
    apart = np.concatenate(
        [
            _to_another(originals[first : first + BLOCK], search, read)
            for first in range(0, len(originals), BLOCK)
        ]
    )
    return np.asarray(found.distances[:, 0] > apart[places])


def _to_another(
    places: np.ndarray[tuple[int], np.dtype[np.int64]], search: Search, read: Read
) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    """Distances of training images to the nearest other one."""
    found = search(read(places))
    another = np.argmax(found.places != places[:, None], axis=1)
    return np.asarray(found.distances[np.arange(len(places)), another])
