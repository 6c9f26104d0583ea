"""Any folder of images as a set to evaluate: anyone's synthetic images."""

import logging
from collections import Counter
from collections.abc import Collection
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cxr_pipeline.data.conditions import SEPARATOR
from cxr_pipeline.data.decode import decode
from cxr_pipeline.data.files import json_digest
from cxr_pipeline.data.findings import finding_name
from cxr_pipeline.data.label_files import read_label_rows
from cxr_pipeline.data.sources import Source, data_folder, find_images
from cxr_pipeline.data.transforms import resize_and_crop
from cxr_pipeline.evaluation.image_sets import ImageSet
from cxr_pipeline.evaluation.kept_arrays import kept_rows

logger = logging.getLogger(__name__)

MOST_PIXELS = 50_000_000
"""An image; larger ones are refused before they are decoded."""
NAMED = 3


def folder_set(folder: Path, size: int, kept: Path, *, taken: Collection[str] = ()) -> ImageSet:
    """Read a folder's images, in the order of their names, as they are: no grey level is spread.

    Args:
        folder: Images in it, in `images/` or in `images_001/images/`, and perhaps a label CSV.
        size: The side that they are resized to, in pixels.
        kept: Where what was read is kept.
        taken: Names that other sets have.

    Raises:
        ValueError: If the folder is not there, holds no image, or one that cannot be read.
    """
    if not folder.is_dir():
        raise ValueError(
            f"evaluation.synthetic_dir='{folder}' is no folder: give one that holds images"
        )
    sources = _listed(folder)
    if not sources:
        raise ValueError(
            f"evaluation.synthetic_dir='{folder}' holds no image (.png, .jpg, .dcm): give a folder "
            "with images, in it or in images/"
        )
    digest = json_digest([[name, source.size, source.modified] for name, source in sources])

    def read(first: int, last: int) -> npt.NDArray[np.uint8]:
        return np.stack([_read(folder, source, size) for _, source in sources[first:last]])

    pixels = kept_rows(
        kept / "samples",
        {"digest": digest, "size": size},
        len(sources),
        read,
        what=f"Reading '{folder}'",
    )
    name = folder.resolve().name
    return ImageSet(
        name=f"{name} folder" if name in taken else name,
        pixels=pixels,
        groups=np.arange(len(sources)),
        labels=_labels(folder, [name for name, _ in sources]),
        facts={"digest": digest, "folder": name},
    )


def _listed(folder: Path) -> list[tuple[str, Source]]:
    try:
        return sorted(find_images(folder).items())
    except ValueError as error:
        # It names images: the reason goes into reports.
        logger.error("%s", error)
        raise ValueError(
            f"evaluation.synthetic_dir='{folder}' cannot be listed (the log says why): mend it"
        ) from error


def _read(folder: Path, source: Source, size: int) -> npt.NDArray[np.uint8]:
    try:
        if source.trouble or source.leads_out:
            raise ValueError(source.trouble or "link out of the folder")
        pixels = decode(Path(source.path).read_bytes(), max_pixels=MOST_PIXELS)
    except (OSError, ValueError) as error:
        # Its name stays here: the reason goes into reports.
        logger.error("'%s' cannot be scored: %s", source.path, error)
        raise ValueError(
            f"evaluation.synthetic_dir='{folder}' has an image that cannot be scored ({error}; the "
            "log names it): mend or remove it"
        ) from error
    return resize_and_crop(pixels, size)


def _labels(folder: Path, names: list[str]) -> tuple[str, ...]:
    """What a label CSV says of the images; blank where there is none, or it does not name them."""
    if not [*data_folder(folder).glob("*.csv"), *data_folder(folder).glob("*.csv.gz")]:
        return ("",) * len(names)
    table = read_label_rows(folder).table
    known = dict(zip(table["image"], table["findings"].fillna(""), strict=True))
    unnamed = [name for name in names if name not in known]
    if unnamed:
        logger.warning(
            "%d of %d images in '%s' are not in its label file, such as %s: they have no findings",
            len(unnamed),
            len(names),
            folder,
            ", ".join(unnamed[:NAMED]),
        )
    return _known_findings([str(known.get(name, "")) for name in names])


def _known_findings(labels: list[str]) -> tuple[str, ...]:
    """Give findings their names; of an image with none that is known nothing is known."""
    unknown: Counter[str] = Counter()
    kept = []
    for label in labels:
        names = {part: finding_name(part) for part in label.split(SEPARATOR) if part}
        unknown.update(part for part, name in names.items() if name is None)
        kept.append(SEPARATOR.join(name for name in names.values() if name))
    if unknown:
        told = ", ".join(f"{name} ({count} images)" for name, count in unknown.most_common(NAMED))
        logger.warning("Findings that are not known here are left out: %s", told)
    return tuple(kept)
