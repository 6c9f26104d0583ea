"""A frozen encoder's features as a versioned Kedro data set."""

from pathlib import Path

from cxr_pipeline.datasets.digest_versions import DigestVersionedDataset
from cxr_pipeline.training.feature_cache import (
    MANIFEST,
    FeatureCache,
    FeaturePlan,
    build_features,
    open_features,
)


class FeatureCacheDataset(DigestVersionedDataset[FeaturePlan, FeatureCache]):
    """Saves a plan by computing the features it describes; loads them, memory-mapped."""

    MANIFEST = MANIFEST
    ABSENT = "features in '{}': run `kedro run --pipeline=gmvae`"

    def make(self, plan: FeaturePlan, root: Path) -> str:
        """Compute the features, or find them computed."""
        return build_features(plan, root).version

    def open(self, folder: Path) -> FeatureCache:
        """Open the features."""
        return open_features(folder)
