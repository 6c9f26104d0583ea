import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cxr_pipeline.data.batches import (
    batch_positions,
    steps_per_epoch,
    to_pixels,
    to_signed_interval,
    to_unit_interval,
)

EVERY_LEVEL = torch.arange(256, dtype=torch.uint8)


def epoch_of(images, batch_size, seed, epoch):
    steps = steps_per_epoch(images, batch_size)
    return [
        batch_positions(images, batch_size, seed, epoch * steps + place).tolist()
        for place in range(steps)
    ]


def shown_in(*epoch):
    return [image for batch in epoch_of(*epoch) for image in batch]


@settings(deadline=None, derandomize=True)
@given(
    batch_size=st.integers(1, 20),
    extra=st.integers(0, 60),
    seed=st.integers(0, 100),
    epoch=st.integers(0, 1000),
)
def test_an_epoch_shows_no_image_twice_and_leaves_less_than_a_batch(batch_size, extra, seed, epoch):
    images = batch_size + extra
    batches = epoch_of(images, batch_size, seed, epoch)
    assert [len(batch) for batch in batches] == [batch_size] * (images // batch_size)
    shown = shown_in(images, batch_size, seed, epoch)
    assert len(set(shown)) == len(shown)
    assert set(shown) <= set(range(images))
    assert images - len(shown) < batch_size


def test_a_step_says_by_itself_which_images_it_takes():
    in_order = [batch_positions(100, 16, 3, step).tolist() for step in range(20)]
    alone = {step: batch_positions(100, 16, 3, step).tolist() for step in (19, 0, 7)}
    assert {step: in_order[step] for step in alone} == alone


def test_epochs_and_seeds_have_their_own_orders():
    orders = {tuple(shown_in(64, 16, 0, epoch)) for epoch in range(10)}
    orders |= {tuple(shown_in(64, 16, seed, 0)) for seed in range(1, 10)}
    assert len(orders) == 19
    assert all(sorted(order) == list(range(64)) for order in orders)


def test_what_one_epoch_leaves_over_comes_in_others():
    shown = {image for epoch in range(20) for image in shown_in(10, 4, 0, epoch)}
    assert shown == set(range(10))


def test_grey_levels_fill_the_unit_and_the_signed_interval():
    unit, signed = to_unit_interval(EVERY_LEVEL), to_signed_interval(EVERY_LEVEL)
    assert (unit.dtype, signed.dtype) == (torch.float32, torch.float32)
    assert (unit[0], unit[51], unit[255]) == (0.0, torch.tensor(0.2), 1.0)
    assert (signed[0], signed[255]) == (-1.0, 1.0)
    torch.testing.assert_close(signed, 2 * unit - 1)


def test_grey_levels_survive_both_ways_there_and_back():
    assert torch.equal(to_pixels(to_unit_interval(EVERY_LEVEL)), EVERY_LEVEL)
    assert torch.equal(to_pixels((to_signed_interval(EVERY_LEVEL) + 1) / 2), EVERY_LEVEL)


def test_pixels_are_rounded_to_the_nearest_and_held_within_bounds():
    levels = torch.tensor([-1.0, 0.4 / 255, 0.6 / 255, 200.4 / 255, 254.6 / 255, 7.0])
    assert to_pixels(levels).tolist() == [0, 0, 1, 200, 255, 255]
