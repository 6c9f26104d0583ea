import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cxr_pipeline.training.latent_mixture import (
    MOST_DIRECTIONS,
    draw_latents,
    fit_latent_mixture,
)


def noise(seed=0):
    return torch.Generator().manual_seed(seed)


def fit(means, logvars=None, components=2, seed=0):
    if logvars is None:
        logvars = torch.full_like(means, -6.0)
    return fit_latent_mixture(means, logvars, components=components, noise=noise(seed))


@pytest.fixture(scope="module")
def two_groups():
    """Posterior means of 80 images in 6 latents: half about -3, half about 5 in the second."""
    means = 0.1 * torch.randn(80, 6, generator=noise(1))
    means[:, 1] += torch.tensor([-3.0, 5.0]).repeat(40)
    return means


@settings(deadline=None, derandomize=True, max_examples=10)
@given(images=st.integers(2, 60), dim_z=st.integers(1, 40), components=st.integers(1, 5))
def test_what_is_fitted_fits_together_however_few_the_images(images, dim_z, components):
    fitted = fit(torch.randn(images, dim_z, generator=noise(2)), components=components)
    directions = min(MOST_DIRECTIONS, max(1, (images - 1) // 4), dim_z)
    gaussians = len(fitted["shares"])
    assert 1 <= gaussians <= components
    assert {name: tuple(tensor.shape) for name, tensor in fitted.items()} == {
        "mean": (dim_z,),
        "deviation": (dim_z,),
        "directions": (directions, dim_z),
        "shares": (gaussians,),
        "centres": (gaussians, directions),
        "spreads": (gaussians, directions, directions),
    }
    assert all(tensor.dtype == torch.float32 for tensor in fitted.values())
    assert all(tensor.isfinite().all() for tensor in fitted.values())
    torch.testing.assert_close(
        fitted["directions"] @ fitted["directions"].T, torch.eye(directions), atol=1e-5, rtol=0
    )
    assert fitted["shares"].sum().item() == pytest.approx(1, abs=1e-5)
    assert torch.equal(fitted["spreads"], fitted["spreads"].tril())
    drawn = draw_latents(fitted, 5, noise(), 1.0)
    assert drawn.shape == (5, dim_z)
    assert drawn.isfinite().all()


def test_two_groups_of_images_are_found_and_drawn_from_alike(two_groups):
    drawn = draw_latents(fit(two_groups), 4000, noise(), 1.0)
    high = drawn[:, 1] > 1
    assert high.float().mean().item() == pytest.approx(0.5, abs=0.03)
    assert drawn[high, 1].mean().item() == pytest.approx(5, abs=0.1)
    assert drawn[~high, 1].mean().item() == pytest.approx(-3, abs=0.1)
    # Nothing lies between the groups, where the prior has most of its mass.
    assert not ((drawn[:, 1] > -2) & (drawn[:, 1] < 4)).any()


def test_draws_spread_as_means_and_posteriors_together_do():
    means = torch.randn(2000, 3, generator=noise(1)) * torch.tensor([2.0, 0.5, 0.0])
    logvars = torch.tensor([0.04, 0.25, 1.0]).log().expand_as(means)
    drawn = draw_latents(fit(means, logvars, components=1), 20_000, noise(), 1.0)
    # Law of total variance: 4 + 0.04, 0.25 + 0.25, 0 + 1.
    expected = torch.tensor([4.04, 0.5, 1.0])
    torch.testing.assert_close(drawn.var(dim=0), expected, rtol=0.08, atol=0)


def test_latents_across_the_directions_keep_the_spread_of_their_posteriors():
    # Nine images: two directions at most, of twelve latents.
    means = torch.zeros(9, 12)
    means[:, 0] = torch.linspace(-8, 8, 9)
    logvars = torch.full((9, 12), 0.25).log()
    fitted = fit(means, logvars, components=1)
    assert len(fitted["directions"]) == 2
    drawn = draw_latents(fitted, 20_000, noise(), 1.0)
    # 36 draws decide each of these: within some tens of per cent.
    assert drawn[:, 1:].std(dim=0).mean().item() == pytest.approx(0.5, rel=0.2)
    assert drawn[:, 0].std().item() == pytest.approx(means[:, 0].std().item(), rel=0.3)


def test_along_the_directions_draws_spread_as_the_mixture_says_and_no_more():
    # Seven images on a diagonal: it is the one direction, and neither latent lies across it alone.
    means = torch.linspace(-1, 1, 7)[:, None].repeat(1, 2)
    fitted = fit(means, torch.zeros(7, 2), components=1)
    assert len(fitted["directions"]) == 1
    drawn = draw_latents(fitted, 20_000, noise(), 1.0)
    along = (drawn - fitted["mean"]) @ fitted["directions"][0]
    assert along.std().item() == pytest.approx(fitted["spreads"].item(), rel=0.03)


@pytest.mark.parametrize("temperature", [0.25, 0.5])
def test_temperature_scales_how_far_draws_are_from_their_centres(two_groups, temperature):
    fitted = fit(two_groups)
    plain, cooler = (draw_latents(fitted, 500, noise(), t) for t in (1.0, temperature))
    centres = fitted["mean"] + fitted["centres"] @ fitted["directions"]
    nearest = centres[torch.cdist(plain, centres).argmin(dim=1)]
    torch.testing.assert_close(
        cooler - nearest, temperature * (plain - nearest), atol=1e-4, rtol=1e-3
    )


def test_fit_and_draws_follow_from_the_noise(two_groups):
    first, again, other = fit(two_groups), fit(two_groups), fit(two_groups, seed=1)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["deviation"], other["deviation"])
    assert torch.equal(draw_latents(first, 3, noise(), 1.0), draw_latents(again, 3, noise(), 1.0))


def test_a_latent_that_never_varies_breaks_nothing(two_groups):
    still = two_groups.clone()
    still[:, 3] = 2.5
    drawn = draw_latents(fit(still), 200, noise(), 1.0)
    assert drawn[:, 3].mean().item() == pytest.approx(2.5, abs=0.02)
