import json
import logging
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from cxr_pipeline.data.build import build_store
from cxr_pipeline.data.prune import digests_left, prune_arrays, prune_features, prune_stores
from cxr_pipeline.data.store import MANIFEST, open_store
from cxr_pipeline.evaluation.kept_arrays import kept_rows


@pytest.fixture(scope="module")
def raw(tmp_path_factory, make_data_set):
    return make_data_set(tmp_path_factory.mktemp("raw"), count=12)


@pytest.fixture
def stores(tmp_path, raw, plan):
    """Three real stores, of 8, 9 and 10 px, used in that order; the names of their folders."""
    root = tmp_path / "stores"
    versions = [build_store(plan(raw, size=size), root).version for size in (8, 9, 10)]
    for age, version in enumerate(reversed(versions)):
        use(root / version, age)
    return root, versions


def use(path: Path, days_ago: int):
    """Let a store's manifest, or any other file, be as old as that."""
    moment = 1_750_000_000 - 86_400 * days_ago
    manifest = path / MANIFEST
    os.utime(manifest if manifest.exists() else path, (moment, moment))


def actions(table):
    return dict(zip(table["version"], table["action"], strict=True))


def test_the_stores_used_last_are_kept_and_the_others_removed(stores, caplog):
    caplog.set_level(logging.INFO)
    root, (oldest, middle, newest) = stores
    size = sum(path.stat().st_size for path in (root / oldest).iterdir())
    table = prune_stores(root, keep=2, dry_run=False)
    assert list(table.columns) == ["kind", "version", "last_used", "bytes", "action"]
    assert table["version"].tolist() == [newest, middle, oldest]
    assert table["action"].tolist() == ["kept", "kept", "removed"]
    assert str(table["last_used"].iloc[0]) == "2025-06-15 15:06:40+00:00"
    assert table["bytes"].iloc[2] == size
    assert sorted(path.name for path in root.iterdir()) == sorted([middle, newest])
    assert len(open_store(root / middle)) == 12
    line = f"Removed image store {oldest}: last used 2025-06-13 15:06 UTC, {size / 1e6:.1f} MB"
    assert line in caplog.messages


def test_a_store_used_again_is_kept_before_newer_ones(stores, raw, plan):
    root, (oldest, middle, newest) = stores
    build_store(plan(raw, size=8), root)
    table = prune_stores(root, keep=1, dry_run=False)
    assert actions(table) == {oldest: "kept", newest: "removed", middle: "removed"}


def test_a_removed_store_is_built_again_to_the_bit(stores, raw, plan):
    root, (oldest, *_) = stores
    digest = open_store(root / oldest).digest
    prune_stores(root, keep=1, dry_run=False)
    assert not (root / oldest).exists()
    assert build_store(plan(raw, size=8), root).digest == digest


def test_a_dry_run_says_what_it_would_remove_and_removes_nothing(stores, caplog):
    caplog.set_level(logging.INFO)
    root, (oldest, middle, newest) = stores
    before = sorted(root.rglob("*"))
    table = prune_stores(root, keep=1, dry_run=True)
    assert actions(table) == {newest: "kept", middle: "would remove", oldest: "would remove"}
    assert sorted(root.rglob("*")) == before
    assert caplog.messages[-1].startswith(f"Would remove image store {oldest}")


def test_an_unfinished_store_was_last_used_when_anything_in_it_was(stores):
    root, (oldest, middle, newest) = stores
    (root / oldest / MANIFEST).unlink()
    for path in (root / oldest, *(root / oldest).iterdir()):
        use(path, 30)
    use(root / oldest / "shard_00000.json", 1)
    use(root / middle, 2)
    table = prune_stores(root, keep=2, dry_run=False)
    assert actions(table) == {newest: "kept", oldest: "kept", middle: "removed"}


def test_whatever_is_no_store_is_left_alone_and_said_so(stores, tmp_path, caplog):
    root, versions = stores
    elsewhere = shutil.copytree(root / versions[0], tmp_path / "elsewhere")
    linked = root / "0123456789abcdef"
    linked.symlink_to(elsewhere)
    (root / "fedcba9876543210").mkdir()
    (root / "fedcba9876543210/letter.txt").write_text("dear")
    shutil.copytree(elsewhere, root / "my_copy")
    (root / ".DS_Store").write_text("")
    others = {linked.name, "fedcba9876543210", "my_copy", ".DS_Store"}
    table = prune_stores(root, keep=1, dry_run=False)
    assert {version for version, action in actions(table).items() if action == "left alone"} == (
        others
    )
    assert {path.name for path in root.iterdir()} == {versions[2], *others}
    assert len(open_store(elsewhere)) == len(open_store(root / "my_copy")) == 12
    assert f"'{linked}' is no image store: left alone" in caplog.messages


def test_what_a_link_in_a_store_points_at_stays(stores, tmp_path):
    root, (oldest, *_) = stores
    moved = (root / oldest / "shard_00000.npy").rename(tmp_path / "moved.npy")
    (root / oldest / "shard_00000.npy").symlink_to(moved)
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "file").write_text("content")
    (root / oldest / "more").symlink_to(folder)
    prune_stores(root, keep=1, dry_run=False)
    assert not (root / oldest).exists()
    assert moved.is_file()
    assert (folder / "file").is_file()


