import copy

import numpy as np
import pytest
import torch
from tests.training.tasks import (
    chests,
    coarse_pictures,
    examples_of,
    learn,
    train_for,
    vae_task,
    with_noise,
)

from cxr_pipeline.randomness import random_generator
from cxr_pipeline.training.vae import architecture, build_sampler

BATCH = 4


@pytest.fixture
def examples():
    return examples_of(coarse_pictures(BATCH))


@torch.no_grad()
def by_hand(vae, examples, noise):
    """Squared error and KL of each image, (B,), as section 3.1 prints them."""
    images = examples["pixels"] / 255
    mean, logvar = vae.encode(images)
    variance = logvar.exp()
    drawn = vae.decode(mean + variance.sqrt() * noise)
    error = ((drawn - images) ** 2).sum(dim=(1, 2, 3))
    kl = -(1 + logvar - mean**2 - variance).sum(dim=1) / 2
    return error, kl


def diagnose(task, examples):
    return task.diagnose(examples, "validation", random_generator(0, "diagnosis"))


def first_loss(task, examples, step=1):
    """The loss that is handed to the optimiser, error and KL by hand, and what is recorded."""
    vae = copy.deepcopy(task.modules["vae"])
    noise = torch.randn(BATCH, 8, generator=random_generator(0, "noise", step))
    losses = []

    def update(name, loss):
        losses.append((name, loss.item()))
        return torch.tensor(7.0)

    metrics = task.step(with_noise(task, examples, step), step, update)
    ((name, loss),) = losses
    assert name == "vae"
    return loss, *by_hand(vae, examples, noise), metrics


def widen(task):
    """Posteriors far from the prior, so that the KL shows in the loss."""
    vae = task.modules["vae"]
    with torch.no_grad():
        vae.mean.weight.mul_(400)
        vae.logvar.bias.add_(torch.linspace(-3, 2, 8))
    return task


# -- a step --------------------------------------------------------------------------------------


@pytest.mark.parametrize("centre", [True, False])
@pytest.mark.parametrize("beta", [1.0, 0.1, 0.002])
def test_the_loss_is_the_error_and_beta_times_the_kl(examples, beta, centre):
    loss, error, kl, metrics = first_loss(widen(vae_task(beta=beta, centre=centre)), examples)
    assert kl.min() > 5
    assert loss == pytest.approx(float(error.mean() + beta * kl.mean()), rel=1e-5)
    expected = {
        "loss/total": loss,
        "loss/reconstruction": float(error.mean()),
        "loss/kl": float(kl.mean()),
        "gradient/vae": 7.0,
    }
    assert {name: float(value) for name, value in metrics.items()} == pytest.approx(
        expected, rel=1e-5
    )


@pytest.mark.parametrize(("step", "share"), [(1, 0.1), (5, 0.5), (10, 1.0), (40, 1.0)])
def test_the_kl_s_weight_grows_over_the_warm_up_and_then_stays(examples, step, share):
    task = widen(vae_task(beta=2.0, kl_warmup=10))
    loss, error, kl, metrics = first_loss(task, examples, step)
    assert loss == pytest.approx(float(error.mean() + 2 * share * kl.mean()), rel=1e-5)
    # What is recorded is the KL itself.
    assert float(metrics["loss/kl"]) == pytest.approx(float(kl.mean()), rel=1e-5)


def test_the_authors_scaling_averages_over_pixels_beside_a_kl_summed_over_the_batch(examples):
    loss, error, kl, metrics = first_loss(widen(vae_task(scaling="authors", beta=0.1)), examples)
    assert loss == pytest.approx(float(error.mean() / 128**2 + 0.1 * kl.sum()), rel=1e-5)
    # Both scalings are recorded in the same units.
    assert float(metrics["loss/reconstruction"]) == pytest.approx(float(error.mean()), rel=1e-5)
    assert float(metrics["loss/kl"]) == pytest.approx(float(kl.mean()), rel=1e-5)


@pytest.mark.parametrize("centre", [True, False])
def test_a_step_changes_every_weight(examples, centre):
    task = vae_task(centre=centre)
    vae = task.modules["vae"]
    before = {name: tensor.detach().clone() for name, tensor in vae.named_parameters()}
    task.step(with_noise(task, examples), 1, learn(task))
    for name, tensor in vae.named_parameters():
        # Not biases: what comes before batch norm or centring has none that matters.
        assert name.endswith("bias") or not torch.equal(tensor, before[name]), name


# -- what is learnt ------------------------------------------------------------------------------


def graded_chests(seed):
    """Eight chests from dark to bright."""
    levels = np.linspace(-70, 70, 8)[:, None, None]
    return examples_of(np.clip((chests(8, seed) - 125) * 0.75 + 128 + levels, 0, 255))


