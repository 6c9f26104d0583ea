"""Locks held by real processes."""

import logging
import signal
import subprocess
import sys
import threading
import time

import pytest

from cxr_pipeline.data.locks import lock

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no flock")

HOLD = """
import sys, time
from pathlib import Path
from cxr_pipeline.data.locks import lock
with lock(Path(sys.argv[1]), "it", wait=False):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def hold():
    """Have another process hold a lock until it is killed."""
    started = []

    def hold(path):
        command = [sys.executable, "-c", HOLD, str(path)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout.readline() == "held\n"
        return process

    yield hold
    for process in started:
        process.kill()
        process.communicate()


def place(tmp_path, kind):
    return tmp_path if kind == "folder" else tmp_path / "below" / ".lock"


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_second_process_is_refused_until_the_first_is_killed(
    tmp_path, hold, kind, one_line_error
):
    path = place(tmp_path, kind)
    other = hold(path)

    def take():
        with lock(path, "the model", wait=False):
            raise AssertionError("it was not refused")

    message = one_line_error(take)
    holder = "another process"
    if kind == "file":
        holder = f"process {other.pid} ({sys.executable} -c ' import sys, time from pathlib"
    assert message.startswith(f"the model is in use by {holder}")
    assert message.endswith(": wait for its end, or end it first")
    other.send_signal(signal.SIGKILL)
    other.wait(timeout=60)
    with lock(path, "the model", wait=False):
        pass


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_one_that_waits_says_so_once_and_goes_on_when_the_other_is_dead(
    tmp_path, hold, kind, caplog
):
    path = place(tmp_path, kind)
    other = hold(path)
    order = []

    def take():
        with lock(path, "the data", wait=True):
            order.append("taken")

    with caplog.at_level(logging.INFO):
        waiting = threading.Thread(target=take)
        waiting.start()
        while not caplog.messages:
            time.sleep(0.01)
        order.append("killed")
        other.kill()
        waiting.join(timeout=60)
    assert order == ["killed", "taken"]
    (message,) = caplog.messages
    assert message.startswith("Waiting for the data, in use by ")
    assert (str(other.pid) in message) == (kind == "file")


def test_a_lock_is_free_again_after_its_block_and_after_an_error_in_it(tmp_path):
    for _ in range(2):
        with pytest.raises(RuntimeError), lock(tmp_path / "a", "it", wait=False):
            raise RuntimeError
    with lock(tmp_path / "a", "it", wait=False), lock(tmp_path / "b", "it", wait=False):
        pass


def test_a_child_that_outlives_the_process_does_not_keep_its_lock(tmp_path):
    start = "import subprocess; print(subprocess.Popen(['sleep', '600'], stdout=-3, stderr=-3).pid)"
    program = HOLD.replace("time.sleep(600)", start)
    command = [sys.executable, "-c", program, str(tmp_path / "a")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    child = done.stdout.split()[-1]
    try:
        with lock(tmp_path / "a", "it", wait=False):
            pass
    finally:
        subprocess.run(["kill", child], check=True)
