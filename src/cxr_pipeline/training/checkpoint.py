"""Resumable checkpoints: safetensors and JSON, never half written.

    checkpoint/
      000007_step_400.safetensors   weights, optimiser states, their average, history
      000007_step_400.json          what they belong to and their SHA-256; written last
      000008_step_500.safetensors
      000008_step_500.json

The number before the step counts the folder's checkpoints: the highest is the latest, also where a
new run began at step 1 again. Random numbers need no place here: they follow from the seed and the
step.
"""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.optim import Optimizer

from cxr_pipeline.data.files import file_digest, json_digest, write_json
from cxr_pipeline.training.saved_model import below, write_tensors

logger = logging.getLogger(__name__)

FORMAT = 2
DIGEST = "record_sha256"

HistoryRow = tuple[int, str, float]
"""step, metric, value"""


@dataclass(frozen=True)
class Learner:
    """All that training changes, and that a checkpoint therefore holds."""

    modules: Mapping[str, nn.Module]
    optimizers: Mapping[str, Optimizer]
    average: nn.Module | None = None
    """The averaged network, see `averaging.Average`."""
    scaler: Any = None
    """fp16's loss scaler."""


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint's record; the tensors stay on disk until they are asked for."""

    path: Path
    """Of the record."""
    step: int
    identity: dict[str, Any]
    """What was trained on what; a run only goes on from a checkpoint of its own identity."""
    run: str
    """Which training wrote it; one that goes on from it is still the same."""
    notes: dict[str, str]
    """What whoever started the training wanted to be kept with it."""
    alarms: dict[str, list[str]]
    """Which warnings stand, and which were said."""
    seconds: float
    """Time spent in training steps so far."""
    finished: bool
    """Whether training had reached its planned end, and what came of it was kept."""
    scaler: dict[str, Any]
    metrics: list[str]
    """The history's metrics, by their numbers in it."""

    @property
    def tensors(self) -> Path:
        """The file of the tensors."""
        return self.path.with_suffix(".safetensors")

    def restore(self, learner: Learner) -> list[HistoryRow]:
        """Load weights, optimiser states and the like into what was freshly built.

        Returns:
            The history.

        Raises:
            ValueError: If the file holds no tensors, though it is the one that was written.
        """
        try:
            state = load_file(self.tensors)
        except SafetensorError as error:
            raise ValueError(
                f"checkpoint '{self.tensors}' holds no tensors ({error}): delete it"
            ) from error
        for name, module in learner.modules.items():
            module.load_state_dict(below(state, f"module/{name}/"))
        for name, optimizer in learner.optimizers.items():
            values: dict[int, dict[str, Tensor]] = {}
            for key, tensor in below(state, f"optimizer/{name}/").items():
                index, field = key.split("/")
                values.setdefault(int(index), {})[field] = tensor
            groups = optimizer.state_dict()["param_groups"]
            optimizer.load_state_dict({"state": values, "param_groups": groups})
            _lay_out_as_weights(optimizer)
        if learner.average is not None:
            learner.average.load_state_dict(below(state, "average/"))
        if learner.scaler is not None:
            learner.scaler.load_state_dict(self.scaler)
        columns = (state[f"history/{name}"].tolist() for name in ("step", "metric", "value"))
        return [(step, self.metrics[m], value) for step, m, value in zip(*columns, strict=True)]


def _lay_out_as_weights(optimizer: Optimizer) -> None:
    """Give an optimiser's state the memory layout of its weights.

    Files know one layout alone, and fused kernels go through memory without asking which it is.
    """
    for weights, state in optimizer.state.items():
        for name, tensor in state.items():
            alike = weights if tensor.shape == weights.shape else tensor
            # A copy in any case: what was loaded maps the file, and holds it when it is removed.
            state[name] = torch.empty_like(alike, requires_grad=False).copy_(tensor)


def write_checkpoint(
    folder: Path,
    learner: Learner,
    *,
    step: int,
    identity: dict[str, Any],
    run: str,
    history: list[HistoryRow],
    seconds: float,
    notes: Mapping[str, str],
    alarms: Mapping[str, list[str]],
    keep: int,
) -> None:
    """Write a checkpoint, then remove those that are not wanted any more.

    Args:
        folder: The checkpoints'.
        learner: What is learnt.
        step: Steps done.
        identity: See `Checkpoint`.
        run: See `Checkpoint`.
        history: All of the run.
        seconds: See `Checkpoint`.
        notes: See `Checkpoint`.
        alarms: See `Checkpoint`.
        keep: How many of the run's latest to keep; those of other runs go.
    """
    latest = max((_serial(path) for path in folder.glob("*_step_*.*")), default=0)
    path = folder / f"{latest + 1:06d}_step_{step}.json"
    metrics = list(dict.fromkeys(metric for _, metric, _ in history))
    tensors = path.with_suffix(".safetensors")
    write_tensors(tensors, _tensors(learner) | _history_tensors(history, metrics))
    record = {
        "format": FORMAT,
        "step": step,
        "identity": identity,
        "run": run,
        "notes": dict(notes),
        "alarms": dict(alarms),
        "seconds": seconds,
        "finished": False,
        "scaler": learner.scaler.state_dict() if learner.scaler is not None else {},
        "metrics": metrics,
        "sha256": file_digest(tensors),
    }
    _write_record(path, record)
    _remove_others(folder, run, keep)


