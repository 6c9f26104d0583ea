import gzip
import hashlib
import shutil
import socket
from types import SimpleNamespace

import numpy as np
import pytest
from tests.web import LAST_MODIFIED, Answer

from cxr_pipeline.data.download import fetch
from cxr_pipeline.data.partial import Partial, Version

DATA = np.random.default_rng(0).bytes(1_000_000)
OTHER = np.random.default_rng(1).bytes(900_000)
HALF = 600_000
FILE = "/static/images_001.tar.gz"
SHA256 = hashlib.sha256(DATA).hexdigest()


class Fetcher:
    """Fetches without waiting, and remembers how long it should have waited."""

    def __init__(self, target):
        self.target = target
        self.pauses = []
        self.progress = []

    def __call__(self, url, **changes):
        settings = {"attempts": 3, "timeout": 20.0, "pause": self.pauses.append}
        report = {"on_progress": lambda *done: self.progress.append(done)}
        return fetch(url, self.target, **settings | report | changes)

    def refusal(self, url, **changes):
        with pytest.raises(ValueError, match=r"\S") as caught:
            self(url, **changes)
        message = str(caught.value)
        assert "\n" not in message
        return message

    def leftovers(self):
        folder = self.target.parent
        return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


@pytest.fixture
def fetcher(tmp_path):
    return Fetcher(tmp_path / "cxr14" / "images_001.tar.gz")


def ranges(web):
    return [seen.range for seen in web.seen]


# -- what comes -----------------------------------------------------------------------------------


def test_a_file_is_fetched_into_its_place_and_nothing_stays_beside_it(web, fetcher):
    assert fetcher(web.serve(FILE, DATA), size=len(DATA), sha256=SHA256)
    assert fetcher.target.read_bytes() == DATA
    assert fetcher.leftovers() == ["images_001.tar.gz"]
    assert fetcher.progress[-1] == (len(DATA), len(DATA))
    assert fetcher.progress == sorted(fetcher.progress)
    assert len(fetcher.progress) > 2


def test_a_file_that_is_there_and_right_is_not_asked_for(web, fetcher):
    url = web.serve(FILE, DATA)
    fetcher(url)
    checks = {"size": len(DATA), "sha256": SHA256.upper(), "md5": hashlib.md5(DATA).hexdigest()}
    for known in ({}, checks):
        assert not fetcher(url, **known)
    assert len(web.seen) == 1


@pytest.mark.parametrize("known", [{"size": len(DATA)}, {"sha256": SHA256}])
def test_a_file_that_is_there_and_wrong_is_replaced(web, fetcher, known, caplog):
    fetcher.target.parent.mkdir()
    fetcher.target.write_bytes(b"half of it")
    assert fetcher(web.serve(FILE, DATA), **known)
    assert fetcher.target.read_bytes() == DATA
    assert "fetching it anew" in caplog.text
    # It may have been corrected by hand.
    aside = fetcher.target.with_name(f"{fetcher.target.name}.old")
    assert aside.read_bytes() == b"half of it"


def test_redirects_are_followed_from_the_first_address_each_time(web, fetcher):
    place = web.serve("/signed", DATA)
    there = Answer(302, headers={"Location": place, "Content-Length": "0"})
    web.serve(FILE, b"")
    web.spoil(FILE, there, there)
    web.spoil("/signed", Answer(drop_after=HALF))
    fetcher(web.address(FILE))
    assert fetcher.target.read_bytes() == DATA
    assert [seen.path for seen in web.seen] == [FILE, "/signed"] * 2


def test_a_file_that_the_server_calls_packed_is_kept_as_it_is(web, fetcher):
    packed = gzip.compress(DATA)
    web.serve(FILE, packed)
    web.spoil(FILE, Answer(headers={"Content-Encoding": "gzip"}))
    fetcher(web.address(FILE))
    assert fetcher.target.read_bytes() == packed


def test_a_user_s_proxy_is_used(web, fetcher, monkeypatch):
    web.serve("http://example.invalid/file", DATA)
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("http_proxy", web.address(""))
    fetcher("http://example.invalid/file")
    assert fetcher.target.read_bytes() == DATA


# -- going on where it stopped --------------------------------------------------------------------


