import hashlib
import json
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxr_pipeline.data.files import (
    file_digest,
    json_digest,
    readable_size,
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
