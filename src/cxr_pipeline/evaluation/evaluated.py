"""What is evaluated, and on which real images: gathered, checked, all of one size."""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from cxr_pipeline.data.files import json_digest
from cxr_pipeline.data.resizing import resize_images
from cxr_pipeline.data.store import ImageStore, open_store
from cxr_pipeline.evaluation.image_folders import folder_set
from cxr_pipeline.evaluation.image_sets import REAL, ImageSet
from cxr_pipeline.evaluation.kept_arrays import kept_blocks, load_block
from cxr_pipeline.evaluation.measured import EVERYTHING, Missing
from cxr_pipeline.training.models import MODELS
from cxr_pipeline.training.sampling import ImageGenerator
from cxr_pipeline.training.saved_model import CONFIG, load_model

logger = logging.getLogger(__name__)

TAKEN = (REAL, "classifier", *MODELS)
"""Names that no folder of images gets."""


@dataclass(frozen=True)
class Evaluated:
    """The sets of images that are compared, and the models that could not be."""

    real: ImageSet
    """Of patients held out: no model has seen them."""
    samples: tuple[ImageSet, ...]
    """Of each model and folder."""
    missing: tuple[Missing, ...] = ()
    """The others, each with the reason."""


def gather(
    images: ImageStore,
    models: Path,
    stores: Sequence[Path],
    kept: Path,
    *,
    wanted: Sequence[str],
    synthetic_dir: str | None,
    samples: int,
    splits: Sequence[str],
    most_real: int,
) -> Evaluated:
    """Gather real images held out, and images of each model.

    Args:
        images: The store whose patients are held out.
        models: The models' folder, one folder a model.
        stores: Where the stores are that models may have been trained on.
        kept: Where what is drawn is kept, so that it is drawn once.
        wanted: The models; empty for all that are there.
        synthetic_dir: A folder of images beside them, if any.
        samples: Images to draw of each model.
        splits: Which splits are held out.
        most_real: Real images to take of them for each half, at most: one is compared with, the
            other shows what real images score against it.

    Raises:
        ValueError: If no real image is held out, or nothing can be compared with them. Of several
            models and a folder, what cannot is listed in `missing`.
    """
    patients = set(images.index["patient"].iloc[_rows_held_out(images, splits)])
    found: list[ImageSet] = []
    missing: list[Missing] = []
    for name in wanted or trained_models(models):
        try:
            config, weights = load_model(models / name)
            require_comparable(config, images, stores, patients)
            found.append(_drawn(ImageGenerator(config, weights), samples, images.size, kept))
        except ValueError as error:
            missing.append(Missing(name, EVERYTHING, str(error)))
    if synthetic_dir is not None:
        folder = Path(synthetic_dir)
        try:
            found.append(folder_set(folder, images.size, kept, taken=TAKEN))
        except ValueError as error:
            missing.append(Missing(folder.resolve().name, EVERYTHING, str(error)))
    for row in missing:
        logger.warning("%s is not evaluated: %s", row.model, row.reason)
    if not found:
        told = "".join(f"; {row.model}: {row.reason}" for row in missing)
        raise ValueError(
            f"no trained model in '{models}' can be evaluated{told}: train one on these images, "
            "with `kedro run --pipeline=gan`, or give a folder, evaluation.synthetic_dir=DIR"
        )
    return Evaluated(
        real=held_out_set(images, splits, 2 * most_real),
        samples=tuple(found),
        missing=tuple(missing),
    )


def trained_models(models: Path) -> list[str]:
    """List the models that draw images and are there, by the names of their folders."""
    return [name for name in MODELS if (models / name / CONFIG).is_file()]


