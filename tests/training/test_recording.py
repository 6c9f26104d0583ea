import time

import pytest
import torch

from cxr_pipeline.training.recording import Alarms, Recorder, Stopwatch


def test_what_was_said_before_an_interruption_is_not_said_again(caplog):
    alarms = Alarms({})
    alarms.hear(100, {"one": "first", "two": "second"})
    alarms.hear(101, {"one": "first"})
    assert caplog.messages == ["Step 101: first"]
    resumed = Alarms(alarms.state())
    resumed.hear(102, {"one": "first", "two": "second"})
    assert caplog.messages == ["Step 101: first"]
    # What stood at the last look before still counts as the first of two.
    again = Alarms(resumed.state())
    again.hear(103, {"two": "second"})
    assert caplog.messages == ["Step 101: first", "Step 103: second"]


@pytest.mark.parametrize("rows", [1, 3])
def test_what_averages_over_processes_sees_all_at_once(rows):
    calls = []
    recorder = Recorder([], lambda values: calls.append(values.shape) or values * 10)
    for step in range(rows):
        recorder.add(step, {"a": torch.tensor(1.0), "b": torch.tensor(2.0)})
    assert recorder.read() == {"a": 10.0, "b": 20.0}
    assert calls == [(2 * rows,)]


def test_losses_are_read_in_order_and_once():
    recorder = Recorder([])
    recorder.add(1, {"loss/a": torch.tensor(0.5), "loss/b": torch.tensor(2.0)})
    recorder.add(2, {"loss/a": torch.tensor(0.25), "loss/b": torch.tensor(4.0)})
    assert recorder.history == []
    assert recorder.read() == {"loss/a": 0.25, "loss/b": 4.0}
    assert recorder.read() == {}
    assert recorder.history == [
        (1, "loss/a", 0.5),
        (1, "loss/b", 2.0),
        (2, "loss/a", 0.25),
        (2, "loss/b", 4.0),
    ]


def test_only_what_is_done_under_the_stopwatch_counts():
    watch = Stopwatch()
    for _ in range(2):
        with watch:
            time.sleep(0.02)
        time.sleep(0.2)
    assert 0.04 <= watch.seconds < 0.2
    assert 2 / 0.2 < watch.steps_per_second() <= 2 / 0.04
    with watch:
        time.sleep(0.05)
    # Of the last lap alone.
    assert 1 / 0.2 < watch.steps_per_second() <= 1 / 0.05
