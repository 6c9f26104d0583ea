import numpy as np
import pytest

from cxr_pipeline.evaluation.fidelity.manifolds import manifold_estimates, membership

K = 3


def features(seed, count, dimensions=6, *, shift=0.0):
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(count, dimensions)) + shift).astype(np.float32)


def means(reference, made, neighbours=K):
    return [float(values.mean()) for values in membership(reference, made, neighbours)]


def plainly(reference, made):
    """Precision, density, recall and coverage, as the papers write them."""

    def apart(one, other):
        return np.sqrt(np.square(one[:, None] - other[None]).sum(axis=2, dtype=np.float64))

    def radii(rows):
        return np.sort(apart(rows, rows), axis=1)[:, K]  # the first is itself

    reference, made = reference.astype(np.float64), made.astype(np.float64)
    in_real = apart(made, reference) < radii(reference)
    in_made = apart(reference, made) < radii(made)
    return [
        in_real.any(axis=1).mean(),
        in_real.sum(axis=1).mean() / K,
        in_made.any(axis=1).mean(),
        in_real.any(axis=0).mean(),
    ]


def test_a_second_implementation_agrees():
    reference, made = features(0, 40), features(1, 50, shift=0.5)
    expected = plainly(reference, made)
    assert min(expected) > 0
    assert means(reference, made) == pytest.approx(expected)


def test_identical_sets_score_one():
    rows = features(0, 40)
    assert means(rows, rows) == [1, 1, 1, 1]


def test_sets_far_apart_score_zero():
    assert means(features(0, 40), features(1, 40, shift=100)) == [0, 0, 0, 0]


def test_coverage_and_density_of_one_distribution_are_as_expected():
    # Of n against n of one distribution, the nearest 2k... of 2n - 1 others are all real with
    # probability (n - 1)...(n - k) / (2n - 1)...(2n - k) (Naeem et al. 2020, lemma 2).
    count, neighbours = 400, 3
    places = np.arange(1, neighbours + 1)
    expected = 1 - np.prod((count - places) / (2 * count - places))
    found = [
        means(features(2 * seed, count, 3), features(2 * seed + 1, count, 3), neighbours)
        for seed in range(10)
    ]
    _, density, _, coverage = np.mean(found, axis=0)
    assert coverage == pytest.approx(expected, abs=0.01)
    assert density == pytest.approx(1, abs=0.03)


def test_a_half_collapsed_set_covers_less():
    reference, made = features(0, 200), features(1, 200)
    collapsed = made.copy()
    collapsed[::2] = made[0]
    assert means(reference, collapsed)[3] < means(reference, made)[3] - 0.1


def test_a_set_without_half_of_the_modes_is_seen_in_recall_and_coverage():
    modes = np.repeat([[0.0], [20.0]], 100, axis=0).astype(np.float32)
    reference = features(0, 200) + modes
    precision, _, recall, coverage = means(reference, features(1, 200))
    assert precision > 0.8
    assert recall <= 0.5
    assert coverage <= 0.5


def test_samples_of_poor_quality_are_seen_in_precision_and_density():
    reference, made = features(0, 200), features(1, 200)
    spoiled = made.copy()
    spoiled[::2] += 20
    good, bad = means(reference, made), means(reference, spoiled)
    assert bad[0] < good[0] - 0.3
    assert bad[1] < good[1] - 0.3


def test_blocks_do_not_change_it():
    reference, made = features(0, 40), features(1, 30)
    for blocks, whole in zip(
        membership(reference, made, K, block=7), membership(reference, made, K), strict=True
    ):
        np.testing.assert_array_equal(blocks, whole)


def test_intervals_are_of_each_side_s_own_images():
    reference, made = features(0, 100), features(1, 100, shift=1.0)
    drawn, still = np.eye(100), np.ones((100, 100))  # one image a draw, or all
    of_none = manifold_estimates(reference, made, still, still, neighbours=K)
    of_samples = manifold_estimates(reference, made, still, drawn, neighbours=K)
    of_real = manifold_estimates(reference, made, drawn, still, neighbours=K)
    widths = [[one.high - one.low for one in side] for side in (of_none, of_samples, of_real)]
    moves = (np.array(widths[1:]) > np.array(widths[0]) + 1e-9).tolist()
    assert moves == [[True, True, False, False], [False, False, True, True]]
    assert all(one.low - 1e-9 <= one.value <= one.high + 1e-9 for one in [*of_samples, *of_real])


def test_a_share_of_none_or_all_is_not_sure():
    far = manifold_estimates(
        features(0, 20), features(1, 20) + 100, np.ones((9, 20)), np.ones((9, 20)), neighbours=K
    )
    precision, density, *_ = far
    assert (precision.value, precision.low) == (0, 0)
    assert precision.high == pytest.approx(0.161, abs=0.001)  # Wilson's, of 0 among 20
    assert (density.low, density.high) == (0, 0)


def test_no_more_images_than_neighbours_are_refused():
    with pytest.raises(ValueError, match=r"3 images .* evaluation\.neighbours=3: lower it"):
        membership(features(0, 9), features(1, 3), K)
    assert min(means(features(0, 4), features(0, 4))) == 1
