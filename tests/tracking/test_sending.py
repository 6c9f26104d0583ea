import logging
import threading
import time

import pytest

from cxr_pipeline.tracking import sending
from cxr_pipeline.tracking.sending import Sender


@pytest.fixture
def sender():
    return Sender()


def refuse():
    raise RuntimeError("no space\nat the server")


def test_what_is_sent_is_said_in_order_and_by_another_thread(sender):
    said = []
    for number in range(100):
        sender.send("a number", lambda number=number: said.append(number))
    sender.send("a thread", lambda: said.append(threading.current_thread()))
    sender.flush()
    assert said[:-1] == list(range(100))
    assert said[-1] is not threading.current_thread()
    assert said[-1].daemon


@pytest.mark.parametrize("error", [RuntimeError, OSError, KeyError, ValueError])
def test_whatever_mlflow_raises_is_a_warning_of_one_line(sender, caplog, error):
    caplog.set_level(logging.WARNING)

    def fail():
        raise error("no space\nat the server")

    sender.send("the samples of step 400", fail)
    sender.flush()
    (message,) = caplog.messages
    assert message.startswith("MLflow did not take the samples of step 400 (")
    assert "no space" in message
    assert "\n" not in message


def test_a_few_troubles_are_warned_of_and_then_only_their_number(sender, caplog, monkeypatch):
    caplog.set_level(logging.WARNING)
    monkeypatch.setattr(sending, "REST", 0.0)
    for number in range(10):
        sender.send(f"number {number}", refuse)
    sender.conclude()
    assert [message.split(" (")[0] for message in caplog.messages] == [
        *(f"MLflow did not take number {number}" for number in range(3)),
        "MLflow failed 10 times: what it lacks of this run is in the files below data/",
    ]


@pytest.mark.parametrize(("rest", "times"), [(1e9, 1), (0.0, 5)])
def test_after_trouble_mlflow_is_left_alone_in_proportion_to_it(sender, monkeypatch, rest, times):
    monkeypatch.setattr(sending, "REST", rest)
    asked = []

    def hang():
        asked.append("once")
        time.sleep(0.01)
        raise TimeoutError

    for _ in range(5):
        sender.send("a thing", hang)
    sender.flush()
    assert len(asked) == times


def test_who_sends_does_not_wait_and_the_end_not_for_ever(sender, caplog):
    caplog.set_level(logging.WARNING)
    answer = threading.Event()
    for _ in range(3):
        sender.send("a thing", answer.wait)
    sender.flush(0.01)  # would never return if it waited for the answer
    assert caplog.messages == ["MLflow is slow: not waiting for it any longer"]
    answer.set()


def test_once_given_up_nothing_is_said_until_the_next_run(sender):
    said = []
    sender.give_up("no server")
    sender.send("a thing", lambda: said.append(1))
    sender.flush()
    assert (said, sender.trouble) == ([], "no server")
    sender.begin()
    sender.send("a thing", lambda: said.append(2))
    sender.flush()
    assert (said, sender.trouble) == ([2], None)
