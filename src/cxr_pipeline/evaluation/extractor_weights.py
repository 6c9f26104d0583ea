"""Networks trained elsewhere, from a local file of weights; nothing is downloaded."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, relu
from torchvision.models import inception_v3

from cxr_pipeline.data.files import file_digest
from cxr_pipeline.models.classifier import Classifier
from cxr_pipeline.models.image_door import ImageDoor
from cxr_pipeline.models.weights_file import (
    current_key,
    features_of,
    load_fitting,
    read_state,
    state_of,
)

State = Mapping[str, object]

XRAY_RANGE = 1024.0
"""TorchXRayVision's grey levels lie between minus this and this."""


@dataclass(frozen=True)
class Pretrained:
    """A network trained elsewhere, with its weights."""

    network: nn.Module
    describe: Callable[[Tensor], Tensor]
    """Given (B, 1, s, s) images in [0, 1]: (B, F) features."""
    image_size: int
    """s."""
    dimensions: int
    """F."""
    sha256: str
    """Of the file."""


def load_pretrained(name: str, path: Path, sha256: str | None) -> Pretrained:
    """Build a network and give it a file's weights.

    Args:
        name: `inception`, torchvision's inception_v3 (of ImageNet's pictures), or
            `torchxrayvision`, a DenseNet121 of its `res224` family (of chest X-rays).
        path: A `.safetensors` or torch file of its state_dict.
        sha256: What the file's SHA-256 has to be; `None` for any.

    Raises:
        ValueError: If the file is not there, is another one, holds more than tensors or does not
            fit.
    """
    source = f"evaluation.weights='{path}'"
    remedy = f"leave {name} out of evaluation.extractors"
    if not path.is_file():
        raise ValueError(f"{source} is no file: give a file of weights, or {remedy}")
    digest = file_digest(path)
    if sha256 is not None and digest != sha256:
        raise ValueError(
            f"{source} has SHA-256 {digest}, not evaluation.weights_sha256={sha256}: give the "
            "right file, or set weights_sha256 to its own"
        )
    state = state_of(read_state(path, source, remedy), source, remedy)
    network, describe, image_size, dimensions, own_part, wanted = _BUILDERS[name]()
    load_fitting(network, own_part(state), source=source, name=name, wanted=wanted, remedy=remedy)
    return Pretrained(network, describe, image_size, dimensions, digest)


class _Built(NamedTuple):
    """See `Pretrained`."""

    network: nn.Module
    describe: Callable[[Tensor], Tensor]
    image_size: int
    dimensions: int
    own_part: Callable[[State], State]
    """What of a file's state_dict is the network's."""
    wanted: str


def _inception() -> _Built:
    # `transform_input` undoes ImageNet's normalisation: these weights want [-1, 1], as
    # torchvision itself sets it where it brings them.
    network = inception_v3(init_weights=False, aux_logits=False, transform_input=True)
    dimensions = network.fc.in_features
    network.fc = nn.Identity()
    door = ImageDoor(3, normalise=True)

    def describe(images: Tensor) -> Tensor:
        features: Tensor = network(door.to(images.device)(images))
        return features

    def own_part(state: State) -> State:
        return {k: t for k, t in state.items() if not k.startswith(("fc.", "AuxLogits."))}

    return _Built(network, describe, 299, dimensions, own_part, "torchvision's inception_v3")


def _torchxrayvision() -> _Built:
    # Its DenseNet121 is torchvision's with one channel.
    whole = Classifier("densenet121", 1)
    network = whole.body

    def describe(images: Tensor) -> Tensor:
        maps = relu(network(XRAY_RANGE * (2 * images - 1)))
        return adaptive_avg_pool2d(maps, 1).flatten(1)

    def own_part(state: State) -> State:
        # Beside its features lie a classifier of its own findings and their thresholds.
        return {current_key(key): tensor for key, tensor in features_of(state).items()}

    wanted = "the state_dict of a torchxrayvision densenet121-res224"
    return _Built(network, describe, 224, whole.dimensions, own_part, wanted)


_BUILDERS = {"inception": _inception, "torchxrayvision": _torchxrayvision}
