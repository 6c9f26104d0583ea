"""Promise 5: where a disk is full a run ends in one line, and what was there stays."""

import shutil
import subprocess
import sys

import pytest

resource = pytest.importorskip("resource", reason="Windows has no limits on files")

LIMIT = 100_000
"""Bytes a file may have."""

WRITERS = {
    "tensors": "import torch; write_tensors(path, {'a': torch.zeros(1_000_000)})",
    "json": "write_json(path, ['a' * 1_000_000])",
    "bytes": "write_bytes(path, bytes(1_000_000))",
    "pieces": "write_atomically(path, lambda f: [f.write(bytes(1000)) for _ in range(1000)])",
    "array": "import numpy; write_array(path, numpy.zeros(200_000))",
}

PROGRAM = """
import sys
from pathlib import Path
from cxr_pipeline.data.files import write_array, write_atomically, write_bytes, write_json
from cxr_pipeline.training.saved_model import write_tensors
path = Path(sys.argv[1])
try:
    exec(sys.argv[2])
except OSError as error:
    print(error)
else:
    sys.exit("it was written")
"""


def limited(size):
    """Limit the files of a process about to be started."""
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


@pytest.fixture
def tiny_disk(tmp_path):
    """A disk of 200 kB, of which a process alone knows: the command that begins it."""
    command = ["unshare", "--map-root-user", "--mount", "sh", "-c"]
    mount = f"mount -t tmpfs -o size=200k tmpfs '{tmp_path}'"
    if not shutil.which("unshare"):
        pytest.skip("no unshare to mount a small disk with")
    tried = subprocess.run([*command, mount], capture_output=True, text=True, check=False)
    if tried.returncode:
        pytest.skip(f"no small disk can be mounted: {tried.stderr.strip()}")

    def run(*program):
        script = (
            f'{mount} && printf old > "{tmp_path}/file" && "$@"; code=$?; ls -A "{tmp_path}"; '
            f'cat "{tmp_path}/file"; exit $code'
        )
        return subprocess.run(
            [*command, script, "sh", *program], capture_output=True, text=True, check=False
        )

    return run


def one_line(path, reason):
    return (
        f"'{path}' could not be written ({reason}): make room on its disk, or raise the limit on "
        "the size of files (`ulimit -f`), and run again\n"
    )


@pytest.mark.parametrize("writer", WRITERS)
def test_what_grows_beyond_the_limit_leaves_the_old_file_and_no_litter(tmp_path, writer):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(path), WRITERS[writer]],
        preexec_fn=limited(LIMIT),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == one_line(path, "File too large")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("writer", WRITERS)
def test_a_full_disk_leaves_the_old_file_and_no_litter(tmp_path, tiny_disk, writer):
    path = tmp_path / "file"
    done = tiny_disk(sys.executable, "-c", PROGRAM, str(path), WRITERS[writer])
    assert done.returncode == 0, done.stderr
    message = one_line(path, "No space left on device")
    assert done.stdout == f"{message}file\nold"


def snapshot(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != ".lock"
    }


def run_limited(project, size, *arguments):
    return subprocess.run(
        project.command(*arguments),
        cwd=project.folder,
        env=project.environment(),
        preexec_fn=limited(size),
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def error_of(done):
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    (error,) = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    return error


def test_a_checkpoint_that_does_not_fit_leaves_the_one_before_as_it_was(project, ten_images):
    settings = "gan.batch_size=2,gan.samples=2,gan.checkpoint_every=1,gan.max_steps="
    command = ["--pipeline=gan", f"--params=raw_dir={ten_images},labels.seed=4,{settings}"]
    first = project.run(command[0], command[1] + "1")
    assert first.returncode == 0, first.stderr
    models = project.folder / "data/06_models"
    before = snapshot(models)
    largest = max(map(len, before.values()))
    database = (project.folder / "tracking.db").stat().st_size
    assert largest > 4 * database
    done = run_limited(project, largest // 2, command[0], command[1] + "2,gan.resume=true")
    error = error_of(done)
    assert "could not be written (File too large): make room on its disk" in error
    assert f"{models}/gan/checkpoint/" in error
    assert snapshot(models) == before


def test_a_store_that_does_not_fit_says_so_and_is_finished_once_there_is_room(project, few_images):
    command = ["--pipeline=preprocessing", f"--params=raw_dir={few_images},preprocessing.size=512"]
    done = run_limited(project, 5_000_000, *command)
    error = error_of(done)
    assert "shard_00000.npy' could not be written (File too large)" in error
    root = project.folder / "data/02_intermediate/images"
    assert [path for path in root.rglob("*") if path.is_file()] == []
    assert project.run(*command).returncode == 0
