import cv2
import numpy as np
import pytest
from tests.evaluation.memorisation.chests import Thumbnails, image_set

from cxr_pipeline.data.labelled_sheets import labelled_sheet
from cxr_pipeline.evaluation.measured import findings_from
from cxr_pipeline.evaluation.memorisation.planted import COLUMNS, changes

METRICS = {
    f"memorisation/{name}"
    for name in ("closer_in_pixels", "closer_in_features", "copies", "authenticity")
}
SEEN = ["exact", "flipped", "shifted by 2 pixels", "brightened (gamma 0.6)", "blurred (1 pixel)"]


def values(found, model):
    return {row.metric: row for row in found.findings.rows if row.model == model}


@pytest.mark.parametrize("change", SEEN)
def test_a_generator_that_replays_5_percent_is_detected(chests, audit, change):
    training, real = chests
    copied = training.pixels[[5, 90, 150]]
    own = [place for place in range(len(real)) if place % 2]
    pixels = np.concatenate([changes(copied, 0)[change](), real.pixels[own]])
    unseen = image_set("real", real.pixels[::2], real.groups[::2])
    found = audit(image_set("gan", pixels), real=unseen)
    flagged = found.flags["gan"]
    assert flagged[:3].all()
    assert flagged[3:].mean() <= 0.1
    copies = values(found, "gan")["memorisation/copies"]
    assert copies.value == pytest.approx(flagged.mean())
    assert copies.n == len(pixels)
    assert copies.low <= copies.value <= copies.high
    assert copies.value > 2 / len(pixels)


def test_images_that_copy_nothing_are_not_beyond_chance(chests, audit):
    real = chests[1]
    half = np.isin(real.groups, np.unique(real.groups)[::2])
    samples = image_set("gan", real.pixels[half])
    found = audit(samples, real=image_set("real", real.pixels[~half], real.groups[~half]))
    own = values(found, "gan")
    assert own["memorisation/copies"].value <= 0.1
    assert own["memorisation/copies"].low <= values(found, "real")["memorisation/copies"].high


def test_what_is_blurred_lies_near_to_all_and_is_no_copy(chests, audit):
    rng = np.random.default_rng(0)
    pixels = chests[0].pixels
    means = [pixels[rng.choice(len(pixels), 12)].mean(axis=0) for _ in range(30)]
    blurred = np.stack([cv2.GaussianBlur(mean, (0, 0), 1) for mean in means]).astype(np.uint8)
    found = audit(image_set("vae", blurred))
    distances = found.distances[found.distances["space"] == "features"]
    medians = distances.groupby("model")["distance"].median()
    assert medians["vae"] < medians["real"]
    assert not found.flags["vae"].any()


def test_a_collapsed_set_is_no_copy_unless_it_collapsed_on_a_training_image(chests, audit):
    training = chests[0].pixels
    mean = training.mean(axis=0).astype(np.uint8)
    anywhere = image_set("gan", np.repeat(mean[None], 12, axis=0))
    there = image_set("vae", np.repeat(training[7:8], 12, axis=0))
    flags = audit(anywhere, there).flags
    assert not flags["gan"].any()
    assert flags["vae"].all()


def test_every_set_is_measured_by_every_metric_with_its_floor(chests, audit):
    sets = [image_set(name, chests[0].pixels[:6]) for name in ("gan", "vae")]
    found = audit(*sets)
    for model in ("gan", "vae", "real"):
        rows = values(found, model)
        assert set(rows) == METRICS
        for row in rows.values():
            assert 0 <= row.low <= row.value <= row.high <= 1
    # Copies are none of their own; other people's images are.
    assert values(found, "gan")["memorisation/authenticity"].value == 0
    assert values(found, "real")["memorisation/authenticity"].value > 0.3
    assert findings_from(found.findings.record()) == found.findings
    assert found.findings.subjects == {"gan": "of gan", "vae": "of vae"}
    counts = found.distances.groupby(["model", "space"]).size()
    assert counts.loc["gan"].to_dict() == {"pixels": 6, "features": 6}
    assert set(found.power["space"]) == {"pixels", "features", "any"}


