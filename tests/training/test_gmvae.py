import math
from functools import partial

import numpy as np
import pytest
import torch
from tests.training.tasks import with_noise
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal
from torch.nn import functional

from cxr_pipeline.models.encoders import FEATURES, ImageEncoder
from cxr_pipeline.models.gmvae import Gmvae
from cxr_pipeline.randomness import random_generator
from cxr_pipeline.training.engine import SPEED, train
from cxr_pipeline.training.gmvae import GmvaeTask
from cxr_pipeline.training.networks import set_up
from cxr_pipeline.training.precision import build_fabric
from cxr_pipeline.training.settings import Settings
from cxr_pipeline.training.updates import Updater
from cxr_pipeline.training.watching import HeldOut, Watchers

MAPS = 8
"""Feature maps of the encoder that most of these tests do without."""


def make_task(*, beta=1.0, reconstruction="mse", learning_rate=1e-3, **changes):
    torch.manual_seed(0)
    shape = {"features": MAPS, "dim_z": 4, "components": 3, "transition": True, "decoder": "1"}
    gmvae = Gmvae(**shape | changes)
    return GmvaeTask(
        gmvae,
        dim_z=gmvae.prior.means.shape[1],
        learning_rate=learning_rate,
        beta=beta,
        reconstruction=reconstruction,
    )


def make_examples(count, *, findings=0, maps=MAPS, seed=0):
    """Coarse pictures that have something in common, each with features at random."""
    common = np.random.default_rng(7).integers(0, 2, (7, 7)) * 200
    rng = np.random.default_rng(seed)
    coarse = (common + rng.integers(0, 56, (count, 1, 7, 7))).astype(np.uint8)
    return {
        "pixels": torch.from_numpy(coarse.repeat(32, axis=2).repeat(32, axis=3)),
        "findings": torch.from_numpy(rng.integers(0, 2, (count, findings)).astype(np.float32)),
        "features": torch.from_numpy(rng.random((count, maps, 7, 7))).half(),
    }


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def learn(task, examples, steps):
    """Train on all examples at once; return each step's losses."""

    def update(name, loss):
        task.optimizers[name].zero_grad()
        loss.backward()
        task.optimizers[name].step()
        return torch.tensor(0.0)

    return [
        task.step(with_noise(task, examples, step), step, update) for step in range(1, steps + 1)
    ]


@pytest.mark.parametrize("reconstruction", ["mse", "bce"])
def test_the_loss_is_the_error_and_beta_times_the_kl(reconstruction):
    task = make_task(beta=0.3, reconstruction=reconstruction, findings=2)
    examples = make_examples(3, findings=2)
    losses = []

    def update(name, loss):
        losses.append((name, loss.item()))
        return torch.tensor(7.0)

    metrics = task.step(with_noise(task, examples), 1, update)

    gmvae = task.modules["gmvae"]
    noise = torch.randn(3, 4, generator=random_generator(0, "noise", 1))
    mean, variance = gmvae.encode(examples["features"].float(), examples["findings"])
    latents = mean + variance.sqrt() * noise
    drawn = gmvae.decode(latents, examples["findings"]).double().sigmoid()
    images = (examples["pixels"].double() / 255).repeat(1, 3, 1, 1)
    if reconstruction == "mse":
        errors = ((drawn - images) ** 2).flatten(1).sum(dim=1)
    else:
        entropy = functional.binary_cross_entropy(drawn, images, reduction="none")
        errors = entropy.flatten(1).sum(dim=1)
    posterior = Independent(Normal(mean, variance.sqrt()), 1)
    gaussians = Independent(Normal(gmvae.prior.means, gmvae.prior.variances.sqrt()), 1)
    prior = MixtureSameFamily(Categorical(torch.ones(3)), gaussians)
    kl = posterior.log_prob(latents) - prior.log_prob(latents)

    expected = (errors.mean() + 0.3 * kl.mean()).item()
    assert losses == [("gmvae", pytest.approx(expected, rel=1e-5))]
    assert metrics["loss/total"].item() == losses[0][1]
    assert metrics["loss/reconstruction"].item() == pytest.approx(errors.mean().item(), rel=1e-5)
    assert metrics["loss/kl"].item() == pytest.approx(kl.mean().item(), rel=1e-4)
    assert metrics["gradient/gmvae"].item() == 7.0


def test_a_step_changes_every_weight_the_prior_s_too():
    task = make_task(findings=2)
    gmvae = task.modules["gmvae"]
    before = {name: weight.detach().clone() for name, weight in gmvae.named_parameters()}
    learn(task, make_examples(4, findings=2), 1)
    same = [name for name, weight in gmvae.named_parameters() if torch.equal(weight, before[name])]
    assert same == []


