import json
import logging

import numpy as np
import pytest
from tests.evaluation.fidelity.planted import (
    SEED,
    RandomNetwork,
    as_samples,
    blurred,
    chests,
    described,
    measured,
    planted,
)

from cxr_pipeline.evaluation.image_sets import ImageSet, halves
from cxr_pipeline.evaluation.measured import CannotMeasureError, findings_from

OF_FEATURES = (
    "fidelity/frechet_distance",
    "fidelity/kid",
    "fidelity/precision",
    "fidelity/density",
    "diversity/recall",
    "diversity/coverage",
)
OF_PIXELS = ("fidelity/sliced_wasserstein", "fidelity/power_spectrum", "diversity/ms_ssim")
ALL = {*(f"{metric}/random" for metric in OF_FEATURES), *OF_PIXELS}


@pytest.fixture(scope="module")
def real():
    return chests()


@pytest.fixture(scope="module")
def found(real):
    return measured(planted(real), real, [RandomNetwork()])


@pytest.fixture(scope="module")
def few(real):
    """Real images, few and small enough to be measured again and again."""
    _, others = halves(real.groups, SEED)
    taken = real.take(np.sort(np.concatenate([halves(real.groups, SEED)[0][::4], others[::4]])))
    pixels = taken.pixels[:, ::2, ::2]
    return ImageSet(taken.name, pixels, taken.groups, taken.labels, facts={"digest": "real"})


def rows_of(found, model):
    return {row.metric: row for row in found.rows if row.model == model}


def missing_of(found, model):
    return {row.metric: row.reason for row in found.missing if row.model == model}


def worse(found, model, metric, *, lower):
    """Whether a set scores worse than real images, its interval apart from its better self's."""
    row, floor = rows_of(found, model)[metric], rows_of(found, "real")[metric]
    return row.high < floor.value if lower else row.low > floor.value


def test_every_set_and_the_floor_are_measured_by_every_metric(found, real):
    assert not found.missing
    size = min(len(half) for half in halves(real.groups, SEED))
    for model in ["real", *found.subjects]:
        rows = rows_of(found, model)
        assert set(rows) == ALL
        assert {row.n for row in rows.values()} == {size} == {found.facts["n"]}
        assert all(row.low - 1e-9 <= row.value <= row.high + 1e-9 for row in rows.values())


def test_the_reference_itself_scores_perfectly(found):
    values = {metric: row.value for metric, row in rows_of(found, "reference").items()}
    assert values["fidelity/frechet_distance/random"] == pytest.approx(0, abs=1e-5)
    assert values["fidelity/sliced_wasserstein"] == values["fidelity/power_spectrum"] == 0
    shares = [values[f"{metric}/random"] for metric in OF_FEATURES[2:]]
    assert shares == pytest.approx([1, 1, 1, 1])
    assert values["fidelity/kid/random"] < rows_of(found, "real")["fidelity/kid/random"].value


def test_noise_scores_badly(found):
    for metric in ("frechet_distance/random", "kid/random", "sliced_wasserstein", "power_spectrum"):
        assert worse(found, "noise", f"fidelity/{metric}", lower=False)
    assert [rows_of(found, "noise")[f"{metric}/random"].value for metric in OF_FEATURES[2:]] == [
        *(0, 0, 0, 0)
    ]


@pytest.mark.parametrize("model", ["blurred", "grainy", "darker"])
def test_spoiled_detail_is_seen_in_patches_and_spectra(found, model):
    assert worse(found, model, "fidelity/sliced_wasserstein", lower=False)
    assert worse(found, model, "fidelity/power_spectrum", lower=False)


def test_a_half_collapsed_set_is_seen_in_diversity(found):
    assert worse(found, "half_collapsed", "diversity/ms_ssim", lower=False)
    assert worse(found, "half_collapsed", "diversity/coverage/random", lower=True)


def test_darker_images_are_seen_by_features(found):
    for metric in ("fidelity/frechet_distance", "fidelity/kid"):
        assert worse(found, "darker", f"{metric}/random", lower=False)
    for metric in OF_FEATURES[2:]:
        assert worse(found, "darker", f"{metric}/random", lower=True)


def test_what_is_found_is_put_down_and_read_again(found):
    record = json.loads(json.dumps(found.record()))
    assert findings_from(record) == found
    assert found.facts["extractors"] == {"random": {"sha256": "0" * 64, "dimensions": 64}}
    assert found.facts["order"]["random"][0] == "reference"
    assert found.facts["order"]["random"][-1] == "noise"


def test_the_same_seed_finds_the_same(few):
    sets = [as_samples("blurred", blurred(few.pixels[:30]))]
    first, second = (measured(sets, few, [RandomNetwork()]) for _ in range(2))
    assert first == second
    assert first != measured(sets, few, [RandomNetwork()], seed=SEED + 1)


def test_no_patient_is_on_both_sides_and_all_sets_are_of_one_size(few):
    asked = []

    def watch(extractor, images):
        asked.append((images.name, len(images)))
        return described(extractor, images)

    sets = [as_samples("many", few.pixels), as_samples("fewer", few.pixels[:25])]
    found = measured(sets, few, [RandomNetwork()], features=watch)
    # Features are of whole sets, which are kept; what is compared is cut.
    assert asked == [("real", len(few)), ("many", len(few)), ("fewer", 25)]
    assert {row.n for row in found.rows} == {25} == {found.facts["n"]}


