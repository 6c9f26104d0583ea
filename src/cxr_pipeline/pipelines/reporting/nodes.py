"""Nodes that count parameters and gather the report."""

from pathlib import Path

import pandas as pd

from cxr_pipeline.evaluation.report import render_report
from cxr_pipeline.parameters import GanParameters


def count_model_parameters(gan: GanParameters) -> pd.DataFrame:
    """Count every model's parameters as configured, trained or not."""
    # torch takes seconds to import, and most pipelines import this module without running it.
    from cxr_pipeline.evaluation.parameter_counts import count_parameters
    from cxr_pipeline.models.lsgan import Discriminator, Generator

    components = {
        "discriminator": Discriminator(patch_scores=gan.patch_scores),
        "generator": Generator(gan.dim_z),
    }
    return count_parameters("gan", components)


def write_report(reports: Path, models: Path, *made_before: object) -> str:
    """Render the report from the files on disk.

    `made_before` only orders the run: what the page shows has to be there first.
    """
    return render_report(reports, models)
