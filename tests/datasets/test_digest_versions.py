import os
from pathlib import Path

import pytest
from kedro.io import DatasetError, Version
from tests.data.stores import LONG_AGO

from cxr_pipeline.cli import root_message
from cxr_pipeline.datasets.digest_versions import DigestVersionedDataset


class Notes(DigestVersionedDataset[str, str]):
    """A text, in a folder named by its first word."""

    MANIFEST = "note.txt"
    ABSENT = "note in '{}': write one"

    def make(self, plan: str, root: Path) -> str:
        folder = root / plan.split(maxsplit=1)[0]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / self.MANIFEST).write_text(plan)
        return folder.name

    def open(self, folder: Path) -> str:
        return (folder / self.MANIFEST).read_text()


@pytest.fixture
def root(tmp_path):
    return tmp_path / "notes"


def write(root, text, *, time):
    """Write a note as another run did, at that time."""
    folder = root / Notes(str(root)).make(text, root)
    os.utime(folder / Notes.MANIFEST, ns=(time, time))


def test_what_was_saved_is_loaded(root):
    notes = Notes(str(root))
    notes.save("first of all")
    assert notes.load() == "first of all"
    assert notes.resolve_load_version() == "first"


def test_nothing_is_written_but_what_is_made(root):
    Notes(str(root)).save("first of all")
    assert [path.relative_to(root).as_posix() for path in root.rglob("*")] == [
        "first",
        "first/note.txt",
    ]


def test_what_this_run_saved_is_loaded_though_another_is_newer(root):
    notes = Notes(str(root))
    notes.save("first of all")
    write(root, "second thoughts", time=LONG_AGO * 2)
    assert notes.load() == "first of all"


@pytest.mark.parametrize("last", ["first", "second"])
def test_without_one_saved_the_last_used_is_loaded(root, last):
    for name in ("first", "second"):
        write(root, f"{name} note", time=LONG_AGO + (name == last))
    assert Notes(str(root)).load() == f"{last} note"


def test_the_version_asked_for_is_loaded_whatever_was_saved(root):
    write(root, "first note", time=LONG_AGO)
    notes = Notes(str(root), version=Version("first", None))
    notes.save("second note")
    assert notes.load() == "first note"


def test_a_folder_without_its_manifest_is_no_version(root):
    write(root, "first note", time=LONG_AGO)
    (root / "second").mkdir()
    notes = Notes(str(root))
    assert notes.load() == "first note"
    assert notes.exists()
    (root / "first" / Notes.MANIFEST).unlink()
    assert not notes.exists()


def test_an_unknown_version_does_not_exist(root):
    write(root, "first note", time=LONG_AGO)
    assert not Notes(str(root), version=Version("third", None)).exists()


def test_without_any_the_remedy_is_said(root):
    notes = Notes(str(root))
    assert not notes.exists()
    with pytest.raises(DatasetError) as caught:
        notes.load()
    assert root_message(caught.value) == f"no note in '{root}': write one"


def test_what_cannot_be_made_says_why_and_leaves_nothing_to_load(root):
    notes = Notes(str(root))
    with pytest.raises(DatasetError, match="list index out of range"):
        notes.save("")
    assert not notes.exists()


def test_it_describes_itself_by_its_folder(root):
    assert str(root) in str(Notes(str(root)))
    assert Notes(str(root), metadata={"layer": "x"}).metadata == {"layer": "x"}
