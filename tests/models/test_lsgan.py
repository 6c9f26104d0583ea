import pytest
import torch
from torch import nn

from cxr_pipeline.models.lsgan import Discriminator, Generator, draw_images, draw_noise

FINDINGS = torch.eye(14)[[0, 0, 3, 3, 5, 5, 8, 13]]  # of eight images
FINDINGS[1, 2] = 1  # one has two


def parameters_of(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_parameter_counts_equal_table_5():
    assert parameters_of(Generator(100)) == 3_606_976
    assert parameters_of(Discriminator(patch_scores=True)) == 2_795_904
    assert parameters_of(Discriminator(patch_scores=False)) == 2_795_904


def test_findings_add_rows_to_the_first_layer_and_an_embedding():
    assert parameters_of(Generator(100, findings=14)) == 3_606_976 + 14 * 512 * 16
    assert parameters_of(Discriminator(findings=14)) == 2_795_904 + 14 * 512
    conditional, plain = Discriminator(findings=14), Discriminator()
    assert set(conditional.state_dict()) == {*plain.state_dict(), "embedding.weight"}
    assert set(Generator(findings=14).state_dict()) == set(Generator().state_dict())


def test_first_weights_without_findings_stay_those_of_earlier_versions():
    torch.manual_seed(0)
    generator, discriminator = Generator(), Discriminator()
    # Any number drawn more, fewer or in another order would show in what comes next.
    assert torch.rand(1).item() == pytest.approx(0.97657, abs=1e-5)
    sums = [
        sum(tensor.double().abs().sum().item() for tensor in network.state_dict().values())
        for network in (generator, discriminator)
    ]
    assert sums == pytest.approx([59520.658, 46531.993], rel=1e-6)


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


@pytest.mark.parametrize("findings", [None, FINDINGS, torch.zeros(8, 14), torch.ones(8, 14)])
def test_the_first_images_are_smooth_with_about_the_contrast_of_equalised_x_rays(findings):
    torch.manual_seed(0)
    generator = Generator(findings=0 if findings is None else 14)
    kernels = generator.layers[-2].weight
    assert torch.equal(kernels, kernels[:, :, :1, :1].expand_as(kernels))
    images = generator(draw_noise(8, 100, torch.Generator().manual_seed(0)), findings)
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


def test_findings_move_the_first_images_about_as_far_as_noise_does():
    torch.manual_seed(0)
    generator = Generator(findings=14)
    noise = draw_noise(8, 100, torch.Generator().manual_seed(0))
    with torch.no_grad():
        images = generator(noise, FINDINGS)
        other_findings = generator(noise, FINDINGS.roll(2, dims=0))
        other_noise = generator(noise.roll(2, dims=0), FINDINGS)
    ratio = (other_findings - images).std() / (other_noise - images).std()
    assert 0.5 < ratio.item() < 2


@pytest.mark.parametrize("patch_scores", [True, False])
def test_findings_move_every_score_by_the_projection(patch_scores):
    torch.manual_seed(0)
    discriminator = Discriminator(patch_scores=patch_scores, findings=14)
    images = torch.rand(8, 1, 128, 128, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.no_grad():
        scores = discriminator(images, FINDINGS)
        features = discriminator.layers[:-1](images).flatten(2).mean(2)  # (B, 512)
        plain = discriminator.layers(images)
        projections = ((FINDINGS @ discriminator.embedding.weight.T) * features).sum(1)
    assert projections.std() > 0.05  # of scores that differ by about 1
    torch.testing.assert_close(scores, plain + projections[:, None, None, None])


def test_gradients_reach_the_embedding_and_the_findings_rows():
    generator, discriminator = Generator(7, findings=14), Discriminator(findings=14)
    noise = draw_noise(8, 7, torch.Generator().manual_seed(0))
    discriminator(generator(noise, FINDINGS), FINDINGS).square().mean().backward()
    present = FINDINGS.any(dim=0)
    for gradients in (generator.layers[0].weight.grad[7:], discriminator.embedding.weight.grad.T):
        reached = gradients.flatten(1).abs().amax(1) > 0
        assert torch.equal(reached, present)  # and those of absent findings stay


def test_the_embedding_begins_small():
    weights = Discriminator(findings=20).embedding.weight
    assert weights.std().item() == pytest.approx(0.02, rel=0.05)


@pytest.mark.parametrize(
    ("built_with", "given", "message"),
    [
        (14, None, r"findings=None: .* built with findings=14: .* shape \(2, 14\)"),
        (14, torch.zeros(2, 20), r"findings=\(2, 20\): .* shape \(2, 14\)"),
        (14, torch.zeros(1, 14), r"findings=\(1, 14\): .* shape \(2, 14\)"),
        (0, torch.zeros(2, 14), r"findings=\(2, 14\): .* built without findings"),
    ],
)
def test_findings_the_network_was_not_built_for_are_refused(built_with, given, message):
    with pytest.raises(ValueError, match=message) as error:
        Generator(7, findings=built_with)(torch.zeros(2, 7), given)
    assert "\n" not in str(error.value)
    with pytest.raises(ValueError, match=message):
        Discriminator(findings=built_with)(torch.zeros(2, 1, 128, 128), given)


def test_drawing_takes_findings():
    torch.manual_seed(0)
    generator = Generator(7, findings=14)
    noise = draw_noise(8, 7, torch.Generator().manual_seed(0))
    generator(noise, FINDINGS)  # statistics
    images = draw_images(generator, noise, FINDINGS)
    assert images.shape == (8, 1, 128, 128)
    assert not torch.allclose(images, draw_images(generator, noise, FINDINGS.roll(2, dims=0)))
