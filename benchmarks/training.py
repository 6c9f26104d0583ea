"""How fast the engine trains: its steps, the loop around them, and how both grow with the data."""

import tempfile
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import torch
from cases import BATCH, bare_steps, build_task, parameters, random_examples, settings
from reference import textbook
from timing import compare, compare_seconds, seconds_of

from cxr_pipeline.training.engine import train
from cxr_pipeline.training.networks import compile_gain
from cxr_pipeline.training.precision import choose_precision
from cxr_pipeline.training.task import Task
from cxr_pipeline.training.watching import HeldOut, Watchers

STEPS_PER_EPOCH = 100
HELD_OUT = 256
FEW, MANY = 1_000, 100_000
TEN_STEPS = 10
BARE_STEPS = 3


def step(case: str, rounds: int = 5) -> dict[str, float]:
    """The engine's step against the textbook's, on the CPU; images a second."""
    with (
        bare_steps(case, accelerator="cpu") as (session, ours),
        textbook(case) as plain,
    ):
        row = compare_seconds(partial(seconds_of, ours), plain, BATCH, rounds)
        session.read()
    return row


def whole_loop(case: str) -> dict[str, float]:
    """The whole of `engine.train` against its bare step; images a second.

    As many steps as lie between two checkpoints, in epochs of a hundred. All is done as often as
    `conf/base` has it. Whenever the engine reports its losses, the bare steps
    of another session are timed, so that both see the same moods of the machine; that time does
    not count as the loop's.

    Returns:
        As `compare` does, and the share of the loop's time that its own steps took: no other
        session is needed for that, so that it is the steadier of the two.
    """
    steps = parameters(case)["checkpoint_every"]
    marks: dict[str, float] = {}
    bare: list[float] = []

    def timed_task() -> Task:
        task = build_task(case)
        first, after = task.step, task.reconstruct

        def first_step(*arguments):
            marks.setdefault("begun", time.perf_counter())
            return first(*arguments)

        def after_the_last(examples):
            marks["ended"] = time.perf_counter()
            return after(examples)

        task.step, task.reconstruct = first_step, after_the_last
        return task

    with (
        tempfile.TemporaryDirectory() as folder,
        bare_steps(case, accelerator="cpu") as (other, bare_step),
    ):
        bare_step()  # the first time is not like the others

        def on_metrics(number: int, metrics: Mapping[str, float]) -> None:
            if number // TEN_STEPS > len(bare):
                bare.append(
                    seconds_of(lambda: ([bare_step() for _ in range(BARE_STEPS)], other.read()))
                )

        outcome = train(
            timed_task,
            random_examples(case, STEPS_PER_EPOCH * BATCH),
            HeldOut(random_examples(case, HELD_OUT), "validation"),
            settings(case, steps=steps, accelerator="cpu"),
            checkpoints=Path(folder),
            identity={},
            watchers=Watchers(on_metrics, lambda number, drawn: None),
        )
    images = steps * BATCH
    seconds = marks["ended"] - marks["begun"] - sum(bare)
    rates = {"ours": images / seconds, "plain": BARE_STEPS * len(bare) * BATCH / sum(bare)}
    return rates | {"ratio": rates["ours"] / rates["plain"], "share": outcome.seconds / seconds}


def flatness(rounds: int = 3) -> dict[str, float]:
    """The GAN's step with many images to choose from against few: 1 is flat."""
    block = random_examples("gan", FEW)
    many = {
        name: tensor.repeat(MANY // FEW, *[1] * (tensor.ndim - 1)) for name, tensor in block.items()
    }
    with (
        bare_steps("gan", many, accelerator="cpu") as (_, ours),
        bare_steps("gan", block, accelerator="cpu") as (_, plain),
    ):
        return compare(ours, plain, BATCH, rounds)


def compiled(case: str) -> float:
    """How many times as fast compiled steps are."""
    batch = dict(random_examples(case, BATCH))
    task = build_task(case)
    batch |= task.noise(BATCH, torch.Generator())
    return compile_gain(
        partial(build_task, case), batch, True, "cpu", choose_precision("auto", "cpu")
    )
