import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.table_4 import TABLE_4
from torch.nn.functional import softplus

from cxr_pipeline.models.encoders import FEATURES, ImageEncoder
from cxr_pipeline.models.gmvae import Gmvae, MixturePrior, draw_images

NONE = torch.empty(2, 0)
"""The findings of two images where none are told."""


def tiny(**changes):
    torch.manual_seed(0)
    arguments = {"features": 4, "dim_z": 3, "components": 2, "transition": True, "decoder": "1"}
    return Gmvae(**{**arguments, **changes})


def features(count=2, channels=4):
    return torch.rand(count, channels, 7, 7, generator=torch.Generator().manual_seed(1))


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_the_prior_begins_at_the_course_s_scale():
    torch.manual_seed(0)
    prior = MixturePrior(50, 1000)
    assert prior.means.shape == prior.variances.shape == (50, 1000)
    for parameter in prior.parameters():
        assert parameter.mean().item() == pytest.approx(0, abs=1e-4)
        assert parameter.std().item() == pytest.approx(1 / math.sqrt(50_000), rel=0.02)
    assert not torch.equal(prior.means, prior.raw_variances)


@given(st.floats(-1e4, 1e4))
def test_variances_are_positive_and_softplus_of_any_number(raw):
    prior = MixturePrior(1, 1)
    torch.nn.init.constant_(prior.raw_variances, raw)
    expected = math.log1p(math.exp(raw)) if raw < 50 else raw
    assert prior.variances.item() == pytest.approx(expected + 1e-8, rel=1e-5)
    assert prior.variances.item() > 0


def test_draws_are_of_the_mixture():
    prior = MixturePrior(4, 2)
    with torch.no_grad():
        prior.means.copy_(torch.tensor([[-30.0, 0.0], [-10.0, 5.0], [10.0, 0.0], [30.0, 9.0]]))
        prior.raw_variances[:, 0] = math.log(math.expm1(4))
        prior.raw_variances[:, 1] = math.log(math.expm1(0.25))
    draws = prior.draw(20_000, seeded())
    assert draws.shape == (20_000, 2)
    assert draws.dtype == torch.float32
    assert not draws.requires_grad
    groups = torch.bucketize(draws[:, 0].contiguous(), torch.tensor([-20.0, 0.0, 20.0]))
    for component in range(4):
        own = draws[groups == component]
        assert len(own) / len(draws) == pytest.approx(0.25, abs=0.01)
        torch.testing.assert_close(own.mean(0), prior.means[component], atol=0.1, rtol=0)
        torch.testing.assert_close(own.std(0), torch.tensor([2.0, 0.5]), atol=0, rtol=0.05)


def test_draws_follow_their_generator_and_temperature():
    torch.manual_seed(0)
    prior = MixturePrior(3, 5)
    one = prior.draw(8, seeded(1))
    assert torch.equal(one, prior.draw(8, seeded(1)))
    assert not torch.equal(one, prior.draw(8, seeded(2)))
    centres = prior.draw(8, seeded(1), temperature=0.0)
    assert all(any(torch.equal(centre, mean) for mean in prior.means) for centre in centres)
    half = prior.draw(8, seeded(1), temperature=0.5)
    torch.testing.assert_close(half - centres, (one - centres) / 2)


def test_latents_are_the_noise_scaled_and_moved():
    gmvae, noise = tiny().eval(), torch.randn(2, 3, generator=seeded())
    logits, latents, mean, variance = gmvae(features(), NONE, noise)
    assert logits.shape == (2, 3, 224, 224)
    torch.testing.assert_close(latents, mean + variance.sqrt() * noise)
    torch.testing.assert_close(gmvae.encode(features(), NONE), (mean, variance))
    torch.testing.assert_close(gmvae.decode(latents, NONE), logits)
    assert torch.equal(gmvae(features(), NONE, torch.zeros(2, 3))[1], mean)


def test_the_head_is_section_4_s():
    gmvae = tiny(dim_z=6).eval()
    convolution, norm, *_ = gmvae.transition
    maps = torch.einsum("oi,bihw->bohw", convolution.weight[:, :, 0, 0], features())
    maps = (maps + convolution.bias.view(-1, 1, 1)) / math.sqrt(1 + norm.eps)  # fresh statistics
    hidden = maps.relu().amax((2, 3))  # (B, 300)
    mean, variance = gmvae.encode(features(), NONE)
    torch.testing.assert_close(mean, gmvae.mean(hidden))
    torch.testing.assert_close(variance, softplus(gmvae.raw_variance(hidden)) + 1e-8)


def test_without_a_transition_net_every_feature_counts():
    gmvae = tiny(transition=False, findings=2)
    assert gmvae.mean.in_features == gmvae.raw_variance.in_features == 4 * 49 + 2
    findings = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    mean, _ = gmvae.encode(features(), findings)
    hidden = torch.cat([features().reshape(2, 196), findings], dim=1)
    torch.testing.assert_close(mean, gmvae.mean(hidden))


