import pytest
import torch
from torch import nn

from cxr_pipeline.models.lsgan import Discriminator, Generator, draw_images, draw_noise


def parameters_of(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_parameter_counts_equal_table_5():
    assert parameters_of(Generator(100)) == 3_606_976
    assert parameters_of(Discriminator(patch_scores=True)) == 2_795_904
    assert parameters_of(Discriminator(patch_scores=False)) == 2_795_904


def test_no_convolution_has_a_bias():
    for network in (Generator(), Discriminator()):
        convolutions = [
            m for m in network.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)
        ]
        assert len(convolutions) == 6
        assert all(layer.bias is None for layer in convolutions)


def test_generator_draws_grey_images_in_the_range_of_tanh():
    images = Generator(7)(draw_noise(3, 7, torch.Generator().manual_seed(0)))
    assert images.shape == (3, 1, 128, 128)
    assert images.abs().max() <= 1


@pytest.mark.parametrize(("patch_scores", "shape"), [(True, (2, 1, 2, 2)), (False, (2, 1, 1, 1))])
def test_discriminator_scores_quarters_or_the_whole(patch_scores, shape):
    scores = Discriminator(patch_scores=patch_scores)(torch.zeros(2, 1, 128, 128))
    assert scores.shape == shape


def test_first_weights_are_dcgan_s():
    torch.manual_seed(0)
    generator = Generator()
    weights = generator.layers[3].weight  # 512 -> 256: 2 million numbers
    assert weights.mean().item() == pytest.approx(0, abs=1e-4)
    assert weights.std().item() == pytest.approx(0.02, rel=0.01)


def test_the_first_images_are_smooth_with_about_the_contrast_of_equalised_x_rays():
    torch.manual_seed(0)
    generator = Generator()
    kernels = generator.layers[-2].weight
    assert torch.equal(kernels, kernels[:, :, :1, :1].expand_as(kernels))
    images = generator(draw_noise(8, 100, torch.Generator().manual_seed(0)))
    # Equalised grey levels are uniform on [-1, 1]: standard deviation 0.577.
    assert 0.3 < images.std().item() < 0.65
    assert abs(images.mean().item()) < 0.1


def test_noise_is_uniform_on_the_signed_interval():
    noise = draw_noise(1000, 100, torch.Generator().manual_seed(0))
    assert noise.min() >= -1
    assert noise.max() < 1
    assert noise.mean().item() == pytest.approx(0, abs=0.01)
    assert noise.var().item() == pytest.approx(1 / 3, rel=0.01)


def test_drawing_uses_learnt_statistics_and_leaves_the_mode_alone():
    generator = Generator(7).train()
    noise = draw_noise(3, 7, torch.Generator().manual_seed(0))
    before = generator.state_dict()["layers.1.running_mean"].clone()
    three = draw_images(generator, noise)
    assert generator.training
    assert torch.equal(generator.state_dict()["layers.1.running_mean"], before)
    assert three.min() >= 0
    assert three.max() <= 1
    # With learnt statistics an image does not depend on those drawn beside it.
    assert torch.allclose(draw_images(generator, noise[:1]), three[:1], atol=1e-5)
