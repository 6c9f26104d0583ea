import pytest
import torch
from torch import nn

from cxr_pipeline.training.averaging import Average


def network(value):
    module = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    with torch.no_grad():
        for tensor in (*module.parameters(), module[1].running_mean, module[1].running_var):
            tensor.fill_(value)
    return module


@pytest.mark.parametrize("decay", [0.5, 0.9, 0.999])
def test_it_is_the_moving_average_by_hand(decay):
    average, expected = Average(network(1.0), decay), 1.0
    for step in range(1, 30):
        average.update(network(float(step)), step)
        kept = min(decay, (1 + step) / (10 + step))
        expected = kept * expected + (1 - kept) * step
    for name, tensor in average.network.state_dict().items():
        if tensor.is_floating_point():
            assert tensor.flatten()[0].item() == pytest.approx(expected, rel=1e-5), name


def test_the_first_weights_are_soon_forgotten():
    average = Average(network(1000.0), 0.9999)
    for step in range(1, 101):
        average.update(network(0.0), step)
    assert abs(average.network[0].weight).max() < 1e-3


def test_counts_are_taken_over_as_they_are():
    live = network(1.0)
    average = Average(live, 0.9)
    live[1].num_batches_tracked.fill_(7)
    average.update(live, 1)
    assert average.network[1].num_batches_tracked == 7


def test_it_learns_nothing_itself_and_leaves_the_network_alone():
    live = network(1.0)
    average = Average(live, 0.9)
    average.update(network(3.0), 1)
    assert not any(p.requires_grad for p in average.network.parameters())
    assert all(p.requires_grad and (p == 1).all() for p in live.parameters())
