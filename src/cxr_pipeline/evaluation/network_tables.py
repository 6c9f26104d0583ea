"""The VAE's and the GAN's networks layer by layer, in the notation of the paper's Figs. 4 and 7."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from cxr_pipeline.models import lsgan, vae
from cxr_pipeline.models.lsgan import Discriminator, Generator
from cxr_pipeline.models.vae import Vae

FIGURES = {"vae": "Fig. 4", "gan": "Fig. 7"}


def network_tables(model: str, architecture: Mapping[str, Any]) -> dict[str, pd.DataFrame]:
    """List the layers of a model's networks.

    Args:
        model: `vae` (Fig. 4) or `gan` (Fig. 7).
        architecture: What the model was built with (`dim_z`, `patch_scores`, `centre`); what is
            absent is as in the paper. Findings, which the figures do not have, are left out.

    Returns:
        By the network's name, a row a layer: `layer` with its settings as the paper writes them,
        `output` (channels and sides, of one image) and `parameters`.

    Raises:
        ValueError: If the paper has no figure of the model.
    """
    if model not in FIGURES:
        raise ValueError(f"model={model!r} has no figure in the paper: set it to vae or gan")
    with torch.device("meta"):  # shapes alone, no numbers
        if model == "gan":
            dim_z = architecture.get("dim_z", 100)
            patch_scores = architecture.get("patch_scores", True)
            images = torch.empty(2, 1, lsgan.IMAGE_SIZE, lsgan.IMAGE_SIZE)
            return {
                "discriminator": _layers(Discriminator(patch_scores=patch_scores), images),
                "generator": _layers(Generator(dim_z), torch.empty(2, dim_z)),
            }
        network = Vae(architecture.get("dim_z", 1024))
        images = torch.empty(2, 1, vae.IMAGE_SIZE, vae.IMAGE_SIZE)
        code, latents = torch.empty(2, vae.CODE), torch.empty(2, network.dim_z)
        return {
            "encoder": _layers(network.encoder, images),
            "decoder": _layers(network.decoder, latents),
            "mean and logvar, each": _layers(network.mean, code),
        }


def _layers(network: nn.Module, inputs: Tensor) -> pd.DataFrame:
    """Pass images through a network and write down each layer on the way."""
    rows: list[tuple[str, str, int]] = []

    def note(layer: nn.Module, _: Any, outputs: Tensor) -> None:
        count = sum(parameter.numel() for parameter in layer.parameters())
        rows.append((_named(layer), " x ".join(map(str, outputs.shape[1:])), count))

    layers = [layer for layer in network.modules() if not list(layer.children())]
    hooks = [layer.register_forward_hook(note) for layer in layers]
    network(inputs)
    for hook in hooks:
        hook.remove()
    return pd.DataFrame(rows, columns=["layer", "output", "parameters"])


def _named(layer: nn.Module) -> str:
    if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
        kind = "Conv2D" if isinstance(layer, nn.Conv2d) else "ConvTranspose2D"
        kernel, stride, padding = layer.kernel_size[0], layer.stride[0], layer.padding[0]
        channels = f"c_in = {layer.in_channels}, c_out = {layer.out_channels}"
        return f"{kind} {channels}, K={kernel}, S={stride}, P={padding}"
    if isinstance(layer, nn.BatchNorm2d):
        return f"BatchNorm2D ({layer.num_features})"
    if isinstance(layer, nn.LeakyReLU):
        return f"LeakyReLU (slope = {layer.negative_slope:g})"
    if isinstance(layer, nn.MaxPool2d):
        return f"MaxPool {layer.kernel_size}, {layer.stride}"
    if isinstance(layer, nn.Linear):
        return f"Linear {layer.in_features}, {layer.out_features}"
    return type(layer).__name__
