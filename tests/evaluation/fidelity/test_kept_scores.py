import json
from dataclasses import replace

import numpy as np
import pytest
from tests.evaluation.fidelity.planted import RandomNetwork, as_samples, chests, described, measured

from cxr_pipeline.evaluation.fidelity import frechet, kept_scores, progress_lines


@pytest.fixture(scope="module")
def real():
    drawn = chests().take(np.arange(0, 256, 4))
    return replace(drawn, pixels=drawn.pixels[:, ::2, ::2], facts={"digest": "store", "rows": "a"})


@pytest.fixture
def sets(real):
    given = {"gan": real.pixels[:25] // 2, "tiny": real.pixels[:5]}
    made = (as_samples(name, pixels) for name, pixels in given.items())
    return [replace(one, facts={"digest": one.name, "seed": 1}) for one in made]


@pytest.fixture
def measure(sets, real, tmp_path):
    """Measures, and names the sets that were looked at."""

    def measure(**changes):
        looked_at = []

        def watch(extractor, images):
            looked_at.append(images.name)
            return described(extractor, images)

        own = {"sets": sets, "real": real, "extractors": [RandomNetwork()]} | changes
        found = measured(**own, features=watch, kept=tmp_path / "kept")
        return found, looked_at

    return measure


def test_what_was_measured_is_found_again_with_all_that_is_missing(measure):
    first, looked_at = measure()
    assert looked_at == ["real", "gan", "tiny"]
    assert {row.model for row in first.missing} == {"tiny"}
    again, looked_at = measure()
    assert looked_at == []
    assert again == first
    assert again.facts["extractors"]["random"]["dimensions"] == 64


def test_scores_that_are_kept_are_those_that_are_measured(measure, sets, real):
    measure()
    assert measure()[0] == measured(sets, real, [RandomNetwork()])


def test_a_run_that_was_stopped_goes_on_with_the_next_set(measure, monkeypatch):
    def stop(*sides):
        if len(sides[0]) == 5:
            raise KeyboardInterrupt
        return distance(*sides)

    distance = frechet.frechet_distance
    monkeypatch.setattr(frechet, "frechet_distance", stop)
    with pytest.raises(KeyboardInterrupt):
        measure()
    monkeypatch.undo()
    assert measure()[1] == ["real", "tiny"]  # what it is compared with, and itself


OTHER = RandomNetwork()
OTHER.sha256 = "1" * 64


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 4},
        {"replicates": 21},
        {"neighbours": 4},
        {"kid_subset": 19},
        {"extractors": [OTHER]},
        {"extractors": [RandomNetwork("another")]},
    ],
    ids=["seed", "replicates", "neighbours", "kid_subset", "weights", "name"],
)
def test_by_other_parameters_or_extractors_all_is_measured_anew(measure, changes):
    measure()
    assert measure(**changes)[1] == ["real", "gan", "tiny"]


@pytest.mark.parametrize(
    ("facts", "anew"),
    [({"digest": "anew"}, True), ({"seed": 2}, True), ({"temperature": 1}, True), ({}, False)],
)
def test_a_set_of_other_facts_is_measured_anew_and_the_others_are_not(measure, sets, facts, anew):
    measure()
    changed = replace(sets[0], facts=sets[0].facts | facts)
    assert measure(sets=[changed, sets[1]])[1] == ["real", "gan"] * anew


def test_of_other_real_images_or_another_count_all_is_measured_anew(measure, sets, real):
    measure()
    everyone = ["real", "gan", "tiny"]
    assert measure(real=replace(real, facts=real.facts | {"rows": "b"}))[1] == everyone
    fewer = as_samples("gan", sets[0].pixels[:24])
    assert measure(sets=[replace(fewer, facts=sets[0].facts), sets[1]])[1] == ["real", "gan"]


def test_a_set_by_another_name_is_taken_for_what_it_is_unless_reasons_name_it(measure, sets):
    measure()
    renamed = [replace(one, name=f"my_{one.name}") for one in sets]
    found, looked_at = measure(sets=renamed)
    assert looked_at == ["real", "my_tiny"]
    assert {row.model for row in found.rows} == {"real", "my_gan", "my_tiny"}


def test_files_name_no_facts_and_another_format_is_not_taken(measure, tmp_path, monkeypatch):
    measure()
    files = sorted((tmp_path / "kept" / "scores").iterdir())
    assert len(files) == 3
    for path in files:
        assert {*json.loads(path.read_text())} == {"name", "rows", "missing", "dimensions"}
    monkeypatch.setattr(kept_scores, "FORMAT", kept_scores.FORMAT + 1)
    assert measure()[1] == ["real", "gan", "tiny"]


def test_a_damaged_file_is_named(measure, tmp_path):
    measure()
    path = next((tmp_path / "kept" / "scores").iterdir())
    path.write_text("{")
    with pytest.raises(ValueError, match=rf"{path.name}' is damaged .*: delete it"):
        measure()


def test_long_loops_tell_how_far_they_are(measure, monkeypatch, caplog):
    monkeypatch.setattr(progress_lines, "SECONDS_BETWEEN_LINES", 0)
    with caplog.at_level("INFO"):
        measure()
    for what in (
        "Frechet distance's bootstrap samples: 20 of 20",
        "KID's subsets: ",
        "KID's bootstrap samples, images: 25 of 25",
        "Neighbours of images: 25 of 25",
        "Neighbours within a set, images: 25 of 25",
        "MS-SSIM of pairs: 50 of 50",
        "Sliced Wasserstein distance's directions: 256 of 256",
    ):
        assert what in caplog.text


def test_of_a_short_loop_nothing_is_said(measure, caplog):
    with caplog.at_level("INFO"):
        measure()
    assert " left" not in caplog.text
