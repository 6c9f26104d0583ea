import io
import logging
import shutil
import tarfile
from types import SimpleNamespace

import pytest

from cxr_pipeline.data.acquire import RemoteFile, acquire
from cxr_pipeline.data.files import file_digest, readable_size
from cxr_pipeline.data.label_files import read_label_rows

LABELS = b"Image Index,Finding Labels\n"


def packed(*names):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name in names:
            info = tarfile.TarInfo(f"images/{name}")
            info.size = 5
            tar.addfile(info, io.BytesIO(b"image"))
    return buffer.getvalue()


@pytest.fixture
def remote(web):
    """A label file and two archives on a server."""
    label_file = RemoteFile("labels.csv", web.serve("/labels.csv", LABELS))
    contents = {
        "images_001.tar.gz": packed("a.png", "b.png"),
        "images_002.tar.gz": packed("c.png"),
    }
    archives = [
        RemoteFile(name, web.serve(f"/{name}", data), size=len(data))
        for name, data in contents.items()
    ]
    return label_file, archives


@pytest.fixture
def get(remote, tmp_path, caplog):
    caplog.set_level(logging.INFO)

    def get(label_file=remote[0], archives=remote[1], *, keep=False):
        return acquire(
            label_file,
            archives,
            tmp_path / "cxr14",
            attempts=2,
            timeout=20,
            keep_archives=keep,
            max_unpacked_bytes=10**6,
        )

    return get


def statuses(table):
    return dict(zip(table["file"], table["status"], strict=True))


def names(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def test_all_is_fetched_unpacked_and_accounted_for(get, remote, tmp_path, web, caplog):
    table = get()
    assert statuses(table) == dict.fromkeys(
        ["labels.csv", "images_001.tar.gz", "images_002.tar.gz"], "fetched"
    )
    assert list(table.columns) == ["file", "bytes", "sha256", "status"]
    served = [web.files[f"/{name}"].data for name in table["file"]]
    assert table["bytes"].tolist() == [len(data) for data in served]
    (tmp_path / "copy").write_bytes(served[1])
    assert table["sha256"][1] == file_digest(tmp_path / "copy")
    assert names(tmp_path / "cxr14") == [
        "images_001/archive.json",
        "images_001/images/a.png",
        "images_001/images/b.png",
        "images_002/archive.json",
        "images_002/images/c.png",
        "labels.csv",
    ]
    assert "images_001.tar.gz: fetched, 2 images" in caplog.text
    assert f"complete; use them with --params=raw_dir={tmp_path / 'cxr14'}" in caplog.text


def test_a_second_run_asks_for_nothing_and_says_the_same(get, web):
    first = get()
    web.seen.clear()
    second = get()
    assert web.seen == []
    assert set(second["status"]) == {"kept"}
    assert second.drop(columns="status").equals(first.drop(columns="status"))


def test_archives_stay_where_that_is_wanted(get, tmp_path):
    get(keep=True)
    kept = sorted(path.name for path in (tmp_path / "cxr14").glob("*.tar.gz"))
    assert kept == ["images_001.tar.gz", "images_002.tar.gz"]


def test_an_archive_that_lies_there_is_unpacked_without_a_request(get, web, tmp_path):
    (tmp_path / "cxr14").mkdir()
    (tmp_path / "cxr14/images_001.tar.gz").write_bytes(web.files["/images_001.tar.gz"].data)
    assert statuses(get())["images_001.tar.gz"] == "unpacked"
    assert [seen.path for seen in web.seen] == ["/labels.csv", "/images_002.tar.gz"]


def test_a_folder_that_was_unpacked_by_hand_is_kept_as_it_is(get, web, tmp_path):
    (tmp_path / "cxr14/images_001/images").mkdir(parents=True)
    table = get()
    assert statuses(table)["images_001.tar.gz"] == "kept"
    assert table["bytes"].isna().tolist() == [False, True, False]
    assert "/images_001.tar.gz" not in [seen.path for seen in web.seen]


def test_what_has_no_address_is_missing_and_said_so_at_the_end(get, remote, tmp_path, caplog):
    _, (first, second) = remote
    without = RemoteFile("labels.csv", None), [RemoteFile(first.name, None), second]
    table = get(*without)
    assert statuses(table) == {
        "labels.csv": "missing",
        "images_001.tar.gz": "missing",
        "images_002.tar.gz": "fetched",
    }
    last = caplog.records[-1]
    assert last.levelno == logging.WARNING
    for word in ("labels.csv, images_001.tar.gz", "box.com/v/ChestXray-NIHCC", str(tmp_path)):
        assert word in last.getMessage()

    (tmp_path / "cxr14/labels.csv").write_bytes(LABELS)
    (tmp_path / "cxr14/images_001.tar.gz").write_bytes(packed("a.png"))
    assert statuses(get(*without)) == {
        "labels.csv": "kept",
        "images_001.tar.gz": "unpacked",
        "images_002.tar.gz": "kept",
    }


@pytest.mark.parametrize("known", [{"size": 99}, {"md5": "0" * 32}, {"sha256": "0" * 64}])
def test_what_was_put_there_by_hand_is_checked_too(get, tmp_path, known):
    (tmp_path / "cxr14").mkdir()
    (tmp_path / "cxr14/labels.csv").write_bytes(LABELS)
    with pytest.raises(ValueError, match="put there by hand, has") as caught:
        get(label_file=RemoteFile("labels.csv", None, **known))
    assert "set the size and checksum of 'labels.csv' to null" in str(caught.value)
    assert "\n" not in str(caught.value)
    table = get(label_file=RemoteFile("labels.csv", None, size=len(LABELS)))
    assert statuses(table)["labels.csv"] == "kept"


@pytest.mark.parametrize("keep", [False, True])
def test_room_is_asked_for_images_and_archives_before_anything_is_fetched(
    get, remote, web, tmp_path, monkeypatch, keep
):
    sizes = [archive.size for archive in remote[1]]
    needed = sum(sizes) + (sum(sizes) if keep else max(sizes))
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=needed - 1))
    with pytest.raises(ValueError, match=f"the download needs {readable_size(needed)}"):
        get(keep=keep)
    assert web.seen == []
    # What has arrived of an archive is no longer to come.
    (tmp_path / "cxr14/images_002.tar.gz.part").write_bytes(b"part")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=needed - 4))
    get(keep=keep)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=0))
    get(keep=keep)  # all is there


def test_a_broken_archive_stays_to_be_looked_at_and_the_rest_as_it_was(get, web, tmp_path):
    served = web.files["/images_002.tar.gz"]
    served.data = served.data[:-9] + b"?" * 9
    with pytest.raises(ValueError, match=r"images_002\.tar\.gz' is truncated or damaged"):
        get()
    assert names(tmp_path / "cxr14") == [
        "images_001/archive.json",
        "images_001/images/a.png",
        "images_001/images/b.png",
        "images_002.tar.gz",
        "labels.csv",
    ]


def test_nih_s_file_is_read_with_the_header_it_has_now_as_with_the_one_before(
    tmp_path, row, write_csv
):
    path = write_csv(tmp_path, [row("a.png", sex="F"), row("b.png", sex="M")])
    before = read_label_rows(path).table
    path.write_text(path.read_text().replace("Patient Gender", "Patient Sex", 1))
    now = read_label_rows(path).table
    assert now["sex"].tolist() == ["F", "M"]
    assert now.equals(before)
