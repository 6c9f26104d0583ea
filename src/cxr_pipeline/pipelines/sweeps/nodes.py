"""Nodes that train a model several times, once for each value of something."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from cxr_pipeline import tracking
from cxr_pipeline.data.files import write_bytes
from cxr_pipeline.data.png import encode_png
from cxr_pipeline.data.sheets import image_sheet
from cxr_pipeline.data.store import ImageStore
from cxr_pipeline.parameters.models import (
    GmvaeParameters,
    GmvaeSweepParameters,
    VaeBetaSweepParameters,
    VaeParameters,
)
from cxr_pipeline.pipelines.training.nodes import plan_features

SHEET_IMAGES = 32
SHEET_COLUMNS = 8

Data = Callable[[str], tuple[ImageStore, dict[str, Any]]]
"""Given a member's name: what it is trained on."""

Swept = tuple[pd.DataFrame, pd.DataFrame, npt.NDArray[np.uint8]]
"""Histories, with the member's name; where each ended, a row each; a row of samples each."""


def beta_members(vae: VaeParameters, sweep: VaeBetaSweepParameters) -> dict[str, dict[str, Any]]:
    """Name each training of the sweep over betas, with its parameters in JSON's types."""
    own = vae.model_dump(mode="json")
    return {f"beta_{beta:.12g}": own | {"beta": beta} for beta in sweep.betas}


def version_members(
    gmvae: GmvaeParameters, sweep: GmvaeSweepParameters
) -> dict[str, GmvaeParameters]:
    """Name each training of the sweep over versions, with its parameters."""
    members = {}
    for name in sweep.versions or gmvae.versions:
        asked = gmvae.sample_findings if gmvae.versions[name].conditional else ()
        members[name] = gmvae.model_copy(update={"version": name, "sample_findings": asked})
    return members


def checkpoint_folder(models: Path, member: str) -> Path:
    """Where a member of a sweep keeps its resumable checkpoint."""
    return models / member / "checkpoint"


def sweep_betas(
    images: ImageStore,
    vae: VaeParameters,
    sweep: VaeBetaSweepParameters,
    models: Path,
    reports: Path,
) -> Swept:
    """Train the VAE once for each beta (the paper's Fig. 5)."""
    members = beta_members(vae, sweep)
    return _train_each("vae", members, lambda name: (images, {}), models, reports)


def sweep_versions(
    images: ImageStore,
    gmvae: GmvaeParameters,
    sweep: GmvaeSweepParameters,
    feature_caches: Path,
    models: Path,
    reports: Path,
) -> Swept:
    """Train each version of the GMVAE (the paper's Figs. 1 to 3)."""
    from cxr_pipeline.training.examples import choose_examples
    from cxr_pipeline.training.feature_cache import build_features

    rows = version_members(gmvae, sweep)

    def data(name: str) -> tuple[ImageStore, dict[str, Any]]:
        features = build_features(plan_features(images, rows[name]), feature_caches)
        return images, {"features": features}

    members = {name: row.model_dump(mode="json") for name, row in rows.items()}
    for member in members.values():
        choose_examples("gmvae", images, member)  # to refuse what cannot be trained before any is
    return _train_each("gmvae", members, data, models, reports)


def _train_each(
    model: str, members: Mapping[str, dict[str, Any]], data: Data, models: Path, reports: Path
) -> Swept:
    from cxr_pipeline.training.checkpoint import find_checkpoint

    histories, ends, firsts = [], [], []
    for name, parameters in members.items():
        images, more = data(name)
        begun = find_checkpoint(checkpoint_folder(models, name))
        with tracking.nested_run(f"{model} {name}", parameters, begun.notes if begun else {}):
            history, end, first = _train_one(
                model, name, images, parameters, models, reports / name, more
            )
        histories.append(history.assign(member=name))
        ends.append({"member": name, **end})
        firsts.append(first)
    return pd.concat(histories, ignore_index=True), pd.DataFrame(ends), np.concatenate(firsts)


def _train_one(
    model: str,
    name: str,
    images: ImageStore,
    parameters: dict[str, Any],
    models: Path,
    reports: Path,
    more: dict[str, Any],
) -> tuple[pd.DataFrame, dict[str, Any], npt.NDArray[np.uint8]]:
    """Train a member, keep its model and samples; its history, where it ended, some samples."""
    from cxr_pipeline.training.checkpoint import mark_finished
    from cxr_pipeline.training.followers import train_with_followers
    from cxr_pipeline.training.record import speed_and_size
    from cxr_pipeline.training.sampling import ImageGenerator
    from cxr_pipeline.training.saved_model import save_model

    trained = train_with_followers(
        model,
        images,
        parameters,
        checkpoints=checkpoint_folder(models, name),
        progress=reports / "progress",
        on_metrics=tracking.log_metrics,
        on_sheet=partial(tracking.log_picture, "samples"),
        reuse=True,
        notes=tracking.notes(),
        **more,
    )
    save_model(models / name, trained.config, trained.weights)
    mark_finished(checkpoint_folder(models, name))
    drawn = ImageGenerator(trained.config, trained.weights).pictures(
        SHEET_IMAGES,
        seed=parameters["sample_seed"],
        temperature=parameters["temperature"],
        findings=parameters.get("sample_findings", ()),
    )
    pictures = np.stack(list(drawn))
    sheet = encode_png(image_sheet(pictures, columns=SHEET_COLUMNS))
    write_bytes(reports / "samples.png", sheet)
    tracking.log_file(reports / "samples.png", "samples")
    last = trained.history.groupby("metric")["value"].last()
    # A warning is recorded only while it stands: its last record may be long past.
    kept = last[~last.index.str.startswith(("gradient/", "speed/", "warning/"))]
    ended = {str(metric): float(value) for metric, value in kept.items()}
    # A member that is reused has told nothing while it trained.
    tracking.log_metrics(trained.config["steps"], ended)
    tracking.log_metrics(0, speed_and_size(trained.config))
    encoder = trained.config.get("encoder")
    end = {
        **({"encoder": f"{encoder['name']}, {encoder['weights']}"} if encoder else {}),
        "steps": float(trained.config["steps"]),
        "images_per_second": round(trained.config["images_per_second"], 1),
        "warnings": float(len(trained.config["warnings"])),
        **ended,
    }
    first = image_sheet(pictures[:SHEET_COLUMNS], columns=SHEET_COLUMNS)
    gap = np.zeros((2, first.shape[1]), dtype=np.uint8)
    return trained.history, end, np.concatenate([first, gap])
