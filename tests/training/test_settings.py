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


def resume(folder, *, steps=4, identity=IDENTITY, **changes):
    return checkpoint_to_resume(folder, identity, **{"resume": "auto", "steps": steps} | changes)


@pytest.mark.parametrize("how", ["auto", True])
def test_an_unfinished_run_goes_on(at_step, how):
    assert resume(at_step(3), resume=how).step == 3


def test_nothing_goes_on_where_it_shall_not(at_step):
    assert resume(at_step(3), resume=False) is None


OTHER = {"model": "vae", "beta": 0.1, "sampler": "prior"}
DIFFERENCES = "beta was 1.0, is 0.1, model was 'gan', is 'vae', sampler was None, is 'prior'"


@pytest.mark.parametrize("how", ["auto", True])
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"identity": OTHER}, f"is of another run ({DIFFERENCES})"),
        ({"steps": 2}, "is of step 3, past the 2 asked for"),
    ],
)
def test_what_cannot_go_on_is_refused_and_stays(at_step, one_line_error, how, changes, message):
    folder = at_step(3)
    assert one_line_error(resume, folder, resume=how, **changes) == (
        f"the unfinished training in '{folder}' {message}: set resume=false to start anew"
    )


def test_what_is_not_known_yet_is_no_difference(at_step):
    folder = at_step(3)
    assert resume(folder, identity={"model": "gan"}, known_later=["beta"]).step == 3
    assert resume(folder, steps=None).step == 3


def test_told_to_go_on_without_a_checkpoint_is_refused(tmp_path, one_line_error):
    assert resume(tmp_path) is None
    message = one_line_error(resume, tmp_path, resume=True)
    assert message == f"resume=true, but '{tmp_path}' holds no checkpoint: set resume=false"


# -- a finished run ------------------------------------------------------------------------------


@pytest.mark.parametrize("changes", [{}, {"steps": 2}, {"identity": OTHER}])
def test_after_a_finished_run_a_new_one_starts_without_a_word(at_step, caplog, changes):
    caplog.set_level(logging.DEBUG)
    assert resume(at_step(4, finished=True), **changes) is None
    assert not caplog.messages


def test_a_finished_run_can_be_made_longer_and_no_other(at_step, one_line_error):
    folder = at_step(4, finished=True)
    assert resume(folder, steps=6, resume=True).step == 4
    message = one_line_error(resume, folder, resume=True, identity=OTHER)
    assert message.startswith(f"the training in '{folder}' is of another run")


def test_a_finished_run_is_taken_for_the_same_one_where_that_is_asked(at_step):
    folder = at_step(4, finished=True)
    assert resume(folder, reuse=True).finished
    for changes in ({"steps": 3}, {"steps": 5}, {"identity": IDENTITY | {"beta": 0.1}}):
        assert resume(folder, reuse=True, **changes) is None
    assert resume(folder, reuse=True, resume=False) is None
