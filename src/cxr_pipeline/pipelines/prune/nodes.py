"""The node that removes old versions."""

import logging
from pathlib import Path

import pandas as pd

from cxr_pipeline.data.prune import REMOVED, WOULD_REMOVE, prune_stores
from cxr_pipeline.parameters.data import PruneParameters
from cxr_pipeline.tracking.prune import prune_models

logger = logging.getLogger(__name__)


def prune_versions(image_stores: Path, parameters: PruneParameters) -> pd.DataFrame:
    """Remove old image stores and old models, and list every version and what became of it."""
    dry_run = parameters.dry_run
    # First what a server may refuse: then the table tells of all that is gone.
    models = prune_models(keep=parameters.models, dry_run=dry_run)
    pruned = pd.concat(
        [prune_stores(image_stores, keep=parameters.stores, dry_run=dry_run), models]
    )
    gone = pruned["bytes"][pruned["action"].isin([REMOVED, WOULD_REMOVE])]
    logger.info(
        "%s %.1f MB, %d of %d versions",
        "Would free" if dry_run else "Freed",
        gone.sum() / 1e6,
        len(gone),
        len(pruned),
    )
    return pruned
