"""The networks as diagrams, drawn from the modules themselves: text for Mermaid (mermaid.js.org).

Kedro-Viz and GitHub show them. Nothing is trained or allocated: modules and activations have shapes
and no numbers.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from cxr_pipeline.evaluation.parameter_counts import build_gmvae
from cxr_pipeline.models import encoders, lsgan, vae
from cxr_pipeline.models.encoders import FEATURE_SIZE
from cxr_pipeline.models.lsgan import Discriminator, Generator
from cxr_pipeline.models.vae import CODE, Vae

LAYOUT = '{"nodeSpacing": 15, "rankSpacing": 15, "padding": 10, "wrappingWidth": 500}'

HEADER = f'%%{{init: {{"flowchart": {LAYOUT}}}}}%%\nflowchart LR'

WEIGHTED = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)
SHAPING = (nn.Flatten, nn.Unflatten, nn.Identity)
"""Layers that the shapes tell of."""

WITH_HEADS = "Encoder with mean and variance"

ENCODER_NAMES = {"vgg16": "VGG16", "densenet121": "DenseNet121"}


class Block(NamedTuple):
    """Layers that follow one another at one resolution."""

    layers: str
    parameters: int
    shape: tuple[int, ...]
    """Of what comes out for one image."""


def lsgan_diagram(*, dim_z: int, patch_scores: bool, findings: int = 0) -> str:
    """Draw the LSGAN (the paper's Fig. 7).

    Args:
        dim_z: Noise dimension Z.
        patch_scores: See `Discriminator`.
        findings: Number of findings C that both networks are told; 0 for none.
    """
    size = (1, lsgan.IMAGE_SIZE, lsgan.IMAGE_SIZE)
    with torch.device("meta"):
        generator = Generator(dim_z, findings)
        discriminator = Discriminator(patch_scores=patch_scores, findings=findings)
        drawing = blocks(generator.layers, (dim_z + findings, 1, 1))
        scoring = blocks(discriminator.layers, size)
    *features, score = scoring
    heads = [score]
    if findings:
        embedding = _count(discriminator.embedding)
        heads.append(Block("Agreement with findings: Linear", embedding, score.shape))
    lines = [
        *_terminal("noise", "noise z", (dim_z,)),
        *_column("generator", _titled("Generator", generator), drawing),
        *_terminal("drawn", "drawn image", size),
        *_terminal("real", "real image", size),
        *_column("discriminator", _titled("Discriminator", discriminator), features, heads),
        *_terminal("scores", "scores", score.shape),
        *_arrows("noise", "generator", "drawn", "discriminator", "scores"),
        *_arrows("real", "discriminator"),
    ]
    if findings:
        lines += [*_terminal("findings", "findings y", (findings,))]
        lines += [*_arrows("findings", "generator"), *_arrows("findings", "discriminator")]
    return _diagram(lines)


def vae_diagram(*, dim_z: int, centre: bool) -> str:
    """Draw the VAE (the paper's Fig. 4).

    Args:
        dim_z: Latent dimension Z.
        centre: See `Vae`.
    """
    size = (1, vae.IMAGE_SIZE, vae.IMAGE_SIZE)
    with torch.device("meta"):
        network = Vae(dim_z, centre=centre)
        encoding, decoding = blocks(network.encoder, size), blocks(network.decoder, (dim_z,))
    assert encoding[-1].shape == (CODE,)
    centred = ", centred on the batch" if centre else ""
    heads = [
        Block(f"Mean: Linear{centred}", _count(network.mean), (dim_z,)),
        Block("Log variance: Linear", _count(network.logvar), (dim_z,)),
    ]
    encoder = nn.ModuleList([network.encoder, network.mean, network.logvar])
    return _diagram(
        [
            *_terminal("image", "image", size),
            *_column("encoder", _titled(WITH_HEADS, encoder), encoding, heads),
            *_terminal("latents", "latents z<br>mean + deviation x noise", (dim_z,)),
            *_column("decoder", _titled("Decoder", network.decoder), decoding, end="Sigmoid"),
            *_terminal("drawn", "drawn image", size),
            *_arrows("image", "encoder", "latents", "decoder", "drawn"),
        ]
    )


def gmvae_diagram(architecture: Mapping[str, Any], *, fine_tune: bool) -> str:
    """Draw a version of the GMVAE (the paper's Table 4).

    Args:
        architecture: As `count_gmvae` takes it.
        fine_tune: Whether the image encoder learns too.
    """
    gmvae = build_gmvae(architecture)
    assert gmvae.encoder is not None
    dim_z, findings = architecture["dim_z"], architecture["findings"]
    name = architecture["encoder"]
    grey = (1, encoders.IMAGE_SIZE, encoders.IMAGE_SIZE)
    features = (encoders.FEATURES[name], FEATURE_SIZE, FEATURE_SIZE)
    with torch.device("meta"):
        decoding = blocks(gmvae.decoder, (dim_z + findings,))
        # Without a transition net the features are only flattened.
        net = gmvae.transition
        transition = blocks(net if isinstance(net, nn.Sequential) else [net], features)
    state = "fine-tuned" if fine_tune else "frozen"
    door = "Normalise as ImageNet, " if architecture["normalise"] else ""
    seen = features if architecture["transition"] else transition[-1].shape
    looking = [Block(f"{door}{ENCODER_NAMES[name]}, {state}", _count(gmvae.encoder), seen)]
    if architecture["transition"]:
        looking += transition
    heads = [
        Block("Mean: Linear", _count(gmvae.mean), (dim_z,)),
        Block("Variance: Linear, Softplus", _count(gmvae.raw_variance), (dim_z,)),
    ]
    encoder = nn.ModuleList([gmvae.encoder, gmvae.transition, gmvae.mean, gmvae.raw_variance])
    prior = f"Prior: {architecture['components']} Gaussians<br>{_parameters(_count(gmvae.prior))}"
    lines = [
        *_terminal("image", "image", grey),
        *_column("encoder", _titled(WITH_HEADS, encoder), looking, heads),
        *_terminal("latents", "latents z<br>mean + deviation x noise", (dim_z,)),
        f'  prior["{prior}"]',
        "  prior -.->|KL| latents",
        *_column("decoder", _titled("Decoder", gmvae.decoder), decoding, end="Sigmoid"),
        *_terminal("drawn", "drawn image", decoding[-1].shape),
        *_arrows("image", "encoder", "latents", "decoder", "drawn"),
    ]
    if findings:
        lines += [*_terminal("findings", "findings y", (findings,))]
        lines += [*_arrows("findings", "encoder"), *_arrows("findings", "decoder")]
    return _diagram(lines)


def blocks(layers: Iterable[nn.Module], shape: Sequence[int]) -> list[Block]:
    """Cut a chain of layers where it has changed the resolution, before the next weighted layer.

    Args:
        layers: The chain, on the default device (`meta` does).
        shape: Of one image's input to it.
    """
    activations = torch.empty(1, *shape)
    entered, members = activations, list[nn.Module]()
    found = []
    for layer in layers:
        weighted = isinstance(layer, WEIGHTED)
        if weighted and members and _resolution(activations) != _resolution(entered):
            found.append(_block(members, activations))
            entered, members = activations, []
        members.append(layer)
        activations = layer.eval()(activations)
    return [*found, _block(members, activations)]


def _resolution(activations: Tensor) -> tuple[int, ...]:
    """Height and width of feature maps, the length of vectors."""
    return tuple(activations.shape[2:] or activations.shape[1:])


def _block(members: Sequence[nn.Module], activations: Tensor) -> Block:
    names: dict[str, int] = {}
    for layer in members:
        if not isinstance(layer, SHAPING):
            # How often an activation comes goes without saying: after each weighted layer.
            names[_name(layer)] = names.get(_name(layer), 0) + isinstance(layer, WEIGHTED)
    parts = [f"{count} x {name}" if count > 1 else name for name, count in names.items()]
    shape = tuple(activations.shape[1:])
    return Block(", ".join(parts), sum(map(_count, members)), shape)


def _name(layer: nn.Module) -> str:
    kind = type(layer).__name__.removesuffix("2d")
    if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
        # By torch's names, also where the project computes the same in its own way.
        kind = "Conv" if isinstance(layer, nn.Conv2d) else "ConvTranspose"
        stride = f" stride {layer.stride[0]}" if layer.stride[0] > 1 else ""
        return f"{kind} {_shape(layer.kernel_size)}{stride}"
    return f"{kind} {layer.kernel_size}" if isinstance(layer, nn.MaxPool2d) else kind


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _shape(shape: Sequence[int]) -> str:
    return " x ".join(f"{length:,}" for length in shape)


def _parameters(count: int) -> str:
    return f"{count:,} parameters"


def _titled(name: str, module: nn.Module) -> str:
    return f"{name}: {_parameters(_count(module))}"


def _terminal(identifier: str, text: str, shape: Sequence[int]) -> list[str]:
    """What goes into a network or comes out of it."""
    return [f'  {identifier}(["{text}<br>{_shape(shape)}"])']


def _column(
    identifier: str,
    title: str,
    chain: Sequence[Block],
    heads: Sequence[Block] = (),
    *,
    end: str | None = None,
) -> list[str]:
    """A network from top to bottom: a chain of blocks, and heads that all take what it gives."""
    lines = [f'  subgraph {identifier}["{title}"]', "    direction TB"]
    for number, block in enumerate([*chain, *heads], start=1):
        layers = f"{block.layers}, {end}" if end and block is chain[-1] else block.layers
        count = f"<br>{_parameters(block.parameters)}" if block.parameters else ""
        lines.append(f'    {identifier}{number}["{layers}{count}"]')
        before = min(number - 1, len(chain))
        if before:
            shape = _shape(chain[before - 1].shape)
            lines.append(f'    {identifier}{before} -->|"{shape}"| {identifier}{number}')
    return [*lines, "  end"]


def _arrows(*identifiers: str) -> list[str]:
    return [f"  {' --> '.join(identifiers)}"]


def _diagram(lines: Sequence[str]) -> str:
    return "\n".join([HEADER, *lines, ""])
