import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.autograd import gradcheck
from torch.distributions import (
    Categorical,
    Independent,
    MixtureSameFamily,
    Normal,
    kl_divergence,
)
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from cxr_pipeline.losses.gaussian import gaussian_log_density
from cxr_pipeline.losses.mixture import (
    component_log_densities,
    mixture_log_density,
    monte_carlo_kl,
)

LOSSES = (component_log_densities, mixture_log_density)


def draw_mixture(latents, components, dims, *, variance=1.0, spread=1.0, seed=0):
    """Float32 (z, m, v); each latent is drawn from a component, the first from the first."""
    generator = torch.Generator().manual_seed(seed)
    means = spread * torch.randn(components, dims, generator=generator)
    variances = variance * (0.5 + torch.rand(components, dims, generator=generator))
    own = torch.arange(latents) % components
    noise = torch.randn(latents, dims, generator=generator)
    return means[own] + variances[own].sqrt() * noise, means, variances


def enumerate_components(latents, means, variances):
    """(B, K), from differences in float64, a component at a time."""
    z, m, v = latents.double(), means.double(), variances.double()
    return torch.stack(
        [
            -0.5 * ((z - m[k]) ** 2 / v[k] + v[k].log() + math.log(2 * math.pi)).sum(1)
            for k in range(len(m))
        ],
        dim=1,
    )


def test_densities_equal_torch_s():
    z, m, v = (tensor.double() for tensor in draw_mixture(6, 4, 5))
    components = Independent(Normal(m, v.sqrt()), 1)
    mixture = MixtureSameFamily(Categorical(torch.ones(4)), components)
    torch.testing.assert_close(component_log_densities(z, m, v), components.log_prob(z[:, None]))
    torch.testing.assert_close(mixture_log_density(z, m, v), mixture.log_prob(z))


@pytest.mark.parametrize("variance", [1e-8, 1e-4, 1.0, 10.0])
def test_small_variances_lose_no_digit_of_float32(variance):
    inputs = draw_mixture(4, 30, 200, variance=variance)
    expected = enumerate_components(*inputs)
    torch.testing.assert_close(
        component_log_densities(*inputs).double(), expected, rtol=2**-23, atol=0
    )
    torch.testing.assert_close(
        mixture_log_density(*inputs).double(),
        expected.logsumexp(1) - math.log(30),
        rtol=2**-23,
        atol=0,
    )


def test_the_documented_precision_holds_for_means_far_apart():
    # A mean of 1,000 common to all is taken away; a spread of 100 is not.
    z, m, v = draw_mixture(4, 30, 2000, variance=1e-4, spread=100.0)
    z, m = z + 1000, m + 1000
    error = mixture_log_density(z.double(), m, v) - (
        enumerate_components(z, m, v).logsumexp(1) - math.log(30)
    )
    assert error.abs().max() < 2e-3  # documented: about 5e-4


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("variance", [1e-8, 1.0])
def test_the_largest_version_gives_numbers_and_gradients(dtype, variance):
    z, m, v = (t.to(dtype).requires_grad_() for t in draw_mixture(3, 300, 2000, variance=variance))
    mean = z.detach().clone().requires_grad_()
    variances = torch.full_like(z, variance).requires_grad_()
    divergence = monte_carlo_kl(z, mean, variances, m, v)
    assert divergence.dtype == torch.float32
    divergence.sum().backward()
    assert divergence.isfinite().all()
    for tensor in (z, mean, variances, m, v):
        assert tensor.grad.isfinite().all()
        assert tensor.grad.abs().max() > 0 or tensor is mean  # z = mean, where the density is flat


def test_small_variances_leave_the_gradients_precise():
    inputs = draw_mixture(4, 30, 200, variance=1e-8)
    ours = [tensor.double().requires_grad_() for tensor in inputs]
    theirs = [tensor.double().requires_grad_() for tensor in inputs]
    mixture_log_density(*ours).sum().backward()
    enumerate_components(*theirs).logsumexp(1).sum().backward()
    for a, b in zip(ours, theirs, strict=True):
        assert (a.grad - b.grad).norm() < 1e-9 * b.grad.norm()


def test_autocast_does_not_lower_the_precision():
    inputs = draw_mixture(4, 30, 200, variance=1e-8)
    encoder = (inputs[0] + 1e-4, torch.full_like(inputs[0], 1e-8))
    plain = [loss(*inputs) for loss in LOSSES]
    plain.append(monte_carlo_kl(inputs[0], *encoder, *inputs[1:]))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert (inputs[0] @ inputs[1].T).dtype == torch.bfloat16  # it is on
        cast = [loss(*inputs) for loss in LOSSES]
        cast.append(monte_carlo_kl(inputs[0], *encoder, *inputs[1:]))
    for a, b in zip(plain, cast, strict=True):
        assert a.dtype == b.dtype == torch.float32
        assert torch.equal(a, b)


def test_float64_stays():
    inputs = [tensor.double() for tensor in draw_mixture(2, 3, 4)]
    for loss in LOSSES:
        assert loss(*inputs).dtype == torch.float64


