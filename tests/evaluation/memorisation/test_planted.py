import numpy as np
import pytest

from cxr_pipeline.evaluation.memorisation.planted import (
    ANY,
    COLUMNS,
    UNPLANTED,
    changes,
    moved,
)

SEEN = [
    "exact",
    "flipped",
    "shifted by 2 pixels",
    "shifted by 4 pixels",
    "brightened (gamma 0.6)",
    "darkened (gamma 1.6)",
    "equalised by tiles (CLAHE)",
    "noisy (8 grey levels)",
    "blurred (1 pixel)",
    "flipped, shifted by 2 pixels, brightened",
]
"""What `docs/memorisation.md` says is found."""


def test_most_copies_of_every_kind_that_is_claimed_are_found(audit):
    table = audit(planted=20).power
    assert list(table.columns) == COLUMNS
    found = table[table["space"] == ANY].set_index("change")
    assert (found.loc[SEEN, "planted"] == 20).all()
    assert (found.loc[SEEN, "share"] >= 0.9).all(), found.loc[SEEN, "share"].to_dict()
    assert found.loc[UNPLANTED, "share"] <= 0.1
    assert (table["found"] <= table["planted"]).all()
    assert ((table["low"] <= table["share"]) & (table["share"] <= table["high"])).all()


def test_held_out_images_are_counted_all_of_them(chests, audit):
    table = audit(planted=1).power
    unplanted = table[table["change"] == UNPLANTED]
    assert (unplanted["planted"] == len(chests[1])).all()
    assert (table[table["change"] != UNPLANTED]["planted"] == 1).all()


def test_no_more_are_planted_than_there_are(chests, audit):
    training = chests[0].take(np.arange(30))
    table = audit(training=training, planted=100).power
    assert (table[table["change"] == "exact"]["planted"] == 30).all()


def test_every_change_changes_and_keeps_the_shape(chests):
    pixels = chests[0].pixels[:3]
    for name, make in changes(pixels, 0).items():
        made = make()
        assert made.shape == pixels.shape
        assert made.dtype == np.uint8
        assert np.array_equal(made, pixels) == (name == "exact")


@pytest.mark.parametrize("distance", [1, 4])
def test_an_image_moves_by_so_much_to_some_side(distance):
    pixels = np.random.default_rng(0).integers(0, 256, (30, 20, 20), dtype=np.uint8)
    ways = set()
    for image, there in zip(pixels, moved(pixels, distance, np.random.default_rng(1)), strict=True):
        steps = [(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1)]
        inner = slice(distance, -distance)
        (way,) = [
            step
            for step in steps
            if np.array_equal(
                np.roll(image, (distance * step[0], distance * step[1]), (0, 1))[inner, inner],
                there[inner, inner],
            )
        ]
        ways.add(way)
    assert (0, 0) not in ways
    assert len(ways) > 4
