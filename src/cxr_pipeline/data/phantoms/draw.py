"""Drawing the chest X-ray of one row of the label table.

Everything random comes from (seed, stream, patient[, follow-up]), so any image can be drawn alone,
in any order, and is always the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd

from cxr_pipeline.data.findings import FINDINGS, NO_FINDING
from cxr_pipeline.data.phantoms.anatomy import Chest, as_ap, breathe, patient_chest
from cxr_pipeline.data.phantoms.canvas import Canvas, make_canvas
from cxr_pipeline.data.phantoms.film import expose
from cxr_pipeline.data.phantoms.findings import OVERLAYS
from cxr_pipeline.data.phantoms.reshapes import RESHAPES
from cxr_pipeline.data.phantoms.streams import stream
from cxr_pipeline.data.phantoms.tissue import draw_tissue

Row: TypeAlias = "Mapping[Any, Any] | pd.Series[Any]"
"""One row of the label table."""

MIN_SIZE = 64
_RGBA_SHARE = 0.035  # of NIH's images: 21 of 1,000
_OVERSAMPLING = 2


@dataclass(frozen=True)
class Study:
    """What a row says about its image."""

    patient: int
    follow_up: int
    findings: tuple[str, ...]
    age: float
    gender: str
    view: str


def read_study(row: Row) -> Study:
    """The row's entries, checked.

    Raises:
        ValueError: if a column is missing, or a finding, view or gender is unknown.
    """
    needed = (
        "Finding Labels",
        "Follow-up #",
        "Patient ID",
        "Patient Age",
        "Patient Gender",
        "View Position",
    )
    for column in needed:
        if column not in row:
            raise ValueError(
                f"row: column {column!r} is missing; give a row of the NIH label table"
            )
    names = tuple(name for name in str(row["Finding Labels"]).split("|") if name != NO_FINDING)
    for name in names:
        if name not in FINDINGS:
            raise ValueError(
                f"Finding Labels: {name!r} is unknown; use {NO_FINDING!r} or {FINDINGS}"
            )
    study = Study(
        int(row["Patient ID"]),
        int(row["Follow-up #"]),
        tuple(sorted(set(names))),
        float(row["Patient Age"]),
        str(row["Patient Gender"]),
        str(row["View Position"]),
    )
    if study.gender not in ("F", "M"):
        raise ValueError(f"Patient Gender: {study.gender!r} is unknown; use 'F' or 'M'")
    if study.view not in ("PA", "AP"):
        raise ValueError(f"View Position: {study.view!r} is unknown; use 'PA' or 'AP'")
    return study


def draw_phantom(row: Row, seed: int, size: int = 256) -> npt.NDArray[np.uint8]:
    """Draw the chest X-ray of one row.

    Args:
        row: one row of `sample_rows`, or any mapping with its columns.
        seed: the data set's seed.
        size: side of the image in pixels, at least 64.

    Returns:
        The picture, (size, size) uint8, bright where the body absorbs. The same patient, follow-up
        and view with other findings gives the same chest in the same pose and exposure.

    Raises:
        ValueError: if `size` is under 64 or the row is not valid.
    """
    if size < MIN_SIZE:
        raise ValueError(f"size: {size} is too small to show a chest; use at least {MIN_SIZE}")
    study = read_study(row)
    chest, canvas = _pose(study, seed, size * _OVERSAMPLING)
    extents = {name: _extent(study, seed, name) for name in study.findings}
    for name in study.findings:
        if name in RESHAPES:
            chest = RESHAPES[name](chest, _site_stream(study, seed, name), extents[name])
    tissue = draw_tissue(canvas, chest, stream(seed, "tissue", study.patient))
    total = tissue.total
    for name in study.findings:
        if name in OVERLAYS:
            total = total + OVERLAYS[name](tissue, _site_stream(study, seed, name), extents[name])
    rng = stream(seed, "film", study.patient, study.follow_up)
    return expose(canvas, total, tissue.body, study.view, rng, size)


def _pose(study: Study, seed: int, side: int) -> tuple[Chest, Canvas]:
    """The patient's healthy chest as it was held and breathed in for this image, and the film."""
    patient = stream(seed, "anatomy", study.patient)
    chest = patient_chest(patient, study.gender, study.age)
    rng = stream(seed, "pose", study.patient, study.follow_up)
    lying = study.view == "AP"
    chest = breathe(chest, float(rng.beta(1.5, 3)) + (0.3 if lying else 0.0))
    shift = (rng.normal(0, 0.025), rng.normal(0.03, 0.02))
    turn = rng.normal(0, 0.035 if lying else 0.018)
    scale = rng.normal(1.0, 0.05)
    canvas = make_canvas(side, shift, turn, scale, patient)
    # Nobody stands quite straight: a slight turn moves heart and mediastinum sideways.
    chest = replace(chest, shift=rng.normal(0, 0.02 if lying else 0.01))
    return (as_ap(chest, rng) if lying else chest), canvas


def _site_stream(study: Study, seed: int, finding: str) -> np.random.Generator:
    """Side and site of a finding: the patient's, so that they stay over the follow-ups."""
    return stream(seed, "site", study.patient, FINDINGS.index(finding))


def _extent(study: Study, seed: int, finding: str) -> float:
    """How far a finding has come, 0..1: the patient's course and this image's part in it."""
    course = stream(seed, "course", study.patient, FINDINGS.index(finding))
    start, slope = course.uniform(0.15, 0.85), course.normal(0, 0.08)
    now = stream(seed, "extent", study.patient, study.follow_up, FINDINGS.index(finding))
    return float(np.clip(start + slope * study.follow_up + now.normal(0, 0.08), 0, 1))


def is_rgba(row: Row, seed: int) -> bool:
    """Whether this row's image is stored as RGBA, as a few percent of NIH's are."""
    rng = stream(seed, "file", int(row["Patient ID"]), int(row["Follow-up #"]))
    return bool(rng.random() < _RGBA_SHARE)