@pytest.fixture(scope="module")
def overfitted():
    """A task after a few steps on eight images, what it began as, and the last step's metrics."""
    torch.manual_seed(0)
    # Slow and long enough that the last digits of a machine do not decide.
    task = vae_task(learning_rate=3e-4)
    untrained = vae_task()
    untrained.modules["vae"].load_state_dict(task.modules["vae"].state_dict())
    metrics = train_for(task, graded_chests(0), steps=60)
    return task, untrained, metrics


def test_it_draws_the_eight_images_it_is_trained_on(overfitted):
    task, _, metrics = overfitted
    images = graded_chests(0)["pixels"] / 255
    vae = copy.deepcopy(task.modules["vae"])
    with torch.no_grad():
        # With the batch's statistics: those learnt lag behind after so few steps.
        drawn, _, _ = vae(images, torch.zeros(8, 8))
    error = (drawn - images).square().sum(dim=(1, 2, 3)).mean()
    # A decoder that does not look at the latents can at best draw the mean image.
    best_of_one = (images - images.mean(dim=0)).square().sum(dim=(1, 2, 3)).mean()
    assert error < 0.4 * best_of_one
    # Neither collapsed nor run away.
    assert 1 < metrics["loss/kl"] < 200


def test_of_images_it_has_not_seen_it_knows_more_than_at_the_start(overfitted):
    task, untrained, _ = overfitted
    others = graded_chests(1)
    before, after = (diagnose(one, others).metrics for one in (untrained, task))
    assert after["validation/loss"] < 0.5 * before["validation/loss"]
    assert before["latent/active_units"] == 0
    assert after["latent/active_units"] > 0


# -- how it goes ---------------------------------------------------------------------------------


@pytest.mark.parametrize("beta", [1.0, 0.1])
def test_the_elbo_is_taken_apart_on_other_images(overfitted, beta):
    task = vae_task(beta=beta)
    task.modules["vae"].load_state_dict(overfitted[0].modules["vae"].state_dict())
    others = graded_chests(1)
    found = diagnose(task, others)
    vae = task.modules["vae"].eval()
    with torch.no_grad():
        noise = torch.randn(8, 8, generator=random_generator(0, "diagnosis"))
        error, kl = (float(part.mean()) for part in by_hand(vae, others, noise))
        mean, _ = vae.encode(others["pixels"] / 255)
        # Drawn after the noise above.
        again = random_generator(0, "diagnosis")
        torch.randn(8, 8, generator=again)
        drawn = vae.decode(torch.randn(8, 8, generator=again))
    spread = drawn.std(dim=0).mean() / (others["pixels"] / 255).std(dim=0).mean()
    assert found.metrics == {
        "validation/loss": pytest.approx(error + beta * kl, rel=1e-4),
        "validation/reconstruction": pytest.approx(error, rel=1e-4),
        "validation/kl": pytest.approx(kl, rel=1e-4),
        "latent/active_units": float((mean.var(dim=0, correction=0) > 0.01).sum()),
        "quality/diversity": pytest.approx(float(spread), rel=1e-4),
        "quality/reconstruction_rmse": pytest.approx((error / 128**2) ** 0.5, rel=1e-4),
    }
    assert found.warnings == {}


def test_warm_up_changes_nothing_of_what_is_seen(examples):
    plain, warming = widen(vae_task()), vae_task(kl_warmup=100)
    warming.modules["vae"].load_state_dict(plain.modules["vae"].state_dict())
    assert diagnose(warming, examples).metrics == diagnose(plain, examples).metrics


def test_the_loss_is_looked_at_in_the_authors_scaling_where_it_is_trained_in_it(examples):
    found = diagnose(widen(vae_task(scaling="authors", beta=0.1)), examples).metrics
    error, kl = found["validation/reconstruction"], found["validation/kl"]
    assert found["validation/loss"] == pytest.approx(error / 128**2 + 0.1 * BATCH * kl, rel=1e-5)


def test_more_images_than_are_encoded_at_once_are_looked_at_alike(overfitted):
    task, _, _ = overfitted
    once = graded_chests(1)
    often = {name: tensor.repeat(9, *[1] * (tensor.ndim - 1)) for name, tensor in once.items()}
    few, many = diagnose(task, once).metrics, diagnose(task, often).metrics
    # The same images under other noise.
    assert many["validation/kl"] == pytest.approx(few["validation/kl"], rel=1e-4)
    assert many["validation/loss"] == pytest.approx(few["validation/loss"], rel=0.2)
    assert many["latent/active_units"] == few["latent/active_units"]


