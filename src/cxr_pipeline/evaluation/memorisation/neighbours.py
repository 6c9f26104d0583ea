"""The nearest training images of each image: exact, in blocks, so that memory stays bounded."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cxr_pipeline.training.progress import Report, progress

BLOCK = 2048
"""Training images that are compared at once."""
PAIRS = 1 << 22
"""Distances that are in memory at once: 16 MB, which processors keep near."""
SPARE = 8
"""More neighbours are looked for than wanted: the products that choose them round off."""
SHOWN = 1 << 30
"""Of so many distances or more, progress is shown."""


class Neighbours(NamedTuple):
    """The nearest training images of N images, the nearest first."""

    distances: npt.NDArray[np.float32]
    """(N, K)."""
    places: npt.NDArray[np.int64]
    """(N, K), which training images they are."""


def nearest(
    queries: npt.NDArray[np.float32],
    references: npt.NDArray[np.float32],
    count: int,
    *,
    block: int = BLOCK,
    pairs: int = PAIRS,
) -> Neighbours:
    """Find the nearest vectors by Euclidean distance.

    Args:
        queries: (N, V, F): V variants of each, such as an image and its mirror image; a distance
            is that of the nearest variant.
        references: (M, F); may be memory-mapped.
        count: Neighbours wanted, K; fewer where there are fewer references.
        block: References that are compared at once.
        pairs: Distances that are in memory at once, about.

    Returns:
        The K nearest references of each query.
    """
    total, variants, _ = queries.shape
    wanted = min(count, len(references))
    distances = np.empty((total, wanted), dtype=np.float32)
    places = np.empty((total, wanted), dtype=np.int64)
    step = max(1, pairs // (block * variants))
    with shown(total, total * variants * len(references)) as report:
        for first in range(0, total, step):
            began = time.perf_counter()
            some = slice(first, min(first + step, total))
            candidates = _candidates(queries[some], references, wanted + SPARE, block)
            distances[some], places[some] = _measured(queries[some], references, candidates, wanted)
            report(some.stop, {}, (some.stop - first) / (time.perf_counter() - began))
    return Neighbours(distances, places)


@contextmanager
def shown(total: int, work: int) -> Iterator[Report]:
    """Report how many images are done, if there is much to do.

    Args:
        total: Images.
        work: Distances.
    """
    if work < SHOWN:
        yield lambda done, losses, rate: None
        return
    with progress(total, unit="image") as report:
        yield report


def _candidates(
    queries: npt.NDArray[np.float32], references: npt.NDArray[np.float32], count: int, block: int
) -> npt.NDArray[np.int64]:
    """Choose by squared distances less the query's own norm, which is the same for all."""
    number, variants, dimensions = queries.shape
    # About their middle: products of numbers far from 0 round off more than vectors differ.
    centre = _tensor(references[:block].mean(axis=0, dtype=np.float64))
    asked = _tensor(queries.reshape(-1, dimensions)) - centre
    norms = asked.square().sum(dim=1, keepdim=True)
    best, found = torch.empty(number, 0), torch.empty(number, 0, dtype=torch.int64)
    for first in range(0, len(references), block):
        some = _tensor(references[first : first + block]) - centre
        # |q - r|^2 = |q|^2 - 2 q.r + |r|^2
        squares = torch.addmm(norms + some.square().sum(dim=1), asked, some.T, alpha=-2)
        squares = squares.view(number, variants, -1).amin(dim=1)
        values, places = squares.topk(min(count, squares.shape[1]), dim=1, largest=False)
        best, found = torch.cat([best, values], dim=1), torch.cat([found, places + first], dim=1)
        kept = best.topk(min(count, best.shape[1]), dim=1, largest=False).indices
        best, found = best.gather(1, kept), found.gather(1, kept)
    return found.numpy()


def _measured(
    queries: npt.NDArray[np.float32],
    references: npt.NDArray[np.float32],
    candidates: npt.NDArray[np.int64],
    count: int,
) -> Neighbours:
    """Measure candidates by differences: products leave noise where a copy's distance is 0."""
    distances = np.empty(candidates.shape, dtype=np.float32)
    for query, places, into in zip(queries, candidates, distances, strict=True):
        near = references[places].astype(np.float64)
        squares = [((near - variant) ** 2).sum(axis=1) for variant in query]
        into[:] = np.sqrt(np.min(squares, axis=0))
    # Ties in the order of the references: however these are parted, the answer is the same.
    order = np.lexsort((candidates, distances))[:, :count]
    return Neighbours(
        np.take_along_axis(distances, order, axis=1), np.take_along_axis(candidates, order, axis=1)
    )


def _tensor(vectors: npt.NDArray[np.floating]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(vectors, dtype=np.float32))
