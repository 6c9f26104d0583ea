import numpy as np
import pytest
from tests.evaluation.fidelity.planted import blurred

from cxr_pipeline.evaluation.fidelity.power_spectrum import log_spectra, spectrum_estimate
from cxr_pipeline.evaluation.resampling import multiplicities


def grain(seed, count=20, size=32, *, contrast=40.0):
    grey = np.random.default_rng(seed).normal(128, contrast, (count, size, size))
    return np.clip(np.rint(grey), 0, 255).astype(np.uint8)


def decibels(reference, pixels):
    draws = [multiplicities(np.arange(len(side)), 40, 0) for side in (reference, pixels)]
    return spectrum_estimate(reference, pixels, *draws)


def test_half_the_contrast_is_six_decibels_less():
    reference = grain(0, contrast=30)
    halved = np.rint(128 + (reference.astype(np.float64) - 128) / 2).astype(np.uint8)
    assert decibels(reference, halved).value == pytest.approx(20 * np.log10(2), abs=0.05)


def test_stripes_are_seen_at_their_frequency():
    phase = 2 * np.pi * 8 * np.arange(64) / 64
    stripes = np.rint(128 + 50 * np.sin(phase)) * np.ones((64, 1))
    for image in (stripes, stripes.T):
        (spectrum,) = log_spectra(image[None].astype(np.uint8))
        assert int(spectrum.argmax()) + 1 == 8
        assert spectrum.max() - np.median(spectrum) > 20


@pytest.mark.parametrize("size", [32, 33])
def test_white_noise_is_flat(size):
    spectrum = log_spectra(grain(0, count=200, size=size)).mean(axis=0)
    assert len(spectrum) == size // 2
    # A mean of few frequencies' logarithms is lower than that of many.
    assert np.ptp(spectrum[4:]) < 0.5


def test_identical_sets_are_not_apart_and_a_blur_is_far():
    reference = grain(0)
    same, other = decibels(reference, reference), decibels(reference, grain(1))
    assert same.value == 0
    assert decibels(reference, blurred(grain(1))).low > other.high
    assert other.low <= other.value <= other.high


def test_an_image_of_one_grey_level_has_a_spectrum():
    flat = np.full((2, 32, 32), 7, dtype=np.uint8)
    assert np.isfinite(log_spectra(flat)).all()


def test_blocks_do_not_change_it():
    pixels = grain(0)
    np.testing.assert_allclose(log_spectra(pixels, block=7), log_spectra(pixels), rtol=1e-12)
