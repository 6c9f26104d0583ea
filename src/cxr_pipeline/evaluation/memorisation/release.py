"""The release gate: which samples are exported as a data set, and whether any are."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cxr_pipeline.data.files import write_bytes
from cxr_pipeline.data.raw_folder import RawFolder, remove_raw_folder, write_raw_folder
from cxr_pipeline.data.synthetic import LABEL_FILE, synthetic_folder
from cxr_pipeline.evaluation.image_sets import ImageSet
from cxr_pipeline.evaluation.kept_arrays import load_block
from cxr_pipeline.evaluation.memorisation.flags import Bools
from cxr_pipeline.evaluation.memorisation.gate import GateClosedError

logger = logging.getLogger(__name__)

DATASHEET = "DATASHEET.md"


Describe = Callable[[Mapping[str, Any], Mapping[str, Any]], str]


def release_sets(
    sets: Sequence[ImageSet],
    flags: Mapping[str, Bools],
    found: Mapping[str, Any],
    folder: Path,
    *,
    max_memorised: float | None,
    leave_out: bool,
    describe: Describe,
) -> None:
    """Export the samples of every model whose gate is open.

    An export of a model whose gate is closed is removed, so that none is older than its audit.

    Args:
        sets: The models' samples; folders of images, which have a home, are passed over.
        flags: Which of them are taken for copies, by model.
        found: The record of the audit's findings.
        folder: Where to, a folder a model.
        max_memorised: The greatest share of copies that is let through; None for any.
        leave_out: Whether copies are left out of what is exported.
        describe: Writes a data set's data sheet, given its model's configuration and provenance.

    Raises:
        GateClosedError: If a model's gate is closed; the others are exported before. One that could
            not be audited is not exported either, with a warning, unless there is no gate.
    """
    closed = []
    for one in sets:
        if "config" not in one.facts:
            continue
        flagged = flags.get(one.name)
        reason = None
        if max_memorised is not None:
            reason = _unknown(one, found) if flagged is None else gate(one, flagged, max_memorised)
        if reason is None:
            content = release(one, flagged, found, max_memorised, leave_out=leave_out)
            write_raw_folder(content, folder / one.name)
            sheet = describe(one.facts["config"], content.provenance)
            write_bytes(folder / one.name / DATASHEET, sheet.encode())
            logger.info("%s: %d samples exported", one.name, content.provenance["images"])
            continue
        remove_raw_folder(folder / one.name, LABEL_FILE)
        (folder / one.name / DATASHEET).unlink(missing_ok=True)
        if flagged is None:
            logger.warning("%s", reason)
        else:
            closed.append(reason)
    if closed:
        raise GateClosedError("; ".join(closed))


def gate(samples: ImageSet, flagged: Bools, max_memorised: float) -> str | None:
    """Say why a model's samples are not let out; None where they are.

    Args:
        samples: N of them.
        flagged: (N,), which are taken for copies.
        max_memorised: The greatest share that is let through.
    """
    copies, count = int(flagged.sum()), len(flagged)
    if copies <= max_memorised * count:
        return None
    return (
        f"{samples.name} is not exported: {copies} of {count} samples ({copies / count:.1%}) are "
        f"taken for copies of training images, more than evaluation.max_memorised={max_memorised}: "
        "train on more images, or for fewer steps, or raise evaluation.max_memorised"
    )


def release(
    samples: ImageSet,
    flagged: Bools | None,
    found: Mapping[str, Any],
    max_memorised: float | None,
    *,
    leave_out: bool,
) -> RawFolder:
    """Describe a model's samples as a data set that may be shared.

    Args:
        samples: N of them, with the model's `config` among their facts.
        flagged: (N,), which are taken for copies; None where they were not audited.
        found: As for `release_sets`.
        max_memorised: The gate that let them through, for the record.
        leave_out: As for `release_sets`.
    """
    audit = None
    if flagged is not None:
        facts = found["facts"]
        audit = {
            "copies": int(flagged.sum()),
            "copies_left_out": leave_out,
            "audited_samples": len(samples),
            "audited_at_pixels": samples.pixels.shape[1],
            "max_memorised": max_memorised,
            "audit_held_out_images": facts["held_out"],
            "audit_training_images": facts["training_images"],
            "audit_extractor": facts["extractor"],
            "audit_power": facts["power"],
        }
    without = set(np.flatnonzero(flagged).tolist()) if flagged is not None and leave_out else ()
    return synthetic_folder(
        _as_drawn(samples),
        samples.labels,
        samples.facts["config"],
        seed=samples.facts["seed"],
        temperature=samples.facts["temperature"],
        left_out=without,
        audit=audit,
    )


def _as_drawn(samples: ImageSet) -> Iterator[npt.NDArray[np.uint8]]:
    """The images as the model draws them, which may be larger than they were audited."""
    if not samples.drawn:
        yield from samples.pixels
    for path in samples.drawn:
        yield from load_block(path)


def _unknown(samples: ImageSet, found: Mapping[str, Any]) -> str:
    reasons = [row["reason"] for row in found["missing"] if row["model"] == samples.name]
    return (
        f"{samples.name} is not exported: its {len(samples)} samples were not audited for copies "
        f"of training images: {reasons[0] if reasons else 'kedro run --pipeline=memorisation'}"
    )