def test_a_posterior_that_a_huge_beta_collapses_is_warned_of(examples):
    task = vae_task(beta=1e4)
    train_for(task, examples, steps=5)
    found = diagnose(task, examples)
    assert found.metrics["validation/kl"] < 1
    assert list(found.warnings) == ["posterior_collapse"]
    warning = found.warnings["posterior_collapse"]
    assert warning.startswith("posterior collapse: 0 of 8 latents are active, the KL is 0.")
    assert warning.endswith("lower vae.beta")
    assert "\n" not in warning


def test_one_image_is_no_collapse(overfitted):
    task, _, _ = overfitted
    one = {name: tensor[:1] for name, tensor in graded_chests(1).items()}
    assert diagnose(task, one).warnings == {}


def test_looking_leaves_training_alone(examples):
    task = vae_task()
    before = copy.deepcopy(task.modules["vae"].state_dict())
    diagnose(task, examples)
    task.sample(random_generator(0, "progress"), torch.zeros(2, 0))
    task.reconstruct(examples)
    task.finish(examples, random_generator(0, "finish"))
    after = task.modules["vae"].state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert task.modules["vae"].training


# -- images --------------------------------------------------------------------------------------


def test_reconstructions_are_drawn_from_the_posterior_means(examples):
    task = widen(vae_task())
    drawn = task.reconstruct(examples)
    assert (drawn.shape, drawn.dtype) == ((BATCH, 1, 128, 128), torch.float32)
    vae = task.modules["vae"].eval()
    with torch.no_grad():
        expected = vae.decode(vae.encode(examples["pixels"] / 255)[0])
    assert torch.equal(drawn, expected)


def test_samples_are_decoded_from_the_prior():
    task = vae_task()
    drawn = task.sample(random_generator(0, "progress"), torch.zeros(3, 0))
    assert (drawn.shape, drawn.dtype) == ((3, 1, 128, 128), torch.float32)
    latents = torch.randn(3, 8, generator=random_generator(0, "progress"))
    with torch.no_grad():
        assert torch.equal(drawn, task.modules["vae"].eval().decode(latents))


def test_the_mixture_is_fitted_to_the_latents_of_all_training_images():
    # More than are encoded at once.
    task = widen(vae_task())
    examples = examples_of(coarse_pictures(70))
    fitted = task.finish(examples, random_generator(0, "finish"))
    assert {name.split(".")[0] for name in fitted} == {"mixture"}
    vae = task.modules["vae"].eval()
    with torch.no_grad():
        means, _ = vae.encode(examples["pixels"] / 255)
    torch.testing.assert_close(fitted["mixture.mean"], means.mean(dim=0), atol=1e-4, rtol=1e-4)
    again = task.finish(examples, random_generator(0, "finish"))
    assert all(torch.equal(fitted[name], again[name]) for name in fitted)


@pytest.mark.parametrize("sampler", ["prior", "mixture"])
def test_a_trained_model_is_rebuilt_to_draw_by_the_sampler_of_its_configuration(sampler):
    task = widen(vae_task())
    vae = task.modules["vae"]
    fitted = task.finish(examples_of(coarse_pictures(9)), random_generator(0, "finish"))
    weights = {f"vae.{name}": tensor for name, tensor in vae.state_dict().items()} | fitted
    parameters = {"dim_z": 8, "centre": True, "sampler": sampler}
    config = {"architecture": architecture(parameters, ["Mass"]), "parameters": parameters}
    draw = build_sampler(config, weights)
    drawn = draw(torch.zeros(5, 0), random_generator(0, "sample"), 1.0)
    assert (drawn.shape, drawn.dtype) == ((5, 1, 128, 128), torch.float32)

    from_prior = task.sample(random_generator(0, "sample"), torch.zeros(5, 0))
    assert torch.allclose(drawn, from_prior, atol=1e-6) == (sampler == "prior")


def test_the_prior_s_latents_are_scaled_by_the_temperature():
    task = vae_task()
    weights = {f"vae.{name}": t for name, t in task.modules["vae"].state_dict().items()}
    parameters = {"dim_z": 8, "centre": True, "sampler": "prior"}
    config = {"architecture": architecture(parameters, []), "parameters": parameters}
    drawn = build_sampler(config, weights)(torch.zeros(2, 0), random_generator(0, "sample"), 0.5)
    latents = 0.5 * torch.randn(2, 8, generator=random_generator(0, "sample"))
    with torch.no_grad():
        assert torch.equal(drawn, task.modules["vae"].eval().decode(latents))


def test_a_vae_is_not_conditional():
    assert architecture({"dim_z": 8, "centre": False, "beta": 1.0}, ("Mass",)) == {
        "dim_z": 8,
        "centre": False,
        "findings": [],
    }
