import json
import logging
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from distributed import LocalCluster
from distributed.diagnostics import SchedulerPlugin
from tests.data.stores import contents, damage, refusal

from cxr_pipeline.data import build
from cxr_pipeline.data import workers as workers_module
from cxr_pipeline.data.build import build_store
from cxr_pipeline.data.shards import build_shard
from cxr_pipeline.data.workers import workers


def local_cluster(count):
    """A scheduler in this process, and workers in others."""
    return LocalCluster(
        n_workers=count, processes=True, threads_per_worker=1, dashboard_address=":0"
    )


@pytest.fixture(scope="module")
def cluster():
    with local_cluster(2) as running:
        yield running


class Completed(SchedulerPlugin):
    """Which worker completed how many tasks."""

    def __init__(self, scheduler):
        self.tasks = {}
        scheduler.add_plugin(self, name="completed")

    def transition(self, key, start, finish, *args, worker=None, **kwargs):
        if (start, finish) == ("processing", "memory"):
            self.tasks[worker] = self.tasks.get(worker, 0) + 1


@pytest.fixture
def completed(cluster):
    yield Completed(cluster.scheduler)
    cluster.scheduler.remove_plugin(name="completed")


# -- threads -------------------------------------------------------------------------------------


def test_as_many_threads_as_asked_work_at_a_time():
    together = threading.Barrier(3)
    with workers(3, None) as pool:
        jobs = [pool.submit(together.wait, 30) for _ in range(3)]
        assert sorted(job.result() for job in jobs) == [0, 1, 2]


def test_a_job_s_error_arrives_and_jobs_not_begun_are_given_up(raw, tmp_path, plan, monkeypatch):
    begun, arrived = [], threading.Event()

    def fail(job):
        begun.append(job.number)
        if job.number == 1:
            raise OSError(28, "No space left on device")
        if job.number > 1:
            arrived.wait(timeout=0.1)
        return {"made": True}

    monkeypatch.setattr(build, "build_shard", fail)
    with pytest.raises(OSError, match="No space left on device"):
        build_store(plan(raw, workers=1, shard_size=1), tmp_path / "stores")
    assert len(begun) < 12


# -- a Dask cluster ------------------------------------------------------------------------------


def test_a_cluster_s_workers_make_the_bytes_that_threads_make(
    cluster, completed, tmp_path, make_data_set, plan
):
    raw = make_data_set(tmp_path / "raw", count=60)
    damage(raw / "images" / "00000003_000.png", "truncated file")
    here = build_store(plan(raw, shard_size=2), tmp_path / "here")
    address = cluster.scheduler_address
    there = build_store(plan(raw, shard_size=2, dask_scheduler=address), tmp_path / "there")
    assert contents(there.folder) == contents(here.folder)
    assert len(completed.tasks) == 2
    assert sum(completed.tasks.values()) == 30


def test_a_cluster_finds_what_threads_have_made_and_the_other_way_round(
    cluster, raw, tmp_path, plan, caplog
):
    caplog.set_level(logging.INFO)
    on_cluster = plan(raw, dask_scheduler=cluster.scheduler_address)
    for first, second in ((plan(raw), on_cluster), (on_cluster, plan(raw))):
        store = build_store(first, tmp_path / "stores")
        (store.folder / "manifest.json").unlink()
        (store.folder / "shard_00001.json").unlink()
        caplog.clear()
        build_store(second, tmp_path / "stores")
        assert "1 of 3 shards made" in caplog.text


def test_an_error_on_a_worker_arrives_and_the_other_shards_are_given_up(
    cluster, completed, raw, tmp_path, plan, monkeypatch
):
    def fail(job):
        if job.number == 1:
            raise OSError(28, "No space left on device")
        time.sleep(0.3)
        return {"made": True}

    monkeypatch.setattr(build, "build_shard", fail)
    planned = plan(raw, shard_size=1, dask_scheduler=cluster.scheduler_address)
    with pytest.raises(OSError, match="No space left on device"):
        build_store(planned, tmp_path / "stores")
    deadline = time.monotonic() + 30
    while cluster.scheduler.tasks and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not cluster.scheduler.tasks
    assert sum(completed.tasks.values()) < 11
    monkeypatch.undo()
    assert len(build_store(planned, tmp_path / "stores")) == 12  # the workers are still there


