"""The moving average of a network's weights, which draws steadier images than its last step's."""

import copy

import torch
from torch import Tensor, nn


class Average:
    """An exponential moving average of all that a network has learnt.

        average <- d average + (1 - d) latest,   d = min(decay, (1 + t) / (10 + t)) at step t

    The lower decay of the first steps forgets the random weights that the network began with. The
    statistics of batch norm are averaged alike, so that they suit the averaged weights.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        """Begin with what the network is now.

        Args:
            network: On the device where it learns.
            decay: The share that the average keeps at each step, in (0, 1).
        """
        self.decay = decay
        self.network = copy.deepcopy(network).requires_grad_(False)

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        """Take in what the network is after a step, counted from 1."""
        share = 1 - min(self.decay, (1 + step) / (10 + step))
        latest = network.state_dict()
        floats: tuple[list[Tensor], list[Tensor]] = ([], [])
        for name, tensor in self.network.state_dict().items():
            if tensor.is_floating_point():
                floats[0].append(tensor)
                floats[1].append(latest[name])
            else:
                tensor.copy_(latest[name])
        torch._foreach_lerp_(*floats, share)
