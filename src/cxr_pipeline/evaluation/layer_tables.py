"""The convolutional decoders layer by layer, beside the paper's Tables 2 and 3."""

import pandas as pd
import torch
from torch import nn

from cxr_pipeline.models.decoders import build_decoder

PAPER_LAYERS = {
    "1": (
        ("1*14*14*14", "N/A", "N/A"),
        ("1*6*28*28", "4*4*14*6", "6"),
        ("1*3*56*56", "4*4*6*3", "3"),
        ("1*3*112*112", "4*4*3*3", "3"),
        ("1*3*224*224", "4*4*3*3", "3"),
    ),
    "2": (
        ("1*128*14*14", "N/A", "N/A"),
        ("1*64*28*28", "4*4*128*64", "64"),
        ("1*32*56*56", "4*4*64*32", "32"),
        ("1*16*112*112", "4*4*32*16", "16"),
        ("1*3*224*224", "4*4*16*3", "3"),
    ),
}
"""Activation volumes, weights and biases as Tables 2 and 3 print them, the input first."""


def decoder_layer_table(decoder: str) -> pd.DataFrame:
    """Measure a decoder's transposed convolutions on one image.

    Args:
        decoder: `1` (Table 2) or `2` (Table 3).

    Returns:
        A row for the input and each layer: `layer` with channels in and out, kernel, stride and
        padding; `activation_volume` of what comes out, such as `1*6*28*28`; `weights` and `biases`,
        their numbers, missing for the input; the same three as the paper prints them,
        `paper_activation_volume`, `paper_weights` and `paper_biases`.

    Raises:
        ValueError: If the paper has no table of the decoder.
    """
    if decoder not in PAPER_LAYERS:
        raise ValueError(f"decoder={decoder!r} has no table in the paper: set it to 1 or 2")
    rows: list[tuple[str, str, int | None, int | None]] = []
    with torch.device("meta"):  # shapes alone, no numbers
        activations = torch.empty(1, 1)  # (B, Z): the tables begin behind the layer that sees Z
        for layer in build_decoder(decoder, inputs=1):
            if isinstance(layer, nn.ConvTranspose2d) and not rows:
                rows.append(("Input", _volume(activations), None, None))
            activations = layer(activations)
            if isinstance(layer, nn.ConvTranspose2d):
                assert layer.bias is not None
                weights, biases = layer.weight.numel(), layer.bias.numel()
                rows.append((_name(layer), _volume(activations), weights, biases))
    table = pd.DataFrame(rows, columns=["layer", "activation_volume", "weights", "biases"])
    table = table.astype({"weights": "Int64", "biases": "Int64"})
    names = ["paper_activation_volume", "paper_weights", "paper_biases"]
    return table.join(pd.DataFrame(PAPER_LAYERS[decoder], columns=names))


def _name(layer: nn.ConvTranspose2d) -> str:
    numbers = (layer.in_channels, layer.out_channels, layer.kernel_size[0])
    return f"CONVT2D ({','.join(map(str, (*numbers, layer.stride[0], layer.padding[0])))})"


def _volume(activations: torch.Tensor) -> str:
    return "*".join(map(str, activations.shape))
