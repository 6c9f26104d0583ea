"""How many parameters each model has, beside the paper's Table 5."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import torch
from torch import nn

from cxr_pipeline.models.encoders import FEATURES, ImageEncoder
from cxr_pipeline.models.gmvae import Gmvae

PAPER_PARAMETERS = {
    ("gan", "discriminator"): 2_795_904,
    ("gan", "generator"): 3_606_976,
    ("gan", "total"): 6_402_880,
    ("vae", "encoder"): 4_711_648,
    ("vae", "mean"): 8_389_632,
    ("vae", "logvar"): 8_389_632,
    ("vae", "decoder"): 11_184_033,
    ("vae", "total"): 32_674_945,
}
"""Table 5, at the paper's dimensions."""

PAPER_ENCODERS = {"vgg16": 14_714_688}
PAPER_DECODERS = {"1": 1_920, "2": 172_800}
PAPER_TOTALS = {("vgg16", "1"): 14_716_608, ("vgg16", "2"): 14_887_488}
"""Table 5's GMVAE by encoder and decoder; the total is with the encoder in train."""

PRINTED_ONCE = "printed once for mean and logvar together; the paper's total has it twice"
NOTES = {("vae", "mean"): PRINTED_ONCE, ("vae", "logvar"): PRINTED_ONCE}

ENCODER, CONVOLUTIONS = "encoder features", "decoder transposed convolutions"
FROZEN, FINE_TUNED = "total, encoder frozen", "total, encoder fine-tuned"
GMVAE_NOTES = {
    CONVOLUTIONS: "the paper leaves out the biases",
    FROZEN: "the paper counts the weights of the decoder's transposed convolutions alone",
    FINE_TUNED: "the paper counts those weights and the encoder's features",
}
NOT_IN_PAPER = "not counted in the paper"


def count_parameters(model: str, components: Mapping[str, nn.Module]) -> pd.DataFrame:
    """Count the learned parameters of a model's components and of all together.

    Args:
        model: The model's name.
        components: Its networks by name.

    Returns:
        Columns `model`, `component`, `parameters`, `paper` (missing where the paper has none),
        `counted_as_paper` (what ours would be by the paper's way of counting, missing where that is
        no other) and `note`.
    """
    counts = {name: _parameters(module) for name, module in components.items()}
    counts["total"] = sum(counts.values())
    rows = [
        (name, count, PAPER_PARAMETERS.get((model, name)), None, NOTES.get((model, name), ""))
        for name, count in counts.items()
    ]
    return _table(model, rows)


def count_gmvae(architecture: Mapping[str, Any], model: str = "gmvae") -> pd.DataFrame:
    """Count a GMVAE's parameters, without room for them.

    Args:
        architecture: `dim_z`, `components`, `transition`, `normalise`, `encoder`, `decoder` and
            `findings` (their number), as `Gmvae` and `ImageEncoder` take them.
        model: The model's name.

    Returns:
        Columns as `count_parameters` has them. One row a part that there is, and two totals: with
        the encoder frozen ('Encoder in Eval') those that learn, without its own; with it fine-tuned
        ('Encoder in Train') all.
    """
    encoder, decoder = architecture["encoder"], architecture["decoder"]
    gmvae = build_gmvae(architecture)
    counts = {name: count for name, count in _parts(gmvae).items() if count}
    total = sum(counts.values())
    counts |= {FROZEN: total - counts[ENCODER], FINE_TUNED: total}
    paper = {
        ENCODER: PAPER_ENCODERS.get(encoder),
        CONVOLUTIONS: PAPER_DECODERS.get(decoder),
        FROZEN: PAPER_DECODERS.get(decoder),
        FINE_TUNED: PAPER_TOTALS.get((encoder, decoder)),
    }
    weights = _convolution_weights(gmvae)
    as_paper = {CONVOLUTIONS: weights, FROZEN: weights, FINE_TUNED: _total_as_paper(gmvae)}
    rows = []
    for name, count in counts.items():
        beside = (paper.get(name), as_paper.get(name))
        note = NOT_IN_PAPER if beside == (None, None) else GMVAE_NOTES.get(name, "")
        rows.append((name, count, *beside, note))
    return _table(model, rows)


