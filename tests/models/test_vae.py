import pytest
import torch
from torch import nn

from cxr_pipeline.models.vae import MOMENTUM, Centre, Vae


def parameters_of(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.fixture(scope="module")
def images():
    return torch.rand(4, 1, 128, 128, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def vae():
    torch.manual_seed(0)
    return Vae(8, centre=True)


# -- the network ---------------------------------------------------------------------------------


@pytest.mark.parametrize("centre", [False, True])
def test_parameter_counts_equal_table_5(centre):
    vae = Vae(1024, centre=centre)
    counts = {name: parameters_of(part) for name, part in vae.named_children()}
    assert counts == {
        "encoder": 4_711_648,
        "mean": 8_389_632,
        "logvar": 8_389_632,
        "centre": 0,
        "decoder": 11_184_033,
    }
    assert parameters_of(vae) == 32_674_945


def test_every_block_of_the_encoder_has_two_convolutions_and_halves(images):
    encoder = Vae(8).encoder
    convolutions = [layer for layer in encoder if isinstance(layer, nn.Conv2d)]
    channels = [(layer.in_channels, layer.out_channels) for layer in convolutions]
    assert channels == [
        (1, 32), (32, 32), (32, 64), (64, 64), (64, 128), (128, 128),
        (128, 256), (256, 256), (256, 512), (512, 512),
    ]  # fmt: skip
    assert all(layer.bias is not None for layer in convolutions)
    sides, drawn = [], images[:1]
    for layer in encoder:
        drawn = layer(drawn)
        if isinstance(layer, nn.MaxPool2d):
            sides.append(drawn.shape[-1])
    assert sides == [64, 32, 16, 8, 4]


def test_the_decoder_doubles_from_4_to_128_with_batch_norm_between():
    layers = list(Vae(8).decoder)[2:]
    kinds = [nn.ConvTranspose2d, nn.BatchNorm2d, nn.ReLU] * 4 + [nn.ConvTranspose2d]
    assert [type(layer) for layer in layers] == kinds
    assert [layer.out_channels for layer in layers[::3]] == [256, 128, 64, 32, 1]
    # The figure's last two BatchNorm2D (256) are misprints.
    assert [layer.num_features for layer in layers[1::3]] == [256, 128, 64, 32]


def test_neither_mean_nor_logvar_is_bounded_by_an_activation(vae, images):
    mean, logvar = vae.encode(images)
    assert (mean.shape, logvar.shape) == ((4, 8), (4, 8))
    for part in (mean, logvar):
        # Behind a LeakyReLU(0.2) few would be this far below zero.
        assert (part < 0).any()
    code = vae.encoder(images)
    assert torch.equal(logvar, vae.logvar(code))
    plain = vae.mean(code)
    torch.testing.assert_close(mean, plain - plain.mean(dim=0))


def test_images_come_back_in_the_unit_interval_with_their_posterior(vae, images):
    drawn, mean, logvar = vae(images, torch.zeros(4, 8))
    assert (drawn.shape, mean.shape, logvar.shape) == ((4, 1, 128, 128), (4, 8), (4, 8))
    assert drawn.min() >= 0
    assert drawn.max() <= 1


def test_noise_is_scaled_by_the_posterior_s_deviation(vae, images):
    noise = torch.randn(4, 8, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        drawn, mean, logvar = vae.eval()(images, noise)
        assert torch.equal(drawn, vae.decode(mean + torch.exp(0.5 * logvar) * noise))
        assert not torch.equal(drawn, vae.decode(mean + torch.exp(logvar) * noise))


@pytest.mark.parametrize("centre", [False, True])
def test_gradients_reach_every_weight(images, centre):
    torch.manual_seed(0)
    vae = Vae(8, centre=centre)
    drawn, mean, logvar = vae(images, torch.randn(4, 8))
    (drawn.square().sum() + mean.square().sum() + logvar.square().sum()).backward()
    # Not biases: what comes before batch norm or centring has none that matters.
    for name, parameter in vae.named_parameters():
        assert name.endswith("bias") or parameter.grad.abs().max() > 1e-3, name


# -- centring ------------------------------------------------------------------------------------


def test_in_training_the_mean_over_the_batch_is_taken_away():
    batch = torch.randn(5, 3) * 2 + 7
    centred = Centre(3)(batch)
    torch.testing.assert_close(centred, batch - batch.mean(dim=0))
    torch.testing.assert_close(centred.mean(dim=0), torch.zeros(3), atol=1e-6, rtol=0)
    # Their spread stays.
    torch.testing.assert_close(centred.std(dim=0), batch.std(dim=0))


def test_in_evaluation_it_is_the_running_mean_and_an_image_does_not_depend_on_the_others():
    centre = Centre(3)
    batch = torch.randn(5, 3) + 7
    centre(batch)
    centre.eval()
    others = torch.randn(4, 3)
    torch.testing.assert_close(centre(others), others - batch.mean(dim=0))
    assert torch.equal(centre(others)[:1], centre(others[:1]))
    assert centre.batches.item() == 1


def test_the_running_mean_is_that_of_all_batches_at_first_and_then_of_the_latest():
    centre = Centre(1)
    batches = [torch.full((2, 1), float(number)) for number in (4, 6, 11)]
    seen = []
    for batch in batches:
        centre(batch)
        seen.append(centre.running.item())
    # The first is taken whole: no zero that has to be forgotten.
    assert seen == pytest.approx([4, 5, 7])
    for _ in range(7):
        centre(batches[2])
    before = centre.running.item()
    centre(torch.full((2, 1), 100.0))
    assert centre.running.item() == pytest.approx(before + MOMENTUM * (100 - before))


def test_centring_has_no_parameter_but_a_memory_that_is_saved():
    centre = Centre(3)
    assert not list(centre.parameters())
    centre(torch.randn(5, 3) + 7)
    again = Centre(3)
    again.load_state_dict(centre.state_dict())
    latents = torch.randn(2, 3)
    assert torch.equal(again.eval()(latents), centre.eval()(latents))


def test_centring_lets_gradients_pass_but_for_a_common_offset():
    batch = torch.randn(5, 3, requires_grad=True)
    weights = torch.randn(5, 3)
    (Centre(3)(batch) * weights).sum().backward()
    torch.testing.assert_close(batch.grad, weights - weights.mean(dim=0))


def test_centring_is_done_in_single_precision():
    assert Centre(3)(torch.randn(5, 3).bfloat16()).dtype == torch.float32
