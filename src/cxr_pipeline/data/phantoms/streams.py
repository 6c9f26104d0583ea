"""Random streams of the phantoms: every draw comes from (seed, stream, patient[, follow-up])."""

from __future__ import annotations

import numpy as np

# The place in this tuple goes into the seed: append, never reorder.
_STREAMS = ("patients", "anatomy", "tissue", "pose", "film", "site", "course", "extent", "file")


def stream(seed: int, name: str, *keys: int) -> np.random.Generator:
    """The generator of one stream; the same arguments give the same numbers.

    Raises:
        ValueError: if `seed` is negative.
    """
    if seed < 0:
        raise ValueError(f"seed: {seed} is negative; use 0 or more")
    return np.random.default_rng(np.random.SeedSequence([seed, _STREAMS.index(name), *keys]))
