"""Where an encoder's weights come from: ImageNet by torchvision, a local file, or chance."""

import re
import socket
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor
from torchvision.models import DenseNet121_Weights, VGG16_Weights

from cxr_pipeline.models.digest import weights_digest
from cxr_pipeline.models.encoders import ImageEncoder

IMAGENET = "imagenet"

IMAGENET_WEIGHTS = {
    "vgg16": VGG16_Weights.IMAGENET1K_V1,
    "densenet121": DenseNet121_Weights.IMAGENET1K_V1,
}

SECONDS_OF_SILENCE = 30.0
"""How long a download may stand still before it has failed."""

REMEDY = "set gmvae.weights=null for random ones"


def load_encoder_weights(encoder: ImageEncoder, weights: str | None) -> str:
    """Give an encoder its first weights; where they cannot be had, it stays as it was.

    Args:
        encoder: The encoder.
        weights: `None` leaves the random ones it was built with; `imagenet` takes torchvision's,
            downloaded once (VGG16 528 MB, DenseNet121 31 MB); anything else is the path of a
            `.safetensors` or torch file that holds torchvision's network, whole or its features
            alone. Nothing in such a file is ever run.

    Returns:
        Where they come from, for `encoder_record`: `random`, `imagenet (...)` or `file ...`.

    Raises:
        ValueError: If the file is not there, is not one of weights or does not fit, or ImageNet's
            weights cannot be downloaded.
    """
    if weights is None:
        return "random"
    if weights == IMAGENET:
        choice = IMAGENET_WEIGHTS[encoder.name]
        _fill(encoder, _imagenet_state(encoder.name), choice.url)
        return f"imagenet ({choice!r})"
    path = Path(weights)
    _fill(encoder, _file_state(path), str(path))
    return f"file {path.name}"


def encoder_record(encoder: ImageEncoder, source: str) -> dict[str, Any]:
    """Describe an encoder, in JSON's types: equal records look at images alike.

    Args:
        encoder: The encoder.
        source: What `load_encoder_weights` returned.
    """
    return {
        "name": encoder.name,
        "normalise": encoder.door.normalise,
        "weights": source,
        "sha256": weights_digest(encoder.state_dict()),
    }


def _imagenet_state(name: str) -> object:
    choice = IMAGENET_WEIGHTS[name]
    try:
        with _patience(SECONDS_OF_SILENCE):
            return choice.get_state_dict(check_hash=True, weights_only=True, map_location="cpu")
    except Exception as error:  # any, as for files
        file = Path(torch.hub.get_dir(), "checkpoints", Path(choice.url).name)
        if file.exists():
            what = f"'{file}' is damaged ({type(error).__name__}): delete it to download it anew"
        else:
            reason = str(error).partition("\n")[0] or type(error).__name__
            what = f"cannot download {choice.url} ({reason}): put that file at a PATH and set "
            what += "gmvae.weights=PATH"
        raise ValueError(f"gmvae.weights=imagenet: {what}, or {REMEDY}") from None


@contextmanager
def _patience(seconds: float) -> Iterator[None]:
    """Let no connection stand still for longer: torch's downloads would wait for ever."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _file_state(path: Path) -> object:
    if not path.is_file():
        raise ValueError(
            f"gmvae.weights='{path}' is no file: give imagenet or a file of weights, or {REMEDY}"
        )
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        with warnings.catch_warnings(action="ignore"):  # of old files: what matters is an error
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        # Any: what torch raises of damaged bytes ranges from KeyError to struct.error. Its text
        # may advise to allow code, so it does not go on.
        raise ValueError(
            f"gmvae.weights='{path}' cannot be read as tensors alone ({type(error).__name__}): "
            f"give a .safetensors file or a saved state_dict, or {REMEDY}"
        ) from None


def _fill(encoder: ImageEncoder, state: object, source: str) -> None:
    """Load a whole network's state, or its features' alone, if all of it fits."""
    if not isinstance(state, Mapping) or not all(isinstance(key, str) for key in state):
        raise ValueError(f"gmvae.weights='{source}' holds no state_dict: save one, or {REMEDY}")
    prefix = "features."
    if any(key.startswith(prefix) for key in state):
        state = {k.removeprefix(prefix): t for k, t in state.items() if k.startswith(prefix)}
    state = {_current_key(key): tensor for key, tensor in state.items()}
    expected = encoder.features.state_dict()
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
            f"gmvae.weights='{source}' does not fit {encoder.name} at '{misfits[0]}'{more}: give "
            f"torchvision's {encoder.name}, whole or its features alone, or {REMEDY}"
        )
    broken = [k for k, t in state.items() if t.is_floating_point() and not t.isfinite().all()]
    if broken:
        raise ValueError(
            f"gmvae.weights='{source}' has numbers that are not finite in '{broken[0]}': give "
            f"another file, or {REMEDY}"
        )
    encoder.features.load_state_dict(state)


def _current_key(key: str) -> str:
    """Rename a key of torchvision's DenseNet files: in them `norm1` is still `norm.1`."""
    return re.sub(r"(denselayer\d+\.(?:norm|relu|conv))\.([12]\.)", r"\1\2", key)
