"""The diagrams of the networks that Kedro-Viz shows at the nodes that train them."""

from typing import Any

from kedro.pipeline.preview_contract import MermaidPreview

from cxr_pipeline.data.findings import FINDINGS
from cxr_pipeline.parameters.models import GanParameters, GmvaeParameters, VaeParameters

NETWORKS = {
    "gan.train": "gan",
    "vae.train": "vae",
    "gmvae.train": "gmvae",
    "vae_beta_sweep.train_each_beta": "vae",
}
"""Nodes that show the networks which they train, and of which model."""

# Viz would squeeze the diagram into the width of a thumbnail, and break lines within the boxes.
SETTINGS: dict[str, Any] = {
    "flowchart": {"useMaxWidth": False},
    "textStyle": {"whiteSpace": "nowrap", "padding": "0"},
}


def show_network(model: str) -> MermaidPreview:
    """Draw a model's networks with the parameters of the catalog that Kedro-Viz shows."""
    from kedro_viz.data_access import data_access_manager

    parameters = data_access_manager.catalog.get_catalog().load(f"params:{model}")
    return MermaidPreview(network_diagram(model, parameters), meta=SETTINGS)


def network_diagram(model: str, parameters: Any) -> str:
    """Draw a model's networks as text for Mermaid.

    Args:
        model: `gan`, `vae` or `gmvae`.
        parameters: Its section of the parameters, checked or not. Conditional models are drawn with
            NIH's 14 findings.
    """
    # torch takes seconds to import, and every run imports this module.
    from cxr_pipeline.evaluation.architecture import gmvae_diagram, lsgan_diagram, vae_diagram

    if model == "gan":
        gan = GanParameters.model_validate(parameters)
        findings = len(FINDINGS) if gan.conditional else 0
        return lsgan_diagram(dim_z=gan.dim_z, patch_scores=gan.patch_scores, findings=findings)
    if model == "vae":
        vae = VaeParameters.model_validate(parameters)
        return vae_diagram(dim_z=vae.dim_z, centre=vae.centre)
    gmvae = GmvaeParameters.model_validate(parameters)
    return gmvae_diagram(gmvae.row.architecture(), fine_tune=gmvae.fine_tune)