def test_a_frozen_encoder_s_features_are_all_that_is_looked_at():
    task = make_task()
    examples = make_examples(3)
    again = task.reconstruct(examples)
    assert again.shape == (3, 1, 224, 224)
    other = make_examples(3, seed=1)
    assert torch.equal(task.reconstruct(examples | {"pixels": other["pixels"]}), again)
    assert not torch.equal(task.reconstruct(examples | {"features": other["features"]}), again)


def test_an_encoder_that_learns_looks_at_the_pixels_and_changes():
    torch.manual_seed(0)
    encoder = ImageEncoder("densenet121", normalise=True)
    task = make_task(features=FEATURES["densenet121"], encoder=encoder)
    assert task.fine_tunes
    examples = make_examples(2)
    del examples["features"]
    before = {name: weight.detach().clone() for name, weight in encoder.named_parameters()}
    (losses,) = learn(task, examples, 1)
    assert math.isfinite(losses["loss/total"])
    changed = [not torch.equal(weight, before[name]) for name, weight in encoder.named_parameters()]
    # Some ReLUs are dead for two images; nearly all weights move.
    assert sum(changed) > 0.9 * len(changed)
    again = task.reconstruct(examples)
    other = task.reconstruct(examples | {"pixels": 255 - examples["pixels"]})
    assert not torch.equal(again, other)


@pytest.fixture(scope="module")
def overfitted():
    """A task that has seen the same eight images again and again, and those images."""
    changes = {"features": 64, "dim_z": 16, "components": 4, "decoder": "2"}
    task = make_task(learning_rate=3e-3, **changes)
    examples = make_examples(8, maps=64)
    # All of their own: what they have in common needs no latents.
    coarse = np.random.default_rng(0).integers(0, 256, (8, 1, 7, 7), dtype=np.uint8)
    examples["pixels"] = torch.from_numpy(coarse.repeat(32, axis=2).repeat(32, axis=3))
    return task, examples, learn(task, examples, 50)


def test_eight_images_are_learnt_by_heart(overfitted):
    task, examples, history = overfitted
    images = examples["pixels"].float() / 255
    again = task.reconstruct(examples)
    # (8, 8): from what became of each image to each image.
    distances = torch.cdist(again.flatten(1), images.flatten(1)) ** 2
    assert distances.argmin(dim=1).tolist() == list(range(8))
    spread = ((images - images.mean(dim=0)) ** 2).flatten(1).sum(dim=1)
    # Drawing their average, as a decoder does that hears nothing of the image, would be 1.
    assert (distances.diagonal() / spread).max() < 0.1
    assert history[-1]["loss/total"] < 0.1 * history[0]["loss/total"]
    # Which one of eight it is takes log 8 nats; the latents have to say it.
    assert history[-1]["loss/kl"] > math.log(8)


def test_float16_features_are_enough(overfitted):
    task, examples, _ = overfitted
    torch.manual_seed(1)
    # Numbers between those that float16 has.
    exact = examples["features"].float() * (1 + (torch.rand(8, 64, 7, 7) - 0.5) / 2**10)
    assert not torch.equal(exact, exact.half().float())
    from_exact = task.reconstruct(examples | {"features": exact})
    from_half = task.reconstruct(examples | {"features": exact.half()})
    assert (from_exact - from_half).abs().max() < 0.5 / 255


def test_brief_training_beats_the_untrained_self_on_other_images():
    task = make_task(decoder="2", learning_rate=3e-3)
    held_out = make_examples(8, seed=1)

    def loss():
        return task.diagnose(held_out, "validation", seeded()).metrics["validation/loss"]

    before = loss()
    learn(task, make_examples(8), 15)
    assert loss() < 0.8 * before


def set_out(values, *, components=3):
    """A task whose posteriors lie at given points, and examples that do.

    The prior's Gaussians are at -10, 0 and 10, of variance 1, in both of the two latents.
    """
    task = make_task(dim_z=2, components=components, transition=False)
    gmvae = task.modules["gmvae"]
    with torch.no_grad():
        for head in (gmvae.mean, gmvae.raw_variance):
            head.weight.zero_()
            head.bias.zero_()
        # The first feature is the first latent's mean.
        gmvae.mean.weight[0, 0] = 1
        gmvae.raw_variance.bias.fill_(math.log(math.expm1(1e-4)))
        gmvae.prior.means.copy_(torch.tensor([-10.0, 0.0, 10.0])[:components, None].expand(-1, 2))
        gmvae.prior.raw_variances.fill_(math.log(math.expm1(1)))
    examples = make_examples(len(values))
    examples["features"].zero_()
    examples["features"][:, 0, 0, 0] = torch.tensor(values)
    return task, examples


