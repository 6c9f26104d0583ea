"""How long nearest neighbours take, and what memory: 10,000 images in 100,000.

    python benchmarks/neighbours.py features|pixels [QUERIES] [REFERENCES]

Vectors of 1,024 numbers; or images of 64 px, in pixels, at every shift and mirrored. Memory is what
the search adds at its peak to the vectors themselves: so one of them a process.
"""

import resource
import sys

import numpy as np
import torch
from timing import seconds_of

from cxr_pipeline.evaluation.memorisation.descriptors import BLOCK, describe
from cxr_pipeline.evaluation.memorisation.flags import NEIGHBOURS
from cxr_pipeline.evaluation.memorisation.neighbours import nearest
from cxr_pipeline.evaluation.memorisation.searches import pixel_search
from cxr_pipeline.training.record import processor

DIMENSIONS = 1024
SIDE = 64


def peak() -> float:
    """The most memory that this process has had, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def among_features(queries: int, references: int) -> None:
    """Vectors of random numbers: what is in them changes nothing."""
    rng = np.random.default_rng(0)
    asked = rng.standard_normal((queries, 1, DIMENSIONS), dtype=np.float32)
    there = rng.standard_normal((references, DIMENSIONS), dtype=np.float32)
    before = peak()
    seconds = seconds_of(lambda: nearest(asked, there, NEIGHBOURS))
    print(f"features, {DIMENSIONS} numbers: {seconds:.0f} s, {peak() - before:.0f} MB more", end="")
    print(f" than the {before:.0f} MB of the process with its vectors")


def in_pixels(queries: int, references: int) -> None:
    """Images of noise, a block of them again and again: never all in memory."""
    rng = np.random.default_rng(0)
    block = rng.integers(0, 256, (BLOCK, SIDE, SIDE), dtype=np.uint8)
    asked = rng.integers(0, 256, (queries, SIDE, SIDE), dtype=np.uint8)
    found = []
    seconds = seconds_of(
        lambda: found.append(describe(lambda at: np.roll(block[: len(at)], at[0]), references))
    )
    print(f"descriptors of {references:,} training images: {seconds:.0f} s")
    before = peak()
    seconds = seconds_of(lambda: pixel_search(found[0], NEIGHBOURS)(asked))
    print(f"pixels, {SIDE} x {SIDE}: {seconds:.0f} s, {peak() - before:.0f} MB more")


if __name__ == "__main__":
    kind, *numbers = sys.argv[1:]
    queries, references = map(int, numbers or (10_000, 100_000))
    print(f"{processor()}, {torch.get_num_threads()} threads")
    print(f"{queries:,} images in {references:,}")
    {"features": among_features, "pixels": in_pixels}[kind](queries, references)