def versions_table(versions: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """Set the versions of the GMVAE side by side (the paper's Table 4), with their parameters.

    Args:
        versions: The architecture of each, as `count_gmvae` takes it, by name.

    Returns:
        A row a version: `version`, Table 4's columns `dim_z`, `components`, `transition`,
        `normalise`, `encoder` and `decoder`, `conditioned` on findings or not, the parameters of
        each part (0 where it has none), their `total`, and `total_as_paper` (missing where the
        paper counts no such decoder).
    """
    table = pd.DataFrame([_version(name, versions[name]) for name in versions])
    return table.astype({"total_as_paper": "Int64"})


def _version(name: str, architecture: Mapping[str, Any]) -> dict[str, Any]:
    gmvae = build_gmvae(architecture)
    parts = _parts(gmvae)
    keys = ("dim_z", "components", "transition", "normalise", "encoder", "decoder")
    return {
        "version": name,
        **{key: architecture[key] for key in keys},
        "conditioned": architecture["findings"] > 0,
        **{part.replace(" ", "_"): count for part, count in parts.items()},
        "total": sum(parts.values()),
        "total_as_paper": _total_as_paper(gmvae),
    }


def build_gmvae(architecture: Mapping[str, Any]) -> Gmvae:
    """Build a GMVAE that has shapes and no numbers: the linear decoder would take 0.6 GB."""
    arguments = dict(architecture)
    name, normalise = arguments.pop("encoder"), arguments.pop("normalise")
    with torch.device("meta"):
        encoder = ImageEncoder(name, normalise=normalise)
        return Gmvae(features=FEATURES[name], encoder=encoder, **arguments)


def _parts(gmvae: Gmvae) -> dict[str, int]:
    """The parameters of each part, 0 where it has none."""
    assert gmvae.encoder is not None
    parts = {
        ENCODER: _parameters(gmvae.encoder),
        "transition net": _parameters(gmvae.transition),
        "mean and variance": _parameters(gmvae.mean) + _parameters(gmvae.raw_variance),
        "prior": _parameters(gmvae.prior),
        "decoder linear layers": _parameters(gmvae.decoder, nn.Linear),
        CONVOLUTIONS: _parameters(gmvae.decoder, nn.ConvTranspose2d),
        "decoder batch norms": _parameters(gmvae.decoder, nn.BatchNorm2d),
    }
    assert sum(parts.values()) == _parameters(gmvae)
    return parts


def _convolution_weights(gmvae: Gmvae) -> int | None:
    """The decoder's size as the paper counts it; `None` for the linear one, which it does not."""
    layers = gmvae.decoder.modules()
    weights = [layer.weight.numel() for layer in layers if isinstance(layer, nn.ConvTranspose2d)]
    return sum(weights) if weights else None


def _total_as_paper(gmvae: Gmvae) -> int | None:
    assert gmvae.encoder is not None
    weights = _convolution_weights(gmvae)
    return None if weights is None else _parameters(gmvae.encoder) + weights


def _parameters(network: nn.Module, kind: type[nn.Module] = nn.Module) -> int:
    """Count the parameters in a network's layers of a kind."""
    layers = (layer for layer in network.modules() if isinstance(layer, kind))
    parameters = {p for layer in layers for p in layer.parameters(recurse=False)}
    return sum(parameter.numel() for parameter in parameters)


def _table(
    model: str, rows: Sequence[tuple[str, int, int | None, int | None, str]]
) -> pd.DataFrame:
    columns = ["component", "parameters", "paper", "counted_as_paper", "note"]
    table = pd.DataFrame(rows, columns=columns).assign(model=model)[["model", *columns]]
    return table.astype({"paper": "Int64", "counted_as_paper": "Int64"})