def test_gradients_are_those_of_the_formulas():
    z, m, v = (tensor.double().requires_grad_() for tensor in draw_mixture(3, 4, 5))
    mean, variance = z.detach() + 0.3, torch.full_like(z, 0.7)
    for loss in LOSSES:
        assert gradcheck(loss, (z, m, v))
    encoder = (mean.requires_grad_(), variance.requires_grad_())
    assert gradcheck(monte_carlo_kl, (z, *encoder, m, v))


class LargestTensor(TorchDispatchMode):
    """Notes the most numbers that any tensor made under it has."""

    numbers = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(made):
            if isinstance(leaf, torch.Tensor):
                self.numbers = max(self.numbers, leaf.numel())
        return made


def test_no_tensor_has_a_number_for_each_image_component_and_dimension():
    z, m, v = (tensor.requires_grad_() for tensor in draw_mixture(8, 30, 200))
    mean, variance = z.detach().requires_grad_(), torch.ones_like(z).requires_grad_()
    with LargestTensor() as largest:
        monte_carlo_kl(z, mean, variance, m, v).sum().backward()
    assert m.grad is not None
    assert largest.numbers == 30 * 200
    with LargestTensor() as naive:  # it would have noticed
        ((z[:, None] - m) / v).sum().backward()
    assert naive.numbers == 8 * 30 * 200


@given(st.integers(0, 2**32), st.integers(1, 6), st.integers(1, 6))
def test_equal_components_are_one(seed, components, dims):
    z, m, v = (tensor.double() for tensor in draw_mixture(4, 1, dims, seed=seed))
    repeated = mixture_log_density(z, m.expand(components, dims), v.expand(components, dims))
    torch.testing.assert_close(repeated, gaussian_log_density(z, m, v))


@given(st.integers(0, 2**32), st.integers(1, 6))
def test_the_components_order_changes_nothing(seed, components):
    z, m, v = (tensor.double() for tensor in draw_mixture(4, components, 3, seed=seed))
    order = torch.randperm(components, generator=torch.Generator().manual_seed(seed))
    torch.testing.assert_close(
        component_log_densities(z, m[order], v[order]), component_log_densities(z, m, v)[:, order]
    )
    torch.testing.assert_close(
        mixture_log_density(z, m[order], v[order]), mixture_log_density(z, m, v)
    )


def test_kl_from_the_only_component_itself_is_zero():
    z, m, v = (tensor.double() for tensor in draw_mixture(5, 1, 7))
    divergence = monte_carlo_kl(z, m.expand(5, 7), v.expand(5, 7), m, v)
    torch.testing.assert_close(divergence, torch.zeros_like(divergence), atol=1e-12, rtol=0)


def sample_kl(mean, variance, means, variances, *, samples):
    """Estimates of one image's divergence, each from one sample."""
    noise = torch.randn(samples, len(mean), generator=torch.Generator().manual_seed(0)).double()
    z = mean + variance.sqrt() * noise
    return monte_carlo_kl(z, mean.expand_as(z), variance.expand_as(z), means, variances)


def test_one_component_s_estimates_average_to_the_closed_form():
    mean, variance = torch.tensor([0.5, -1.0, 2.0]).double(), torch.tensor([0.3, 1.0, 2.0]).double()
    m, v = torch.tensor([[0.0, 0.0, 1.0]]).double(), torch.tensor([[1.0, 2.0, 1.5]]).double()
    estimates = sample_kl(mean, variance, m, v, samples=100_000)
    exact = kl_divergence(Normal(mean, variance.sqrt()), Normal(m[0], v[0].sqrt())).sum()
    standard_error = estimates.std() / 100_000**0.5
    assert 0 < standard_error < 0.01
    assert (estimates.mean() - exact).abs() < 4 * standard_error


def test_many_components_estimates_average_to_numpy_s():
    mean, variance = np.array([0.2, -0.4]), np.array([0.5, 1.5])
    m, v = np.array([[0.0, 0.0], [1.0, -1.0], [-3.0, 2.0]]), np.array([[1, 1], [0.2, 2], [0.5, 3]])
    estimates = sample_kl(
        *(torch.from_numpy(array) for array in (mean, variance, m, v)), samples=100_000
    ).numpy()

    z = mean + np.sqrt(variance) * np.random.default_rng(1).standard_normal((1_000_000, 2))

    def density(mu, sigma2):
        root = np.sqrt(np.prod(2 * np.pi * sigma2))
        return np.exp(-0.5 * ((z - mu) ** 2 / sigma2).sum(1)) / root

    mixture = sum(density(*component) for component in zip(m, v, strict=True)) / 3
    reference = np.log(density(mean, variance) / mixture)
    standard_error = math.hypot(estimates.std() / 100_000**0.5, reference.std() / 1_000_000**0.5)
    assert 0 < standard_error < 0.01
    assert abs(estimates.mean() - reference.mean()) < 4 * standard_error
