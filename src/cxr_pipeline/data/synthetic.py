"""Synthetic images as a data set in the raw layout, with their origin on record."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from cxr_pipeline.data.png import encode_png
from cxr_pipeline.data.raw_folder import RawFolder

LABEL_FILE = "Data_Entry_synthetic.csv"


def synthetic_folder(
    images: Iterator[npt.NDArray[np.uint8]], config: Mapping[str, Any], *, count: int, seed: int
) -> RawFolder:
    """Describe synthetic images in NIH's own columns.

    Every image is its own patient. Its finding is the one that the model's `selection` asked for,
    if it was one, else unknown: a blank cell. Age, sex and view are unknown.

    Args:
        images: (H, W) uint8 each, `count` of them.
        config: The `config.json` of the model that draws them.
        count: Number of images.
        seed: The seed they are drawn with.
    """
    model, size = config["model"], config["image_size"]
    names = [f"{model}_{number:06d}.png" for number in range(count)]
    shared = config["parameters"]["selection"]["findings"]
    table = pd.DataFrame(
        {
            "Image Index": names,
            "Finding Labels": shared[0] if len(shared) == 1 else "",
            "Follow-up #": 0,
            "Patient ID": range(1, count + 1),
            "Patient Age": "",
            "Patient Gender": "",
            "View Position": "",
            "OriginalImage[Width": size,
            "Height]": size,
            "OriginalImagePixelSpacing[x": "",
            "y]": "",
        }
    )
    provenance = {
        "synthetic": True,
        "model": model,
        "weights_sha256": config["weights_sha256"],
        "image_store_digest": config["image_store_digest"],
        "steps": config["steps"],
        "seed": seed,
        "images": count,
    }
    return RawFolder(
        label_file=LABEL_FILE,
        table=table,
        images=((name, encode_png(image)) for name, image in zip(names, images, strict=True)),
        provenance=provenance,
    )
