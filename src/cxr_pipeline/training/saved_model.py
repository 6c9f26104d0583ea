"""A trained model's folder: `weights.safetensors` and `config.json`."""

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from cxr_pipeline.data.files import file_digest, write_atomically, write_json
from cxr_pipeline.models.digest import weights_digest

WEIGHTS = "weights.safetensors"
CONFIG = "config.json"


def write_tensors(path: Path, tensors: dict[str, Tensor]) -> None:
    """Write contiguous tensors as safetensors, whole or not at all, and without a copy of them.

    Raises:
        OSError: If there is no room for them.
    """

    def write(file: BinaryIO) -> None:
        mode = os.fstat(file.fileno()).st_mode
        try:
            save_file(tensors, file.name)
        except SafetensorError as error:
            # Its text has the system's number for what went wrong, it itself has not.
            number = re.search(r"os error (\d+)", str(error))
            if number is None:
                raise
            raise OSError(int(number[1]), os.strerror(int(number[1])), str(path)) from error
        # What it puts in the file's place is for the owner alone.
        Path(file.name).chmod(mode)

    write_atomically(path, write)


def save_model(folder: Path, config: dict[str, Any], weights: dict[str, Tensor]) -> None:
    """Write a model's files, each whole or not at all; the configuration knows the weights."""
    write_tensors(folder / WEIGHTS, weights)
    write_json(folder / CONFIG, config | {"weights_sha256": file_digest(folder / WEIGHTS)})


def load_model(folder: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Read a model's configuration and weights, to the CPU.

    Raises:
        ValueError: If either file is absent or damaged.
    """
    remedy = "train it, for example with `kedro run --pipeline=gan`"
    for name in (CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            raise ValueError(f"'{folder}' holds no trained model ({name} is not there): {remedy}")
    try:
        config = json.loads((folder / CONFIG).read_text())
        if not isinstance(config, dict):
            raise ValueError(f"{CONFIG} is no object")
        if file_digest(folder / WEIGHTS) != config["weights_sha256"]:
            raise ValueError(f"{WEIGHTS} is not the one that {CONFIG} was written for")
        weights = load_file(folder / WEIGHTS)
    except KeyError as error:
        raise ValueError(f"'{folder / CONFIG}' lacks {error}: {remedy}") from error
    except (ValueError, SafetensorError) as error:
        raise ValueError(f"the model in '{folder}' is damaged ({error}): {remedy}") from error
    return config, weights


def require_own_weights(config: Mapping[str, Any], weights: Mapping[str, Tensor]) -> None:
    """Refuse a configuration and weights of which a killed run replaced one alone.

    Args:
        config: The model's `config.json`.
        weights: The model's `weights.safetensors`.

    Raises:
        ValueError: If the weights are not those that the configuration was written for.
    """
    if weights_digest(weights) != config.get("weights_sha256"):
        raise ValueError(
            f"{WEIGHTS} is not the one that {CONFIG} was written for: train the model, with "
            f"`kedro run --pipeline={config.get('model')}`"
        )


def below(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Take the tensors whose names begin with a prefix, without it."""
    return {key.removeprefix(prefix): t for key, t in tensors.items() if key.startswith(prefix)}


def load_network(network: nn.Module, name: str, weights: Mapping[str, Tensor]) -> None:
    """Give a network its trained weights.

    Args:
        network: Freshly built.
        name: Its name in the weights' keys, `name.key`.
        weights: The model's weights.

    Raises:
        ValueError: If they are another network's.
    """
    try:
        network.load_state_dict(below(weights, f"{name}."))
    except RuntimeError as error:
        raise ValueError(
            f"the weights do not fit the {name} of config.json: train the model anew"
        ) from error
