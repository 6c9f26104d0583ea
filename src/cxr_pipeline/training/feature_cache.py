"""What a frozen encoder makes of a store's images, computed once.

    <version>/
      manifest.json        which images, which encoder, SHA-256 of each shard; written last
      shard_00000.npy      (N, F, 7, 7) float16, for the images of the image store's shard

A version's name is the digest of the image store, the encoder and its weights. A build that was
killed keeps the shards it finished.
"""

import json
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from lightning.fabric import Fabric

from cxr_pipeline.data.batches import to_unit_interval
from cxr_pipeline.data.files import (
    file_digest,
    json_digest,
    make_folder,
    remove_litter,
    write_array,
    write_json,
)
from cxr_pipeline.data.locks import lock
from cxr_pipeline.data.store import MANIFEST, ImageStore, read_shards, shard_name
from cxr_pipeline.models.encoder_weights import encoder_record, load_encoder_weights
from cxr_pipeline.models.encoders import FEATURE_SIZE, FEATURES, IMAGE_SIZE, ImageEncoder
from cxr_pipeline.randomness import derive_seed
from cxr_pipeline.training.precision import Accelerator, Precision, choose_precision
from cxr_pipeline.training.progress import progress

logger = logging.getLogger(__name__)

FORMAT = 1
ENCODED_AT_ONCE = 32


