"""Resumable checkpoints: safetensors and JSON, never half written.

    checkpoint/
      step_00000400.safetensors   weights and optimiser states
      checkpoint.json             step, identity, history, SHA-256 of the above; written last

Random numbers need no place here: they follow from the seed and the step.
"""

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import Tensor, nn
from torch.optim import Optimizer

from cxr_pipeline.data.files import file_digest, write_json
from cxr_pipeline.training.saved_model import below, write_tensors

logger = logging.getLogger(__name__)

RECORD = "checkpoint.json"

HistoryRow = tuple[int, str, float]
"""step, metric, value"""


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint's record; the tensors stay on disk until `restore` is called."""

    step: int
    identity: dict[str, Any]
    """What was trained on what; a run only goes on from a checkpoint of its own identity."""
    history: list[HistoryRow]
    seconds: float
    """Time spent in training steps so far."""
    finished: bool
    """Whether training had reached its planned end, and all that comes after it."""
    tensors: Path


def write_checkpoint(
    folder: Path,
    *,
    step: int,
    identity: dict[str, Any],
    history: list[HistoryRow],
    seconds: float,
    modules: dict[str, nn.Module],
    optimizers: dict[str, Optimizer],
) -> None:
    """Write a checkpoint and then remove the one before it."""
    state: dict[str, Tensor] = {}
    for name, module in modules.items():
        for key, tensor in module.state_dict().items():
            state[f"module/{name}/{key}"] = tensor.contiguous()
    for name, optimizer in optimizers.items():
        for index, values in optimizer.state_dict()["state"].items():
            for key, tensor in values.items():
                state[f"optimizer/{name}/{index}/{key}"] = tensor.contiguous()
    tensors = folder / f"step_{step:08d}.safetensors"
    write_tensors(tensors, state)
    record = {
        "step": step,
        "identity": identity,
        "history": history,
        "seconds": seconds,
        "finished": False,
        "tensors": tensors.name,
        "sha256": file_digest(tensors),
    }
    write_json(folder / RECORD, record)
    for other in folder.glob("step_*.safetensors"):
        if other != tensors:
            other.unlink()


def mark_finished(folder: Path) -> None:
    """Note in a checkpoint that nothing of its run is left to do."""
    record = json.loads((folder / RECORD).read_text())
    write_json(folder / RECORD, record | {"finished": True})


def find_checkpoint(folder: Path) -> Checkpoint | None:
    """Find the folder's checkpoint.

    Returns:
        The checkpoint, or `None` if there is none.

    Raises:
        ValueError: If there is one but it is damaged.
    """
    path = folder / RECORD
    if not path.is_file():
        return None
    remedy = f"delete '{folder}' to train from the start"
    try:
        record = json.loads(path.read_text())
        found = Checkpoint(
            step=int(record["step"]),
            identity=dict(record["identity"]),
            history=[
                (int(step), str(metric), float(value)) for step, metric, value in record["history"]
            ],
            seconds=float(record["seconds"]),
            finished=bool(record["finished"]),
            tensors=folder / Path(record["tensors"]).name,
        )
        intact = file_digest(found.tensors) == record["sha256"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"checkpoint '{path}' is damaged ({error}): {remedy}") from error
    if not intact:
        raise ValueError(f"checkpoint '{found.tensors}' is damaged (wrong SHA-256): {remedy}")
    return found


def restore(
    checkpoint: Checkpoint, modules: dict[str, nn.Module], optimizers: dict[str, Optimizer]
) -> None:
    """Load a checkpoint's weights and optimiser states into freshly built ones."""
    state = load_file(checkpoint.tensors)
    for name, module in modules.items():
        module.load_state_dict(below(state, f"module/{name}/"))
    for name, optimizer in optimizers.items():
        values: dict[int, dict[str, Tensor]] = {}
        for key, tensor in below(state, f"optimizer/{name}/").items():
            index, field = key.split("/")
            values.setdefault(int(index), {})[field] = tensor
        groups = optimizer.state_dict()["param_groups"]
        optimizer.load_state_dict({"state": values, "param_groups": groups})