def test_a_dropped_connection_is_gone_on_with(web, fetcher):
    url = web.serve(FILE, DATA)
    web.spoil(FILE, Answer(drop_after=HALF))
    fetcher(url)
    assert fetcher.target.read_bytes() == DATA
    first, second = web.seen
    assert first.range is None
    assert second == (FILE, f"bytes={HALF}-", '"first"', "identity")
    assert fetcher.pauses == [1.0]
    assert fetcher.progress == sorted(fetcher.progress)


def test_a_later_run_goes_on_with_what_an_earlier_one_left(web, fetcher):
    url = web.serve(FILE, DATA)
    web.spoil(FILE, Answer(drop_after=HALF))
    assert "run again to go on, 600.0 kB are kept" in fetcher.refusal(url, attempts=1)
    assert fetcher.leftovers() == ["images_001.tar.gz.part", "images_001.tar.gz.part.json"]
    fetcher(url)
    assert fetcher.target.read_bytes() == DATA
    assert ranges(web) == [None, f"bytes={HALF}-"]


def test_a_server_that_falls_silent_is_left_and_asked_again(web, fetcher, caplog):
    url = web.serve(FILE, DATA)
    web.spoil(FILE, Answer(stall_after=HALF))
    fetcher(url, timeout=0.2)
    assert fetcher.target.read_bytes() == DATA
    assert ranges(web)[1] not in {None, "bytes=0-"}
    assert "images_001.tar.gz: Read timed out.; again in 1 s" in caplog.text


def test_a_part_that_is_complete_is_checked_and_placed_without_a_request(web, fetcher):
    url = web.serve(FILE, DATA)
    partial = Partial(url, fetcher.target, None, {})
    fetcher.target.parent.mkdir()
    partial.begin(Version(url, '"first"', None, len(DATA)))
    partial.path.write_bytes(DATA)
    fetcher(url)
    assert fetcher.target.read_bytes() == DATA
    assert web.seen == []


@pytest.mark.parametrize("record", [None, "", "[]", "{}", '{"url": 1, "no": 2}'])
def test_a_part_of_unknown_origin_is_not_gone_on_with(web, fetcher, record):
    url = web.serve(FILE, DATA)
    partial = Partial(url, fetcher.target, None, {})
    fetcher.target.parent.mkdir()
    partial.path.write_bytes(OTHER[:HALF])
    if record is not None:
        partial.record.write_text(record)
    fetcher(url)
    assert fetcher.target.read_bytes() == DATA
    assert ranges(web) == [None]


def test_a_part_from_another_address_is_not_gone_on_with(web, fetcher):
    web.spoil("/old", Answer(drop_after=HALF))
    fetcher.refusal(web.serve("/old", OTHER), attempts=1)
    fetcher(web.serve(FILE, DATA))
    assert fetcher.target.read_bytes() == DATA
    assert ranges(web) == [None, None]


NEW = {"etag": '"second"', "last_modified": "Tue, 24 Nov 2026 04:05:06 GMT"}


@pytest.mark.parametrize("honoured", [True, False], ids=["If-Range honoured", "If-Range ignored"])
@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({}, NEW),
        ({"etag": None}, NEW | {"etag": None}),
        ({"last_modified": None}, NEW | {"last_modified": None}),
        ({"etag": 'W/"first"'}, NEW | {"etag": 'W/"second"'}),
        ({"etag": None, "last_modified": None}, {"etag": None, "last_modified": None}),
    ],
    ids=["both", "date", "etag", "weak etag", "size"],
)
def test_a_file_that_changed_on_the_server_is_begun_anew(web, fetcher, first, second, honoured):
    url = web.serve(FILE, OTHER, **first)
    web.spoil(FILE, Answer(drop_after=HALF), Answer(if_range=honoured))
    fetcher.refusal(url, attempts=1)
    web.serve(FILE, DATA, **second)
    fetcher(url)
    assert fetcher.target.read_bytes() == DATA


def test_a_weak_etag_is_no_condition_for_a_range(web, fetcher):
    url = web.serve(FILE, DATA, etag='W/"first"')
    web.spoil(FILE, Answer(drop_after=HALF))
    fetcher(url)
    assert fetcher.target.read_bytes() == DATA
    assert web.seen[1].if_range == LAST_MODIFIED


