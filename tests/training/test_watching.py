from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from cxr_pipeline.randomness import random_generator
from cxr_pipeline.training.recording import EARLIEST_ALARM, Alarms
from cxr_pipeline.training.task import Diagnosis
from cxr_pipeline.training.watching import HeldOut, Observer, Watchers

REMEDY = {"collapse": "it has collapsed"}


class Scripted:
    """A task whose samples show what was asked, and whose diagnoses are written down before."""

    def __init__(self, diagnoses=()):
        self.diagnoses = iter(diagnoses)
        self.seen = []

    def sample(self, noise, findings):
        levels = findings.argmax(dim=1) / 255 + torch.rand(1, generator=noise) / 1000
        return levels[:, None, None, None].expand(-1, 1, 2, 2)

    def diagnose(self, examples, split, noise):
        self.seen.append((examples, split, torch.rand(1, generator=noise).item()))
        return next(self.diagnoses)


def observer(task, told=None, samples=None, count=2, leads=True):
    findings = torch.eye(4)[[2, 0, 3]]
    held_out = HeldOut({"findings": torch.zeros(5, 4)}, "validation")
    told, samples = [] if told is None else told, [] if samples is None else samples
    watchers = Watchers(lambda *news: told.append(news), lambda *news: samples.append(news))
    session = SimpleNamespace(
        task=task,
        settings=SimpleNamespace(seed=3, samples=count),
        history=[],
        alarms=Alarms({}),
        drawing=nullcontext,
        read=dict,
        leads=leads,
    )
    return Observer(session, findings, held_out, watchers)


def test_a_model_that_draws_nothing_has_nothing_told_of_it():
    samples = []
    task = Scripted()
    task.sample = lambda noise, findings: None
    observer(task, samples=samples).draw_samples(3)
    assert samples == []


def warned_at(caplog, looks):
    """Have a model looked at, some looks finding a warning; the steps it was warned of."""
    task = Scripted([Diagnosis({}, REMEDY if bad else {}) for _, bad in looks])
    watching = observer(task)
    for step, _ in looks:
        watching.end_epoch(step)
    return [int(message.split()[1].rstrip(":")) for message in caplog.messages]


@pytest.mark.parametrize(
    ("looks", "steps"),
    [
        ([(100, True)], []),
        ([(100, True), (101, True)], [101]),
        ([(100, True), (101, False), (102, True)], []),
        ([(100, True), (101, True), (102, True), (103, True)], [101]),
        # It is said once, though it goes and comes again.
        ([(100, True), (101, True), (102, False), (103, True), (104, True)], [101]),
        # At first every model draws one picture.
        ([(1, True), (2, True), (EARLIEST_ALARM - 1, True)], []),
        ([(EARLIEST_ALARM - 1, True), (EARLIEST_ALARM, True)], []),
        ([(EARLIEST_ALARM, True), (EARLIEST_ALARM + 1, True)], [EARLIEST_ALARM + 1]),
    ],
)
def test_it_is_warned_once_of_what_stands_for_two_looks_in_a_row(caplog, looks, steps):
    assert warned_at(caplog, looks) == steps


def test_two_warnings_do_not_make_up_for_one_another(caplog):
    task = Scripted([Diagnosis({}, {"one": "first"}), Diagnosis({}, {"two": "second"})])
    watching = observer(task)
    watching.end_epoch(100)
    watching.end_epoch(101)
    assert not caplog.messages


def test_a_look_is_written_down_and_told(caplog):
    told = []
    watching = observer(Scripted([Diagnosis({"validation/kl": 2.0}, REMEDY)]), told)
    watching.end_epoch(7)
    assert watching.session.history == [(7, "validation/kl", 2.0), (7, "warning/collapse", 1.0)]
    assert told == [(7, {"validation/kl": 2.0, "warning/collapse": 1.0})]
    assert not caplog.messages


def test_of_several_processes_only_the_leading_one_looks():
    told, samples = [], []
    follower = observer(Scripted(), told, samples, leads=False)
    follower.draw_samples(1)
    follower.end_epoch(1)
    assert (told, samples, follower.session.history) == ([], [], [])


def test_every_look_is_at_the_same_held_out_examples_with_the_same_noise():
    task = Scripted([Diagnosis({})] * 2)
    watching = observer(task)
    watching.end_epoch(1)
    watching.end_epoch(2)
    (examples, split, first), (_, _, second) = task.seen
    assert (len(examples["findings"]), split) == (5, "validation")
    assert first == second


def test_samples_ask_for_the_findings_of_the_first_examples_and_come_round_again():
    samples = []
    watching = observer(Scripted(), samples=samples, count=5)
    watching.draw_samples(9)
    ((step, drawn),) = samples
    assert step == 9
    assert (drawn.shape, drawn.dtype) == ((5, 2, 2), np.uint8)
    assert drawn[:, 0, 0].tolist() == [2, 0, 3, 2, 0]


def test_samples_come_from_the_same_noise_at_every_step():
    class Noisy(Scripted):
        def sample(self, noise, findings):
            return torch.rand(len(findings), 1, 2, 2, generator=noise)

    samples = []
    watching = observer(Noisy(), samples=samples)
    watching.draw_samples(0)
    watching.draw_samples(9)
    assert np.array_equal(samples[0][1], samples[1][1])
    first = torch.rand(2, 1, 2, 2, generator=random_generator(3, "progress"))
    assert np.array_equal(samples[0][1], (first * 255).round().to(torch.uint8)[:, 0].numpy())
