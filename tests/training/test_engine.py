import dataclasses

import numpy as np
import pytest
import torch

from cxr_pipeline.training.checkpoint import find_checkpoint
from cxr_pipeline.training.engine import SPEED, Watchers, planned_steps, train

IDENTITY = {"model": "gan", "image_store": "abc"}


def same(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


def losses(outcome):
    return [row for row in outcome.history if row[1] != SPEED]


@pytest.fixture
def run(build_task, images, checkpoints, watchers):
    def run(settings, **changes):
        arguments = {"checkpoints": checkpoints, "identity": IDENTITY, "watchers": watchers}
        return train(build_task, images, settings, **arguments | changes)

    return run


def test_the_same_seed_gives_the_same_weights_to_the_bit(run, settings):
    first, second = run(settings()), run(settings())
    assert same(first.weights, second.weights)
    assert losses(first) == losses(second)


def test_another_seed_gives_other_weights(run, settings):
    assert not same(run(settings()).weights, run(settings(seed=1)).weights)


def test_mixed_precision_repeats_to_the_bit_too(run, settings):
    mixed = settings(precision="bf16-mixed", steps=2)
    assert same(run(mixed).weights, run(mixed).weights)


def test_training_changes_both_networks(run, settings, build_task):
    trained = run(settings()).weights
    longer = run(settings(steps=5)).weights
    for name in ("generator.layers.0.weight", "discriminator.layers.0.weight"):
        assert not torch.equal(trained[name], longer[name])


def test_every_step_is_recorded_and_told_at_the_set_intervals(run, settings):
    told = []
    outcome = run(
        settings(steps=5, log_every=2),
        watchers=Watchers(lambda step, metrics: told.append((step, set(metrics))), lambda *_: None),
    )
    names = {"loss/discriminator", "loss/generator"}
    assert [row[:2] for row in losses(outcome)] == [
        (step, metric)
        for step in range(1, 6)
        for metric in ("loss/discriminator", "loss/generator")
    ]
    assert told == [(step, names | {SPEED}) for step in (2, 4, 5)]
    assert [step for step, metric, _ in outcome.history if metric == SPEED] == [2, 4, 5]


def test_samples_are_drawn_at_the_set_steps_from_the_same_noise(run, settings):
    seen = {}
    watchers = Watchers(lambda *_: None, seen.__setitem__)
    run(settings(steps=3, sample_at=(0, 2, -1)), watchers=watchers)
    assert list(seen) == [0, 2, 3]
    assert settings(steps=3, sample_at=(0, 2, 400, -1)).sample_steps() == {0, 2, 3}
    assert all(drawn.shape == (2, 128, 128) and drawn.dtype == np.uint8 for drawn in seen.values())
    assert not np.array_equal(seen[0], seen[3])
    again = {}
    run(settings(steps=3, sample_at=(2,)), watchers=Watchers(lambda *_: None, again.__setitem__))
    # Drawing at other steps changes nothing.
    assert np.array_equal(again[2], seen[2])


class StopTraining(Exception):
    """Ends a run from within, as a signal would."""


def stop_at(step):
    def stop(now, metrics):
        if now == step:
            raise StopTraining

    return Watchers(stop, lambda *_: None)


def test_an_interrupted_run_goes_on_to_the_very_same_end(run, settings, tmp_path):
    plan = settings(steps=6, log_every=1, checkpoint_every=2)
    whole = run(plan, checkpoints=tmp_path / "whole")
    with pytest.raises(StopTraining):
        run(plan, watchers=stop_at(5))
    resumed = run(plan)
    assert same(resumed.weights, whole.weights)
    assert losses(resumed) == losses(whole)


def test_a_finished_run_starts_anew_unless_told_to_go_on(run, settings, tmp_path):
    first = run(settings(steps=2))
    assert same(run(settings(steps=2)).weights, first.weights)
    longer = run(settings(steps=4, resume=True))
    assert same(longer.weights, run(settings(steps=4), checkpoints=tmp_path / "other").weights)
    assert [row[0] for row in losses(longer)] == [1, 1, 2, 2, 3, 3, 4, 4]


def test_resuming_another_run_s_checkpoint_is_refused_with_the_difference(run, settings):
    run(settings(steps=2))
    with pytest.raises(ValueError, match=r"image_store was 'abc', is 'xyz'.*resume=false"):
        run(settings(resume=True), identity=IDENTITY | {"image_store": "xyz"})


def test_resuming_without_a_checkpoint_is_refused(run, settings):
    with pytest.raises(ValueError, match="holds no checkpoint"):
        run(settings(resume=True))


def test_resuming_past_the_end_is_refused_and_by_itself_starts_anew(run, settings, caplog):
    plan = settings(steps=6, log_every=1, checkpoint_every=3)
    with pytest.raises(StopTraining):
        run(plan, watchers=stop_at(4))
    with pytest.raises(ValueError, match="of step 3, past the 2 asked for"):
        run(settings(steps=2, resume=True))
    assert len(losses(run(settings(steps=2)))) == 2 * 2
    assert "past the 2 asked for: starting anew" in caplog.text


def test_another_run_s_unfinished_checkpoint_is_said_and_passed_over(run, settings, caplog):
    with pytest.raises(StopTraining):
        run(settings(steps=4, log_every=1, checkpoint_every=1), watchers=stop_at(3))
    other = run(settings(steps=1), identity=IDENTITY | {"image_store": "xyz"})
    assert [row[0] for row in losses(other)] == [1, 1]
    assert "image_store was 'abc', is 'xyz'" in caplog.text


def test_a_resumed_run_counts_the_seconds_of_all_its_parts(run, settings):
    first = run(settings(steps=2))
    both = run(settings(steps=4, resume=True))
    assert both.seconds > first.seconds
    assert both.images_per_second == pytest.approx(4 * 4 / both.seconds)


def test_a_loss_that_is_no_number_stops_before_the_weights_change(
    build_task, images, settings, checkpoints, watchers
):
    class Poisoned:
        """The task, with a discriminator that turns to NaN after the second step."""

        def __init__(self):
            self.task, self.steps = build_task(), 0
            self.modules, self.optimizers = self.task.modules, self.task.optimizers

        def step(self, *arguments):
            self.steps += 1
            if self.steps == 3:
                with torch.no_grad():
                    next(self.modules["discriminator"].parameters()).fill_(torch.nan)
            return self.task.step(*arguments)

        def sample(self, noise, count):
            return self.task.sample(noise, count)

    plan = settings(steps=4, checkpoint_every=2)
    with pytest.raises(ValueError, match=r"step 3: the discriminator's loss is nan"):
        train(Poisoned, images, plan, checkpoints=checkpoints, identity=IDENTITY, watchers=watchers)
    kept = find_checkpoint(checkpoints)
    assert kept is not None
    assert kept.step == 2


def test_a_gradient_that_is_no_number_stops_before_the_weights_change(
    build_task, images, settings, checkpoints, watchers
):
    tasks = []

    def build():
        task = build_task()
        # The loss stays finite; what flows back from it does not.
        task.modules["generator"].layers[0].weight.register_hook(lambda grad: grad * torch.nan)
        task.before = task.modules["generator"].layers[0].weight.detach().clone()
        task.original = task.modules["generator"]
        tasks.append(task)
        return task

    with pytest.raises(ValueError, match=r"step 1: the generator's gradient is nan"):
        train(
            build, images, settings(), checkpoints=checkpoints, identity=IDENTITY, watchers=watchers
        )
    assert torch.equal(tasks[0].original.layers[0].weight, tasks[0].before)


def test_planned_steps_counts_whole_epochs_unless_steps_are_given():
    assert planned_steps(1000, 64, max_steps=None, epochs=40) == 15 * 40
    assert planned_steps(1000, 64, max_steps=7, epochs=40) == 7


def test_settings_cannot_change_during_a_run(settings):
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings().steps = 1