@pytest.mark.parametrize("start", [0, HALF - 1, HALF + 1])
def test_another_range_than_asked_for_is_not_added(web, fetcher, start):
    url = web.serve(FILE, DATA)
    web.spoil(FILE, Answer(drop_after=HALF), Answer(start=start))
    fetcher(url)
    assert fetcher.target.read_bytes() == DATA
    assert ranges(web) == [None, f"bytes={HALF}-", None]


def test_a_record_never_stands_beside_bytes_of_another_version(fetcher):
    partial = Partial("http://nih.gov/file", fetcher.target, None, {})
    fetcher.target.parent.mkdir()
    partial.path.write_bytes(b"old")
    partial.begin(Version(partial.url, '"second"', None, 5))
    assert fetcher.leftovers() == ["images_001.tar.gz.part.json"]


def test_nothing_is_added_where_a_change_could_not_be_told(web, fetcher):
    url = web.serve(FILE, OTHER, etag=None, last_modified=None)
    web.spoil(FILE, Answer(length=False, stall_after=HALF))
    fetcher.refusal(url, attempts=1, timeout=0.2)
    web.serve(FILE, DATA, etag=None, last_modified=None)
    fetcher(url)
    assert fetcher.target.read_bytes() == DATA
    assert ranges(web) == [None, None]


def test_a_file_that_became_shorter_is_begun_anew(web, fetcher):
    url = web.serve(FILE, OTHER)
    web.spoil(FILE, Answer(drop_after=HALF))
    fetcher.refusal(url, attempts=1)
    web.serve(FILE, DATA[:1000])
    fetcher(url)
    assert fetcher.target.read_bytes() == DATA[:1000]


def test_a_server_that_knows_no_ranges_begins_again(web, fetcher):
    url = web.serve(FILE, DATA)
    web.spoil(FILE, Answer(drop_after=HALF), Answer(ranges=False))
    fetcher(url)
    assert fetcher.target.read_bytes() == DATA
    assert ranges(web) == [None, f"bytes={HALF}-"]


# -- how often ------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [500, 502, 503, 429, 408])
def test_a_busy_server_is_asked_again_after_ever_longer_pauses(web, fetcher, status):
    url = web.serve(FILE, DATA)
    web.spoil(FILE, *[Answer(status)] * 8)
    fetcher(url, attempts=9)
    assert fetcher.target.read_bytes() == DATA
    assert fetcher.pauses == [1, 2, 4, 8, 16, 32, 60, 60]


def test_a_server_s_own_word_on_when_to_come_again_is_kept_within_reason(web, fetcher):
    url = web.serve(FILE, DATA)
    waits = [Answer(429, headers={"Retry-After": text}) for text in ("7", "86400", "Monday")]
    web.spoil(FILE, *waits)
    fetcher(url, attempts=9)
    assert fetcher.pauses == [7, 60, 4]


def test_a_connection_that_drops_often_but_brings_something_each_time_gets_there(web, fetcher):
    url = web.serve(FILE, DATA)
    web.spoil(FILE, *[Answer(drop_after=100_000)] * 9)
    fetcher(url, attempts=2)
    assert fetcher.target.read_bytes() == DATA
    assert fetcher.pauses == [1.0] * 9


def test_one_that_never_gets_further_is_given_up(web, fetcher):
    url = web.serve(FILE, DATA)
    web.spoil(FILE, *[Answer(drop_after=HALF, ranges=False)] * 20)
    assert "could not be fetched in 3 attempts" in fetcher.refusal(url)
    assert len(web.seen) == 3


def test_a_server_that_cannot_be_reached_is_named(fetcher):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/file"
        message = fetcher.refusal(url)
    assert url in message
    assert "in 3 attempts (Failed to establish a new connection: " in message
    assert fetcher.pauses == [1, 2]


# -- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [403, 404, 410])
def test_a_refusal_ends_it_at_once(web, fetcher, status):
    url = web.serve(FILE, DATA)
    web.spoil(FILE, Answer(status))
    message = fetcher.refusal(url)
    assert f"{url} answers {status}" in message
    assert f"put 'images_001.tar.gz' into '{fetcher.target.parent}' by hand" in message
    assert (len(web.seen), fetcher.pauses, fetcher.leftovers()) == (1, [], [])


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("text/html; charset=utf-8", b"This shared file or folder link has been removed."),
        ("application/gzip", b"\n  <!DOCTYPE html><title>Box</title>"),
        ("application/gzip", b"<HTML><body>Log in</body>"),
    ],
)
def test_a_web_page_is_no_archive(web, fetcher, kind, body):
    url = web.serve(FILE, DATA)
    web.spoil(FILE, Answer(headers={"Content-Type": kind}, body=body))
    message = fetcher.refusal(url)
    assert f"{url} gives a web page" in message
    assert (len(web.seen), fetcher.leftovers()) == (1, [])


