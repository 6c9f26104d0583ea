"""`kedro run` under `torchrun`: rank 0 runs Kedro as ever, the others help it to train.

    torchrun --nproc-per-node=2 -m kedro run --pipeline=gan

The others know neither Kedro's pipeline nor MLflow. They wait until rank 0 announces a training,
take part in it, and wait for the next. All machines must see the project's data folder.
"""

import json
import logging
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import distributed

from cxr_pipeline.data.store import ImageStore, open_store
from cxr_pipeline.training.distributed import join, leads, processes
from cxr_pipeline.training.feature_cache import FeatureCache, open_features
from cxr_pipeline.training.run import Trained, train_on_store

GRACE = 10.0
"""Seconds that a follower which failed leaves rank 0 to fail too, and to say it better."""


def run_together(lead: Callable[[], object]) -> None:
    """Do in rank 0 what it does alone; in the others take part in what it trains meanwhile."""
    if leads():
        lead()
        _tell(b"")
    else:
        # What they had to say, rank 0 says.
        logging.getLogger("cxr_pipeline").setLevel(logging.ERROR)
        _follow()
    if distributed.is_initialized():
        distributed.destroy_process_group()


def train_with_followers(
    model: str,
    images: ImageStore,
    parameters: Mapping[str, Any],
    *,
    checkpoints: Path,
    progress: Path,
    features: FeatureCache | None = None,
    reuse: bool = False,
    **own: Any,
) -> Trained:
    """Train a model with all processes that there are.

    Args:
        model: As for `train_on_store`, like the other arguments.
        images: On a disk that all machines share, as must be whatever is a folder here.
        parameters: See there.
        checkpoints: See there.
        progress: See there.
        features: See there.
        reuse: See there.
        own: What is rank 0's own affair.

    Raises:
        ValueError: See there.
    """
    job = {
        "model": model,
        "images": str(images.folder.resolve()),
        "parameters": dict(parameters),
        "checkpoints": str(checkpoints.resolve()),
        "progress": str(progress.resolve()),
        "features": str(features.folder.resolve()) if features else None,
        "reuse": reuse,
    }
    _tell(json.dumps(job).encode())
    return train_on_store(
        model,
        images,
        parameters,
        checkpoints=checkpoints,
        progress=progress,
        features=features,
        reuse=reuse,
        **own,
    )


def _follow() -> None:
    """Take part in all that rank 0 announces, until it has nothing more to train."""
    try:
        while told := _hear():
            _take_part(**json.loads(told))
    except Exception:
        with _signals_at_once():
            time.sleep(GRACE)
        raise


def _take_part(
    *,
    model: str,
    images: str,
    parameters: dict[str, Any],
    checkpoints: str,
    progress: str,
    features: str | None,
    reuse: bool,
) -> None:
    train_on_store(
        model,
        open_store(Path(images)),
        parameters,
        checkpoints=Path(checkpoints),
        progress=Path(progress),
        on_metrics=lambda step, metrics: None,
        on_sheet=lambda step, sheet: None,
        features=open_features(Path(features)) if features else None,
        reuse=reuse,
    )


def _tell(message: bytes) -> None:
    """Tell the others; they are done when there is nothing to tell."""
    if processes() > 1:
        join()
        distributed.broadcast(torch.tensor(len(message)), 0)
        if message:
            # Bytes and no objects: what is received is never run.
            distributed.broadcast(torch.tensor(list(message), dtype=torch.uint8), 0)


def _hear() -> bytes:
    with _signals_at_once():
        join()
        length = torch.tensor(0)
        distributed.broadcast(length, 0)
        message = torch.empty(int(length), dtype=torch.uint8)
        if len(message):
            distributed.broadcast(message, 0)
    return bytes(message.tolist())


@contextmanager
def _signals_at_once() -> Iterator[None]:
    """Let signals end a process that waits: Python's own handlers would wait with it."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    previous = {number: signal.signal(number, signal.SIG_DFL) for number in numbers}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
