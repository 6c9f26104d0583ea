import dataclasses
import logging

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from tests.training.tasks import save_checkpoint

from cxr_pipeline.training.checkpoint import mark_finished
from cxr_pipeline.training.settings import checkpoint_to_resume, planned_steps

IDENTITY = {"model": "gan", "beta": 1.0}


@pytest.fixture
def at_step(tmp_path):
    """Leave a checkpoint behind; its folder."""

    def write(step, *, finished=False):
        save_checkpoint(tmp_path, step=step, identity=IDENTITY)
        if finished:
            mark_finished(tmp_path)
        return tmp_path

    return write


def test_planned_steps_counts_whole_epochs_unless_steps_are_given():
    assert planned_steps(1000, 64, max_steps=None, epochs=40) == 15 * 40
    assert planned_steps(1000, 64, max_steps=7, epochs=40) == 7


def test_settings_cannot_change_during_a_run(settings):
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings().steps = 1


@hypothesis_settings(deadline=None, derandomize=True, max_examples=50)
@given(steps=st.integers(1, 20), asked=st.lists(st.integers(-1, 25), max_size=5))
def test_samples_are_planned_within_the_run_and_minus_one_is_its_end(steps, asked):
    # Not the fixture, which hypothesis would share between its examples.
    from cxr_pipeline.training.settings import Settings

    plan = Settings(
        steps=steps,
        batch_size=2,
        seed=0,
        accelerator="cpu",
        precision="32-true",
        log_every=1,
        checkpoint_every=1,
        sample_at=tuple(asked),
        samples=1,
        resume="auto",
    )
    assert plan.sample_steps() == {
        step for step in range(steps + 1) if step in asked or (step == steps and -1 in asked)
    }


# -- an unfinished run ---------------------------------------------------------------------------


@pytest.mark.parametrize("resume", ["auto", True])
def test_an_unfinished_run_goes_on(settings, at_step, resume):
    found = checkpoint_to_resume(settings(steps=4, resume=resume), at_step(3), IDENTITY)
    assert found is not None
    assert found.step == 3


def test_nothing_goes_on_where_it_shall_not(settings, at_step):
    assert checkpoint_to_resume(settings(resume=False), at_step(3), IDENTITY) is None


def test_of_another_identity_it_is_passed_over_with_the_differences(settings, at_step, caplog):
    other = {"model": "vae", "beta": 0.1, "sampler": "prior"}
    assert checkpoint_to_resume(settings(), at_step(3), other) is None
    differences = (
        "beta was 1.0, is 0.1, model was 'gan', is 'vae', sampler was None, is 'prior'): "
        "starting anew"
    )
    assert differences in caplog.text


@pytest.mark.parametrize(
    ("steps", "identity", "message"),
    [
        (4, {"model": "gan", "beta": 0.1}, r"is of another run \(beta was 1.0, is 0.1\): set"),
        (2, IDENTITY, r"is of step 3, past the 2 asked for: set"),
    ],
)
def test_told_to_go_on_where_it_cannot_is_refused(settings, at_step, steps, identity, message):
    with pytest.raises(ValueError, match=message) as error:
        checkpoint_to_resume(settings(steps=steps, resume=True), at_step(3), identity)
    assert "\n" not in str(error.value)


def test_past_the_end_it_starts_anew_by_itself_and_says_so(settings, at_step, caplog):
    assert checkpoint_to_resume(settings(steps=2), at_step(3), IDENTITY) is None
    assert "past the 2 asked for: starting anew" in caplog.text


def test_told_to_go_on_without_a_checkpoint_is_refused(settings, tmp_path):
    assert checkpoint_to_resume(settings(), tmp_path, IDENTITY) is None
    with pytest.raises(ValueError, match=r"resume=true, but '.*' holds no checkpoint: set resume="):
        checkpoint_to_resume(settings(resume=True), tmp_path, IDENTITY)


# -- a finished run ------------------------------------------------------------------------------


def test_a_finished_run_starts_anew_without_a_word(settings, at_step, caplog):
    caplog.set_level(logging.DEBUG)
    assert checkpoint_to_resume(settings(steps=4), at_step(4, finished=True), IDENTITY) is None
    assert not caplog.messages


def test_a_finished_run_can_be_made_longer(settings, at_step):
    found = checkpoint_to_resume(
        settings(steps=6, resume=True), at_step(4, finished=True), IDENTITY
    )
    assert found is not None
    assert found.step == 4


def test_a_finished_run_is_taken_for_the_same_one_where_that_is_asked(settings, at_step):
    folder = at_step(4, finished=True)
    found = checkpoint_to_resume(settings(steps=4, reuse=True), folder, IDENTITY)
    assert found is not None
    assert found.finished
    for steps, identity in ((3, IDENTITY), (5, IDENTITY), (4, IDENTITY | {"beta": 0.1})):
        assert checkpoint_to_resume(settings(steps=steps, reuse=True), folder, identity) is None
    assert checkpoint_to_resume(settings(reuse=True, resume=False), folder, IDENTITY) is None
