import os
import signal
import subprocess
import sys

import mlflow
import pytest

from cxr_pipeline import tracking
from cxr_pipeline.tracking import nested
from cxr_pipeline.tracking.ending import end_lost_runs
from cxr_pipeline.tracking.runs import current_run, name_of_run
from cxr_pipeline.tracking.sending import sender


@pytest.fixture
def begun(client):
    """A run that ended before all was done, with a nested one."""
    with mlflow.start_run(run_name="first") as run:
        tracking.describe_run("first", {"command": "kedro run"})
        tracking.log_parameters({"vae": {"max_steps": 2, "beta": 1.0}})
        with tracking.nested_run("member", {"beta": 1.0}):
            notes = tracking.notes()
        sender.flush()
    assert notes["mlflow_parent"] == run.info.run_id
    return notes


def test_notes_lead_back_to_the_model_s_run_or_to_the_one_that_it_is_nested_in(begun):
    def found(notes):
        return [tracking.run_to_continue(notes, alone=alone) for alone in (True, False)]

    assert found(begun) == [begun["mlflow_run"], begun["mlflow_parent"]]
    # Trained alone: a command that trains others too is another run.
    assert found({"mlflow_run": "a"}) == ["a", None]
    assert found({}) == [None, None]
    assert tracking.notes() == {}


def test_a_checkpoint_of_images_from_another_source_has_no_run_to_go_on_with(client):
    tracking.note_source("a digest")
    with mlflow.start_run() as run, tracking.nested_run("member", {}):
        notes = tracking.notes()
    assert notes["source"] == "a digest"
    assert tracking.run_to_continue(notes, alone=False) == run.info.run_id
    assert tracking.run_to_continue({"mlflow_run": "a"}, alone=True) is None
    tracking.note_source("another")
    assert tracking.run_to_continue(notes, alone=False) is None


def test_a_run_that_goes_on_keeps_what_it_began_with_and_tells_what_is_new(client, begun):
    for number in ("1", "2"):
        with mlflow.start_run(run_id=begun["mlflow_parent"]):
            tracking.describe_run("other", {"command": f"again {number}"}, resumed=True)
            tracking.log_parameters({"vae": {"max_steps": 4, "beta": 1.0, "new": True}})
            sender.flush()
        run = client.get_run(begun["mlflow_parent"])
        assert run.info.run_name == "first"
        assert run.data.params == {"vae.max_steps": "2", "vae.beta": "1.0", "vae.new": "True"}
        resumed = {key: value for key, value in run.data.tags.items() if "resumed" in key}
        assert run.data.tags["command"] == "kedro run"
        assert resumed == {
            "resumed": number,
            "resumed.command": f"again {number}",
            "resumed.vae.max_steps": "4",
        }


def test_a_member_goes_on_with_its_own_run_if_the_sweep_does(client, begun):
    with mlflow.start_run(run_id=begun["mlflow_parent"]):
        with tracking.nested_run("member", {"beta": 1.0}, begun):
            assert tracking.notes() == begun
            sender.flush()
            assert client.get_run(begun["mlflow_run"]).info.status == "RUNNING"
        sender.flush()
        assert client.get_run(begun["mlflow_run"]).info.status == "FINISHED"
    with mlflow.start_run() as other, tracking.nested_run("member", {"beta": 1.0}, begun):
        assert tracking.notes()["mlflow_parent"] == other.info.run_id
        assert tracking.notes()["mlflow_run"] != begun["mlflow_run"]


def test_a_run_that_is_gone_has_no_name(client, begun):
    run = begun["mlflow_parent"]
    assert name_of_run(run, "0") == "first"
    assert name_of_run(run, "1") is None
    assert name_of_run("0" * 32, "0") is None
    client.delete_run(run)
    assert name_of_run(run, "0") is None


def test_what_a_member_tells_goes_nowhere_if_its_run_could_not_begin(client, monkeypatch):
    with mlflow.start_run() as outer:
        monkeypatch.setattr(nested, "MlflowClient", lambda: None)
        with tracking.nested_run("member", {}):
            assert current_run() is None
            tracking.log_metrics(1, {"loss/x": 1.0})
        monkeypatch.undo()
        sender.flush()
        assert current_run() == outer.info.run_id
    assert client.get_run(outer.info.run_id).data.metrics == {}


HANGING = """
import mlflow, sys, time
from cxr_pipeline import tracking
from cxr_pipeline.tracking.sending import sender
mlflow.set_tracking_uri(sys.argv[1])
mlflow.start_run(run_name="outer")
tracking.describe_run("outer", {})
with tracking.nested_run("inner", {}):
    sender.flush()
    print("ready", flush=True)
    time.sleep(600)
"""


def test_a_run_whose_process_was_killed_is_ended_as_killed_and_no_other(client):
    command = [sys.executable, "-W", "ignore", "-c", HANGING, mlflow.get_tracking_uri()]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"

    def statuses():
        return {run.info.run_name: run.info.status for run in client.search_runs(["0"])}

    with mlflow.start_run():
        tracking.describe_run("own", {})
        elsewhere = client.create_run("0", run_name="elsewhere").info.run_id
        client.set_tag(elsewhere, "host", "another")
        client.set_tag(elsewhere, "pid", str(process.pid))
        client.create_run("0", run_name="of another program")
        sender.flush()
        end_lost_runs("0", but=None)
        assert set(statuses().values()) == {"RUNNING"}  # it still lives
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        (outer,) = client.search_runs(["0"], "attributes.run_name = 'outer'")
        end_lost_runs("0", but=outer.info.run_id)
        others = dict.fromkeys(("own", "elsewhere", "of another program"), "RUNNING")
        assert statuses() == {"outer": "RUNNING", "inner": "KILLED", **others}
        end_lost_runs("0", but=None)
        assert statuses() == {"outer": "KILLED", "inner": "KILLED", **others}
