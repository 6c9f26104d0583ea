"""The phantoms' label table: patients, their images over the years, and their findings."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from cxr_pipeline.data.findings import FINDINGS, NO_FINDING
from cxr_pipeline.data.phantoms.streams import stream

COLUMNS = (
    "Image Index",
    "Finding Labels",
    "Follow-up #",
    "Patient ID",
    "Patient Age",
    "Patient Gender",
    "View Position",
    "OriginalImage[Width",
    "Height]",
    "OriginalImagePixelSpacing[x",
    "y]",
)
MAX_IMAGES_A_PATIENT = 12
_MAX_FINDINGS = 3
_WELL_SHARE = 0.47  # of the images show no finding
_SMALLEST_FULL_SET = 128  # images; smaller sets need not hold every finding
_FLOOR_SHARE = 12 / 256  # every finding is on at least this share of the images
# Patients go to one split each: this many leave some for every split.
_FLOOR_PATIENTS = 5
_EPISODE = 4  # images after which an illness goes on to another one

# Findings that stay once they are there; the others pass.
LASTING = frozenset(
    {"Cardiomegaly", "Emphysema", "Fibrosis", "Hernia", "Mass", "Nodule", "Pleural_Thickening"}
)
# Common in NIH's table, and commoner here, too (weight 1: as often as the rarest).
_WEIGHTS = {"Atelectasis": 1.3, "Effusion": 1.5, "Infiltration": 1.5, "Nodule": 1.1}
_COMPANIONS = {
    "Atelectasis": ("Effusion", "Infiltration", "Pneumothorax", "Mass"),
    "Cardiomegaly": ("Edema", "Effusion", "Atelectasis"),
    "Consolidation": ("Effusion", "Infiltration", "Pneumonia"),
    "Edema": ("Effusion", "Cardiomegaly", "Infiltration", "Pneumonia"),
    "Effusion": ("Atelectasis", "Infiltration", "Consolidation", "Cardiomegaly"),
    "Emphysema": ("Pneumothorax", "Nodule", "Fibrosis"),
    "Fibrosis": ("Pleural_Thickening", "Emphysema", "Infiltration"),
    "Hernia": ("Atelectasis", "Cardiomegaly", "Nodule"),
    "Infiltration": ("Effusion", "Pneumonia", "Edema", "Atelectasis"),
    "Mass": ("Nodule", "Effusion", "Consolidation", "Pleural_Thickening"),
    "Nodule": ("Mass", "Infiltration", "Fibrosis"),
    "Pleural_Thickening": ("Effusion", "Fibrosis", "Nodule"),
    "Pneumonia": ("Infiltration", "Edema", "Consolidation"),
    "Pneumothorax": ("Emphysema", "Effusion", "Atelectasis"),
}
# (width, height, pixel spacing in mm) of the detectors.
_FILMS = {
    "PA": ((2500, 2048, 0.168), (2048, 2500, 0.168), (2992, 2991, 0.143), (2544, 3056, 0.139)),
    "AP": ((3056, 2544, 0.139), (2500, 2048, 0.168), (2048, 2500, 0.168)),
}


@dataclass
class _Episode:
    """Some images in a row of one patient, ill with the same thing."""

    patient: int
    follow_ups: range
    lasting: bool  # goes on to the patient's last image: only then can a lasting finding appear
    findings: set[str] = field(default_factory=set)


def sample_rows(seed: int, patients: int = 60, images: int = 256) -> pd.DataFrame:
    """The label table of the sample data, with NIH's headers in NIH's order.

    Args:
        seed: the data set's seed, >= 0.
        patients: number of patients, numbered from 1.
        images: number of images; each patient has 1 to 12.

    Returns:
        One row an image, ordered by patient and follow-up. About 47 % of the rows say
        "No Finding"; with the default numbers every finding is on at least 12 images of several
        patients.

    Raises:
        ValueError: if there are no patients, or too few or too many images for them.
    """
    if patients < 1:
        raise ValueError(f"patients: {patients} is too few; use at least 1")
    if not patients <= images <= MAX_IMAGES_A_PATIENT * patients:
        raise ValueError(
            f"images: {images} does not suit {patients} patients; use {patients} to "
            f"{MAX_IMAGES_A_PATIENT * patients} (1 to {MAX_IMAGES_A_PATIENT} a patient)"
        )
    rng = stream(seed, "patients")
    counts = _images_a_patient(rng, patients, images)
    episodes = _episodes(rng, counts)
    _fall_ill(rng, episodes)
    if images >= _SMALLEST_FULL_SET:
        _top_up(rng, episodes, int(_FLOOR_SHARE * images))
    found = {
        (episode.patient, follow_up): episode.findings
        for episode in episodes
        for follow_up in episode.follow_ups
    }
    rows: list[tuple[object, ...]] = []
    for patient, count in enumerate(counts, start=1):
        rows += _patient_rows(stream(seed, "patients", patient), patient, count, found)
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _images_a_patient(rng: np.random.Generator, patients: int, images: int) -> list[int]:
    """How many images each patient has: few mostly, many now and then; together `images`."""
    counts = np.ones(patients, dtype=np.int64)
    chance = rng.gamma(1.5, 1.0, patients)
    for _ in range(images - patients):
        room = np.where(counts < MAX_IMAGES_A_PATIENT, chance, 0.0)
        counts[rng.choice(patients, p=room / room.sum())] += 1
    return [int(count) for count in counts]


def _episodes(rng: np.random.Generator, counts: list[int]) -> list[_Episode]:
    """Cut the ill patients' ill images into episodes; stops when enough images are ill."""
    wanted = sum(counts) - round(_WELL_SHARE * sum(counts))
    episodes: list[_Episode] = []
    for index in rng.permutation(len(counts)):
        count = counts[index]
        length = min(wanted, max(1, round(count * rng.uniform(0.6, 1.0))))
        if length == 0:
            break
        wanted -= length
        lasting = bool(rng.random() < 0.65)
        start = count - length if lasting else int(rng.integers(0, count - length + 1))
        for first in range(start, start + length, _EPISODE):
            ends = min(first + _EPISODE, start + length)
            episodes.append(_Episode(int(index) + 1, range(first, ends), start + length == count))
    return episodes