def _tensors(learner: Learner) -> dict[str, Tensor]:
    state: dict[str, Tensor] = {}
    for name, module in learner.modules.items():
        for key, tensor in module.state_dict().items():
            state[f"module/{name}/{key}"] = tensor.contiguous()
    for name, optimizer in learner.optimizers.items():
        for index, values in optimizer.state_dict()["state"].items():
            for key, tensor in values.items():
                state[f"optimizer/{name}/{index}/{key}"] = tensor.contiguous()
    if learner.average is not None:
        for key, tensor in learner.average.state_dict().items():
            state[f"average/{key}"] = tensor.contiguous()
    return state


def _history_tensors(history: list[HistoryRow], metrics: list[str]) -> dict[str, Tensor]:
    numbers = {metric: number for number, metric in enumerate(metrics)}
    return {
        "history/step": torch.tensor([row[0] for row in history], dtype=torch.int64),
        "history/metric": torch.tensor([numbers[row[1]] for row in history], dtype=torch.int32),
        "history/value": torch.tensor([row[2] for row in history], dtype=torch.float64),
    }


def _remove_others(folder: Path, run: str, keep: int) -> None:
    own = []
    for path in _records(folder):
        try:
            same = json.loads(path.read_text())["run"] == run
        except (ValueError, KeyError, TypeError):
            same = False  # damaged: of no use to anyone once there is a newer one
        if same:
            own.append(path)
    kept = {path.stem for path in own[:keep]}
    # Records first: a record without its tensors would look like damage. What was half written as
    # a run was killed begins with a dot and goes too: a folder is one run's at a time.
    for path in sorted(folder.glob("*_step_*"), key=lambda path: path.suffix != ".json"):
        if path.stem not in kept:
            path.unlink()


def _records(folder: Path) -> list[Path]:
    """The checkpoints' records, the latest first."""
    return sorted(folder.glob("[0-9]*_step_*.json"), key=_serial, reverse=True)


def _serial(path: Path) -> int:
    digits = path.name.lstrip(".").partition("_")[0]
    return int(digits) if digits.isdecimal() else 0


def mark_finished(folder: Path) -> None:
    """Note in the latest checkpoint that what came of its training is kept."""
    path = _records(folder)[0]
    _write_record(path, json.loads(path.read_text()) | {"finished": True})


def _write_record(path: Path, record: dict[str, Any]) -> None:
    """Write a record with a digest of itself."""
    content = {key: value for key, value in record.items() if key != DIGEST}
    write_json(path, content | {DIGEST: json_digest(content)})


def find_checkpoint(folder: Path) -> Checkpoint | None:
    """Find the folder's latest checkpoint that is whole.

    Those that are damaged are passed over with a warning.

    Returns:
        The checkpoint, or `None` if there is none at all.

    Raises:
        ValueError: If there are some but each is damaged.
    """
    trouble = ""
    for path in _records(folder):
        try:
            found = _read_record(path)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            trouble = f"checkpoint '{path}' is damaged ({_reason(error)})"
            logger.warning("%s: looking for the one before", trouble)
            continue
        if trouble:
            logger.warning("Taking the checkpoint of step %d", found.step)
        return found
    if trouble:
        raise ValueError(f"{trouble}, and so is every other: delete '{folder}' to start anew")
    return None


def _read_record(path: Path) -> Checkpoint:
    record = json.loads(path.read_text())
    if json_digest({k: v for k, v in record.items() if k != DIGEST}) != record[DIGEST]:
        raise ValueError("its record is not as it was written")
    if record["format"] != FORMAT:
        raise ValueError(f"format {record['format']}, not {FORMAT}: of another version")
    found = Checkpoint(
        path=path,
        step=int(record["step"]),
        identity=dict(record["identity"]),
        run=str(record["run"]),
        notes=dict(record["notes"]),
        alarms=dict(record["alarms"]),
        seconds=float(record["seconds"]),
        finished=bool(record["finished"]),
        scaler=dict(record["scaler"]),
        metrics=list(record["metrics"]),
    )
    if file_digest(found.tensors) != record["sha256"]:
        raise ValueError(f"{found.tensors.name}: wrong SHA-256")
    return found


def _reason(error: Exception) -> str:
    return f"lacks {error}" if isinstance(error, KeyError) else str(error)
