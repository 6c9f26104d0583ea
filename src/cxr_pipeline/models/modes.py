"""Using a network as it was trained, without training it."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


@contextmanager
def in_evaluation(network: nn.Module) -> Iterator[torch.device]:
    """Use the statistics learnt in training, without gradients; afterwards all is as it was.

    Yields:
        The device that the network is on.
    """
    was_training = network.training
    network.eval()
    try:
        with torch.no_grad():
            yield next(network.parameters()).device
    finally:
        network.train(was_training)
