import signal

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tests.training.conftest import IDENTITY
from tests.training.tasks import LineTask, gan_task

from cxr_pipeline.training import session, watching
from cxr_pipeline.training.checkpoint import find_checkpoint
from cxr_pipeline.training.engine import SPEED
from cxr_pipeline.training.lsgan import LsganTask
from cxr_pipeline.training.watching import Watchers

STEP_METRICS = {
    f"{kind}/{name}"
    for kind, names in {
        "loss": ("discriminator", "generator"),
        "scores": ("real", "drawn"),
        "gradient": ("discriminator", "generator"),
    }.items()
    for name in names
}
DIVERSITY = "quality/diversity"


def same(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


def losses(outcome):
    """The history but for the speed, which no two runs share."""
    return [row for row in outcome.history if row[1] != SPEED]


def steps_of(outcome, metric):
    return [step for step, name, _ in outcome.history if name == metric]


# -- what is learnt ------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_weights_to_the_bit(run, settings):
    first, second = run(settings()), run(settings())
    assert same(first.weights, second.weights)
    assert losses(first) == losses(second)


def test_another_seed_gives_other_weights(run, settings):
    assert not same(run(settings()).weights, run(settings(seed=1)).weights)


def test_mixed_precision_repeats_to_the_bit_too(run, settings):
    mixed = settings(precision="bf16-mixed", steps=2)
    assert same(run(mixed).weights, run(mixed).weights)


def test_training_changes_both_networks(run, settings):
    trained = run(settings()).weights
    longer = run(settings(steps=5)).weights
    for name in ("generator.layers.0.weight", "discriminator.layers.0.weight"):
        assert not torch.equal(trained[name], longer[name])


# -- what is seen --------------------------------------------------------------------------------


def test_every_step_is_recorded_and_told_at_the_set_intervals(run, settings):
    told = []
    outcome = run(
        settings(steps=5, log_every=2),
        watchers=Watchers(lambda step, metrics: told.append((step, set(metrics))), lambda *_: None),
    )
    for metric in STEP_METRICS:
        assert steps_of(outcome, metric) == [1, 2, 3, 4, 5], metric
    assert steps_of(outcome, SPEED) == [2, 4, 5]
    of_steps = [(step, names) for step, names in told if DIVERSITY not in names]
    assert of_steps == [(step, STEP_METRICS | {SPEED}) for step in (2, 4, 5)]


@pytest.mark.parametrize(("steps", "looks"), [(5, [3, 5]), (6, [3, 6]), (2, [2])])
def test_training_is_looked_at_once_an_epoch_and_at_the_end(run, settings, steps, looks):
    told = []
    outcome = run(
        settings(steps=steps),
        watchers=Watchers(lambda step, metrics: told.append((step, metrics)), lambda *_: None),
    )
    assert steps_of(outcome, DIVERSITY) == looks
    seen = [(step, metrics[DIVERSITY]) for step, metrics in told if DIVERSITY in metrics]
    assert seen == [(step, value) for step, name, value in outcome.history if name == DIVERSITY]


def test_a_warning_is_recorded_beside_the_metrics_and_kept_where_it_says_something(
    run, settings, monkeypatch
):
    outcome = run(settings(steps=3))
    # After three steps the generator still draws one grey picture, as every one does.
    assert (3, "warning/collapse", 1.0) in outcome.history
    assert outcome.warnings == ()
    monkeypatch.setattr(watching, "EARLIEST_ALARM", 3)
    outcome = run(settings(steps=3))
    assert [text.split(":")[0] for text in outcome.warnings] == ["the generator may have collapsed"]


@pytest.mark.parametrize("kind", ["gan", "vae"])
def test_what_is_held_out_changes_nothing_of_what_is_learnt(run, settings, kind):
    plan = settings(steps=6)
    first, second = run(plan, kind), run(plan, kind, held_out=2)
    assert same(first.weights, second.weights)
    # But it is what the looks are at.
    assert losses(first) != losses(second)


def test_samples_are_drawn_at_the_set_steps_from_the_same_noise(run, settings):
    seen = {}
    watchers = Watchers(lambda *_: None, seen.__setitem__)
    run(settings(steps=3, sample_at=(0, 2, -1)), watchers=watchers)
    assert list(seen) == [0, 2, 3]
    assert all(drawn.shape == (2, 128, 128) and drawn.dtype == np.uint8 for drawn in seen.values())
    assert not np.array_equal(seen[0], seen[3])
    again = {}
    run(settings(steps=3, sample_at=(2,)), watchers=Watchers(lambda *_: None, again.__setitem__))
    # Drawing at other steps changes nothing.
    assert np.array_equal(again[2], seen[2])


def test_held_out_images_come_back_as_a_model_that_encodes_draws_them(run, settings):
    drawn = run(settings(steps=1), "vae").reconstructions
    assert (drawn.shape, drawn.dtype) == ((4, 128, 128), np.uint8)
    assert run(settings(steps=1)).reconstructions is None


# -- going on ------------------------------------------------------------------------------------


class StopTraining(Exception):
    """Ends a run from within, as a signal would."""


def stop_at(step):
    def stop(now, metrics):
        if now == step:
            raise StopTraining

    return Watchers(stop, lambda *_: None)


ALL_OPTIONS = {"ema_decay": 0.9, "gradient_clip": 0.5, "learning_rate_warmup": 5}


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("gan", {}),
        ("gan", ALL_OPTIONS),
        ("conditional gan", {"precision": "bf16-mixed"}),
        ("vae", ALL_OPTIONS | {"data_placement": "memory"}),
    ],
)
def test_an_interrupted_run_goes_on_to_the_very_same_end(run, settings, tmp_path, kind, options):
    plan = settings(steps=6, log_every=1, checkpoint_every=2, **options)
    whole = run(plan, kind, checkpoints=tmp_path / "whole")
    with pytest.raises(StopTraining):
        run(plan, kind, watchers=stop_at(5))
    assert find_checkpoint(tmp_path / "checkpoint").step == 4
    resumed = run(plan, kind)
    assert same(resumed.weights, whole.weights)
    assert losses(resumed) == losses(whole)
    assert resumed.warnings == whole.warnings
    assert same(last_state(tmp_path / "checkpoint"), last_state(tmp_path / "whole"))
    assert np.array_equal(resumed.reconstructions, whole.reconstructions)


