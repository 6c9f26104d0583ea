"""The pipelines that `kedro run --pipeline=...` knows."""

from functools import partial

from kedro.pipeline import Pipeline

from cxr_pipeline.pipelines import (
    download,
    labels,
    preprocessing,
    prune,
    reporting,
    sample_data,
    sweeps,
    training,
)
from cxr_pipeline.pipelines.described import described
from cxr_pipeline.pipelines.training.diagrams import show_network

NETWORKS = {
    "gan.train": "gan",
    "vae.train": "vae",
    "gmvae.train": "gmvae",
    "vae_beta_sweep.train_each_beta": "vae",
}
"""Nodes that show the networks which they train, and of which model."""


def register_pipelines() -> dict[str, Pipeline]:
    """Name each pipeline; a model's pipeline is the whole chain that leads to it."""
    data = labels.create_pipeline() + preprocessing.create_pipeline()
    store_224 = ("images_224", "gmvae.image_size")
    data_224 = labels.create_pipeline() + preprocessing.create_pipeline(*store_224)
    models = {model: training.create_pipeline(model) for model in ("gan", "vae", "gmvae")}
    pipelines = {
        "sample_data": sample_data.create_pipeline(),
        "download": download.create_pipeline(),
        "labels": labels.create_pipeline(),
        "preprocessing": data,
        "gan": data + models["gan"] + reporting.create_pipeline(["gan"]),
        "vae": data + models["vae"] + reporting.create_pipeline(["vae"]),
        "gmvae": data_224 + models["gmvae"] + reporting.create_pipeline(["gmvae"]),
        "vae_beta_sweep": data
        + sweeps.create_beta_sweep()
        + reporting.create_pipeline(swept=["vae_beta_sweep"]),
        "gmvae_sweep": data_224
        + sweeps.create_version_sweep()
        + reporting.create_pipeline(swept=["gmvae_sweep"]),
        "reporting": reporting.create_pipeline(),
        "prune": prune.create_pipeline(),
        "__default__": data
        + preprocessing.create_pipeline(*store_224, reports=False)
        + sum(models.values(), Pipeline([]))
        + reporting.create_pipeline(list(models)),
    }
    shows = {node: partial(show_network, model) for node, model in NETWORKS.items()}
    return {name: described(pipeline, shows) for name, pipeline in pipelines.items()}
