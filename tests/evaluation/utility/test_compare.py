import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from cxr_pipeline.evaluation.utility.arms import Arm
from cxr_pipeline.evaluation.utility.compare import (
    by_frequency,
    compare,
    draw_luck,
    estimate,
    finding_areas,
    mean_area,
    verdict,
)

REAL = Arm("real", "real", real=10)
CONTROL = Arm("real", "duplicated_100", 1.0, real=10, again=10)
ARM = Arm("gan", "synthetic_100", 1.0, real=10, synthetic=10, control="duplicated_100")

GROUPS = {"all": [0, 1, 2], "head": [0], "tail": [], "Hernia": [2]}
PATIENTS = 60


@pytest.fixture
def truths():
    return np.random.default_rng(0).random((2 * PATIENTS, 3)) < 0.3


def classifiers(truths, skill, seed, seeds=3):
    """What classifiers say: the more skill, the more the truth stands out of noise."""
    noise = np.random.default_rng(seed).normal(size=(seeds, *truths.shape))
    return (1 / (1 + np.exp(-skill * truths - noise))).astype(np.float32)


def table_of(truths, skills, seeds=3):
    said = {
        arm: classifiers(truths, skill, number, seeds)
        for number, (arm, skill) in enumerate(skills.items())
    }
    luck = draw_luck(np.arange(len(truths)) // 2, seeds, replicates=100, seed=0)
    return compare(said, truths, GROUPS, luck).set_index(["arm", "group"])


def test_a_planted_gain_is_seen(truths):
    row = table_of(truths, {REAL: 0.3, CONTROL: 0.3, ARM: 3.0}).loc["synthetic_100", "all"]
    assert row["verdict"] == "gain"
    assert 0 < row["difference_low"] < row["difference"] < row["difference_high"]
    assert 0 < row["over_control_low"] < row["over_control"] < row["over_control_high"]
    assert (row["control"], row["seeds"], row["n"]) == ("duplicated_100", 3, 120)


def test_a_gain_that_duplicates_bring_too_is_none(truths):
    table = table_of(truths, {REAL: 0.3, CONTROL: 3.0, ARM: 3.0})
    row = table.loc["synthetic_100", "all"]
    assert row["difference_low"] > 0
    assert row["verdict"] == "within noise"
    # They are real images: whether looking at them longer helps, they say themselves.
    assert table.loc["duplicated_100", "all"]["verdict"] == "gain"


def test_a_gain_over_bad_duplicates_alone_is_none(truths):
    row = table_of(truths, {REAL: 3.0, CONTROL: 0.3, ARM: 3.0}).loc["synthetic_100", "all"]
    assert row["over_control_low"] > 0
    assert row["verdict"] == "within noise"


def test_a_loss_is_seen(truths):
    row = table_of(truths, {REAL: 3.0, CONTROL: 3.0, ARM: 0.3}).loc["synthetic_100", "all"]
    assert row["verdict"] == "loss"
    assert row["difference_high"] < 0


def test_arms_alike_are_within_noise(truths):
    table = table_of(truths, {REAL: 1.0, CONTROL: 1.0, ARM: 1.0})
    assert set(table.loc["synthetic_100"]["verdict"]) == {"within noise"}


def test_one_seed_shows_no_gain(truths):
    skills = {REAL: 0.3, CONTROL: 0.3, ARM: 3.0}
    row = table_of(truths, skills, seeds=1).loc["synthetic_100", "all"]
    assert row["difference_low"] > 0
    assert row["verdict"] == "within noise"


def test_without_its_control_an_arm_shows_no_gain(truths):
    row = table_of(truths, {REAL: 0.3, ARM: 3.0}).loc["synthetic_100", "all"]
    assert np.isnan(row["over_control"])
    assert row["verdict"] == "within noise"


def test_real_is_what_others_are_compared_with(truths):
    row = table_of(truths, {REAL: 1.0}).loc["real", "all"]
    assert row["verdict"] == "reference"
    assert np.isnan(row["difference"])
    assert row["low"] < row["auroc"] < row["high"]


def test_areas_are_means_over_seeds_and_findings(truths):
    said = classifiers(truths, 1.0, 0)
    table = table_of(truths, {REAL: 1.0})
    areas = [[roc_auc_score(truths[:, c], one[:, c]) for c in range(3)] for one in said]
    assert table.loc["real", "all"]["auroc"] == pytest.approx(np.mean(areas), abs=1e-12)
    assert table.loc["real", "Hernia"]["auroc"] == pytest.approx(np.mean(areas, axis=0)[2])


def test_groups_without_findings_are_left_out(truths):
    assert set(table_of(truths, {REAL: 1.0}).loc["real"].index) == {"all", "head", "Hernia"}


def test_a_finding_that_a_draw_lacks_does_not_count_in_it():
    areas = np.array([[[0.5, 0.7], [0.6, np.nan], [np.nan, np.nan]]])
    assert mean_area(areas, [0, 1])[0, :2] == pytest.approx([0.6, 0.6])
    assert np.isnan(mean_area(areas, [0, 1])[0, 2])


def test_luck_is_of_patients_and_seeds():
    luck = draw_luck(np.repeat(np.arange(20), 3), 4, replicates=50, seed=1)
    assert luck.images.shape == (51, 60)
    assert (luck.images[0] == 1).all()
    by_patient = luck.images.reshape(51, 20, 3)
    assert (by_patient == by_patient[:, :, :1]).all()
    assert luck.seeds.shape == (50, 3)
    assert set(luck.seeds.ravel().tolist()) == {0, 1, 2, 3}


@pytest.mark.parametrize(("seeds", "often"), [(2, 0.15), (3, 0.1), (5, 0.1)])
def test_intervals_hold_what_is_there_though_seeds_are_few(seeds, often):
    """Arms that differ in nothing but luck, most of it the seeds': 5 % are to lie beside 0."""
    generator = np.random.default_rng(0)
    luck = draw_luck(np.arange(40), seeds, replicates=100, seed=0)
    beside = 0
    for _ in range(400):
        own = generator.normal(size=(seeds, 1))
        everybody = 0.3 * generator.normal(size=40)
        values = own + (luck.images @ everybody / 40)[None]
        _, low, high = estimate(values, luck)
        beside += low > 0 or high < 0
    assert beside / 400 <= often


def test_intervals_are_no_wider_than_they_have_to_be():
    generator = np.random.default_rng(0)
    luck = draw_luck(np.arange(40), 3, replicates=100, seed=0)
    widths = []
    for _ in range(200):
        _, low, high = estimate(np.tile(generator.normal(size=(3, 1)), (1, 101)), luck)
        widths.append(high - low)
    student = 2 * 4.303 / np.sqrt(3)  # of three draws of a normal distribution
    assert 0.6 * student < np.mean(widths) < 1.1 * student


def test_a_class_that_no_image_shows_has_no_area(truths):
    truths[:, 1] = False
    luck = draw_luck(np.arange(len(truths)), 3, replicates=20, seed=0)
    areas = finding_areas(classifiers(truths, 1.0, 0), truths, luck)
    assert np.isnan(areas[:, :, 1]).all()
    assert np.isfinite(areas[:, 0, [0, 2]]).all()


def test_findings_are_parted_into_thirds_by_how_often_they_are_seen():
    counts = np.array([3, 90, 0, 50, 7, 7, 20], dtype=float)
    assert by_frequency(counts) == {"head": [1, 3, 6], "medium": [4, 5], "tail": [0, 2]}


@pytest.mark.parametrize(
    ("difference", "over", "expected"),
    [
        ((0.1, 0.01, 0.2), (0.1, 0.01, 0.2), "gain"),
        ((0.1, 0.01, 0.2), (0.1, 0.0, 0.2), "within noise"),
        ((0.1, 0.0, 0.2), (0.1, 0.01, 0.2), "within noise"),
        ((-0.1, -0.2, -0.01), (0.1, 0.01, 0.2), "loss"),
        ((-0.1, -0.2, 0.0), (-0.1, -0.2, -0.01), "within noise"),
        ((float("nan"),) * 3, (float("nan"),) * 3, "within noise"),
    ],
)
def test_the_rule(difference, over, expected):
    assert verdict(difference, over, 3) == expected
