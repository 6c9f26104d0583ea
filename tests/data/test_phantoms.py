"""The sample data: its label table, its pictures and their files."""

from __future__ import annotations

import functools
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest

from cxr_pipeline.data.findings import FINDINGS, NO_FINDING
from cxr_pipeline.data.phantoms import draw_phantom, is_rgba, sample_rows
from cxr_pipeline.data.phantoms.anatomy import patient_chest
from cxr_pipeline.data.phantoms.findings import OVERLAYS
from cxr_pipeline.data.phantoms.reshapes import RESHAPES, enlarge_heart
from cxr_pipeline.data.png import encode_png

SEED = 3
SIZE = 96
PATIENTS = (1, 2, 3, 4)


def make_row(findings: str = NO_FINDING, **changes: Any) -> dict[str, Any]:
    """One row of the label table, as far as drawing needs it."""
    row = {
        "Finding Labels": findings,
        "Follow-up #": 0,
        "Patient ID": 1,
        "Patient Age": 55,
        "Patient Gender": "M",
        "View Position": "PA",
    }
    return row | {name.replace("_", " "): value for name, value in changes.items()}


@functools.cache
def change(findings: str, patient: int) -> npt.NDArray[np.float64]:
    """What the findings change in the patient's picture: (SIZE, SIZE), in grey levels."""
    well = draw_phantom(make_row(Patient_ID=patient), SEED, SIZE)
    ill = draw_phantom(make_row(findings, Patient_ID=patient), SEED, SIZE)
    return ill.astype(np.float64) - well


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return sample_rows(0)


# -- the label table -----------------------------------------------------------------------------


def test_table_has_the_columns_of_nih_in_order(table: pd.DataFrame) -> None:
    assert ",".join(table.columns) == (
        "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,"
        "View Position,OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y]"
    )


def test_table_has_the_images_and_patients_asked_for(table: pd.DataFrame) -> None:
    images = table.groupby("Patient ID").size()
    assert len(table) == 256
    assert list(images.index) == list(range(1, 61))
    assert images.min() >= 1
    assert images.max() <= 12
    assert table["Image Index"].is_unique


def test_follow_ups_count_up_and_name_the_file(table: pd.DataFrame) -> None:
    for patient, rows in table.groupby("Patient ID"):
        assert list(rows["Follow-up #"]) == list(range(len(rows)))
        assert rows["Patient Age"].is_monotonic_increasing
        assert rows["Patient Gender"].nunique() == 1
        expected = [f"{patient:08d}_{follow_up:03d}.png" for follow_up in range(len(rows))]
        assert list(rows["Image Index"]) == expected


def test_findings_are_known_sorted_and_at_most_three(table: pd.DataFrame) -> None:
    for labels in table["Finding Labels"]:
        names = labels.split("|")
        assert names == sorted(set(names))
        assert len(names) <= 3
        assert names == [NO_FINDING] or set(names) <= set(FINDINGS)


@pytest.mark.parametrize("seed", [0, 1, 2, 17, 42])
def test_every_finding_is_common_enough(seed: int) -> None:
    table = sample_rows(seed)
    labels = table.assign(name=table["Finding Labels"].str.split("|")).explode("name")
    images = labels.groupby("name").size()
    patients = labels.groupby("name")["Patient ID"].nunique()
    assert all(images[name] >= 12 for name in FINDINGS)
    # Patients are split as a whole: a finding of one or two would be missing from a split.
    assert all(patients[name] >= 5 for name in FINDINGS)
    assert 0.45 <= images[NO_FINDING] / len(table) <= 0.50
    assert table["Finding Labels"].str.contains("|", regex=False).sum() >= 20


def test_sick_patients_lie_in_bed_more_often(table: pd.DataFrame) -> None:
    lying = table["View Position"] == "AP"
    well = table["Finding Labels"] == NO_FINDING
    assert set(table["View Position"]) == {"PA", "AP"}
    assert lying[~well].mean() > lying[well].mean() + 0.1


def test_lasting_findings_do_not_go_away(table: pd.DataFrame) -> None:
    for _, rows in table.groupby("Patient ID"):
        has = [("Emphysema" in labels) for labels in rows["Finding Labels"]]
        if any(has):
            assert rows["Finding Labels"].iloc[-1] != NO_FINDING