def test_the_diagnosis_counts_components_in_use_and_active_latents():
    task, examples = set_out([-10.0, 10.0, 10.0, 10.0])
    with torch.no_grad():
        # Both latents at the components' corners.
        task.modules["gmvae"].mean.weight[1, 0] = 1
    found = task.diagnose(examples, "validation", seeded())
    assert found.metrics["latent/components_in_use"] == 2
    shares = (0.25, 0.75)
    expected = -sum(share * math.log(share) for share in shares)
    assert found.metrics["latent/component_entropy"] == pytest.approx(expected, rel=1e-4)
    assert found.metrics["latent/active_units"] == 2
    assert found.warnings == {}
    # At a component's mean: log q - log p, q's variance 1e-4 and p's 1, both latents.
    noise = torch.randn(4, 2, generator=seeded()).double()
    log_q = (-0.5 * noise**2 - 0.5 * math.log(1e-4)).sum(dim=1)
    log_p = (-0.5 * (noise * 1e-2) ** 2).sum(dim=1) - math.log(3)
    kl = found.metrics["validation/kl"]
    assert kl == pytest.approx((log_q - log_p).mean().item(), rel=1e-3)
    error = found.metrics["validation/reconstruction"]
    assert found.metrics["validation/loss"] == pytest.approx(error + kl)
    rmse = found.metrics["quality/reconstruction_rmse"]
    assert rmse == pytest.approx((error / (3 * 224**2)) ** 0.5)


def test_the_diversity_is_that_of_draws_from_the_prior():
    task, examples = set_out([-10.0, 0.0, 10.0, 10.0])
    found = task.diagnose(examples, "validation", seeded())
    noise = seeded()
    task.noise(4, noise)  # the posteriors' comes first
    drawn = task.sample(noise, examples["findings"])
    spread = drawn.std(dim=0).mean() / (examples["pixels"] / 255).std(dim=0).mean()
    assert found.metrics["quality/diversity"] == pytest.approx(float(spread), rel=1e-4)


def test_how_far_reconstructions_are_off_does_not_depend_on_the_loss():
    task, examples = set_out([-10.0, 0.0, 10.0])
    squared = task.diagnose(examples, "validation", seeded()).metrics
    task.reconstruction = "bce"
    entropy = task.diagnose(examples, "validation", seeded()).metrics
    assert entropy["validation/reconstruction"] != squared["validation/reconstruction"]
    rmse = "quality/reconstruction_rmse"
    assert entropy[rmse] == squared[rmse]


def test_equal_shares_have_the_entropy_log_k():
    task, examples = set_out([-10.0, 0.0, 10.0])
    with torch.no_grad():
        task.modules["gmvae"].mean.weight[1, 0] = 1
    metrics = task.diagnose(examples, "train", seeded()).metrics
    assert metrics["latent/components_in_use"] == 3
    assert metrics["latent/component_entropy"] == pytest.approx(math.log(3), rel=1e-4)
    assert "train/loss" in metrics


def test_a_latent_that_says_nothing_of_images_is_not_active():
    task, examples = set_out([-0.5, 0.0, 0.5])
    assert task.diagnose(examples, "validation", seeded()).metrics["latent/active_units"] == 1


def test_images_all_in_one_gaussian_are_warned_of():
    task, examples = set_out([9.0, 10.0, 11.0])
    with torch.no_grad():
        task.modules["gmvae"].mean.weight[1, 0] = 1
    found = task.diagnose(examples, "validation", seeded())
    assert set(found.warnings) == {"mixture_collapse"}
    assert "all images lie in 1 of the prior's 3 Gaussians" in found.warnings["mixture_collapse"]
    assert found.metrics["latent/components_in_use"] == 1
    assert found.metrics["latent/component_entropy"] == pytest.approx(0, abs=1e-6)


def test_a_posterior_that_is_the_prior_is_warned_of_with_the_remedy():
    task, examples = set_out([0.0, 0.0], components=1)
    gmvae = task.modules["gmvae"]
    with torch.no_grad():
        gmvae.prior.means.zero_()
        gmvae.raw_variance.bias.fill_(math.log(math.expm1(1)))
    found = task.diagnose(examples, "validation", seeded())
    assert found.metrics["validation/kl"] == pytest.approx(0, abs=1e-5)
    # One Gaussian is all there is: that mixture has not collapsed.
    assert set(found.warnings) == {"posterior_collapse"}
    warning = found.warnings["posterior_collapse"]
    assert "0 of 2 latents are active, the KL is" in warning
    assert "lower gmvae.beta" in warning
    assert "\n" not in warning


