import gzip
import io
import json
import tarfile

import numpy as np
import pytest

from cxr_pipeline.data import unpack as module
from cxr_pipeline.data.files import file_digest
from cxr_pipeline.data.unpack import archive_record, unpack

IMAGES = {f"{n:08d}_000.png": np.random.default_rng(n).bytes(3000 + n) for n in range(6)}
MTIME = 1_500_000_000


def member(name, data=b"image", **fields):
    info = tarfile.TarInfo(name)
    info.size, info.mtime = len(data), MTIME
    for field, value in fields.items():
        setattr(info, field, value)
    return info, data


def pack(path, *members):
    """Write an archive, gzipped if its name says so."""
    mode = "w:gz" if path.name.endswith(".gz") else "w"
    with tarfile.open(path, mode) as tar:
        for info, data in members:
            tar.addfile(info, io.BytesIO(data))
    return path


def nih(path, folder="images/"):
    return pack(path, *(member(folder + name, data) for name, data in IMAGES.items()))


def unpack_into(tmp_path, archive, **changes):
    settings = {"max_bytes": 10**6, "on_progress": lambda done, total: None}
    unpack(archive, tmp_path / "out/images_001", **settings | changes)


def refusal(tmp_path, archive, **changes):
    """The one line of a refused archive, of which nothing stays."""
    with pytest.raises(ValueError, match=r"\S") as caught:
        unpack_into(tmp_path, archive, **changes)
    message = str(caught.value)
    assert "\n" not in message
    assert str(archive) in message
    assert "delete it" in message
    assert list((tmp_path / "out").iterdir()) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == [archive.name, "out"]
    return message


@pytest.mark.parametrize("name", ["images_001.tar.gz", "images_001.tar"])
@pytest.mark.parametrize("folder", ["images/", "", "./images/", "home/nih/images_001/"])
def test_images_land_in_one_folder_with_their_bytes_and_times(tmp_path, name, folder):
    unpack_into(tmp_path, nih(tmp_path / name, folder))
    images = tmp_path / "out/images_001/images"
    assert {path.name: path.read_bytes() for path in images.iterdir()} == IMAGES
    assert {path.stat().st_mtime for path in images.iterdir()} == {MTIME}
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["images_001"]


def test_what_it_was_unpacked_from_is_on_record(tmp_path):
    archive = nih(tmp_path / "images_001.tar.gz")
    unpack_into(tmp_path, archive)
    folder = tmp_path / "out/images_001"
    assert archive_record(folder) == {
        "archive": "images_001.tar.gz",
        "bytes": archive.stat().st_size,
        "sha256": file_digest(archive),
        "images": len(IMAGES),
    }
    assert sorted(path.name for path in folder.iterdir()) == ["archive.json", "images"]
    assert archive_record(tmp_path) == {}
    (tmp_path / "archive.json").write_text('{"archive": ')
    assert archive_record(tmp_path) == {}


def test_progress_goes_up_to_the_archive_s_size(tmp_path):
    archive = nih(tmp_path / "images_001.tar")
    seen = []
    unpack_into(tmp_path, archive, on_progress=lambda *done: seen.append(done))
    assert seen == sorted(seen)
    size = archive.stat().st_size
    assert seen[-1] == (size, size)


def test_what_is_no_image_is_left_out_and_counted(tmp_path, caplog):
    archive = pack(
        tmp_path / "images_001.tar.gz",
        member("images", b"", type=tarfile.DIRTYPE, mode=0o755),
        member("images/README.txt"),
        member("images/._a.png"),
        member(".cache/b.png"),
        member("images/new\nline.png"),
        member("images/a.png"),
        member("images/B.JPEG"),
    )
    unpack_into(tmp_path, archive)
    images = tmp_path / "out/images_001/images"
    assert sorted(path.name for path in images.iterdir()) == ["B.JPEG", "a.png"]
    assert "4 members are no images and were left out (the first: 'images/README.txt')" in (
        caplog.text
    )


LINK = {"type": tarfile.SYMTYPE, "linkname": "/etc/passwd"}
HARD_LINK = {"type": tarfile.LNKTYPE, "linkname": "images/a.png"}


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (member("../escape.png"), "outside itself, '../escape.png'"),
        (member("images/../../escape.png"), "outside itself"),
        (member("/tmp/absolute.png"), "outside itself, '/tmp/absolute.png'"),
        (member("images\\..\\..\\escape.png"), "outside itself"),
        (member("images/link.png", b"", **LINK), "a link, device or the like, 'images/link.png'"),
        (member("images", b"", **LINK), "a link"),
        (member("images/hard.png", b"", **HARD_LINK), "a link"),
        (member("images/device.png", b"", type=tarfile.CHRTYPE), "device"),
        (member("images/block.png", b"", type=tarfile.BLKTYPE), "device"),
        (member("images/pipe.png", b"", type=tarfile.FIFOTYPE), "device or the like"),
        (member("images/a.png"), "holds 'a.png' twice"),
        (member("elsewhere/a.png"), "holds 'a.png' twice"),
    ],
)
def test_an_archive_that_is_up_to_something_is_refused_whole(tmp_path, bad, said):
    archive = pack(tmp_path / "images_001.tar.gz", member("images/a.png"), bad)
    assert said in refusal(tmp_path, archive)


