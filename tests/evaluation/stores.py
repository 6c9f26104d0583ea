"""Stores of a few images, and models that say they were trained on them."""

import json

from tests.conftest import make_store
from tests.training.generators import gan, gmvae

from cxr_pipeline.training.saved_model import save_model

SPLITS = ["train"] * 6 + ["validation"] * 2 + ["test"] * 4


def store(few_images, root, splits=SPLITS, size=128):
    return make_store(few_images, root, splits, size=size)


def keep_model(folder, store, *, made=gan, **parameters):
    """Save a small model as one trained on a store."""
    config, weights = made()
    config |= {
        "image_size": 224 if config["model"] == "gmvae" else 128,
        "image_store": store.version,
        "image_store_digest": store.digest,
        "parameters": {"sample_seed": 3, "temperature": 1.0, **parameters},
    }
    save_model(folder / config["model"], config, weights)
    return json.loads((folder / config["model"] / "config.json").read_text())


__all__ = ["SPLITS", "gan", "gmvae", "keep_model", "store"]