def test_looking_leaves_training_alone():
    task, examples = make_task(), make_examples(4)
    gmvae = task.modules["gmvae"]
    before = {name: tensor.clone() for name, tensor in gmvae.state_dict().items()}
    first = task.diagnose(examples, "validation", seeded())
    assert task.diagnose(examples, "validation", seeded()) == first
    task.reconstruct(examples)
    task.sample(seeded(), examples["findings"])
    assert gmvae.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in gmvae.state_dict().items())
    assert all(weight.grad is None for weight in gmvae.parameters())
    assert task.finish(examples, seeded()) == {}


def test_findings_change_what_is_encoded_and_what_is_drawn():
    task = make_task(findings=2)
    examples = make_examples(3, findings=2)
    examples["findings"] = torch.zeros(3, 2)
    other = torch.tensor([[1.0, 0.0], [0.0, 0.0], [0.0, 1.0]])
    gmvae = task.modules["gmvae"].eval()
    for first, second in zip(
        gmvae.encode(examples["features"].float(), examples["findings"]),
        gmvae.encode(examples["features"].float(), other),
        strict=True,
    ):
        assert (first != second).any(dim=1).tolist() == [True, False, True]
    drawn = task.sample(seeded(), examples["findings"])
    asked = task.sample(seeded(), other)
    assert drawn.shape == (3, 1, 224, 224)
    assert drawn.min() >= 0
    assert drawn.max() <= 1
    assert (drawn != asked).flatten(1).any(dim=1).tolist() == [True, False, True]
    again = task.reconstruct(examples | {"findings": other})
    assert not torch.equal(task.reconstruct(examples), again)


def test_half_floats_stay_numbers_at_the_largest_version_s_size():
    task = make_task(features=512, dim_z=2000, components=300, decoder="2")
    examples = make_examples(2, maps=512)
    network, optimizer = task.modules["gmvae"], task.optimizers["gmvae"]
    exact = task.diagnose(examples, "validation", seeded()).metrics
    fabric = build_fabric("cpu", "bf16-mixed")
    set_up(fabric, task)
    updater = Updater(fabric, task, {"gmvae": optimizer})
    mixed = task.diagnose(examples, "validation", seeded()).metrics
    for name in ("validation/reconstruction", "validation/kl"):
        # bf16 has eight digits.
        assert mixed[name] == pytest.approx(exact[name], rel=2**-8), name
    history = [task.step(with_noise(task, examples, step), step, updater) for step in range(1, 5)]
    updater.check()
    assert all(math.isfinite(value) for losses in history for value in losses.values())
    assert all(torch.isfinite(weight).all() for weight in network.parameters())
    assert all(map(math.isfinite, task.diagnose(examples, "validation", seeded()).metrics.values()))


class Interruption(Exception):
    pass


def test_a_resumed_run_equals_an_uninterrupted_one_to_the_bit(tmp_path):
    settings = Settings(
        steps=6,
        batch_size=4,
        seed=0,
        accelerator="cpu",
        precision="32-true",
        log_every=1,
        checkpoint_every=2,
        sample_at=(),
        samples=2,
        resume="auto",
    )

    def run(folder, on_metrics):
        return train(
            partial(make_task, findings=2),
            make_examples(10, findings=2),
            HeldOut(make_examples(3, findings=2, seed=1), "validation"),
            settings,
            checkpoints=folder,
            identity={"model": "gmvae"},
            watchers=Watchers(on_metrics, lambda *_: None),
        )

    def interrupt(step, metrics):
        if step == 5:
            raise Interruption

    whole = run(tmp_path / "whole", lambda *_: None)
    with pytest.raises(Interruption):
        run(tmp_path / "parts", interrupt)
    steps = []
    resumed = run(tmp_path / "parts", lambda step, metrics: steps.append(step))
    assert min(steps) == 5
    assert whole.weights.keys() == resumed.weights.keys()
    for name, tensor in whole.weights.items():
        assert torch.equal(tensor, resumed.weights[name]), name

    def repeatable(outcome):
        return [row for row in outcome.history if row[1] != SPEED]

    assert repeatable(whole) == repeatable(resumed)
    assert np.array_equal(whole.reconstructions, resumed.reconstructions)
    assert whole.reconstructions.shape == (3, 224, 224)
