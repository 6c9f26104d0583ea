"""Nodes that count parameters and gather the report."""

from pathlib import Path

import pandas as pd

from cxr_pipeline.data.findings import FINDINGS
from cxr_pipeline.evaluation.report import render_report
from cxr_pipeline.evaluation.training_times import training_times
from cxr_pipeline.parameters.models import (
    GanParameters,
    GmvaeParameters,
    VaeParameters,
)

COUNTED_WITH = "told of NIH's 14 findings; a model trained with NIH-CXR-LT's is told of 20"

VAE_PARTS = ("encoder", "mean", "logvar", "decoder")

BESIDE_TABLE_5 = ("v4", "v8")
"""Versions with decoder 1 and 2, whose counts Table 5 prints."""


def count_model_parameters(
    gan: GanParameters, vae: VaeParameters, gmvae: GmvaeParameters
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Count every model's parameters as configured, trained or not; and those of all versions."""
    # torch takes seconds to import, and most pipelines import this module without running it.
    from cxr_pipeline.evaluation.parameter_counts import (
        count_gmvae,
        count_parameters,
        versions_table,
    )
    from cxr_pipeline.models.lsgan import Discriminator, Generator
    from cxr_pipeline.models.vae import Vae

    findings = len(FINDINGS) if gan.conditional else 0
    adversaries = {
        "discriminator": Discriminator(patch_scores=gan.patch_scores, findings=findings),
        "generator": Generator(gan.dim_z, findings=findings),
    }
    network = Vae(vae.dim_z)
    versions = {name: row.architecture() for name, row in gmvae.versions.items()}
    others = [name for name in BESIDE_TABLE_5 if name in versions and name != gmvae.version]
    counts = pd.concat(
        [
            count_parameters("gan", adversaries),
            count_parameters("vae", {part: getattr(network, part) for part in VAE_PARTS}),
            count_gmvae(versions[gmvae.version]),
            *(count_gmvae(versions[name], f"gmvae {name}") for name in others),
        ],
        ignore_index=True,
    )
    conditional = {"gan": gan.conditional} | {"gmvae": gmvae.row.conditional}
    with_findings = counts["model"].map(conditional).fillna(value=False).astype(bool)
    counts.loc[with_findings & (counts["note"] == ""), "note"] = COUNTED_WITH
    return counts, versions_table(versions)


def list_decoder_layers() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Measure the convolutional decoders layer by layer (Tables 2 and 3)."""
    from cxr_pipeline.evaluation.layer_tables import decoder_layer_table

    return decoder_layer_table("1"), decoder_layer_table("2")


def time_training(models: Path, *made_before: object) -> pd.DataFrame:
    """Gather how fast the models on disk were trained.

    Args:
        models: Their folder.
        made_before: Nothing but what has to be there first.
    """
    return training_times(models)


def write_cards(reports: Path, models: Path, *made_before: object) -> None:
    """Write a model card and a data sheet beside the weights of each model on disk.

    Args:
        reports: The reporting folder, with what evaluations left.
        models: The models' folder.
        made_before: Nothing but what has to be there first.
    """
    from cxr_pipeline.evaluation.cards import write_cards as write

    write(reports, models)


def write_report(reports: Path, models: Path, *made_before: object) -> str:
    """Put the tables, charts and samples that are on disk on one page.

    Args:
        reports: Their folder.
        models: The folder of the trained models.
        made_before: Nothing but what has to be there first.
    """
    return render_report(reports, models)
