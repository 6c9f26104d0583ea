import numpy as np
import pytest
import torch

from cxr_pipeline.evaluation.image_sets import ImageSet
from cxr_pipeline.evaluation.utility.arms import Arm
from cxr_pipeline.evaluation.utility.pools import (
    labelled_only,
    pool_of,
    rarity_weights,
    real_examples,
    synthetic_examples,
)

ENTRIES = ("Edema", "Mass")


def images_of(labels, side=32):
    """Images that can be told: each has a grey level of its own."""
    levels = np.arange(len(labels), dtype=np.uint8)
    pixels = np.broadcast_to(levels[:, None, None], (len(labels), side, side))
    return ImageSet("gan", pixels, np.arange(len(labels)), tuple(labels))


def levels(examples):
    return examples["pixels"][:, 0, 0, 0].tolist()


def no_guess(pixels):
    raise AssertionError("everything is known")


def test_images_have_the_classifiers_side_and_their_findings():
    pool = pool_of(images_of(["Edema|Mass", "No Finding", "Mass"], side=64), ENTRIES, 32)
    assert pool.pixels.shape == (3, 1, 32, 32)
    assert pool.pixels.dtype == torch.uint8
    assert pool.findings.tolist() == [[1, 1], [0, 0], [0, 1]]
    assert pool.complete


def test_no_images_are_a_pool_too():
    pool = pool_of(images_of([]), ENTRIES, 32)
    assert pool.pixels.shape == (0, 1, 32, 32)


def test_other_pixels_labels_or_findings_are_another_pool():
    one = images_of(["Edema", "Mass"])
    same = pool_of(one, ENTRIES, 32).digest
    assert pool_of(images_of(["Edema", "Mass"]), ENTRIES, 32).digest == same
    others = [
        pool_of(one.take(np.array([1, 0])), ENTRIES, 32),
        pool_of(images_of(["Edema", ""]), ENTRIES, 32),
        pool_of(one, ("Mass", "Edema"), 32),
        pool_of(one, ENTRIES, 16),
    ]
    assert len({same, *(pool.digest for pool in others)}) == 5


def test_real_images_come_once_and_those_drawn_again_once_more():
    pool = pool_of(images_of(["Edema", "Mass", "No Finding", "Mass"]), ENTRIES, 32)
    examples = real_examples(Arm("real", "duplicated_50", real=4, again=2), pool, 0)
    assert levels(examples)[:4] == [0, 1, 2, 3]
    assert len(set(levels(examples)[4:])) == 2
    assert examples["findings"].tolist() == pool.findings[levels(examples)].tolist()


def test_an_arm_without_real_images_has_none():
    pool = pool_of(images_of(["Edema", "Mass"]), ENTRIES, 32)
    examples = real_examples(Arm("gan", "synthetic_only", synthetic=2), pool, 0)
    assert examples["pixels"].shape == (0, 1, 32, 32)
    assert examples["findings"].shape == (0, 2)


def test_synthetic_images_show_what_they_were_asked_for():
    pool = pool_of(images_of(["Edema", "Mass", "No Finding", "Mass"]), ENTRIES, 32)
    examples = synthetic_examples(Arm("gan", "synthetic_75", synthetic=3), pool, 0, no_guess)
    assert len(set(levels(examples))) == 3
    assert examples["findings"].tolist() == pool.findings[levels(examples)].tolist()


def test_those_asked_for_nothing_show_what_is_guessed():
    pool = pool_of(images_of(["Edema", "", "", "Mass"]), ENTRIES, 32)
    before = pool.findings.clone()

    def guess(pixels):
        assert pixels.shape == (2, 32, 32)
        return np.stack([pixels[:, 0, 0] / 10, np.full(2, 0.5)], axis=1).astype(np.float32)

    examples = synthetic_examples(Arm("gan", "synthetic_100", synthetic=4), pool, 0, guess)
    findings = dict(zip(levels(examples), examples["findings"].tolist(), strict=True))
    assert findings[0] == [1, 0]
    assert findings[3] == [0, 1]
    assert findings[1] == pytest.approx([0.1, 0.5])
    assert findings[2] == pytest.approx([0.2, 0.5])
    assert torch.equal(pool.findings, before)


def test_rare_findings_weigh_more_but_not_without_end():
    findings = torch.zeros(100, 4)
    for column, count in enumerate((40, 10, 1, 0)):
        findings[:count, column] = 1
    assert rarity_weights(findings).tolist() == [1, 4, 10, 10]


def test_real_images_without_a_label_are_left_out():
    assert labelled_only(images_of(["Edema", "", "Mass"])).labels == ("Edema", "Mass")
    whole = images_of(["Edema"])
    assert labelled_only(whole) is whole
