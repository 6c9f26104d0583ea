from itertools import pairwise

import numpy as np
import pytest

from cxr_pipeline.evaluation.utility.arms import (
    drawn,
    images_wanted,
    real_arms,
    synthetic_arms,
)

SHARES = (0.25, 0.5, 1.0, 2.0)


def parts(arms):
    return {arm.name: (arm.real, arm.again, arm.synthetic) for arm in arms}


def test_the_arms_without_synthetic_images():
    arms = real_arms(200, SHARES)
    assert parts(arms) == {
        "real": (200, 0, 0),
        "duplicated_25": (200, 50, 0),
        "duplicated_50": (200, 100, 0),
        "duplicated_100": (200, 200, 0),
        "duplicated_200": (200, 400, 0),
        "augmented": (200, 0, 0),
        "reweighted": (200, 0, 0),
    }
    assert {arm.model for arm in arms} == {"real"}
    assert [arm.name for arm in arms if arm.augment] == ["augmented"]
    assert [arm.name for arm in arms if arm.reweight] == ["reweighted"]
    assert {arm.control for arm in arms} == {"real"}


def test_the_arms_of_a_model():
    arms, missing = synthetic_arms("gan", 200, 400, SHARES)
    assert missing == []
    assert parts(arms) == {
        "synthetic_25": (200, 0, 50),
        "synthetic_50": (200, 0, 100),
        "synthetic_100": (200, 0, 200),
        "synthetic_200": (200, 0, 400),
        "synthetic_only": (0, 0, 200),
        "pretrained": (200, 0, 0),
    }
    assert [arm.share for arm in arms] == [0.25, 0.5, 1, 2, 1, 1]
    before = {arm.name: arm.first.name for arm in arms if arm.first}
    assert before == {"pretrained": "synthetic_only"}
    assert not any(arm.augment or arm.reweight for arm in arms)


def test_each_is_compared_with_real_images_that_are_looked_at_as_often():
    arms, _ = synthetic_arms("gan", 200, 400, SHARES)
    looks = {arm.name: arm.seen for arm in real_arms(200, SHARES)}
    assert {arm.name: arm.control for arm in arms} == {
        "synthetic_25": "duplicated_25",
        "synthetic_50": "duplicated_50",
        "synthetic_100": "duplicated_100",
        "synthetic_200": "duplicated_200",
        "synthetic_only": "real",
        "pretrained": "duplicated_100",
    }
    assert [arm.seen for arm in arms] == [looks[arm.control] for arm in arms]


def test_without_that_share_the_nearest_control_is_taken():
    arms, _ = synthetic_arms("gan", 200, 400, (0.5, 0.25))
    assert {arm.name: arm.control for arm in arms}["pretrained"] == "duplicated_50"


def test_shares_that_are_no_whole_percents_have_names_too():
    assert [arm.name for arm in real_arms(80, (0.125, 0.125))][1:2] == ["duplicated_12.5"]
    assert len(real_arms(80, (0.125, 0.125))) == 4


def test_with_too_few_images_an_arm_takes_what_there_is_and_is_compared_with_as_many():
    arms, missing = synthetic_arms("gan", 200, 230, SHARES)
    last = {arm.name: arm for arm in arms}["synthetic_200"]
    assert (last.synthetic, last.wanted, last.share) == (230, 400, 1.15)
    assert last.control == "duplicated_100"
    assert missing == []


def test_arms_that_would_be_the_same_for_want_of_images_are_left_out():
    arms, missing = synthetic_arms("gan", 200, 60, SHARES)
    assert parts(arms) == {
        "synthetic_25": (200, 0, 50),
        "synthetic_50": (200, 0, 60),
        "synthetic_only": (0, 0, 60),
        "pretrained": (200, 0, 0),
    }
    assert [row.metric for row in missing] == ["utility/synthetic_100", "utility/synthetic_200"]
    assert "60 images, 400 are wanted" in missing[1].reason


@pytest.mark.parametrize("available", [0, 1])
def test_a_model_with_hardly_an_image_has_no_arms(available):
    arms, missing = synthetic_arms("gan", 200, available, SHARES)
    assert arms == []
    assert [row.metric for row in missing][-2:] == ["utility/synthetic_only", "utility/pretrained"]
    assert {row.reason for row in missing} == {
        f"gan has {available} images to train on, 2 are needed: draw more"
    }


def test_as_many_images_are_wanted_as_the_largest_arm_takes():
    assert images_wanted(200, SHARES) == 400
    assert images_wanted(200, (0.25,)) == 200  # synthetic_only


def test_none_is_drawn_again_before_each_has_been_drawn():
    counts = np.bincount(drawn(25, 10, 0, "again"), minlength=10)
    assert set(counts.tolist()) == {2, 3}
    assert drawn(0, 10, 0, "again").tolist() == []


def test_of_more_images_the_first_are_the_same():
    draws = [drawn(count, 10, 0, "again").tolist() for count in (3, 10, 25)]
    assert all(more[: len(few)] == few for few, more in pairwise(draws))
    assert draws[1] != drawn(10, 10, 1, "again").tolist()
