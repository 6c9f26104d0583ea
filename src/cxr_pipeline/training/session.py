"""One training set up: networks on the device, where it begins, what it has recorded so far."""

import logging
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning.fabric import Fabric
from torch import Tensor, nn

from cxr_pipeline.randomness import derive_seed
from cxr_pipeline.training.averaging import Average
from cxr_pipeline.training.checkpoint import HistoryRow, Learner, write_checkpoint
from cxr_pipeline.training.distributed import (
    average_over_processes,
    check_processes,
    require_same_start,
    wait_for_all,
)
from cxr_pipeline.training.memory import keep_freed_memory
from cxr_pipeline.training.networks import check_compiling, mark_step, set_up
from cxr_pipeline.training.precision import (
    FixedPrecision,
    build_fabric,
    choose_accelerator,
    choose_precision,
)
from cxr_pipeline.training.recording import Alarms, Recorder, Stopwatch
from cxr_pipeline.training.settings import Settings, checkpoint_to_resume
from cxr_pipeline.training.task import Task
from cxr_pipeline.training.updates import Updater

logger = logging.getLogger(__name__)


@dataclass
class Session:
    """What training works with."""

    settings: Settings
    checkpoints: Path
    """The folder of its checkpoints."""
    identity: dict[str, Any]
    """What is trained on what, in what precision."""
    notes: Mapping[str, str]
    """See `Checkpoint.notes`."""
    precision: FixedPrecision
    fabric: Fabric
    task: Task
    networks: dict[str, nn.Module]
    """The task's networks themselves, without what trains them."""
    average: Average | None
    updater: Updater
    learner: Learner
    start: int = 0
    """Steps done before."""
    run: str = ""
    """See `Checkpoint.run`."""

    def __post_init__(self) -> None:
        """Begin with nothing recorded."""
        self.history: list[HistoryRow] = []
        self.recorder = Recorder(self.history, average_over_processes)
        self.alarms = Alarms({})
        self.watch = Stopwatch()

    def step(self, batch: Mapping[str, Tensor], step: int) -> None:
        """Take a step, counted from 1."""
        mark_step(self.settings.compile)
        self.updater.begin(step)
        self.recorder.add(step, self.task.step(batch, step, self.updater))
        if self.average:
            self.average.update(self.networks[self.task.drawing], step)

    @property
    def leads(self) -> bool:
        """Whether it is for this process to look, write and tell."""
        return self.fabric.is_global_zero

    def read(self) -> dict[str, float]:
        """Read from the device what the steps since the last reading gave.

        If something has been done since, all processes have to read: they average what they find.

        Returns:
            The latest step's metrics.

        Raises:
            NotFiniteError: If a loss or gradient was no number.
        """
        self.updater.check()
        return self.recorder.read()

    def save(self, step: int) -> None:
        """Write a checkpoint after a step."""
        self.read()
        if self.leads:
            write_checkpoint(
                self.checkpoints,
                self.learner,
                step=step,
                identity=self.identity,
                run=self.run,
                history=self.history,
                seconds=self.watch.seconds,
                notes=self.notes,
                alarms=self.alarms.state(),
                keep=self.settings.keep_checkpoints,
            )
        wait_for_all()  # no process ends, and has the others ended, before it is written

    @contextmanager
    def drawing(self) -> Iterator[None]:
        """Let the task use its networks in full precision, and the average of that which draws."""
        self.read()  # nothing is drawn by networks that are no good
        learning = dict(self.task.modules)
        self.task.modules |= self.networks
        if self.average:
            self.task.modules[self.task.drawing] = self.average.network
        try:
            yield
        finally:
            self.task.modules |= learning


def begin(
    build_task: Callable[[], Task],
    settings: Settings,
    checkpoints: Path,
    identity: dict[str, Any],
    notes: Mapping[str, str],
) -> Session:
    """Build what is trained, and bring it to where its checkpoint left it.

    Args:
        build_task: Builds the model and its optimisers, with weights from torch's global generator.
        settings: How to train.
        checkpoints: The folder of the checkpoints.
        identity: What is trained on what, in JSON's types.
        notes: See `Checkpoint.notes`.

    Raises:
        ValueError: If the device is not there, or the checkpoint to resume from is absent, damaged
            or of another identity, or the processes cannot share a batch or differ in where they
            would begin.
    """
    precision = choose_precision(settings.precision, settings.accelerator)
    identity = {**identity, "precision": precision}
    found = checkpoint_to_resume(
        checkpoints,
        identity,
        resume=settings.resume,
        steps=settings.steps,
        reuse=settings.reuse,
    )
    accelerator = choose_accelerator(settings.accelerator)
    check_compiling(settings.compile, accelerator)
    check_processes(settings.batch_size, accelerator)
    fabric = build_fabric(settings.accelerator, precision)
    if fabric.device.type == "cpu":
        keep_freed_memory()
    with torch.random.fork_rng():
        torch.manual_seed(derive_seed(settings.seed, "weights"))
        task = build_task()
    networks, optimizers = dict(task.modules), dict(task.optimizers)
    set_up(fabric, task, settings.compile)
    drawn_by = networks[task.drawing]
    average = Average(drawn_by, settings.ema_decay) if settings.ema_decay else None
    updater = Updater(
        fabric,
        task,
        optimizers,
        gradient_clip=settings.gradient_clip,
        learning_rate_warmup=settings.learning_rate_warmup,
    )
    learner = Learner(networks, optimizers, average.network if average else None, updater.scaler)
    session = Session(
        settings,
        checkpoints,
        identity,
        notes,
        precision,
        fabric,
        task,
        networks,
        average,
        updater,
        learner,
        run=uuid.uuid4().hex,
    )
    if found:
        # Only now: a restored optimiser's state goes to the device that its weights are on.
        session.history.extend(found.restore(learner))
        session.start, session.run = found.step, found.run
        session.watch.seconds = found.seconds
        session.alarms = Alarms(found.alarms)
        logger.info("Resumed at step %d of %d from '%s'", found.step, settings.steps, found.path)
    require_same_start(session.start)
    return session
