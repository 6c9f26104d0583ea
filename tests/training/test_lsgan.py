import torch

from cxr_pipeline.randomness import random_generator
from cxr_pipeline.training.lsgan import LsganTask


def task(generator_steps=3):
    torch.manual_seed(0)
    return LsganTask(
        dim_z=8,
        patch_scores=True,
        learning_rate=2e-4,
        betas=(0.5, 0.999),
        generator_steps=generator_steps,
    )


def take_step(task):
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

    pixels = torch.randint(0, 256, (4, 1, 128, 128), dtype=torch.uint8)
    metrics = task.step(pixels, lambda stream: random_generator(0, stream, 1), update)
    return order, metrics


def test_one_discriminator_step_is_followed_by_three_generator_steps():
    order, metrics = take_step(task())
    assert [name for name, _ in order] == ["discriminator", "generator", "generator", "generator"]
    assert set(metrics) == {"loss/discriminator", "loss/generator"}


def test_each_step_reaches_the_gradients_of_its_own_network_alone():
    order, _ = take_step(task())
    for name, got in order:
        assert got == {network: network == name for network in got}


def test_the_discriminator_can_learn_again_after_the_step():
    trained = task()
    take_step(trained)
    assert all(p.requires_grad for p in trained.modules["discriminator"].parameters())


def test_generator_steps_see_fresh_noise():
    losses = []

    def record(name, loss):
        losses.append((name, loss.item()))

    still = task(generator_steps=2)
    pixels = torch.zeros((4, 1, 128, 128), dtype=torch.uint8)
    still.step(pixels, lambda stream: random_generator(0, stream, 1), record)
    (_, first), (_, second) = losses[1:]
    # No weight has changed between the two: only other noise explains another loss.
    assert first != second