def test_a_shard_that_a_worker_died_of_is_made_by_another_without_a_trace(
    raw, root, plan, monkeypatch
):
    here = build_store(plan(raw), root)
    make, died = build_shard, root / "died"

    def die_once(job):
        if not died.exists():
            died.touch()
            Path(job.folder).mkdir(parents=True, exist_ok=True)
            (Path(job.folder) / ".shard_00000.npy.99.part").write_bytes(b"half")
            os._exit(1)
        return make(job)

    monkeypatch.setattr(build, "build_shard", die_once)
    with local_cluster(1) as running:
        there = build_store(plan(raw, dask_scheduler=running.scheduler_address), root / "there")
    assert died.exists()
    assert contents(there.folder) == contents(here.folder)


def test_workers_that_die_of_a_shard_stop_the_build_with_the_remedy(
    raw, tmp_path, plan, monkeypatch
):
    monkeypatch.setattr(build, "build_shard", lambda job: os._exit(1))
    with local_cluster(1) as running:
        running.scheduler.allowed_failures = 0
        address = running.scheduler_address
        planned = plan(raw, dask_scheduler=address)
        message = refusal(build_store, planned, tmp_path / "stores")
    assert f"preprocessing.dask_scheduler='{address}': its scheduler or workers were" in message
    assert "run again" in message


def test_a_cluster_without_workers_is_waited_for_and_said(raw, tmp_path, plan, caplog):
    with local_cluster(0) as running:
        address = running.scheduler_address
        start = threading.Timer(0.5, running.scale, [1])
        start.start()
        with caplog.at_level(logging.WARNING):
            store = build_store(plan(raw, dask_scheduler=address), tmp_path / "stores")
        start.join()
    assert len(store) == 12
    assert f"No Dask worker yet: start some with `dask worker {address}`" in caplog.text


def test_a_cluster_to_which_no_worker_comes_is_named_with_the_remedy(
    raw, tmp_path, plan, monkeypatch
):
    monkeypatch.setattr(workers_module, "SECONDS_TO_REACH_CLUSTER", 2)
    with local_cluster(0) as running:
        address = running.scheduler_address
        message = refusal(build_store, plan(raw, dask_scheduler=address), tmp_path / "stores")
    assert f"'{address}' has no worker: start some with `dask worker {address}`" in message


@pytest.mark.parametrize(
    "address", ["tcp://127.0.0.1:1", "127.0.0.1", "ftp://127.0.0.1:1", "tls://127.0.0.1:1"]
)
def test_a_scheduler_that_cannot_be_reached_is_named(raw, tmp_path, plan, monkeypatch, address):
    monkeypatch.setattr(workers_module, "SECONDS_TO_REACH_CLUSTER", 0.3)
    message = refusal(build_store, plan(raw, dask_scheduler=address), tmp_path / "stores")
    assert message == (
        f"preprocessing.dask_scheduler='{address}' cannot be reached: start one with "
        "`dask scheduler` and give its address, such as tcp://host:8786"
    )


def test_where_dask_is_not_installed_the_command_that_does_it_is_named(
    raw, tmp_path, plan, monkeypatch
):
    monkeypatch.setitem(sys.modules, "distributed", None)
    planned = plan(raw, dask_scheduler="tcp://host:8786")
    message = refusal(build_store, planned, tmp_path / "stores")
    assert message.endswith("needs Dask: pip install 'cxr_pipeline[dask]'")


PROGRAM = """
import json, sys
from cxr_pipeline.data import workers
workers.SECONDS_TO_REACH_CLUSTER = 1.0
try:
    with workers.workers(1, sys.argv[1]) as pool:
        print(json.dumps([job.result() for job in [pool.submit(pow, 2, n) for n in range(20)]]))
except ValueError as error:
    print(json.dumps(str(error)))
"""


@pytest.mark.parametrize("reachable", [True, False])
def test_a_process_that_used_a_cluster_ends_and_dask_prints_nothing(cluster, reachable):
    address = cluster.scheduler_address if reachable else "tcp://127.0.0.1:1"
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, address],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    said = json.loads(done.stdout)
    assert said == [2**n for n in range(20)] if reachable else "cannot be reached" in said
