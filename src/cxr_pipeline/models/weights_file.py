"""A network's weights from a local file: tensors alone, and only where every one of them fits."""

import re
import warnings
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn


def read_state(path: Path, source: str, remedy: str) -> object:
    """Read a `.safetensors` or torch file; nothing in it is ever run.

    Args:
        path: The file's.
        source: The setting that names it, `gmvae.weights='...'`, for messages.
        remedy: What else can be set, for messages.

    Returns:
        What it holds, on the CPU; not yet known to be a state_dict.

    Raises:
        ValueError: If the file is not there or holds more than tensors.
    """
    if not path.is_file():
        raise ValueError(f"{source} is no file: give a file of weights, or {remedy}")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        with warnings.catch_warnings(action="ignore"):  # of old files: what matters is an error
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        # Any: what torch raises of damaged bytes ranges from KeyError to struct.error. Its text
        # may advise to allow code, so it does not go on.
        raise ValueError(
            f"{source} cannot be read as tensors alone ({type(error).__name__}): "
            f"give a .safetensors file or a saved state_dict, or {remedy}"
        ) from None


def state_of(content: object, source: str, remedy: str) -> dict[str, object]:
    """Take a file's content for a state_dict.

    Raises:
        ValueError: If it is none.
    """
    if not isinstance(content, Mapping) or not all(isinstance(key, str) for key in content):
        raise ValueError(f"{source} holds no state_dict: save one, or {remedy}")
    return dict(content)


def features_of(state: Mapping[str, object]) -> dict[str, object]:
    """Take the features' part of a whole network's state; a state of features alone stays."""
    prefix = "features."
    if not any(key.startswith(prefix) for key in state):
        return dict(state)
    return {k.removeprefix(prefix): t for k, t in state.items() if k.startswith(prefix)}


def current_key(key: str) -> str:
    """Rename a key of torchvision's DenseNet files: in them `norm1` is still `norm.1`."""
    return re.sub(r"(denselayer\d+\.(?:norm|relu|conv))\.([12]\.)", r"\1\2", key)


def load_fitting(
    network: nn.Module,
    state: Mapping[str, object],
    *,
    source: str,
    name: str,
    wanted: str,
    remedy: str,
) -> None:
    """Give a network its weights, if all of them fit; else it stays as it was.

    Args:
        network: Whose.
        state: Its state_dict, from a file.
        source: See `read_state`.
        name: What the network is called, for messages.
        wanted: What the file should hold, for messages.
        remedy: See `read_state`.

    Raises:
        ValueError: If one is missing, more than there should be, of another shape or not finite.
    """
    expected = network.state_dict()
    # Before anything is loaded: torch itself would load what fits and then raise.
    misfits = [
        key
        for key, own in expected.items()
        # Old files lack this counter, and torch fills it in.
        if not (key.endswith("num_batches_tracked") and key not in state)
        and not (isinstance(given := state.get(key), Tensor) and given.shape == own.shape)
    ]
    misfits += [key for key in state if key not in expected]
    if misfits:
        more = f" and {len(misfits) - 1} more" if len(misfits) > 1 else ""
        raise ValueError(
            f"{source} does not fit {name} at '{misfits[0]}'{more}: give {wanted}, or {remedy}"
        )
    tensors = {key: tensor for key, tensor in state.items() if isinstance(tensor, Tensor)}
    broken = [k for k, t in tensors.items() if t.is_floating_point() and not t.isfinite().all()]
    if broken:
        raise ValueError(
            f"{source} has numbers that are not finite in '{broken[0]}': give another file, or "
            f"{remedy}"
        )
    network.load_state_dict(tensors)
