import pytest
import torch

from cxr_pipeline.training.latents import LEAST_KL, active_units, posterior_collapse

VARIED = torch.tensor([[0.0, -1.0, 2.0], [0.0, 1.0, 4.0]])


def test_a_latent_is_active_if_its_mean_varies_over_images():
    means = torch.zeros(100, 4)
    means[::2] = torch.tensor([0.0, 0.05, 0.5, 3.0])
    # Variances 0, 0.0006, 0.063 and 2.27: above 0.01 the latter two.
    assert active_units(means).tolist() == [False, False, True, True]
    assert active_units(means + 40).tolist() == [False, False, True, True]


def test_the_latents_of_a_single_image_do_not_vary():
    assert not active_units(VARIED[:1]).any()


@pytest.mark.parametrize(
    ("means", "kl"),
    [(VARIED, LEAST_KL), (VARIED, 40.0), (VARIED[:1], 40.0)],  # one image says nothing
)
def test_latents_that_are_looked_at_are_no_collapse(means, kl):
    assert posterior_collapse("vae", means, kl) == {}


@pytest.mark.parametrize(
    ("means", "kl", "found"),
    [
        (VARIED, 0.5, "2 of 3 latents are active, the KL is 0.50 nats an image"),
        (torch.ones(4, 3), 40.0, "0 of 3 latents are active, the KL is 40.00 nats an image"),
        (VARIED[:1], 0.5, "0 of 3 latents are active, the KL is 0.50 nats an image"),
    ],
)
def test_a_posterior_that_carries_nothing_is_one_with_the_remedy(means, kl, found):
    (warning,) = posterior_collapse("gmvae", means, kl).values()
    assert warning.startswith(f"posterior collapse: {found}, ")
    assert warning.endswith("lower gmvae.beta")
    assert "\n" not in warning