def test_samples_of_another_size_are_compared_too(chests, audit):
    large = np.stack([cv2.resize(image, (96, 96)) for image in chests[0].pixels[:5]])
    found = audit(image_set("gmvae", large))
    assert found.flags["gmvae"].all()
    labelled_sheet(found.sheets["gmvae"])


class NoNumbers(Thumbnails):
    """Features that are no numbers for images that are black in a corner."""

    def features(self, pixels):
        found = super().features(pixels)
        found[(pixels[:, 0, :4] == 0).all(axis=1)] = np.nan
        return found


def test_features_that_are_no_numbers_leave_what_pixels_tell(chests, audit):
    white = chests[0].pixels.copy()
    white[:, 0] = 255
    held_out = chests[1].pixels.copy()
    held_out[:, 0] = 255
    real = image_set("real", held_out, chests[1].groups)
    black = white[:4].copy()
    black[:2, 0] = 0
    sets = image_set("gan", black), image_set("vae", white[:4])
    found = audit(*sets, real=real, training=image_set("training", white), extractor=NoNumbers())
    assert set(values(found, "gan")) == {"memorisation/closer_in_pixels", "memorisation/copies"}
    assert set(values(found, "vae")) == METRICS
    assert found.flags["gan"].all()
    missing = {(row.model, row.metric) for row in found.findings.missing}
    assert missing == {
        ("gan", "memorisation/closer_in_features"),
        ("gan", "memorisation/authenticity"),
    }
    (reason,) = {row.reason for row in found.findings.missing}
    assert "thumbnails" in reason
    assert "2 of 4 images" in reason
    assert len(reason.splitlines()) == 1


class AllWrong(Thumbnails):
    def features(self, pixels):
        return np.full((len(pixels), 4), np.inf, dtype=np.float32)


def test_without_features_of_the_training_images_there_are_none_of_any(chests, audit):
    found = audit(image_set("gan", chests[0].pixels[:4]), extractor=AllWrong())
    assert {row.model for row in found.findings.missing} == {"gan", "real"}
    assert found.flags["gan"].all()
    assert set(found.power["space"]) == {"pixels", "any"}


@pytest.mark.parametrize("few", ["real", "training"])
def test_of_too_few_real_images_nothing_is_said(chests, audit, few):
    training, real = chests
    some = {"real": real, "training": training}
    some[few] = some[few].take(np.arange(19))
    found = audit(image_set("gan", training.pixels[:4]), **some)
    assert found.findings.rows == []
    assert {(row.model, row.metric) for row in found.findings.missing} == {
        (model, metric) for model in ("gan", "real") for metric in METRICS
    }
    assert found.findings.missing[0].reason.startswith("19 ")
    assert found.flags == {}
    assert list(found.power.columns) == COLUMNS
    assert list(found.distances.columns) == ["model", "space", "distance"]


def test_the_sheet_begins_with_copies_and_names_nobody(chests, audit):
    training, real = chests
    pixels = np.concatenate([real.pixels[:10], training.pixels[[33, 44]]])
    sheet = audit(image_set("gan", pixels)).sheets["gan"]
    assert sheet.images.shape[:2] == (11, 5)
    assert [row.split("\n")[0] for row in sheet.rows][:3] == ["COPY", "COPY", "sample"]
    assert [row.split("\n")[0] for row in sheet.rows][-3:] == ["held-out"] * 3
    for row in (0, 1):
        image, nearest, *_, by_features = sheet.images[row]
        assert np.array_equal(image, nearest)
        assert np.array_equal(image, by_features)
    assert ".png" not in str((sheet.rows, sheet.columns, sheet.caption))
    labelled_sheet(sheet)


def test_the_same_seed_gives_the_same_findings(chests, audit):
    samples = image_set("gan", chests[1].pixels[:10])
    first, second = audit(samples), audit(samples)
    assert first.findings == second.findings
    assert first.power.equals(second.power)
