import copy

import pytest
import torch
from tests.training.tasks import (
    chests,
    coarse_pictures,
    examples_of,
    gan_task,
    learn,
    train_for,
    with_noise,
)
from torch.nn.functional import avg_pool2d

from cxr_pipeline.data.batches import to_signed_interval
from cxr_pipeline.randomness import random_generator
from cxr_pipeline.training.lsgan import architecture

FINDINGS = torch.eye(2)[[0, 0, 1, 1]]


def take_step(task, findings=None):
    """Take one step without an optimiser's change; return which network got which gradients."""
    order = []

    def update(name, loss):
        for module in task.modules.values():
            module.zero_grad()
        loss.backward()
        got = {
            network: any(p.grad is not None for p in module.parameters())
            for network, module in task.modules.items()
        }
        order.append((name, got))
        return torch.tensor(float(len(order)))

    examples = examples_of(coarse_pictures(4), findings)
    return order, task.step(with_noise(task, examples), 1, update)


# -- a step --------------------------------------------------------------------------------------


def test_one_discriminator_step_is_followed_by_three_generator_steps():
    order, metrics = take_step(gan_task())
    assert [name for name, _ in order] == ["discriminator", "generator", "generator", "generator"]
    # The norms that `update` returned: the discriminator's, and the last of the generator's.
    assert (metrics["gradient/discriminator"], metrics["gradient/generator"]) == (1, 4)


@pytest.mark.parametrize("findings", [None, FINDINGS])
def test_each_step_reaches_the_gradients_of_its_own_network_alone(findings):
    order, _ = take_step(gan_task(findings=0 if findings is None else 2), findings)
    for name, got in order:
        assert got == {network: network == name for network in got}


def test_the_discriminator_can_learn_again_after_the_step():
    trained = gan_task()
    take_step(trained)
    assert all(p.requires_grad for p in trained.modules["discriminator"].parameters())


def test_generator_steps_see_fresh_noise():
    losses = []

    def record(name, loss):
        losses.append(loss.item())
        return torch.zeros(())

    task = gan_task(generator_steps=2)
    task.step(with_noise(task, examples_of(coarse_pictures(4))), 1, record)
    _, first, second = losses
    # No weight has changed between the two: only other noise explains another loss.
    assert first != second


def test_losses_scores_and_gradients_are_those_of_the_step():
    task = gan_task(generator_steps=1)
    generator, discriminator = (copy.deepcopy(task.modules[name]) for name in task.modules)
    examples = examples_of(coarse_pictures(4))
    metrics = task.step(with_noise(task, examples), 1, learn(task))

    noise = random_generator(0, "noise", 1)
    with torch.no_grad():
        drawn = generator(torch.rand(4, 8, generator=noise) * 2 - 1)
    real_scores = discriminator(to_signed_interval(examples["pixels"]))
    drawn_scores = discriminator(drawn)
    loss = ((real_scores - 1) ** 2).mean() / 2 + (drawn_scores**2).mean() / 2
    loss.backward()
    squares = sum(float(p.grad.square().sum()) for p in discriminator.parameters())
    expected = {
        "loss/discriminator": loss.item(),
        "scores/real": real_scores.mean().item(),
        "scores/drawn": drawn_scores.mean().item(),
        "gradient/discriminator": squares**0.5,
    }
    assert {name: float(metrics[name]) for name in expected} == pytest.approx(expected, rel=1e-4)


def test_the_generator_is_scored_by_the_discriminator_that_has_just_learnt():
    task = gan_task(generator_steps=1)
    generator = copy.deepcopy(task.modules["generator"])
    metrics = task.step(with_noise(task, examples_of(coarse_pictures(4))), 1, learn(task))

    noise = random_generator(0, "noise", 1)
    with torch.no_grad():
        torch.rand(4, 8, generator=noise)  # the discriminator's
        drawn = generator(torch.rand(4, 8, generator=noise) * 2 - 1)
        scores = task.modules["discriminator"](drawn)
    assert float(metrics["loss/generator"]) == pytest.approx(
        float(((scores - 1) ** 2).mean() / 2), rel=1e-4
    )


# -- what is learnt ------------------------------------------------------------------------------


def blocks(images):
    """Images in [0, 1] as the mean levels of 64 blocks."""
    return avg_pool2d(images, 16).flatten(1)


def from_nearest(drawn, real):
    """The distance of drawn images from the nearest real one."""
    return float(torch.cdist(drawn, real).amin(dim=1).mean())


