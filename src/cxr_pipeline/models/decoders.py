"""The GMVAE's decoders (the paper's Tables 2 and 3, and the linear one of its FS versions).

All give logits: a sigmoid makes them colours. The authors end with batch norm and an activation
before the sigmoid, so that no pixel can be darker than mid-grey; here the last layer is plain.
"""

from itertools import pairwise
from math import prod

from torch import nn

IMAGE_SHAPE = (3, 224, 224)

GRID = 14
"""Side of what the convolutions of decoders 1 and 2 begin with: four doublings take it to 224."""

CHANNELS = {"1": (14, 6, 3, 3, 3), "2": (128, 64, 32, 16, 3)}
"""Of decoders 1 (Table 2) and 2 (Table 3), from their input to their image."""

LINEAR_WIDTHS = (2560, 2560, 2560, 2560, 784)
"""Of the linear decoder's hidden layers, as the authors' code has them: the paper says none."""

DECODERS = ("linear", *CHANNELS)


def build_decoder(name: str, inputs: int) -> nn.Sequential:
    """Build a decoder, with torch's own first weights.

    Args:
        name: `linear`, `1` (Table 2) or `2` (Table 3).
        inputs: Dimension of the latents, with that of the findings where there are any.

    Returns:
        A network from (B, inputs) to logits (B, 3, 224, 224).

    Raises:
        ValueError: If there is no such decoder.
    """
    if name == "linear":
        return _linear_decoder(inputs)
    if name not in CHANNELS:
        raise ValueError(f"decoder={name!r} is unknown: set it to {', '.join(DECODERS)}")
    return _convolutional_decoder(inputs, CHANNELS[name])


def _linear_decoder(inputs: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for width_in, width_out in pairwise((inputs, *LINEAR_WIDTHS)):
        layers += [nn.Linear(width_in, width_out), nn.ELU(inplace=True)]
    layers += [nn.Linear(LINEAR_WIDTHS[-1], prod(IMAGE_SHAPE)), nn.Unflatten(1, IMAGE_SHAPE)]
    return nn.Sequential(*layers)


def _convolutional_decoder(inputs: int, channels: tuple[int, ...]) -> nn.Sequential:
    layers: list[nn.Module] = [
        nn.Linear(inputs, channels[0] * GRID * GRID),
        nn.ELU(inplace=True),
        nn.Unflatten(1, (channels[0], GRID, GRID)),
    ]
    for channels_in, channels_out in pairwise(channels):
        layers += [
            nn.ConvTranspose2d(channels_in, channels_out, 4, stride=2, padding=1),
            nn.BatchNorm2d(channels_out),
            nn.ELU(inplace=True),
        ]
    return nn.Sequential(*layers[:-2])  # the last layer is plain
