import hashlib
import json
import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxr_pipeline.data.files import (
    file_digest,
    json_digest,
    readable_size,
    remove_litter,
    write_array,
    write_atomically,
    write_bytes,
    write_json,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
)


@pytest.mark.parametrize("failure", [RuntimeError("disk on fire"), KeyboardInterrupt()])
def test_a_writer_that_fails_leaves_the_old_file_and_no_litter(tmp_path, failure):
    path = tmp_path / "file.bin"
    path.write_bytes(b"old")

    def write(file):
        file.write(b"half of the n")
        raise failure

    with pytest.raises(type(failure)):
        write_atomically(path, write)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_writer_that_fails_makes_no_file_where_none_was(tmp_path):
    def write(file):
        file.write(b"half")
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write_atomically(tmp_path / "file.bin", write)
    assert list(tmp_path.iterdir()) == []


def test_a_process_that_dies_while_writing_leaves_the_old_file(tmp_path):
    path = tmp_path / "file.bin"
    path.write_bytes(b"old")
    program = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from cxr_pipeline.data.files import write_atomically\n"
        "def write(file):\n"
        "    file.write(b'half'); file.flush(); os._exit(9)\n"
        "write_atomically(Path(sys.argv[1]), write)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(path)], check=False)
    assert done.returncode == 9
    assert path.read_bytes() == b"old"
    write_bytes(path, b"new")
    assert path.read_bytes() == b"new"


@pytest.mark.skipif(os.name == "nt", reason="Windows flushes no folders")
def test_a_file_is_on_the_disk_before_it_has_its_name_and_the_name_at_the_end(
    tmp_path, monkeypatch
):
    seen = []
    path = tmp_path / "new" / "file.bin"
    fsync = os.fsync

    def spy(opened):
        fsync(opened)
        flushed = [p for p in (tmp_path, path.parent) if p.exists() and same(opened, p)]
        names = sorted(p.name for p in path.parent.iterdir())
        seen.append((flushed[0].name if flushed else os.fstat(opened).st_size, names))

    def same(opened, folder):
        return os.path.samestat(os.fstat(opened), folder.stat())

    monkeypatch.setattr(os, "fsync", spy)
    write_bytes(path, b"content")
    part = f".file.bin.{os.getpid()}.part"
    assert seen == [(tmp_path.name, []), (len(b"content"), [part]), ("new", ["file.bin"])]


@pytest.mark.parametrize("call", range(5))
def test_a_process_that_dies_between_any_two_steps_leaves_a_whole_file(tmp_path, call):
    path = tmp_path / "file.bin"
    path.write_bytes(b"old")
    program = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from cxr_pipeline.data.files import write_bytes\n"
        "left = int(sys.argv[2])\n"
        "def dying(act):\n"
        "    def step(*arguments):\n"
        "        global left\n"
        "        if left == 0: os._exit(9)\n"
        "        left -= 1\n"
        "        return act(*arguments)\n"
        "    return step\n"
        "os.fsync = dying(os.fsync)\n"
        "Path.replace = dying(Path.replace)\n"
        "unlink = dying(lambda path: path.exists() and os.unlink(path))\n"
        "Path.unlink = lambda path, missing_ok: unlink(path)\n"
        "write_bytes(Path(sys.argv[1]), b'new')\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(path), str(call)], check=False)
    # fsync, replace, unlink of what is left, fsync of the folder
    assert done.returncode == (9 if call < 4 else 0)
    assert path.read_bytes() == (b"old" if call < 2 else b"new")
    remove_litter(tmp_path)
    assert list(tmp_path.iterdir()) == [path]


def test_what_killed_writers_left_is_removed_and_nothing_else(tmp_path):
    kept = ["weights.safetensors", ".lock", "file.part", ".tmp"]
    for name in (*kept, ".weights.safetensors.99.part", ".tmpA1b2C3"):
        (tmp_path / name).write_bytes(b"")
    remove_litter(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(kept)


def test_readers_see_the_old_file_until_the_new_one_is_whole(tmp_path):
    path = tmp_path / "file.bin"
    path.write_bytes(b"old")
    seen = []

    def write(file):
        file.write(b"new")
        file.flush()
        seen.append(path.read_bytes())

    write_atomically(path, write)
    assert seen == [b"old"]
    assert path.read_bytes() == b"new"


def test_folders_are_made_and_the_file_stands_alone_in_them(tmp_path):
    path = tmp_path / "a" / "b" / "file.bin"
    write_bytes(path, b"\0\xff")
    assert path.read_bytes() == b"\0\xff"
    assert list(path.parent.iterdir()) == [path]


def test_json_is_sorted_indented_and_ends_in_a_line_break(tmp_path):
    write_json(tmp_path / "file.json", {"b": [1, None], "a": "ä"})
    text = (tmp_path / "file.json").read_text()
    assert json.loads(text) == {"a": "ä", "b": [1, None]}
    assert text.startswith('{\n  "a"')
    assert text.endswith("}\n")


@pytest.mark.parametrize("shape", [(3, 2, 2), (0, 4, 4), (5,)])
@pytest.mark.parametrize("dtype", ["uint8", "float16", "int64"])
def test_an_array_is_written_as_numpy_writes_it(tmp_path, shape, dtype):
    array = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
    write_array(tmp_path / "a.npy", array)
    np.save(tmp_path / "b.npy", array)
    assert (tmp_path / "a.npy").read_bytes() == (tmp_path / "b.npy").read_bytes()


def test_an_array_that_lies_otherwise_in_memory_comes_back_the_same(tmp_path):
    array = np.arange(24.0).reshape(1, 2, 3, 4).transpose(0, 3, 1, 2)  # channels last
    write_array(tmp_path / "a.npy", array)
    np.save(tmp_path / "b.npy", array)
    assert np.array_equal(np.load(tmp_path / "a.npy"), array)
    assert (tmp_path / "a.npy").read_bytes() == (tmp_path / "b.npy").read_bytes()


def test_what_is_no_json_leaves_the_old_file(tmp_path):
    path = tmp_path / "file.json"
    write_json(path, {"a": 1})
    with pytest.raises(TypeError):
        write_json(path, {"a": object()})
    assert json.loads(path.read_text()) == {"a": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_the_digest_of_a_file_is_the_sha256_of_its_bytes(tmp_path):
    (tmp_path / "abc").write_bytes(b"abc")
    assert file_digest(tmp_path / "abc") == (
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    )


@settings(deadline=None, derandomize=True)
@given(first=JSON, second=JSON)
def test_digests_of_json_agree_where_the_contents_do(first, second):
    same = json.dumps(first, sort_keys=True) == json.dumps(second, sort_keys=True)
    assert (json_digest(first) == json_digest(second)) == same
    assert json_digest(json.loads(json.dumps(first))) == json_digest(first)


def test_the_order_of_keys_is_no_difference_and_the_order_of_a_list_is():
    assert json_digest({"a": 1, "b": 2}) == json_digest({"b": 2, "a": 1})
    assert json_digest([1, 2]) != json_digest([2, 1])
    assert json_digest({"a": 1}) != json_digest({"a": "1"})
    assert json_digest([1]) == hashlib.sha256(b"[1]").hexdigest()


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 bytes"), (999, "999 bytes"), (1000, "1.0 kB"), (45_079_862_784, "45.1 GB")],
)
def test_sizes_are_said_as_people_say_them(count, text):
    assert readable_size(count) == text
