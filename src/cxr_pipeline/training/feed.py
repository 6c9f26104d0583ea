"""The batch of each step, from where the examples are kept to where they are learnt from."""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from cxr_pipeline.data.batches import batch_positions
from cxr_pipeline.randomness import random_generator
from cxr_pipeline.training.task import Examples

Placement = Literal["auto", "device", "memory"]

Noise = Callable[[int, torch.Generator], dict[str, Tensor]]
"""See `Task.noise`."""


def place(examples: Examples, device: torch.device, placement: Placement) -> dict[str, Tensor]:
    """Put examples where batches are to be taken from.

    Args:
        examples: In memory.
        device: Where training is.
        placement: `device`, `memory`, or `auto`: on the device if half of its free memory holds
            them, so that no batch has to travel.
    """
    if placement == "auto" and device.type == "cuda":
        needed = sum(tensor.nbytes for tensor in examples.values())
        fits = needed <= torch.cuda.mem_get_info(device)[0] / 2
        placement = "device" if fits else "memory"
    if placement == "memory":
        return dict(examples)
    return {name: tensor.to(device) for name, tensor in examples.items()}


@dataclass(frozen=True)
class Feed:
    """What makes up the batch of a step: examples and noise, which follow from seed and step."""

    examples: Mapping[str, Tensor]
    """Placed, see `place`."""
    noise: Noise
    batch_size: int
    """Of all processes together."""
    seed: int
    device: torch.device
    rank: int = 0
    processes: int = 1
    """Each takes its share of the batch."""

    def batch(self, step: int) -> dict[str, Tensor]:
        """Put together the batch of a step, from 1, on the device.

        Returns:
            The examples' tensors and the noise's, this process's share of them.
        """
        share = self.batch_size // self.processes
        own = slice(self.rank * share, (self.rank + 1) * share)
        images = len(self.examples["pixels"])
        positions = batch_positions(images, self.batch_size, self.seed, step - 1)[own]
        noise = self.noise(self.batch_size, random_generator(self.seed, "noise", step))
        rows = {name: t[positions.to(t.device)] for name, t in self.examples.items()}
        rows |= {name: t[own] for name, t in noise.items()}
        if self.device.type != "cuda":
            return {name: t.to(self.device) for name, t in rows.items()}
        # From pinned memory a copy needs no waiting for.
        return {
            name: t if t.is_cuda else t.pin_memory().to(self.device, non_blocking=True)
            for name, t in rows.items()
        }


@contextmanager
def prefetching(feed: Feed, last: int) -> Iterator[Callable[[int], dict[str, Tensor]]]:
    """Prepare the batch of the next step while a GPU works on this one.

    On a CPU, which would have to share its cores, batches are made when they are asked for.

    Args:
        feed: Makes the batches.
        last: The last step.

    Yields:
        The function that gives the batch of a step; steps are asked for in their order.
    """
    if feed.device.type != "cuda":
        yield feed.batch
        return
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="feed") as thread:
        waiting: dict[int, Future[dict[str, Tensor]]] = {}

        def batch(step: int) -> dict[str, Tensor]:
            ready = waiting.pop(step, None) or thread.submit(feed.batch, step)
            if step < last:
                waiting[step + 1] = thread.submit(feed.batch, step + 1)
            return ready.result()

        yield batch