def last_state(folder):
    """All tensors of the last checkpoint but the history, which holds the speed."""
    state = load_file(find_checkpoint(folder).tensors)
    return {name: t for name, t in state.items() if not name.startswith("history/")}


def test_fp16_goes_on_with_the_loss_scale_it_had_reached(run, settings, tmp_path, monkeypatch):
    monkeypatch.setattr(session, "choose_precision", lambda *_: "16-mixed")
    plan = settings(steps=5, log_every=1, checkpoint_every=2)
    # Pixels reach 255: its gradients overflow fp16 until the scale has fallen
    whole = run(plan, build_task=LineTask, checkpoints=tmp_path / "whole")
    with pytest.raises(StopTraining):
        run(plan, build_task=LineTask, watchers=stop_at(4))
    found = find_checkpoint(tmp_path / "checkpoint")
    assert (found.step, found.scaler["scale"]) == (2, 2**14)
    resumed = run(plan, build_task=LineTask)
    assert same(resumed.weights, whole.weights)
    assert losses(resumed) == losses(whole)
    assert find_checkpoint(tmp_path / "checkpoint").scaler == (
        find_checkpoint(tmp_path / "whole").scaler
    )


# -- signals -------------------------------------------------------------------------------------


def signal_at(step, number, times=1):
    def send(now, metrics):
        if now == step:
            for _ in range(times):
                signal.raise_signal(number)

    return Watchers(send, lambda *_: None)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_run_after_the_step_with_a_checkpoint(
    run, settings, tmp_path, number, caplog
):
    plan = settings(steps=6, log_every=1, checkpoint_every=100)
    whole = run(plan, checkpoints=tmp_path / "whole")
    before = signal.signal(number, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            run(plan, watchers=signal_at(4, number))
    finally:
        signal.signal(number, before)
    assert f"{signal.Signals(number).name}: the step ends" in caplog.text
    assert find_checkpoint(tmp_path / "checkpoint").step == 4
    resumed = run(plan)
    assert same(resumed.weights, whole.weights)
    assert losses(resumed) == losses(whole)


def test_a_second_signal_ends_the_run_without_a_checkpoint(run, settings, checkpoints):
    with pytest.raises(KeyboardInterrupt):
        run(settings(steps=6, log_every=1), watchers=signal_at(4, signal.SIGINT, times=2))
    assert find_checkpoint(checkpoints) is None


# -- averaged weights ----------------------------------------------------------------------------


def test_the_average_draws_and_is_what_is_kept_but_the_latest_weights_learn(
    run, settings, tmp_path
):
    drawn, averaged = {}, {}
    plain = run(
        settings(steps=4, sample_at=(-1,)),
        watchers=Watchers(lambda *_: None, drawn.__setitem__),
        checkpoints=tmp_path / "plain",
    )
    smooth = run(
        settings(steps=4, sample_at=(-1,), ema_decay=0.9),
        watchers=Watchers(lambda *_: None, averaged.__setitem__),
    )
    of_steps = [row for row in losses(smooth) if row[1] in STEP_METRICS]
    assert of_steps == [row for row in losses(plain) if row[1] in STEP_METRICS]
    for name, tensor in plain.weights.items():
        equal = torch.equal(tensor, smooth.weights[name])
        assert equal == name.startswith("discriminator") or "num_batches" in name, name
    assert not np.array_equal(drawn[4], averaged[4])
    state = last_state(tmp_path / "checkpoint")
    assert torch.equal(
        state["average/layers.0.weight"], smooth.weights["generator.layers.0.weight"]
    )
    assert torch.equal(
        state["module/generator/layers.0.weight"], plain.weights["generator.layers.0.weight"]
    )


def test_a_run_interrupted_behind_its_last_step_does_only_what_is_left(
    run, settings, tmp_path, checkpoints
):
    class Stopped(LsganTask):
        """Killed as it makes what sampling needs."""

        def finish(self, examples, noise):
            raise StopTraining

    def build():
        return Stopped(
            dim_z=8, patch_scores=True, learning_rate=2e-4, betas=(0.5, 0.999), generator_steps=3
        )

    whole = run(settings(), checkpoints=tmp_path / "whole")
    with pytest.raises(StopTraining):
        run(settings(), build_task=build)
    assert not find_checkpoint(checkpoints).finished
    # No step is taken again.
    resumed = run(settings(), watchers=stop_at(4))
    assert same(resumed.weights, whole.weights)
    assert (losses(resumed), resumed.warnings) == (losses(whole), whole.warnings)
    assert find_checkpoint(checkpoints).finished


def test_a_finished_run_starts_anew_unless_told_to_go_on(run, settings, tmp_path):
    first = run(settings(steps=2))
    assert same(run(settings(steps=2)).weights, first.weights)
    longer = run(settings(steps=4, resume=True))
    assert same(longer.weights, run(settings(steps=4), checkpoints=tmp_path / "other").weights)
    assert steps_of(longer, "loss/generator") == [1, 2, 3, 4]


@pytest.mark.parametrize("kind", ["gan", "vae"])
def test_a_finished_run_is_taken_for_one_that_would_be_the_same(run, settings, kind):
    first = run(settings(steps=2), kind)
    # Speed and all: not a step was taken.
    again = run(settings(steps=2, reuse=True), kind, watchers=stop_at(2))
    assert same(again.weights, first.weights)
    assert (again.history, again.seconds) == (first.history, first.seconds)
    assert again.warnings == first.warnings
    assert np.array_equal(again.reconstructions, first.reconstructions)


@pytest.mark.parametrize(
    ("steps", "identity"), [(1, IDENTITY), (3, IDENTITY), (2, IDENTITY | {"image_store": "xyz"})]
)
def test_a_finished_run_is_taken_for_no_other(run, settings, steps, identity):
    run(settings(steps=2))
    with pytest.raises(StopTraining):
        run(settings(steps=steps, reuse=True, log_every=1), identity=identity, watchers=stop_at(1))


def test_a_run_goes_on_in_the_precision_it_began_in(run, settings):
    run(settings(steps=2))
    with pytest.raises(ValueError, match=r"precision was '32-true', is 'bf16-mixed'"):
        run(settings(resume=True, precision="bf16-mixed"))


def test_resuming_another_run_s_checkpoint_is_refused_with_the_difference(run, settings):
    run(settings(steps=2))
    with pytest.raises(ValueError, match=r"image_store was 'abc', is 'xyz'.*resume=false"):
        run(settings(resume=True), identity=IDENTITY | {"image_store": "xyz"})


def test_another_run_s_unfinished_checkpoint_is_refused_and_stays(run, settings, checkpoints):
    with pytest.raises(StopTraining):
        run(settings(steps=4, log_every=1, checkpoint_every=1), watchers=stop_at(3))
    other = IDENTITY | {"image_store": "xyz"}
    with pytest.raises(ValueError, match=r"unfinished .*image_store was 'abc', is 'xyz'.*=false"):
        run(settings(steps=1), identity=other)
    assert find_checkpoint(checkpoints).step == 2
    assert steps_of(run(settings(steps=1, resume=False), identity=other), "loss/generator") == [1]


def test_a_resumed_run_counts_the_seconds_of_all_its_parts(run, settings):
    first = run(settings(steps=2))
    both = run(settings(steps=4, resume=True))
    assert both.seconds > first.seconds
    assert both.images_per_second == pytest.approx(4 * 4 / both.seconds)


# -- what is no number ---------------------------------------------------------------------------


def test_a_loss_that_is_no_number_stops_before_the_weights_change(run, settings, checkpoints):
    class Poisoned(LsganTask):
        """Its discriminator turns to NaN after the second step."""

        def step(self, batch, step, update):
            if step == 3:
                with torch.no_grad():
                    next(self.modules["discriminator"].parameters()).fill_(torch.nan)
            return super().step(batch, step, update)

    def build():
        return Poisoned(
            dim_z=8, patch_scores=True, learning_rate=2e-4, betas=(0.5, 0.999), generator_steps=1
        )

    with pytest.raises(ValueError, match=r"step 3: the discriminator's loss is nan"):
        run(settings(steps=4, checkpoint_every=2), build_task=build)
    kept = find_checkpoint(checkpoints)
    assert kept is not None
    assert kept.step == 2


def test_a_gradient_that_is_no_number_stops_before_the_weights_change(run, settings):
    tasks = []

    def build():
        task = gan_task()
        # The loss stays finite; what flows back from it does not.
        task.modules["generator"].layers[0].weight.register_hook(lambda grad: grad * torch.nan)
        task.before = task.modules["generator"].layers[0].weight.detach().clone()
        task.original = task.modules["generator"]
        tasks.append(task)
        return task

    with pytest.raises(ValueError, match=r"step 1: the generator's gradient is nan"):
        run(settings(), build_task=build)
    assert torch.equal(tasks[0].original.layers[0].weight, tasks[0].before)
