"""Sweeps: one model trained several times, each in an MLflow run nested in that of the sweep."""

from kedro.pipeline import Node, Pipeline

from cxr_pipeline.evaluation.charts import sweep_chart
from cxr_pipeline.pipelines.sweeps.nodes import sweep_betas, sweep_versions

MADE = ["history", "summary", "samples"]


def create_beta_sweep() -> Pipeline:
    """Train the VAE for each beta and draw Fig. 5."""
    parameters = {"params:vae", "params:vae_beta_sweep"}
    nodes = [
        Node(
            sweep_betas,
            ["images", "params:vae", "params:vae_beta_sweep", "models", "reports"],
            MADE,
            name="train_each_beta",
        ),
        Node(sweep_chart, "history", "losses", name="draw_losses"),
    ]
    return Pipeline(
        Pipeline(nodes), namespace="vae_beta_sweep", inputs={"images"}, parameters=parameters
    )


def create_version_sweep() -> Pipeline:
    """Train each version of the GMVAE and draw its samples (Figs. 1 to 3)."""
    parameters = {"params:gmvae", "params:gmvae_sweep"}
    inputs = ["images", "params:gmvae", "params:gmvae_sweep", "feature_caches"]
    nodes = [
        Node(
            sweep_versions,
            [*inputs, "models", "reports"],
            MADE,
            name="train_each_version",
        ),
        Node(sweep_chart, "history", "losses", name="draw_losses"),
    ]
    return Pipeline(
        Pipeline(nodes),
        namespace="gmvae_sweep",
        inputs={"images": "images_224"},
        parameters=parameters,
    )
