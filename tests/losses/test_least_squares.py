import pytest
import torch

from cxr_pipeline.losses.least_squares import discriminator_loss, generator_loss


def test_discriminator_loss_equals_hand_values():
    real, fake = torch.tensor([1.0, 0.0]), torch.tensor([0.5, -0.5])
    # 1/2 mean((1-1)^2, (0-1)^2) + 1/2 mean(0.25, 0.25)
    assert discriminator_loss(real, fake).item() == pytest.approx(0.5 * 0.5 + 0.5 * 0.25)


def test_generator_loss_equals_hand_values():
    assert generator_loss(torch.tensor([[1.0, 3.0]])).item() == pytest.approx(0.5 * 2.0)


def test_losses_vanish_where_the_players_reach_their_aims():
    ones, zeros = torch.ones(4, 1, 2, 2), torch.zeros(4, 1, 2, 2)
    assert discriminator_loss(ones, zeros) == 0
    assert generator_loss(ones) == 0


def test_gradients_are_those_of_the_formulas():
    torch.manual_seed(0)
    real, fake = (torch.randn(5, dtype=torch.float64, requires_grad=True) for _ in range(2))
    assert torch.autograd.gradcheck(discriminator_loss, (real, fake))
    assert torch.autograd.gradcheck(generator_loss, (fake,))


def test_half_precision_scores_are_averaged_in_float32():
    # 4,096 squares of 8 add up past what float16 can hold (65,504).
    scores = torch.full((4096,), 9.0, dtype=torch.float16)
    loss = generator_loss(scores)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(32.0)
