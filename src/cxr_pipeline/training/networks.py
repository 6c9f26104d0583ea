"""A task's networks made ready to learn: on the device, laid out for it, compiled if asked for."""

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any, Literal

import torch
from lightning.fabric import Fabric
from torch import Tensor

from cxr_pipeline.training.precision import Accelerator, FixedPrecision, build_fabric
from cxr_pipeline.training.synchronised import synchronise
from cxr_pipeline.training.task import Task
from cxr_pipeline.training.updates import Updater

logger = logging.getLogger(__name__)

Compile = Literal[False, True, "cuda_graphs"]

GAIN = "speed/compile_gain"

UNTIMED_STEPS = 3
"""The first compiles, the next two record CUDA graphs."""
TIMED_STEPS = 5


def set_up(fabric: Fabric, task: Task, how: Compile = False) -> None:
    """Put a task's networks on the device, in the layout that convolutions are fastest in.

    Args:
        fabric: The device and its precision.
        task: Its networks and optimisers are replaced by what Fabric wraps them in.
        how: Whether to compile the networks at their first use. `cuda_graphs` also records a GPU's
            kernels once and replays them, which pays where they are so short that launching them
            takes longer than running them.
    """
    task.processes = fabric.world_size
    for name, network in list(task.modules.items()):
        network.to(memory_format=torch.channels_last)
        if fabric.world_size > 1:
            synchronise(network)
        ready: Any = network
        if how:
            mode = "reduce-overhead" if how == "cuda_graphs" else None
            ready = torch.compile(network, mode=mode)
        task.modules[name], task.optimizers[name] = fabric.setup(ready, task.optimizers[name])


def mark_step(how: Compile) -> None:
    """Say that a step begins, so that CUDA graphs may reuse the memory of the one before."""
    if how == "cuda_graphs":
        torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]


def check_compiling(how: Compile, accelerator: str) -> None:
    """Refuse what the device cannot do.

    Raises:
        ValueError: If CUDA graphs are asked of another device than a CUDA GPU.
    """
    if how == "cuda_graphs" and accelerator != "cuda":
        raise ValueError(f"compile={how} needs a CUDA GPU, not {accelerator}: set compile=true")


def compile_gain(
    build_task: Callable[[], Task],
    batch: Mapping[str, Tensor],
    how: Compile,
    accelerator: Accelerator,
    precision: FixedPrecision,
) -> float:
    """Time steps of two throw-away models, one of them compiled.

    Args:
        build_task: Builds the model.
        batch: What to take the steps on.
        how: How to compile.
        accelerator: Where.
        precision: In which numbers.

    Returns:
        How many times as fast compiled steps are.

    Raises:
        ValueError: If the networks cannot be compiled, as where there is no C++ compiler.
    """
    started = time.perf_counter()
    seconds = []
    for each in (False, how):
        with torch.random.fork_rng():
            task = build_task()
        try:
            seconds.append(_seconds_a_step(task, batch, each, accelerator, precision))
        except RuntimeError as error:  # what compilers, CUDA graphs and a full GPU raise
            reason = str(error).partition("\n")[0]
            raise ValueError(f"compile={how} fails ({reason}): set compile=false") from error
        # Their memory is the real one's.
        del task
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
    gain = seconds[0] / seconds[1]
    logger.info(
        "torch.compile makes steps %.2f times as fast; compiling and finding out took %.0f s",
        gain,
        time.perf_counter() - started,
    )
    return gain


def _seconds_a_step(
    task: Task,
    batch: Mapping[str, Tensor],
    how: Compile,
    accelerator: Accelerator,
    precision: FixedPrecision,
) -> float:
    fabric = build_fabric(accelerator, precision)
    optimizers = dict(task.optimizers)
    set_up(fabric, task, how)
    updater = Updater(fabric, task, optimizers)
    started = 0.0
    for step in range(1, UNTIMED_STEPS + TIMED_STEPS + 1):
        mark_step(how)
        updater.begin(step)
        task.step(batch, step, updater)
        if step == UNTIMED_STEPS:
            updater.check()  # waits for the device
            started = time.perf_counter()
    updater.check()
    return (time.perf_counter() - started) / TIMED_STEPS