def test_table_depends_on_the_seed_alone(table: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(table, sample_rows(0))
    assert not table.equals(sample_rows(1))


@pytest.mark.parametrize(("patients", "images"), [(1, 1), (5, 5), (3, 36), (8, 20)])
def test_small_tables(patients: int, images: int) -> None:
    table = sample_rows(SEED, patients, images)
    assert len(table) == images
    assert table["Patient ID"].nunique() == patients


@pytest.mark.parametrize(
    ("patients", "images", "message"),
    [(0, 4, "patients: 0"), (5, 4, "images: 4"), (5, 61, "images: 61")],
)
def test_impossible_tables_are_refused(patients: int, images: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        sample_rows(SEED, patients, images)


# -- the pictures --------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [64, 97, 128])
def test_picture_is_square_grey_and_uses_the_range(size: int) -> None:
    image = draw_phantom(make_row(), SEED, size)
    assert image.shape == (size, size)
    assert image.dtype == np.uint8
    assert np.percentile(image, 2) < 60
    assert np.percentile(image, 98) > 190


def test_picture_is_the_same_every_time() -> None:
    row = make_row("Edema|Effusion", View_Position="AP")
    np.testing.assert_array_equal(draw_phantom(row, SEED, SIZE), draw_phantom(row, SEED, SIZE))


@pytest.mark.parametrize("other", [{"Patient ID": 2}, {"Follow-up #": 1}, {"View Position": "AP"}])
def test_other_rows_give_other_pictures(other: dict[str, Any]) -> None:
    first = draw_phantom(make_row(), SEED, SIZE)
    second = draw_phantom(make_row() | other, SEED, SIZE)
    assert np.abs(first.astype(int) - second).mean() > 2


def test_a_table_row_can_be_drawn(table: pd.DataFrame) -> None:
    row = table.iloc[7]
    np.testing.assert_array_equal(
        draw_phantom(row, SEED, SIZE), draw_phantom(row.to_dict(), SEED, SIZE)
    )


@pytest.mark.parametrize("patient", PATIENTS)
def test_lungs_are_darker_than_heart_and_belly(patient: int) -> None:
    image = draw_phantom(make_row(Patient_ID=patient), SEED, SIZE) / 255
    places = {
        "right lung": (0.3, 0.4),
        "left lung": (0.7, 0.4),
        "heart": (0.54, 0.6),
        "belly": (0.3, 0.9),
    }
    smooth = cv2.blur(image, (7, 7))
    spot = {name: smooth[int(y * SIZE), int(x * SIZE)] for name, (x, y) in places.items()}
    assert max(spot["right lung"], spot["left lung"]) + 0.2 < spot["heart"]
    assert spot["heart"] < spot["belly"] + 0.1


def test_every_finding_is_drawn() -> None:
    assert set(RESHAPES) | set(OVERLAYS) == set(FINDINGS)


@pytest.mark.parametrize("finding", FINDINGS)
def test_every_finding_changes_the_picture(finding: str) -> None:
    for patient in PATIENTS:
        # A nodule is the smallest: some 3 pixels in radius here, but bright.
        largest = np.sort(np.abs(change(finding, patient)).ravel())[-25:]
        assert largest.mean() > 20


@pytest.mark.parametrize(
    ("finding", "top", "bottom"),
    [
        ("Effusion", 0.5, 1.0),
        ("Hernia", 0.5, 0.9),
        ("Cardiomegaly", 0.35, 0.9),
        ("Pneumonia", 0.35, 0.85),
    ],
)
def test_findings_are_at_their_height(finding: str, top: float, bottom: float) -> None:
    for patient in PATIENTS:
        changed = np.abs(change(finding, patient)).sum(axis=1)
        inside = changed[int(top * SIZE) : int(bottom * SIZE)].sum()
        assert inside > 0.75 * changed.sum()


@pytest.mark.parametrize(
    "finding", ["Consolidation", "Edema", "Effusion", "Infiltration", "Mass", "Nodule", "Pneumonia"]
)
def test_opacities_are_bright(finding: str) -> None:
    for patient in PATIENTS:
        changed = change(finding, patient)
        assert changed[changed > 0].sum() > 10 * -changed[changed < 0].sum()


def test_pneumothorax_and_emphysema_darken_the_lungs() -> None:
    for patient in PATIENTS:
        assert change("Emphysema", patient).mean() < -2
        assert np.percentile(change("Pneumothorax", patient), 3) < -8


def test_mass_is_larger_than_nodule() -> None:
    for patient in PATIENTS:
        one = (change("Mass", patient) > 15).sum()
        # Nodules come in up to three: compare with the area of the largest.
        spots = (change("Nodule", patient) > 15).astype(np.uint8)
        areas = cv2.connectedComponentsWithStats(spots)[2][1:, cv2.CC_STAT_AREA]
        assert one > 1.5 * areas.max()


def test_edema_is_on_both_sides_and_pneumonia_on_one() -> None:
    for patient in PATIENTS:
        shares = {}
        for finding in ("Edema", "Pneumonia"):
            across = np.abs(change(finding, patient)).sum(axis=0)
            right, left = across[: SIZE // 2].sum(), across[SIZE // 2 :].sum()
            shares[finding] = min(right, left) / max(right, left)
        assert shares["Edema"] > 0.5
        assert shares["Pneumonia"] < 0.25


@pytest.mark.parametrize("gender", ["F", "M"])
def test_cardiomegaly_widens_the_heart_past_half_of_the_chest(gender: str) -> None:
    for patient in range(40):
        rng = np.random.default_rng(patient)
        chest = patient_chest(rng, gender, age=30 + patient)
        assert 0.38 < chest.cardiothoracic_ratio() < 0.5
        for extent in (0.0, 1.0):
            assert enlarge_heart(chest, rng, extent).cardiothoracic_ratio() > 0.55


@pytest.mark.parametrize("patient", PATIENTS)
def test_cardiomegaly_widens_the_bright_middle(patient: int) -> None:
    changed = change("Cardiomegaly", patient)[int(0.45 * SIZE) : int(0.75 * SIZE)]
    assert changed[:, int(0.2 * SIZE) : int(0.8 * SIZE)].max() > 40
    assert np.abs(changed[:, : int(0.12 * SIZE)]).mean() < 2


def test_a_finding_stays_on_its_side() -> None:
    sides = set()
    for follow_up in range(5):
        now = {"Patient ID": 9, "Follow-up #": follow_up}
        ill = draw_phantom(make_row("Pneumonia") | now, SEED, SIZE).astype(int)
        changed = ill - draw_phantom(make_row() | now, SEED, SIZE)
        sides.add(bool(changed[:, : SIZE // 2].sum() > changed[:, SIZE // 2 :].sum()))
    assert len(sides) == 1


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (make_row("Broken rib"), "Finding Labels: 'Broken rib'"),
        (make_row(""), "Finding Labels: ''"),
        (make_row(View_Position="LL"), "View Position: 'LL'"),
        (make_row(Patient_Gender="X"), "Patient Gender: 'X'"),
        ({"Patient ID": 1}, "'Finding Labels' is missing"),
    ],
)
def test_wrong_rows_are_refused(row: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        draw_phantom(row, SEED, SIZE)


def test_wrong_size_and_seed_are_refused() -> None:
    with pytest.raises(ValueError, match="size: 63"):
        draw_phantom(make_row(), SEED, 63)
    with pytest.raises(ValueError, match="seed: -1"):
        draw_phantom(make_row(), -1, SIZE)


# -- the files -----------------------------------------------------------------------------------


def test_a_few_percent_of_the_images_are_rgba() -> None:
    table = sample_rows(0)
    for seed in range(3):
        share = np.mean([is_rgba(row, seed) for _, row in table.iterrows()])
        assert 0.01 <= share <= 0.07


@pytest.mark.parametrize("rgba", [False, True])
def test_png_gives_the_picture_back(rgba: bool) -> None:
    image = draw_phantom(make_row(), SEED, SIZE)
    data = encode_png(image, rgba=rgba)
    assert data == encode_png(image, rgba=rgba)
    read = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    assert read is not None
    if rgba:
        assert read.shape == (SIZE, SIZE, 4)
        assert (read[..., 3] == 255).all()
        for channel in range(3):
            np.testing.assert_array_equal(read[..., channel], image)
    else:
        np.testing.assert_array_equal(read, image)


def test_png_files_stay_small() -> None:
    sizes = [
        len(encode_png(draw_phantom(make_row(Patient_ID=patient, View_Position=view), SEED)))
        for patient in PATIENTS
        for view in ("PA", "AP")
    ]
    assert np.mean(sizes) < 7_000_000 / 256


@pytest.mark.parametrize("image", [np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4), np.float32)])
def test_only_grey_bytes_become_png(image: npt.NDArray[Any]) -> None:
    with pytest.raises(ValueError, match="picture: shape"):
        encode_png(image)
