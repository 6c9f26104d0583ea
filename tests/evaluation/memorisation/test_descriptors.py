import cv2
import numpy as np
import pytest

from cxr_pipeline.evaluation.memorisation.descriptors import (
    DETAIL,
    DETAIL_SHIFTS,
    MARGIN,
    SIDE,
    describe,
    ranked,
    sharpened,
    shifted,
)


def test_descriptors_are_the_same_in_blocks(chests):
    pixels = chests[0].pixels[:20]
    whole, parted = (describe(lambda at: pixels[at], 20, block=block) for block in (20, 7))
    for one, other in zip(whole, parted, strict=True):
        assert np.array_equal(one, other)
        assert np.allclose(np.linalg.norm(one, axis=1), 1, atol=1e-5)
        assert np.allclose(one.mean(axis=1), 0, atol=1e-6)


def test_a_brighter_image_has_the_ranks_of_the_image(chests):
    pixels = chests[0].pixels[:4]
    brighter = (np.arange(256) // 2 + 100).astype(np.uint8)[pixels]
    # Half of the levels are gone, so that ranks are told less finely.
    assert np.abs(ranked(pixels) - ranked(brighter)).mean() < 3


def test_one_of_the_shifts_is_that_of_a_moved_image(chests):
    pixels = chests[0].pixels[:1]
    moved = np.roll(pixels, (2, -3), axis=(1, 2))
    own = shifted(sharpened(ranked(pixels)), DETAIL, (0,))[0, 0]
    shifts = shifted(sharpened(ranked(moved)), DETAIL, DETAIL_SHIFTS)[0]
    best = int((shifts @ own).argmax())
    down, across = divmod(best, len(DETAIL_SHIFTS))
    assert (down - MARGIN, across - MARGIN) == (2, -3)
    assert (shifts[best] @ own) > 0.95


@pytest.mark.parametrize("grey", [0, 128, 255])
def test_an_image_of_one_grey_is_described_by_zeros(grey):
    pixels = np.full((2, 40, 40), grey, dtype=np.uint8)
    for one in describe(lambda at: pixels[at], 2):
        assert np.allclose(one, 0, atol=1e-6)


def test_images_of_another_size_are_brought_to_one(chests):
    pixels = chests[0].pixels[:3]
    large = np.stack([cv2.resize(image, (96, 96)) for image in pixels])
    assert ranked(large).shape == (3, SIDE, SIDE)
    own, other = describe(lambda at: pixels[at], 3), describe(lambda at: large[at], 3)
    assert (own.overviews * other.overviews).sum(axis=1).min() > 0.99