def require_comparable(
    config: dict[str, Any], images: ImageStore, stores: Iterable[Path], held_out: set[Any]
) -> None:
    """Refuse a model that has seen what it is compared with, or knows other images.

    Args:
        config: The model's `config.json`.
        images: The store whose patients are held out.
        stores: Where the store may be that it was trained on.
        held_out: The patients.

    Raises:
        ValueError: If it was trained on patients held out, on other images, or on a store that is
            not there any more.
    """
    if config["image_store_digest"] == images.digest:
        return
    remedy = f"train it on these images, with `kedro run --pipeline={config['model']}`"
    # Another size of the same images: the GMVAE's.
    own = next((root / config["image_store"] for root in stores if _is_in(root, config)), None)
    if own is None:
        raise ValueError(f"it was trained on a store that is not there any more: {remedy}")
    trained_on, here = (_trained_on(store) for store in (open_store(own), images))
    if set(trained_on["patient"]) & held_out:
        raise ValueError(f"it was trained on patients that are held out here: {remedy}")
    # Else the audit would look for copies where they cannot be.
    if not set(trained_on["image"]) <= set(here["image"]):
        raise ValueError(f"it was trained on images that this store does not train on: {remedy}")


def _trained_on(store: ImageStore) -> pd.DataFrame:
    return store.index[store.index["split"] == "train"]


def _is_in(root: Path, config: dict[str, Any]) -> bool:
    folder = root / config["image_store"]
    return folder.is_dir() and open_store(folder).digest == str(config["image_store_digest"])


def held_out_set(images: ImageStore, splits: Sequence[str], most: int) -> ImageSet:
    """Take real images that no model has seen, spread over all there are.

    Args:
        images: The store.
        splits: Which splits are held out.
        most: How many images at most.

    Raises:
        ValueError: If there is none.
    """
    rows = _rows_held_out(images, splits)
    places = np.linspace(0, len(rows) - 1, min(most, len(rows))).astype(np.int64)
    return store_set(images, rows[places], REAL)


def _rows_held_out(images: ImageStore, splits: Sequence[str]) -> npt.NDArray[np.int64]:
    rows = np.flatnonzero(images.index["split"].isin(splits))
    if len(rows) == 0:
        raise ValueError(
            f"no image of the store is in a split of evaluation.splits={'|'.join(splits)}: set it "
            "to others, or labels.validation and labels.test above 0"
        )
    return rows


def store_set(images: ImageStore, rows: npt.NDArray[np.int64], name: str) -> ImageSet:
    """Take real images from a store.

    Args:
        images: The store.
        rows: Positions in its index.
        name: What to call them.
    """
    chosen = images.index.iloc[rows]
    # Numbers of our own: the set needs to know who is one patient, not who that is.
    _, patients = np.unique(chosen["patient"].to_numpy(), return_inverse=True)
    return ImageSet(
        name=name,
        pixels=images.read(rows),
        groups=patients.astype(np.int64),
        labels=tuple(chosen["findings"]),
        facts=facts_of(images, rows),
    )


def facts_of(images: ImageStore, rows: npt.NDArray[np.int64]) -> dict[str, Any]:
    """Say which images of a store these are; it names none."""
    return {
        "digest": images.digest,
        "data": images.manifest["data"],
        "rows": json_digest(rows.tolist()),
    }


def _drawn(generator: ImageGenerator, count: int, size: int, kept: Path) -> ImageSet:
    """Draw the images that a model's own settings give: those that it exports, and more of them."""
    config = generator.config
    parameters = config["parameters"]
    how = {
        "seed": parameters["sample_seed"],
        "temperature": parameters["temperature"],
        "findings": list(parameters.get("sample_findings", ())),
    }
    facts = {
        "digest": config["weights_sha256"],
        "model": config["model"],
        "image_size": config["image_size"],
        **how,
    }

    def draw(first: int, last: int) -> npt.NDArray[np.uint8]:
        return np.stack(list(generator.pictures(last, first=first, **how)))

    blocks = kept_blocks(kept / "samples", facts, count, draw, what=f"Drawing {config['model']}")
    own_size = config["image_size"]
    if own_size != size:
        logger.info(
            "%s draws %d px: resized to %d px, as the real images", config["model"], own_size, size
        )
    asked = partial(generator.labels, count, seed=how["seed"], findings=how["findings"])
    return ImageSet(
        name=config["model"],
        pixels=np.concatenate([resize_images(load_block(path), size) for path in blocks]),
        groups=np.arange(count),
        labels=tuple(asked()),
        drawn=blocks if own_size != size else (),
        facts=facts | {"config": config},
    )
