"""Where an encoder's weights come from: ImageNet by torchvision, a local file, or chance."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torchvision.models import DenseNet121_Weights, VGG16_Weights

from cxr_pipeline.models.digest import weights_digest
from cxr_pipeline.models.encoders import ImageEncoder
from cxr_pipeline.models.weights_file import (
    current_key,
    features_of,
    load_fitting,
    read_state,
    state_of,
)

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
        _fill(encoder, _imagenet_state(encoder.name), f"gmvae.weights='{choice.url}'")
        return f"imagenet ({choice!r})"
    path = Path(weights)
    source = f"gmvae.weights='{path}'"
    _fill(encoder, read_state(path, source, f"imagenet, or {REMEDY}"), source)
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


def _fill(encoder: ImageEncoder, content: object, source: str) -> None:
    """Load a whole network's state, or its features' alone, if all of it fits."""
    state = features_of(state_of(content, source, REMEDY))
    load_fitting(
        encoder.features,
        {current_key(key): tensor for key, tensor in state.items()},
        source=source,
        name=encoder.name,
        wanted=f"torchvision's {encoder.name}, whole or its features alone",
        remedy=REMEDY,
    )