def test_a_set_too_small_for_some_metrics_leaves_the_others_their_size(few):
    sets = [as_samples("gan", few.pixels), as_samples("tiny", few.pixels[:5])]
    found = measured(sets, few, [RandomNetwork()])
    assert {row.n for row in rows_of(found, "gan").values()} == {found.facts["n"]}
    assert {row.n for row in rows_of(found, "tiny").values()} == {5}
    assert found.facts["smaller"] == {"tiny": 5}
    missing = missing_of(found, "tiny")
    assert set(missing) == {f"{metric}/random" for metric in OF_FEATURES[1:]}
    assert "evaluation.kid_subset=20" in missing["fidelity/kid/random"]
    assert "evaluation.neighbours=5" in missing["diversity/recall/random"]
    assert found.facts["order"] == {"random": ["gan"]}


def test_where_all_are_too_small_for_a_metric_they_are_still_of_one_size(few):
    sets = [as_samples("gan", few.pixels[:15]), as_samples("vae", few.pixels[:12])]
    found = measured(sets, few, [RandomNetwork()])
    assert {row.n for row in found.rows} == {12}
    assert {row.metric for row in found.missing} == {"fidelity/kid/random"}
    assert {row.model for row in found.missing} == {"real", "gan", "vae"}


@pytest.mark.parametrize("count", [0, 1])
def test_one_image_or_none_is_missing_and_the_floor_is_not(few, count):
    sets = [as_samples("tiny", few.pixels[:count]), as_samples("gan", few.pixels)]
    found = measured(sets, few, [RandomNetwork()])
    assert set(missing_of(found, "tiny")) == ALL
    assert set(rows_of(found, "real")) == set(rows_of(found, "gan")) == ALL


def test_real_images_of_too_few_patients_are_missing_with_a_remedy(few):
    for patients in (1, 3):
        real = ImageSet("real", few.pixels, np.arange(len(few)) % patients, few.labels)
        found = measured([as_samples("gan", few.pixels)], real, [RandomNetwork()])
        assert not found.rows
        assert set(missing_of(found, "gan")) == ALL
        assert all("labels.test" in row.reason for row in found.missing)


def test_features_that_are_not_finite_leave_out_their_metrics_alone(few, caplog):
    class Broken(RandomNetwork):
        def features(self, pixels):
            rows = super().features(pixels)
            if len(pixels) == 30:
                rows[3:5, 7] = np.nan
            return rows

    sets = [as_samples("gan", few.pixels[:30]), as_samples("vae", few.pixels[:25])]
    with caplog.at_level(logging.WARNING):
        found = measured(sets, few, [Broken(), RandomNetwork("other")])
    assert set(missing_of(found, "gan")) == {f"{metric}/random" for metric in OF_FEATURES}
    (reason,) = set(missing_of(found, "gan").values())
    assert "the random's features of 2 of 30 images of gan are not finite" in reason
    assert reason in caplog.text
    assert "fidelity/kid/other" in rows_of(found, "gan")
    assert not missing_of(found, "vae")


def test_an_extractor_that_cannot_look_at_real_images_is_missing_for_all(few):
    class Demanding(RandomNetwork):
        def features(self, pixels):
            raise CannotMeasureError(f"images of {pixels.shape[1]} px are too small: enlarge them")

    found = measured([as_samples("gan", few.pixels)], few, [Demanding()])
    for model in ("real", "gan"):
        assert set(rows_of(found, model)) == set(OF_PIXELS)
    assert {row.reason for row in found.missing} == {"images of 32 px are too small: enlarge them"}
    assert found.facts["extractors"]["random"]["dimensions"] is None


@pytest.mark.parametrize("error", [ValueError, np.linalg.LinAlgError])
def test_a_mistake_of_the_code_is_no_matter_of_the_images(few, error):
    class Mistaken(RandomNetwork):
        def features(self, pixels):
            raise error("shapes (3, 4) and (5, 6) do not match")

    with pytest.raises(error, match="shapes"):
        measured([as_samples("gan", few.pixels)], few, [Mistaken()])


def test_a_set_of_another_size_is_measured_by_features_alone(few):
    larger = np.repeat(np.repeat(few.pixels, 2, axis=1), 2, axis=2)
    found = measured([as_samples("gan", larger)], few, [RandomNetwork()])
    assert set(missing_of(found, "gan")) == set(OF_PIXELS)
    assert all("64 px, real ones of 32 px" in row.reason for row in found.missing)


def test_extractors_that_rank_models_differently_are_flagged(few, caplog):
    class Minding(RandomNetwork):
        """Finds far from real images what is dark, or what is bright."""

        def features(self, pixels):
            greys = pixels.mean(axis=(1, 2))
            minded = greys < 60 if self.name == "dark" else greys > 190
            return super().features(pixels) * 0.01 + 10 * minded[:, None]

    greys = few.pixels.mean(axis=(1, 2))
    assert greys.min() > 60
    assert greys.max() < 190
    dark, bright = few.pixels // 4, 255 - few.pixels // 4
    sets = [as_samples("night", dark), as_samples("day", bright)]
    with caplog.at_level(logging.WARNING):
        found = measured(sets, few, [Minding("dark"), Minding("bright")])
    assert found.facts["order"] == {"dark": ["day", "night"], "bright": ["night", "day"]}
    assert found.facts["disagreements"] == [
        "day is nearer to real images than night by dark, further by bright; beyond their intervals"
    ]
    assert found.facts["disagreements"][0] in caplog.text