def test_a_removal_cut_short_leaves_nothing_that_looks_finished_and_is_done_next_time(
    stores, monkeypatch
):
    root, (oldest, middle, newest) = stores
    use(root / oldest, -1)
    use(root / newest, -2)

    def killed(path):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            prune_stores(root, keep=2, dry_run=False)
    assert not (root / middle / MANIFEST).exists()
    with pytest.raises(ValueError, match="no finished image store"):
        open_store(root / middle)
    for path in (root / middle, *(root / middle).iterdir()):
        use(path, 3)
    assert actions(prune_stores(root, keep=2, dry_run=False))[middle] == "removed"
    assert not (root / middle).exists()


def test_an_empty_folder_gives_an_empty_table(tmp_path):
    table = prune_stores(tmp_path, keep=3, dry_run=False)
    assert table.empty
    assert list(table.columns) == ["kind", "version", "last_used", "bytes", "action"]


@pytest.mark.parametrize("dry_run", [False, True])
def test_the_digests_left_are_those_of_the_stores_kept(stores, dry_run):
    root, (oldest, middle, newest) = stores
    digests = {version: open_store(root / version).digest for version in (oldest, middle, newest)}
    (root / newest / MANIFEST).unlink()  # kept, but unfinished: it has none
    use(root / newest / "shard_00000.npy", -1)
    table = prune_stores(root, keep=2, dry_run=dry_run)
    assert digests_left(root, table) == {digests[middle]}


def write_features(folder: Path, manifest: object, days_ago: int):
    folder.mkdir(parents=True)
    (folder / MANIFEST).write_text(json.dumps(manifest))
    (folder / "shard_00000.npy").write_bytes(bytes(1000))
    use(folder, days_ago)


@pytest.fixture
def features(tmp_path):
    """Four feature caches, of the image stores a, b, a and b, the first one used last."""
    root = tmp_path / "features"
    names = [digit * 16 for digit in "1234"]
    for age, (name, store) in enumerate(zip(names, "abab", strict=True)):
        write_features(root / name, {"image_store_digest": store}, age)
    return root, names


def test_features_whose_images_are_gone_are_removed_and_make_room_for_older_ones(features, caplog):
    caplog.set_level(logging.INFO)
    root, (first, second, third, fourth) = features
    table = prune_features(root, {"a"}, keep=2, dry_run=False)
    assert set(table["kind"]) == {"feature cache"}
    assert actions(table) == {first: "kept", second: "removed", third: "kept", fourth: "removed"}
    assert sorted(path.name for path in root.iterdir()) == [first, third]
    assert table["bytes"].iloc[0] == 1000 + len('{"image_store_digest": "a"}')
    assert any(line.startswith(f"Removed feature cache {second}") for line in caplog.messages)


def test_features_that_were_not_used_lately_are_removed(features):
    root, (first, *others) = features
    table = prune_features(root, {"a", "b"}, keep=1, dry_run=True)
    assert actions(table) == {first: "kept"} | dict.fromkeys(others, "would remove")
    assert len(list(root.iterdir())) == 4
    prune_features(root, {"a", "b"}, keep=1, dry_run=False)
    assert [path.name for path in root.iterdir()] == [first]


@pytest.mark.parametrize("content", ["", "[1]", "{}"])
def test_features_of_unknown_images_go_by_their_age_alone(features, content):
    root, (first, *others) = features
    (root / first / MANIFEST).write_text(content)
    table = prune_features(root, {"a", "b"}, keep=4, dry_run=False)
    assert actions(table) == dict.fromkeys([first, *others], "kept")
    assert actions(prune_features(root, set(), keep=4, dry_run=False))[first] == "kept"


def test_whatever_is_no_feature_cache_is_left_alone(features, caplog):
    root, (first, *_) = features
    shutil.copytree(root / first, root / "my_copy")
    table = prune_features(root, set(), keep=1, dry_run=False)
    assert actions(table)["my_copy"] == "left alone"
    assert [path.name for path in root.iterdir()] == ["my_copy"]
    assert f"'{root / 'my_copy'}' is no feature cache: left alone" in caplog.messages


def test_of_what_evaluations_kept_that_used_last_stays(tmp_path):
    root = tmp_path / "kept"

    def zeros(first: int, last: int):
        return np.zeros(last - first)

    def keep(kind: str, number: int):
        kept_rows(root / kind, {"n": number}, 3, zeros, what="Rows")

    for kind in ("features", "samples"):
        for number in range(3):
            keep(kind, number)
    (root / "scores").mkdir()
    (root / "scores/a.json").write_text("{}")
    keys = sorted(root.glob("*/*/key.json"), key=lambda path: path.stat().st_mtime_ns)
    for age, path in enumerate(reversed(keys)):
        use(path, age)
    oldest = keys[3].parent.name  # of the samples
    keep("samples", json.loads((root / "samples" / oldest / "key.json").read_text())["n"])
    table = prune_arrays(root, keep=2, dry_run=False)
    assert sorted(table["action"]) == ["kept"] * 4 + ["removed"] * 2
    assert actions(table)[oldest] == "kept"
    assert {path.name for path in (root / "samples").iterdir()} == {oldest, keys[5].parent.name}
