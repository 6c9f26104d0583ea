import logging
import threading
import time
from functools import partial

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
        "MLflow lacks 10 things of this run, such as number 9",
    ]
    assert caplog.messages[-1].endswith(" (no space): look into the files below data/")


class Server:
    """What answers once it is told to."""

    def __init__(self):
        self.answers, self.said = False, []

    def take(self, thing):
        if not self.answers:
            raise TimeoutError("no answer")
        self.said.append(thing)


def test_what_fell_into_the_rest_is_said_at_the_end_if_mlflow_answers_again(
    sender, caplog, monkeypatch
):
    caplog.set_level(logging.WARNING)
    monkeypatch.setattr(sending, "REST", 1e9)
    server = Server()
    things = ["metrics", "weights", "samples", "report"]
    for thing in things:
        sender.send(thing, partial(server.take, thing))
    sender.flush()
    server.answers = True
    sender.send("more", partial(server.take, "more"))
    sender.flush()
    assert server.said == []
    sender.conclude()
    assert server.said == [*things, "more"]
    assert caplog.messages == ["MLflow did not take metrics (no answer); training goes on"]


def test_what_mlflow_does_not_have_at_the_end_is_counted_even_if_it_is_little(
    sender, caplog, monkeypatch
):
    caplog.set_level(logging.WARNING)
    monkeypatch.setattr(sending, "REST", 1e9)
    server = Server()
    for thing in ("weights", "report"):
        sender.send(thing, partial(server.take, thing))
    sender.conclude()
    assert caplog.messages == [
        "MLflow did not take weights (no answer); training goes on",
        "MLflow lacks 2 things of this run, such as report (no answer): look into the files below "
        "data/",
    ]


def test_at_the_end_each_thing_has_its_chance_but_a_server_that_hangs_is_tried_once(
    sender, monkeypatch
):
    server, asked = Server(), []

    def take(thing):
        asked.append(thing)
        server.take(thing)

    monkeypatch.setattr(sending, "REST", 0.0)
    for thing in ("a file that is gone", "weights", "report"):
        sender.send(thing, partial(take, thing))
    sender.conclude()
    assert asked[-3:] == ["a file that is gone", "weights", "report"]
    asked.clear()
    monkeypatch.setattr(sending, "REST", 1e9)
    sender.conclude()
    assert asked == ["a file that is gone"]


def test_what_was_not_said_when_patience_ran_out_is_counted(sender, caplog):
    caplog.set_level(logging.WARNING)
    answer = threading.Event()
    for thing in ("weights", "report"):
        sender.send(thing, answer.wait)
    sender.conclude(0.01)
    answer.set()
    assert caplog.messages[-1].startswith("MLflow lacks 2 things of this run, such as report (")


def test_only_so_much_is_kept_for_mlflow_and_the_rest_is_counted(sender, caplog, monkeypatch):
    caplog.set_level(logging.WARNING)
    monkeypatch.setattr(sending, "REST", 1e9)
    monkeypatch.setattr(sending, "MOST_KEPT", 3)
    server = Server()
    sender.send("first", partial(server.take, "first"))
    sender.flush()
    for number in range(9):
        sender.send("a picture", partial(server.take, number))
    sender.flush()
    server.answers = True
    sender.conclude()
    assert server.said == [6, 7, 8]
    assert caplog.messages[-1].startswith("MLflow lacks 7 things of this run (no answer)")


def test_of_things_of_one_key_the_last_says_all_and_each_is_counted(sender, caplog, monkeypatch):
    caplog.set_level(logging.WARNING)
    monkeypatch.setattr(sending, "REST", 1e9)
    server = Server()
    for step in range(4):
        sender.send(f"step {step}", partial(server.take, step), key="metrics")
        sender.flush()
    sender.conclude()
    assert caplog.messages[-1].startswith("MLflow lacks 4 things of this run, such as step 3 (")
    server.answers = True
    sender.conclude()
    assert server.said == [3]


def test_what_comes_while_another_of_its_key_is_said_is_said_too(sender):
    begun, answer, said = threading.Event(), threading.Event(), []

    def slow():
        begun.set()
        answer.wait()
        said.append("first")

    sender.send("first", slow, key="metrics")
    begun.wait()
    sender.send("second", partial(said.append, "second"), key="metrics")
    answer.set()
    sender.conclude()
    assert said == ["first", "second"]


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