def energy_distance(drawn, real):
    """How far apart two samples' distributions are; 0 where they are one."""
    between = torch.cdist(drawn, real).mean()
    return float(2 * between - torch.cdist(drawn, drawn).mean() - torch.cdist(real, real).mean())


def test_the_generator_comes_near_eight_images_it_is_trained_on():
    task = gan_task(learning_rate=1e-3)
    examples = examples_of(chests(8))
    real = blocks(examples["pixels"] / 255)

    def drawn():
        return blocks(task.sample(random_generator(0, "test"), torch.zeros(32, 0)))

    untrained = drawn()
    train_for(task, examples, steps=25)
    trained = drawn()
    assert from_nearest(trained, real) < 0.75 * from_nearest(untrained, real)
    assert energy_distance(trained, real) < 0.6 * energy_distance(untrained, real)


def test_a_conditional_generator_learns_which_finding_looks_how():
    findings = torch.eye(2)[[0] * 4 + [1] * 4]
    levels = torch.where(findings[:, 0] == 1, 200, 55).numpy()[:, None, None]
    examples = examples_of(levels + (coarse_pictures(8) - 128) // 4, findings)
    task = gan_task(findings=2, learning_rate=5e-4)

    def difference():
        asked = torch.eye(2)[[0] * 16 + [1] * 16]
        drawn = task.sample(random_generator(0, "test"), asked).mean(dim=(1, 2, 3))
        return float(drawn[:16].mean() - drawn[16:].mean())

    assert abs(difference()) < 0.02
    train_for(task, examples, steps=20)
    assert difference() > 0.1


# -- how it goes ---------------------------------------------------------------------------------


def diagnose(task, examples):
    return task.diagnose(examples, "validation", random_generator(0, "diagnosis"))


def test_the_diversity_is_the_drawn_images_spread_as_a_share_of_the_real_ones():
    task = gan_task()
    task.modules["generator"](torch.rand(8, 8) * 2 - 1)  # statistics
    examples = examples_of(coarse_pictures(6))
    found = diagnose(task, examples)
    drawn = task.sample(random_generator(0, "diagnosis"), torch.zeros(6, 0))
    spread = drawn.std(dim=0).mean() / (examples["pixels"] / 255).std(dim=0).mean()
    assert found.metrics == {"quality/diversity": pytest.approx(float(spread), rel=1e-5)}


def test_images_that_are_all_alike_are_called_collapsed():
    task = gan_task()
    with torch.no_grad():
        task.modules["generator"].layers[0].weight.zero_()
    found = diagnose(task, examples_of(coarse_pictures(6)))
    assert found.metrics["quality/diversity"] == pytest.approx(0, abs=1e-6)
    assert list(found.warnings) == ["collapse"]
    assert "0.00 times as much as real ones (below 0.3)" in found.warnings["collapse"]
    assert "\n" not in found.warnings["collapse"]


def test_images_that_vary_as_real_ones_do_are_not():
    task = gan_task()
    for _ in range(20):
        task.modules["generator"](torch.rand(16, 8) * 2 - 1)  # statistics
    # The real ones are its own, drawn from other noise.
    real = task.sample(random_generator(1, "other"), torch.zeros(16, 0))
    examples = {"pixels": (real * 255).round().to(torch.uint8), "findings": torch.zeros(16, 0)}
    found = diagnose(task, examples)
    assert found.metrics["quality/diversity"] == pytest.approx(1, abs=0.3)
    assert found.warnings == {}


def test_one_image_says_nothing_of_diversity():
    found = diagnose(gan_task(), examples_of(coarse_pictures(1)))
    assert (found.metrics, found.warnings) == ({}, {})


def test_looking_leaves_training_alone():
    task = gan_task()
    before = copy.deepcopy(task.modules["generator"].state_dict())
    diagnose(task, examples_of(coarse_pictures(4)))
    after = task.modules["generator"].state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert task.modules["generator"].training


def test_a_gan_has_nothing_to_add_and_does_not_encode():
    task = gan_task()
    examples = examples_of(coarse_pictures(4))
    assert task.finish(examples, random_generator(0, "finish")) == {}
    assert task.reconstruct(examples) is None


@pytest.mark.parametrize(("conditional", "findings"), [(True, ["Mass", "Edema"]), (False, [])])
def test_the_architecture_names_the_findings_of_a_conditional_model(conditional, findings):
    parameters = {"dim_z": 8, "patch_scores": False, "conditional": conditional, "epochs": 3}
    assert architecture(parameters, ("Mass", "Edema")) == {
        "dim_z": 8,
        "patch_scores": False,
        "findings": findings,
    }
