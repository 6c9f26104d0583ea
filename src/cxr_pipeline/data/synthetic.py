"""Synthetic images as a data set in the raw layout, with their origin on record."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from cxr_pipeline.data.png import encode_png
from cxr_pipeline.data.raw_folder import RawFolder

LABEL_FILE = "Data_Entry_synthetic.csv"


def synthetic_folder(
    images: Iterator[npt.NDArray[np.uint8]],
    labels: Sequence[str],
    config: Mapping[str, Any],
    *,
    seed: int,
    temperature: float,
    left_out: Collection[int] = (),
    audit: Mapping[str, Any] | None = None,
) -> RawFolder:
    """Describe synthetic images in NIH's own columns.

    Every image is its own patient. Its findings are those that the model was asked for; of a model
    that cannot be asked, the one that its `selection` named, if it was one, else unknown: a blank
    cell. Age, sex and view are unknown.

    Args:
        images: (H, W) uint8 each.
        labels: The findings each was asked for, `A|B`; blank where none could be.
        config: The `config.json` of the model that draws them.
        seed: The seed they are drawn with.
        temperature: The temperature they are drawn at.
        left_out: Numbers of images that are not to be in it; the others keep their names.
        audit: What was found when they were compared with training images, in JSON's types; None
            of images that were not.
    """
    model, size, count = config["model"], config["image_size"], len(labels)
    kept = [number for number in range(count) if number not in left_out]
    names = {number: f"{model}_{number:06d}.png" for number in kept}
    selected = config["parameters"]["selection"]["findings"]
    shared = selected[0] if len(selected) == 1 else ""
    table = pd.DataFrame(
        {
            "Image Index": list(names.values()),
            "Finding Labels": [labels[number] or shared for number in kept],
            "Follow-up #": 0,
            "Patient ID": [number + 1 for number in kept],
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
        "temperature": temperature,
        "images": len(kept),
        "audited": audit is not None,
        **(audit or {}),
    }

    def encoded() -> Iterator[tuple[str, bytes]]:
        for number, image in zip(range(count), images, strict=True):
            if number in names:
                yield names[number], encode_png(image)

    return RawFolder(
        label_file=LABEL_FILE,
        table=table,
        images=encoded(),
        provenance=provenance,
    )
