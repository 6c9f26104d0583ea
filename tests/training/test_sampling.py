import numpy as np
import pytest
import torch

from cxr_pipeline.models.lsgan import Discriminator, Generator
from cxr_pipeline.training.sampling import build_sampler, sample_images

CONFIG = {"model": "gan", "architecture": {"dim_z": 8, "patch_scores": True}}


@pytest.fixture(scope="module")
def weights():
    torch.manual_seed(0)
    networks = {"generator": Generator(8), "discriminator": Discriminator()}
    return {
        f"{name}.{key}": tensor
        for name, network in networks.items()
        for key, tensor in network.state_dict().items()
    }


def draw(weights, count, seed=0):
    return np.stack(list(sample_images(build_sampler(CONFIG, weights), count=count, seed=seed)))


def test_samples_are_grey_pictures_and_differ(weights):
    samples = draw(weights, 3)
    assert samples.shape == (3, 128, 128)
    assert samples.dtype == np.uint8
    assert not np.array_equal(samples[0], samples[1])


def test_more_samples_begin_with_the_same_ones(weights):
    assert np.array_equal(draw(weights, 66)[:3], draw(weights, 3))


def test_another_seed_draws_other_images(weights):
    assert not np.array_equal(draw(weights, 1, seed=1), draw(weights, 1))


def test_an_unknown_model_is_refused(weights):
    with pytest.raises(ValueError, match="unknown model 'flow': expected gan"):
        build_sampler(CONFIG | {"model": "flow"}, weights)


def test_weights_of_another_architecture_are_refused(weights):
    other = CONFIG | {"architecture": {"dim_z": 9, "patch_scores": True}}
    with pytest.raises(ValueError, match="do not fit"):
        build_sampler(other, weights)
