import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.neighbors import NearestNeighbors

from cxr_pipeline.evaluation.memorisation.neighbours import nearest


def vectors(count, seed, dimensions=5, variants=None):
    shape = (count, dimensions) if variants is None else (count, variants, dimensions)
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("block", [7, 1000])
@pytest.mark.parametrize("pairs", [1, 50, 100_000])
def test_however_it_is_parted_it_finds_what_a_second_implementation_finds(block, pairs):
    queries, references = vectors(23, 0, variants=1), vectors(61, 1)
    found = nearest(queries, references, 4, block=block, pairs=pairs)
    distances, places = NearestNeighbors(n_neighbors=4).fit(references).kneighbors(queries[:, 0])
    assert np.array_equal(found.places, places)
    assert np.allclose(found.distances, distances, rtol=1e-6)


def test_a_copy_is_at_no_distance_however_long_its_vector_is():
    references = vectors(40, 0) + 1e4
    found = nearest(references[:, None], references, 2)
    assert np.array_equal(found.places[:, 0], np.arange(40))
    assert (found.distances[:, 0] == 0).all()
    assert (found.distances[:, 1] > 0).all()


def test_of_several_variants_the_nearest_counts():
    queries, references = vectors(9, 0, variants=3), vectors(30, 1)
    each = [nearest(queries[:, [v]], references, 1).distances[:, 0] for v in range(3)]
    assert np.array_equal(nearest(queries, references, 1).distances[:, 0], np.min(each, axis=0))


def test_of_fewer_references_than_neighbours_wanted_it_finds_all():
    found = nearest(vectors(3, 0, variants=1), vectors(2, 1), 20)
    assert found.places.shape == (3, 2)
    assert (np.diff(found.distances) >= 0).all()


@given(st.integers(1, 30), st.integers(1, 9))
def test_references_that_are_the_same_come_in_their_order(count, block):
    references = np.ones((count, 3), dtype=np.float32)
    found = nearest(np.zeros((1, 1, 3), np.float32), references, count, block=block)
    assert found.places[0].tolist() == list(range(count))


def test_no_more_distances_are_in_memory_than_allowed(monkeypatch):
    import torch

    sizes = []
    addmm = torch.addmm

    def counted(*arguments, **named):
        product = addmm(*arguments, **named)
        sizes.append(product.numel())
        return product

    monkeypatch.setattr(torch, "addmm", counted)
    nearest(vectors(300, 0, variants=2), vectors(500, 1), 3, block=50, pairs=1000)
    assert max(sizes) == 1000
    assert sum(sizes) == 300 * 2 * 500
