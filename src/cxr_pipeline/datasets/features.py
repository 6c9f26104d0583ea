"""A frozen encoder's features as a versioned Kedro data set.

torch takes seconds to import, and the catalog of every run names this data set: it is imported once
features are made or opened.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from cxr_pipeline.data.store import MANIFEST
from cxr_pipeline.datasets.digest_versions import DigestVersionedDataset

if TYPE_CHECKING:
    from cxr_pipeline.training.feature_cache import FeatureCache, FeaturePlan


class FeatureCacheDataset(DigestVersionedDataset["FeaturePlan", "FeatureCache"]):
    """Saves a plan by computing the features it describes; loads them, to be read by image."""

    MANIFEST = MANIFEST
    ABSENT = "features in '{}': run `kedro run --pipeline=gmvae`"

    def make(self, plan: "FeaturePlan", root: Path) -> str:
        """Compute the features, or find them computed."""
        from cxr_pipeline.training.feature_cache import build_features

        return build_features(plan, root).version

    def open(self, folder: Path) -> "FeatureCache":
        """Open the features."""
        from cxr_pipeline.training.feature_cache import open_features

        return open_features(folder)