def test_a_sparse_file_is_refused(tmp_path):
    archive = tmp_path / "images_001.tar"
    header = bytearray(member("images/a.png", b"")[0].tobuf(tarfile.GNU_FORMAT))
    header[156:157] = tarfile.GNUTYPE_SPARSE
    header[483:495] = b"77777777777\0"  # what it is made out to be
    header[148:156] = b" " * 8
    header[148:156] = f"{sum(header):06o}\0 ".encode()
    archive.write_bytes(bytes(header) + bytes(1024))
    assert "device or the like" in refusal(tmp_path, archive)


def test_an_archive_without_images_is_refused(tmp_path):
    archive = pack(tmp_path / "images_001.tar.gz", member("README.txt"))
    assert "holds no image (.png, .jpg, .jpeg)" in refusal(tmp_path, archive)


# -- how much -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["images/big.png", "images/big.txt"])
def test_what_unpacks_to_more_than_allowed_is_stopped_whether_taken_or_not(tmp_path, name):
    archive = pack(tmp_path / "images_001.tar.gz", member(name, bytes(5 * 10**6)))
    assert archive.stat().st_size < 10_000
    message = refusal(tmp_path, archive)
    assert "unpacks to more than 1.0 MB" in message
    assert "download.max_unpacked_gb" in message


def test_zeros_without_end_after_the_end_are_stopped(tmp_path):
    archive = nih(tmp_path / "images_001.tar")
    packed = tmp_path / "images_002.tar.gz"
    packed.write_bytes(gzip.compress(archive.read_bytes() + bytes(5 * 10**6)))
    archive.unlink()
    assert "unpacks to more than 1.0 MB" in refusal(tmp_path, packed)


def test_a_header_that_would_fill_the_memory_is_refused(tmp_path):
    bad = member("images/a.png", pax_headers={"comment": "x" * 3 * 10**6})
    archive = pack(tmp_path / "images_001.tar.gz", bad)
    message = refusal(tmp_path, archive, max_bytes=10**9)
    assert "a header of 3" in message


def test_more_members_than_any_data_set_has_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MOST_MEMBERS", 5)
    archive = nih(tmp_path / "images_001.tar")
    assert "more than 5 members" in refusal(tmp_path, archive)


# -- damage ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["images_001.tar.gz", "images_001.tar"])
@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.5, 0.7])
def test_a_truncated_archive_is_refused(tmp_path, name, share):
    archive = nih(tmp_path / name)
    content = archive.read_bytes()
    archive.write_bytes(content[: int(len(content) * share)])
    assert "is truncated or damaged" in refusal(tmp_path, archive)


def test_one_that_ends_between_two_members_is_refused_too(tmp_path):
    archive = nih(tmp_path / "images_001.tar")
    with tarfile.open(archive) as tar:
        end = tar.getmembers()[3].offset
    archive.write_bytes(archive.read_bytes()[:end])
    assert "its end is missing" in refusal(tmp_path, archive)


def test_a_damaged_header_is_not_taken_for_the_end(tmp_path):
    archive = nih(tmp_path / "images_001.tar")
    with tarfile.open(archive) as tar:
        place = tar.getmembers()[3].offset
    content = bytearray(archive.read_bytes())
    content[place : place + 100] = b"?" * 100
    archive.write_bytes(content)
    assert "is truncated or damaged" in refusal(tmp_path, archive)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_a_byte_that_flipped_is_noticed_by_gzip(tmp_path, share):
    archive = nih(tmp_path / "images_001.tar.gz")
    content = bytearray(archive.read_bytes())
    content[int(len(content) * share)] ^= 0x55
    archive.write_bytes(content)
    assert "is truncated or damaged" in refusal(tmp_path, archive)


def test_what_is_no_archive_is_refused(tmp_path):
    archive = tmp_path / "images_001.tar.gz"
    archive.write_bytes(b"Not Found")
    assert "is truncated or damaged" in refusal(tmp_path, archive)


# -- interruption ---------------------------------------------------------------------------------


def test_an_interrupted_unpacking_leaves_no_folder_and_is_done_again(tmp_path):
    archive = nih(tmp_path / "images_001.tar")

    def interrupt(done, total):
        if done > total / 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        unpack_into(tmp_path, archive, on_progress=interrupt)
    assert list((tmp_path / "out").iterdir()) == []
    unpack_into(tmp_path, archive)
    assert len(list((tmp_path / "out/images_001/images").iterdir())) == len(IMAGES)


def test_what_a_killed_unpacking_left_is_not_taken_along(tmp_path):
    left = tmp_path / "out/.images_001.part/images"
    left.mkdir(parents=True)
    (left / "half.png").write_bytes(b"half")
    unpack_into(tmp_path, nih(tmp_path / "images_001.tar.gz"))
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["images_001"]
    images = tmp_path / "out/images_001/images"
    assert sorted(path.name for path in images.iterdir()) == sorted(IMAGES)
    record = json.loads((tmp_path / "out/images_001/archive.json").read_text())
    assert record["images"] == len(IMAGES)
