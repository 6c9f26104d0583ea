import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.autograd import gradcheck
from torch.distributions import Independent, Normal, kl_divergence

from cxr_pipeline.losses.gaussian import gaussian_log_density, standard_normal_kl


def draw(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def test_kl_equals_torch_s():
    mean, logvar = draw(5, 7), draw(5, 7, seed=1)
    prior = Normal(torch.zeros_like(mean), torch.ones_like(mean))
    expected = kl_divergence(Normal(mean, (logvar / 2).exp()), prior).sum(1)
    torch.testing.assert_close(standard_normal_kl(mean, logvar), expected)


def test_density_equals_torch_s():
    latents, mean, variance = draw(5, 7), draw(5, 7, seed=1), draw(5, 7, seed=2).exp()
    expected = Independent(Normal(mean, variance.sqrt()), 1).log_prob(latents)
    torch.testing.assert_close(gaussian_log_density(latents, mean, variance), expected)


def test_kl_equals_a_hand_value():
    mean, logvar = torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    # 1/2 (4 + 0) + 1/2 (e - 1 - 1)
    assert standard_normal_kl(mean, logvar).item() == pytest.approx(2 + (2.718281828 - 2) / 2)


numbers = st.floats(-20, 20, width=32)


@given(st.lists(st.tuples(numbers, numbers), min_size=1, max_size=5))
def test_kl_is_never_negative(pairs):
    mean, logvar = torch.tensor(pairs, dtype=torch.float64).T
    assert standard_normal_kl(mean[None], logvar[None]).item() >= 0


def test_kl_is_zero_at_the_prior_alone():
    zeros = torch.zeros(1, 2000)
    assert standard_normal_kl(zeros, zeros).item() == 0
    # In float32 exp(1e-4) - 1 - 1e-4 = 5e-9 would be lost beside the 1.
    assert standard_normal_kl(zeros, zeros + 1e-4).item() == pytest.approx(1e-5 / 2, rel=0.01)
    assert standard_normal_kl(zeros + 1e-4, zeros).item() == pytest.approx(1e-5, rel=1e-5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_summed_in_float32(dtype):
    ones = torch.ones(2, 3000, dtype=dtype)  # neither format has the 1,500.5 or so
    with torch.autocast("cpu", dtype=torch.bfloat16):
        kl = standard_normal_kl(ones, 0 * ones)
        density = gaussian_log_density(ones, 0 * ones, ones)
    assert kl.dtype == density.dtype == torch.float32
    torch.testing.assert_close(kl, torch.full((2,), 1500.0))
    torch.testing.assert_close(density, torch.full((2,), -1500 - 3000 * 0.9189385332))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_small_variances_give_numbers_and_gradients(dtype):
    mean, noise = draw(4, 1024, dtype=torch.float32), draw(4, 1024, seed=1, dtype=torch.float32)
    for power in (-8, -4, 0, 1):
        variance = torch.full((4, 1024), 10.0**power)
        latents = mean + variance.sqrt() * noise
        inputs = [t.to(dtype, copy=True).requires_grad_() for t in (latents, mean, variance)]
        density = gaussian_log_density(*inputs)
        kl = standard_normal_kl(inputs[1], inputs[2].log())
        (density + kl).sum().backward()
        for tensor in (density, kl, *(t.grad for t in inputs)):
            assert tensor.isfinite().all()


def test_gradients_are_those_of_the_formulas():
    latents, mean, logvar = (draw(3, 4, seed=seed).requires_grad_() for seed in range(3))
    variance = logvar.detach().exp().requires_grad_()
    assert gradcheck(standard_normal_kl, (mean, logvar))
    assert gradcheck(gaussian_log_density, (latents, mean, variance))
