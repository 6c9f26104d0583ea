"""Several processes that train one model together: who they are and what they agree on.

`torchrun` starts them and tells each its place in the environment. Every process keeps all of the
data and takes its share of each batch; rank 0 alone looks, writes and tells.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import timedelta
from typing import Any

import torch
from lightning.fabric.strategies.ddp import DDPStrategy
from torch import Tensor, distributed

PATIENCE = timedelta(days=1)
"""How long processes wait for each other: rank 0 may be reading 100,000 images meanwhile."""


_alone = ContextVar("alone", default=False)


def processes() -> int:
    """Count the processes that `torchrun` started; 1 without it, or inside `alone`."""
    if _alone.get() or not distributed.is_torchelastic_launched():
        return 1
    return int(os.environ["WORLD_SIZE"])


@contextmanager
def alone() -> Iterator[None]:
    """Let rank 0 train something inside by itself, while the others wait for what it says next."""
    token = _alone.set(True)
    try:
        yield
    finally:
        _alone.reset(token)


def leads() -> bool:
    """Whether this is rank 0, which writes and tells what all of them make."""
    return processes() == 1 or os.environ["RANK"] == "0"


def join() -> None:
    """Wait until every process is there; once they are, do nothing."""
    if not distributed.is_initialized():
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        distributed.init_process_group(backend, timeout=PATIENCE)


def fabric_options() -> dict[str, Any]:
    """Say to Fabric which processes there are."""
    if processes() == 1:
        return {"devices": 1}
    join()
    here = int(os.environ["LOCAL_WORLD_SIZE"])
    # Statistics are synchronised as they are made: none has to be sent before each step.
    strategy = DDPStrategy(timeout=PATIENCE, forward_sync_buffers=False)
    return {"devices": here, "num_nodes": processes() // here, "strategy": strategy}


def check_processes(batch_size: int, accelerator: str) -> None:
    """Refuse what cannot be shared among the processes that there are.

    Args:
        batch_size: Images a step, of all processes together.
        accelerator: The device's kind: `cpu`, `cuda` or `mps`.

    Raises:
        ValueError: If the processes cannot have equal shares of a batch, or a device each.
    """
    count = processes()
    if batch_size % count:
        fits = max(batch_size - batch_size % count, count)
        raise ValueError(
            f"batch_size={batch_size} cannot be split equally among {count} processes: set it to "
            f"a multiple of {count}, such as {fits}"
        )
    if count == 1 or accelerator == "cpu":
        return
    here = int(os.environ["LOCAL_WORLD_SIZE"])
    devices = torch.cuda.device_count() if accelerator == "cuda" else 1
    if here > devices:
        raise ValueError(
            f"--nproc-per-node={here}, but accelerator={accelerator} has {devices} device(s) here: "
            f"give torchrun --nproc-per-node={devices}, or set accelerator=cpu"
        )


def average_over_processes(values: Tensor) -> Tensor:
    """Average over processes, (...) floating point on any device; without gradient."""
    if processes() == 1:
        return values
    summed = values.detach().clone()
    distributed.all_reduce(summed)
    return summed / processes()


def agreed_signal(number: int | None, *, meeting: bool) -> int | None:
    """Agree on the signal that processes stop at, so that all stop at the same step.

    Args:
        number: The signal that this process got, if one.
        meeting: Whether every process asks now; else none of several stops.
    """
    if processes() == 1:
        return number
    if not meeting:
        return None
    greatest = torch.tensor(number or 0)
    distributed.all_reduce(greatest, distributed.ReduceOp.MAX)
    return int(greatest) or None


def wait_for_all() -> None:
    """Wait until every process has come here."""
    if processes() > 1:
        distributed.all_reduce(torch.zeros(()))


def require_same_start(step: int) -> None:
    """Check that all processes go on from the same step.

    Raises:
        ValueError: If they do not, as where each sees checkpoints of its own.
    """
    if processes() == 1:
        return
    bounds = torch.tensor([step, -step])
    distributed.all_reduce(bounds, distributed.ReduceOp.MAX)
    latest, earliest = int(bounds[0]), -int(bounds[1])
    if latest != earliest:
        raise ValueError(
            f"processes would begin at steps from {earliest} to {latest}: keep the checkpoints on "
            "a disk that all machines share"
        )