def _fall_ill(rng: np.random.Generator, episodes: list[_Episode]) -> None:
    """Give each episode a leading finding, the rarest so far, often with a companion of it."""
    before: _Episode | None = None
    for episode in episodes:
        same = before is not None and before.patient == episode.patient
        if same and before is not None:
            episode.findings |= set(sorted(before.findings & LASTING)[: _MAX_FINDINGS - 1])
        leading = _rarest(rng, episodes, [name for name in FINDINGS if _suits(episode, name)])
        episode.findings.add(leading)
        while len(episode.findings) < _MAX_FINDINGS and rng.random() < 0.3:
            suited = [name for name in _COMPANIONS[leading] if _suits(episode, name)]
            if not suited:
                break
            episode.findings.add(_rarest(rng, episodes, suited))
        before = episode


def _suits(episode: _Episode, finding: str) -> bool:
    """Whether the finding is new to the episode and would not vanish after it."""
    return finding not in episode.findings and (episode.lasting or finding not in LASTING)


def _count(episodes: list[_Episode], finding: str) -> int:
    """Images that show `finding`."""
    return sum(len(episode.follow_ups) for episode in episodes if finding in episode.findings)


def _patients(episodes: list[_Episode], finding: str) -> set[int]:
    """Patients who show `finding`."""
    return {episode.patient for episode in episodes if finding in episode.findings}


def _rarest(rng: np.random.Generator, episodes: list[_Episode], names: list[str]) -> str:
    """The name furthest behind its weight, with a little chance in it."""
    shares = [
        (_count(episodes, name) + 3 * len(_patients(episodes, name)) + rng.uniform(0, 3))
        / _WEIGHTS.get(name, 1.0)
        for name in names
    ]
    return names[int(np.argmin(shares))]


def _top_up(rng: np.random.Generator, episodes: list[_Episode], floor: int) -> None:
    """Add findings on fewer than `floor` images, or in fewer than `_FLOOR_PATIENTS` patients."""
    for name in FINDINGS:
        while True:
            has = _patients(episodes, name)
            enough = len(has) >= _FLOOR_PATIENTS
            if enough and _count(episodes, name) >= floor:
                break
            room = [
                episode
                for episode in episodes
                if _suits(episode, name)
                and len(episode.findings) < _MAX_FINDINGS
                # A patient who has it already does not make it less of one patient's finding.
                and (enough or episode.patient not in has)
            ]
            if not room:
                break
            least = min(len(episode.findings) for episode in room)
            room = [episode for episode in room if len(episode.findings) == least]
            room[int(rng.integers(len(room)))].findings.add(name)


def _patient_rows(
    rng: np.random.Generator,
    patient: int,
    count: int,
    found: dict[tuple[int, int], set[str]],
) -> list[tuple[object, ...]]:
    """The rows of one patient."""
    gender = "M" if rng.random() < 0.56 else "F"
    age = float(np.clip(rng.normal(49, 16), 18, 85))
    rows: list[tuple[object, ...]] = []
    for follow_up in range(count):
        findings = sorted(found.get((patient, follow_up), ()))
        portable = rng.random() < (0.18, 0.45, 0.62, 0.75)[len(findings)]
        view = "AP" if portable else "PA"
        width, height, spacing = _FILMS[view][int(rng.integers(len(_FILMS[view])))]
        rows.append(
            (
                f"{patient:08d}_{follow_up:03d}.png",
                "|".join(findings) or NO_FINDING,
                follow_up,
                patient,
                int(age),
                gender,
                view,
                width,
                height,
                spacing,
                spacing,
            )
        )
        age += rng.exponential(0.4)
    return rows
