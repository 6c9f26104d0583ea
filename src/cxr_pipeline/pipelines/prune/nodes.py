"""The node that removes old versions."""

import logging
from pathlib import Path

import pandas as pd

from cxr_pipeline.data.prune import (
    REMOVED,
    WOULD_REMOVE,
    digests_left,
    prune_arrays,
    prune_features,
    prune_stores,
)
from cxr_pipeline.parameters.data import PruneParameters
from cxr_pipeline.tracking.prune import prune_models

logger = logging.getLogger(__name__)


def prune_versions(
    image_stores: Path,
    image_stores_224: Path,
    feature_caches: Path,
    arrays: Path,
    parameters: PruneParameters,
) -> pd.DataFrame:
    """Remove old stores, features, arrays and models; list every version and what became of it."""
    dry_run, keep = parameters.dry_run, parameters.stores
    # First what a server may refuse: then the table tells of all that is gone.
    models = prune_models(keep=parameters.models, dry_run=dry_run)
    tables, digests = [], set()
    for root in (image_stores, image_stores_224):
        stores = prune_stores(root, keep=keep, dry_run=dry_run)
        digests |= digests_left(root, stores)
        tables.append(stores)
    features = prune_features(feature_caches, digests, keep=keep, dry_run=dry_run)
    kept = prune_arrays(arrays, keep=parameters.arrays, dry_run=dry_run)
    pruned = pd.concat([*tables, features, kept, models])
    gone = pruned["bytes"][pruned["action"].isin([REMOVED, WOULD_REMOVE])]
    logger.info(
        "%s %.1f MB, %d of %d versions",
        "Would free" if dry_run else "Freed",
        gone.sum() / 1e6,
        len(gone),
        len(pruned),
    )
    return pruned