def test_findings_reach_encoder_and_decoder():
    gmvae, noise = tiny(findings=2).eval(), torch.zeros(2, 3)
    first, second = torch.tensor([[1.0, 0.0]] * 2), torch.tensor([[0.0, 1.0]] * 2)
    (mean, variance), (other_mean, other_variance) = (
        gmvae.encode(features(), findings) for findings in (first, second)
    )
    change = gmvae.mean.weight[:, 301] - gmvae.mean.weight[:, 300]  # behind the 300 channels
    torch.testing.assert_close(other_mean - mean, change.expand(2, 3))
    assert not torch.allclose(variance, other_variance)
    assert not torch.allclose(gmvae.decode(noise, first), gmvae.decode(noise, second))


def test_every_weight_that_an_image_passes_learns():
    gmvae = tiny(findings=1)
    logits, latents, *_ = gmvae(features(), torch.ones(2, 1), torch.ones(2, 3))
    (logits.square().mean() + latents.sum()).backward()
    gradients = {name: p.grad for name, p in gmvae.named_parameters()}
    assert {name for name, gradient in gradients.items() if gradient is None} == {
        "prior.means",
        "prior.raw_variances",  # the loss is what knows the prior
    }


@pytest.mark.parametrize("raw", [-50.0, 0.0])
def test_the_posterior_is_float32_in_mixed_precision(raw):
    gmvae = tiny()
    torch.nn.init.zeros_(gmvae.raw_variance.weight)
    torch.nn.init.constant_(gmvae.raw_variance.bias, raw)
    with torch.autocast("cpu", torch.bfloat16):
        logits, latents, mean, variance = gmvae(features(), NONE, torch.zeros(2, 3))
    assert logits.dtype == torch.bfloat16
    assert latents.dtype == mean.dtype == variance.dtype == torch.float32
    # bf16 knows 0.691 and 0.695 about ln 2 = 0.693, and would round 1 + 1e-8.
    expected = torch.tensor(math.log1p(math.exp(raw)) + 1e-8)
    torch.testing.assert_close(variance, expected.expand(2, 3))


def test_a_fine_tuned_encoder_sees_images_as_a_frozen_one_does():
    torch.manual_seed(1)
    encoder = ImageEncoder("densenet121", normalise=True)
    tuned, frozen = tiny(features=1024, encoder=encoder), tiny(features=1024)
    assert {key for key in tuned.state_dict() if key not in frozen.state_dict()} == {
        f"encoder.{key}" for key in encoder.state_dict()
    }
    image = torch.rand(1, 1, 224, 224, generator=seeded())
    tuned.eval(), frozen.eval()
    with torch.no_grad():
        ours = tuned.encode(image, NONE[:1])
        torch.testing.assert_close(ours, frozen.encode(encoder(image), NONE[:1]))


def test_drawing_uses_learnt_statistics_and_leaves_the_mode_alone():
    gmvae = tiny(findings=1).train()
    latents, findings = torch.randn(3, 3, generator=seeded()), torch.ones(3, 1)
    before = {key: tensor.clone() for key, tensor in gmvae.state_dict().items()}
    images = draw_images(gmvae, latents, findings)
    assert gmvae.training
    assert all(torch.equal(tensor, before[key]) for key, tensor in gmvae.state_dict().items())
    assert images.shape == (3, 1, 224, 224)
    assert images.dtype == torch.float32
    assert images.min() >= 0
    assert images.max() <= 1
    assert not images.requires_grad
    colours = gmvae.eval().decode(latents, findings).sigmoid()
    torch.testing.assert_close(images, (colours[:, :1] + colours[:, 1:2] + colours[:, 2:]) / 3)
    torch.testing.assert_close(draw_images(gmvae, latents[:1], findings[:1]), images[:1])
    assert not gmvae.training


@pytest.mark.parametrize("tuned", [False, True], ids=["frozen", "fine-tuned"])
@pytest.mark.parametrize("version", TABLE_4)
def test_all_versions_of_table_4_take_an_image(version, tuned):
    architecture = dict(TABLE_4[version])
    name, normalise = architecture.pop("encoder"), architecture.pop("normalise")
    with torch.device("meta"):
        encoder = ImageEncoder(name, normalise=normalise)
        own = encoder if tuned else None
        gmvae = Gmvae(features=FEATURES[name], encoder=own, **architecture)
        image, noise = torch.empty(1, 1, 224, 224), torch.empty(1, architecture["dim_z"])
        inputs = image if tuned else encoder(image)
        findings = torch.empty(1, architecture["findings"])
        logits, *posterior = gmvae(inputs, findings, noise)
    assert logits.shape == (1, 3, 224, 224)
    assert [tensor.shape for tensor in posterior] == [noise.shape] * 3
    assert gmvae.prior.means.shape == (architecture["components"], architecture["dim_z"])
