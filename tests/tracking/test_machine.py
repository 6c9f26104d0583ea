import threading

import mlflow
import pytest

from cxr_pipeline.tracking import machine
from cxr_pipeline.tracking.sending import sender


@pytest.fixture
def run(client, monkeypatch):
    monkeypatch.setattr(machine, "SHORTEST_PAUSE", 0.01)
    with mlflow.start_run() as run:
        sender.run = run.info.run_id
        yield run.info.run_id


def watchers():
    return [thread for thread in threading.enumerate() if thread.name == "machine"]


def join_all():
    for thread in watchers():
        thread.join(10)
    assert watchers() == []


def test_cpu_and_memory_are_recorded_until_the_run_ends(client, run):
    end = machine.watch_machine(run)
    while not client.get_run(run).data.metrics:
        sender.flush()
    end.set()
    join_all()
    sender.flush()
    found = client.get_run(run).data.metrics
    assert {
        "system/cpu_utilization_percentage",
        "system/system_memory_usage_megabytes",
        "system/system_memory_usage_percentage",
    } <= set(found)
    assert 0 < found["system/system_memory_usage_percentage"] < 100
    history = client.get_metric_history(run, "system/cpu_utilization_percentage")
    assert [metric.step for metric in history] == list(range(len(history)))


def test_a_run_of_seconds_has_none(client, run, monkeypatch):
    monkeypatch.setattr(machine, "SHORTEST_PAUSE", 60.0)
    machine.watch_machine(run).set()
    join_all()
    sender.flush()
    assert client.get_run(run).data.metrics == {}


def test_an_interrupted_run_is_not_watched_once_another_has_begun(client, run):
    machine.watch_machine(run)
    sender.begin()
    join_all()


@pytest.mark.parametrize("value", ["true", "false"])
def test_mlflow_s_own_switch_is_left_to_mlflow(monkeypatch, value):
    monkeypatch.delenv(machine.SWITCH, raising=False)
    assert machine.is_wanted()
    monkeypatch.setenv(machine.SWITCH, value)
    assert not machine.is_wanted()