def wanted_encoder(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Say which encoder shall look at images, and how.

    Args:
        parameters: `GmvaeParameters`, in JSON's types.
    """
    row = parameters["row"]
    return {
        "encoder": row["encoder"],
        "normalise": row["normalise"],
        "weights": parameters["weights"],
        "seed": parameters["seed"],
        "frozen": not parameters["fine_tune"],
    }


@dataclass(frozen=True)
class FeaturePlan:
    """What to compute."""

    images: ImageStore
    encoder: str
    """`vgg16` or `densenet121`."""
    normalise: bool
    weights: str | None
    """See `load_encoder_weights`."""
    seed: int
    """Decides weights that are random."""
    accelerator: Accelerator
    precision: Precision
    frozen: bool = True
    """Otherwise nothing: an encoder that learns looks at the images themselves."""

    def wanted(self) -> dict[str, Any]:
        """The same as `wanted_encoder` says it."""
        names = ("encoder", "normalise", "weights", "seed", "frozen")
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True)
class FeatureCache:
    """Finished features, opened for reading."""

    folder: Path
    manifest: dict[str, Any]

    @property
    def version(self) -> str:
        """The digest of what the features were made from; their folder's name."""
        return str(self.manifest["version"])

    @property
    def frozen(self) -> bool:
        """Whether there are features; of an encoder that learns there are none."""
        return bool(self.manifest["frozen"])

    @property
    def encoder(self) -> dict[str, Any]:
        """The encoder's name, where its weights come from, and their SHA-256."""
        return dict(self.manifest["encoder"])

    def require(self, wanted: Mapping[str, Any]) -> None:
        """Check that these are the features of an encoder.

        Args:
            wanted: What `wanted_encoder` says of it.

        Raises:
            ValueError: If they are another's, as when a run begins after they were computed.
        """
        made = self.manifest["wanted"]
        changes = [f"{k} was {made[k]!r}, is {wanted[k]!r}" for k in wanted if made[k] != wanted[k]]
        if changes:
            raise ValueError(
                f"the features in '{self.folder}' are another encoder's ({', '.join(changes)}): "
                "run gmvae.compute_features too"
            )

    def read(self, images: ImageStore, positions: npt.NDArray[np.int64]) -> npt.NDArray[np.float16]:
        """Read features into memory.

        Args:
            images: The store that they were made of.
            positions: Positions in its index.

        Returns:
            (N, F, 7, 7) float16, in the order of `positions`.

        Raises:
            ValueError: If they were made of another store.
        """
        if self.manifest["image_store_digest"] != images.digest:
            raise ValueError(
                f"the features in '{self.folder}' are of another image store: `kedro run "
                "--pipeline=gmvae` computes them anew"
            )
        features = np.empty((len(positions), *self.manifest["shape"]), dtype=np.float16)
        read_shards(self.folder, images.index.iloc[positions], features)
        return features


def build_encoder(
    name: str, *, normalise: bool, weights: str | None, seed: int
) -> tuple[ImageEncoder, dict[str, Any]]:
    """Build an encoder and describe it (see `encoder_record`).

    Args:
        name: `vgg16` or `densenet121`.
        normalise: Whether images are normalised as ImageNet's.
        weights: See `load_encoder_weights`, which also says what it raises.
        seed: Decides weights that are random.
    """
    with torch.random.fork_rng():
        torch.manual_seed(derive_seed(seed, "encoder"))
        encoder = ImageEncoder(name, normalise=normalise)
    source = load_encoder_weights(encoder, weights)
    return encoder, encoder_record(encoder, source)


def build_features(plan: FeaturePlan, root: Path) -> FeatureCache:
    """Compute features, or find them computed.

    Args:
        plan: What to compute.
        root: The folder of all versions.

    Raises:
        ValueError: If the weights cannot be had, the images are of another size, or a feature is
            beyond float16.
    """
    if plan.images.size != IMAGE_SIZE:
        raise ValueError(
            f"the gmvae looks at {IMAGE_SIZE} px images, the image store holds "
            f"{plan.images.size} px: give it one of its own size"
        )
    encoder, record = build_encoder(
        plan.encoder, normalise=plan.normalise, weights=plan.weights, seed=plan.seed
    )
    precision = choose_precision(plan.precision, plan.accelerator)
    made_from = {
        "format": FORMAT,
        "image_store_digest": plan.images.digest,
        "encoder": record,
        "precision": precision,
        "frozen": plan.frozen,
    }
    version = json_digest(made_from)[:16]
    folder = root / version
    make_folder(folder)
    with lock(folder, f"the features in '{folder}'", wait=True):
        if (folder / MANIFEST).is_file():
            cache = open_features(folder)
            logger.info("Features are up to date in '%s'", folder)
            # Marks it as the one last used.
            manifest = cache.manifest | {"wanted": plan.wanted()}
        else:
            remove_litter(folder)
            shards = _encode(plan, encoder, precision, folder) if plan.frozen else []
            manifest = {
                "version": version,
                **made_from,
                "wanted": plan.wanted(),
                "images": len(plan.images) if plan.frozen else 0,
                "shape": _shape(encoder),
                "shards": shards,
            }
        write_json(folder / MANIFEST, manifest)
    return FeatureCache(folder, manifest)


def open_features(folder: Path) -> FeatureCache:
    """Open finished features.

    Raises:
        ValueError: If the folder holds none, or a shard is absent or not as the manifest says (only
            its size is looked at).
    """
    remedy = f"delete '{folder}'; `kedro run --pipeline=gmvae` computes it anew"
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
        sizes = {folder / shard["file"]: shard["bytes"] for shard in manifest["shards"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"'{folder}' holds no finished features ({error}): {remedy}") from error
    for path, size in sizes.items():
        if not path.is_file() or path.stat().st_size != size:
            raise ValueError(f"features '{folder}': {path.name} is damaged: {remedy}")
    return FeatureCache(folder, manifest)


def _encode(
    plan: FeaturePlan, encoder: ImageEncoder, precision: Any, folder: Path
) -> list[dict[str, Any]]:
    fabric = Fabric(accelerator=plan.accelerator, devices=1, precision=precision)
    encoder.eval().to(memory_format=torch.channels_last)
    network = fabric.setup_module(encoder)
    index = plan.images.index
    numbers = sorted(index["shard"].unique())
    logger.info("Computing the features of %d images by %s", len(index), plan.encoder)
    started, encoded, done = time.monotonic(), 0, 0
    shards = []
    with progress(len(index), unit="image") as report:
        for number in numbers:
            positions = np.flatnonzero(index["shard"].to_numpy() == number)
            positions = positions[np.argsort(index["row"].to_numpy()[positions])]
            path = folder / shard_name(int(number))
            # A shard that is there is whole: it was put in place once it was.
            if not path.is_file():
                features = _encode_images(fabric, network, plan.images.read(positions))
                write_array(path, features)
                encoded += len(positions)
            done += len(positions)
            shards.append(
                {"file": path.name, "bytes": path.stat().st_size, "sha256": file_digest(path)}
            )
            report(done, {}, encoded / (time.monotonic() - started))
    return shards


@torch.no_grad()
def _encode_images(
    fabric: Fabric, network: Any, images: npt.NDArray[np.uint8]
) -> npt.NDArray[np.float16]:
    parts = []
    for some in torch.split(torch.from_numpy(images)[:, None], ENCODED_AT_ONCE):
        features = network(to_unit_interval(some.to(fabric.device))).half()
        if not torch.isfinite(features).all():
            raise ValueError(
                "the encoder's features go beyond float16: its weights are not fit for images; "
                "give gmvae.weights others"
            )
        parts.append(features.cpu().numpy())
    return np.concatenate(parts)


def _shape(encoder: ImageEncoder) -> list[int]:
    return [FEATURES[encoder.name], FEATURE_SIZE, FEATURE_SIZE]
