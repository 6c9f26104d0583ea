import pytest
import torch
from torch import nn

from cxr_pipeline.models.modes import in_evaluation


@pytest.fixture
def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))


@pytest.mark.parametrize("training", [True, False])
def test_a_network_is_used_as_learnt_and_left_as_it_was(network, training):
    network.train(training)
    before = {key: tensor.clone() for key, tensor in network.state_dict().items()}
    with in_evaluation(network) as device:
        assert device == torch.device("cpu")
        assert not any(module.training for module in network.modules())
        drawn = network(torch.rand(4, 2))
    assert not drawn.requires_grad
    assert all(module.training == training for module in network.modules())
    assert torch.is_grad_enabled()
    assert all(torch.equal(before[key], tensor) for key, tensor in network.state_dict().items())


def test_it_is_left_as_it_was_after_an_error_too(network):
    with pytest.raises(RuntimeError, match="shapes"), in_evaluation(network):
        network(torch.rand(4, 5))
    assert network.training
    assert torch.is_grad_enabled()
