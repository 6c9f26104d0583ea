import math

import pytest
import torch

from cxr_pipeline.training.quality import diversity, reconstruction_rmse


def test_images_that_vary_half_as_much_have_half_the_diversity():
    real = torch.rand(8, 1, 4, 4)
    assert diversity(real, real) == {"quality/diversity": pytest.approx(1)}
    assert diversity(real / 2, real) == {"quality/diversity": pytest.approx(0.5)}
    assert diversity(real[:1].expand(8, 1, 4, 4), real)["quality/diversity"] < 1e-6


def test_of_real_images_that_do_not_vary_nothing_is_said():
    drawn = torch.rand(8, 1, 4, 4)
    assert diversity(drawn, torch.zeros(8, 1, 4, 4)) == {}
    assert diversity(drawn[:1], torch.rand(1, 1, 4, 4)) == {}


def test_the_error_is_a_grey_level_s_whatever_the_size():
    # Every grey level is off by a tenth.
    assert reconstruction_rmse(torch.full((5,), 0.01 * 16), 16) == {
        "quality/reconstruction_rmse": pytest.approx(0.1)
    }
    large = 3 * 224**2
    found = reconstruction_rmse(torch.full((5,), 0.01 * large), large)
    assert math.isclose(found["quality/reconstruction_rmse"], 0.1, rel_tol=1e-6)