@pytest.mark.parametrize("known", ["md5", "sha256"])
def test_wrong_bytes_are_fetched_anew_once(web, fetcher, known):
    url = web.serve(FILE, DATA)
    web.spoil(FILE, Answer(body=DATA[:-1] + b"?"))
    fetcher(url, **{known: hashlib.new(known, DATA).hexdigest()})
    assert fetcher.target.read_bytes() == DATA
    assert ranges(web) == [None, None]


@pytest.mark.parametrize("known", ["md5", "sha256"])
def test_wrong_bytes_twice_are_refused(web, fetcher, known):
    url = web.serve(FILE, OTHER)
    expected, got = (hashlib.new(known, data).hexdigest() for data in (DATA, OTHER))
    message = fetcher.refusal(url, **{known: expected})
    for word in (url, f"the {known} {got} instead of {expected}", "correct the url"):
        assert word in message
    assert (len(web.seen), fetcher.leftovers()) == (2, [])


def test_a_part_of_which_the_file_turns_out_wrong_is_given_up(web, fetcher):
    url = web.serve(FILE, DATA)
    partial = Partial(url, fetcher.target, None, {})
    fetcher.target.parent.mkdir()
    partial.begin(Version(url, '"first"', None, len(DATA)))
    partial.path.write_bytes(OTHER[:HALF])
    fetcher(url, sha256=SHA256)
    assert fetcher.target.read_bytes() == DATA
    assert ranges(web) == [f"bytes={HALF}-", None]


def test_another_size_than_expected_is_refused_before_it_is_fetched(web, fetcher):
    url = web.serve(FILE, DATA)
    message = fetcher.refusal(url, size=5)
    assert f"{url} gave 1000000 bytes instead of 5, twice" in message
    assert (len(web.seen), fetcher.progress, fetcher.leftovers()) == (2, [], [])


def test_more_than_expected_is_refused_where_the_server_does_not_say_how_much(web, fetcher):
    url = web.serve(FILE, DATA)
    web.spoil(FILE, *[Answer(length=False)] * 2)
    assert "more than 5 bytes" in fetcher.refusal(url, size=5)
    assert fetcher.leftovers() == []


def test_less_than_expected_is_noticed_where_the_server_does_not_say_how_much(web, fetcher):
    url = web.serve(FILE, DATA)
    web.spoil(FILE, Answer(length=False, drop_after=HALF))
    fetcher(url, size=len(DATA))
    assert fetcher.target.read_bytes() == DATA
    assert ranges(web) == [None, f"bytes={HALF}-"]


def test_a_disk_that_is_too_small_is_noticed_first(web, fetcher, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=999_999))
    message = fetcher.refusal(web.serve(FILE, DATA))
    assert "has room for 1000.0 kB, but 'images_001.tar.gz' needs 1.0 MB" in message
    assert fetcher.leftovers() == []


def test_what_is_there_needs_no_room_again(web, fetcher, monkeypatch):
    url = web.serve(FILE, DATA)
    web.spoil(FILE, Answer(drop_after=HALF))
    fetcher.refusal(url, attempts=1)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=400_000))
    fetcher(url)
    assert fetcher.target.read_bytes() == DATA


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://nih.gov/a", "images.tar.gz", ""])
def test_only_web_addresses_are_fetched(fetcher, url):
    assert f"url '{url}' of 'images_001.tar.gz' is no http(s) address" in fetcher.refusal(url)


@pytest.mark.parametrize("place", ["file:///etc/passwd", FILE])
def test_a_redirect_to_no_web_address_or_in_a_circle_leads_nowhere(web, fetcher, place):
    web.serve(FILE, b"")
    web.spoil(FILE, *[Answer(302, headers={"Location": place, "Content-Length": "0"})] * 40)
    assert "leads nowhere" in fetcher.refusal(web.address(FILE))
    assert (fetcher.pauses, fetcher.leftovers()) == ([], [])
