import copy
import math

import pytest
import torch
from tests.training.tasks import LineTask, points, with_noise

from cxr_pipeline.training.networks import set_up
from cxr_pipeline.training.precision import build_fabric
from cxr_pipeline.training.updates import NotFiniteError, Updater

PRECISIONS = ["32-true", "bf16-mixed", "16-mixed"]


def learner(precision="32-true", task=None, **options):
    task = task or LineTask()
    fabric, optimizers, line = build_fabric("cpu", precision), dict(task.optimizers), task.modules
    network = line["line"]
    set_up(fabric, task)
    return task, network, Updater(fabric, task, optimizers, **options)


def take(task, updater, step, factor=0.1):
    """Take a step; the factor keeps gradients, times 65,536, within fp16."""
    batch = with_noise(task, points(4), step)
    updater.begin(step)
    return task.step({**batch, "pixels": batch["pixels"] * factor}, step, updater)


def weights(network):
    return copy.deepcopy(network.state_dict())


def same(first, second):
    return all(torch.equal(first[name], second[name]) for name in first)


# -- what is no number ---------------------------------------------------------------------------


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("factor", [math.nan, math.inf])
def test_after_a_loss_that_is_no_number_no_weight_changes(precision, factor):
    task, network, updater = learner(precision)
    take(task, updater, 1)
    updater.check()
    before, state = weights(network), copy.deepcopy(updater.optimizers["line"].state_dict())
    take(task, updater, 2, factor)
    take(task, updater, 3)  # the loss is a number again, but nothing is learnt from it
    assert same(before, weights(network))
    after = updater.optimizers["line"].state_dict()
    for name, value in state["state"][0].items():
        assert torch.equal(after["state"][0][name], value), name
    with pytest.raises(NotFiniteError, match=r"step 2: the line's loss is (nan|inf)") as error:
        updater.check()
    assert error.value.step == 2
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_after_a_gradient_that_is_no_number_no_weight_changes(precision):
    task, network, updater = learner(precision)
    hook = network.weight.register_hook(lambda gradient: gradient * math.nan)
    before = weights(network)
    take(task, updater, 1)
    hook.remove()
    take(task, updater, 2)
    assert same(before, weights(network))
    with pytest.raises(NotFiniteError, match=r"step 1: the line's gradient is nan"):
        updater.check()


def test_fp16_passes_over_a_gradient_that_overflows_and_lowers_its_scale():
    task, network, updater = learner("16-mixed")
    # 65,536 times this is beyond fp16.
    hook = network.weight.register_hook(lambda gradient: gradient + math.inf)
    before = weights(network)
    take(task, updater, 1)
    assert same(before, weights(network))
    assert updater.scaler.get_scale() == 2**15
    hook.remove()
    take(task, updater, 2)
    assert not same(before, weights(network))
    updater.check()


def test_fp16_stops_where_no_scale_helps():
    task, network, updater = learner("16-mixed")
    network.weight.register_hook(lambda gradient: gradient * math.inf)
    for step in range(1, 18):
        take(task, updater, step)
        updater.check()
    take(task, updater, 18)
    with pytest.raises(NotFiniteError, match=r"step 18: the line's gradient overflows fp16"):
        updater.check()


def test_what_is_finite_passes_and_is_checked_once():
    task, _, updater = learner()
    take(task, updater, 1)
    updater.check()
    updater.check()
    assert updater.seen == []


# -- gradients -----------------------------------------------------------------------------------


@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_norm_is_the_gradient_s_whatever_the_precision(precision):
    task, _, updater = learner(precision)
    norm = take(task, updater, 1)["gradient/line"]
    exact = learner()
    expected = take(exact[0], exact[2], 1)["gradient/line"]
    # bf16 has eight digits.
    assert float(norm) == pytest.approx(float(expected), rel=2**-7)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_long_gradient_is_shortened_and_its_own_norm_told(precision):
    task, network, updater = learner(precision, gradient_clip=0.001)
    seen = []
    step = updater.optimizers["line"].step

    def look(*arguments, **named):
        scale = 1.0 if updater.scaler is None else updater.scaler.get_scale()
        seen.append(torch.nn.utils.get_total_norm([p.grad for p in network.parameters()]) / scale)
        return step(*arguments, **named)

    updater.optimizers["line"].step = look
    norm = take(task, updater, 1)["gradient/line"]
    assert float(norm) > 0.05
    # bf16 has eight digits.
    assert float(seen[0]) == pytest.approx(0.001, rel=2**-8)


def test_a_short_gradient_is_left_as_it_is():
    plain, clipped = learner(), learner(gradient_clip=1e6)
    for task, _, updater in (plain, clipped):
        take(task, updater, 1)
    for first, second in zip(plain[1].parameters(), clipped[1].parameters(), strict=True):
        assert float(first.grad) == pytest.approx(float(second.grad), rel=1e-6)


# -- the learning rate ---------------------------------------------------------------------------


def test_the_learning_rate_grows_to_its_value_and_stays_there():
    task, _, updater = learner(learning_rate_warmup=4)
    rates = []
    for step in range(1, 7):
        take(task, updater, step)
        rates.append(updater.optimizers["line"].param_groups[0]["lr"])
    assert rates == pytest.approx([0.025, 0.05, 0.075, 0.1, 0.1, 0.1])


def test_without_a_warm_up_the_learning_rate_is_its_value_at_once():
    task, _, updater = learner()
    take(task, updater, 1)
    assert updater.optimizers["line"].param_groups[0]["lr"] == 0.1
