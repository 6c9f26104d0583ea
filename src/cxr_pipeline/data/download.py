"""Fetching a file over HTTP: resumed where it stopped, checked, put into place only when whole."""

import logging
import os
import re
import time
from collections.abc import Callable
from pathlib import Path

import requests
from urllib3.exceptions import HTTPError

from cxr_pipeline.data.files import readable_size, require_space
from cxr_pipeline.data.partial import Partial, Version

logger = logging.getLogger(__name__)

CHUNK = 256 * 1024
"""Bytes between two reports of progress."""
LONGEST_PAUSE = 60.0
"""Seconds between two attempts, at most."""
BUSY = (408, 429)
"""Answers, beside 500 and above, after which it is worth trying again."""
PAGE_STARTS = (b"<!doctype html", b"<html")
WEB_PAGE = "gives a web page instead of the file, as dead links do"

OnProgress = Callable[[int, int | None], None]
"""Given the bytes that are done and, where it is known, those in all."""


class _DroppedError(Exception):
    """The rest did not come, but may come another time."""

    def __init__(self, reason: str, wait: float = 0.0) -> None:
        super().__init__(reason)
        self.wait = wait


class _WrongFileError(Exception):
    """What comes is not the file that was asked for."""


def fetch(
    url: str,
    target: Path,
    *,
    size: int | None = None,
    md5: str | None = None,
    sha256: str | None = None,
    attempts: int,
    timeout: float,
    on_progress: OnProgress,
    pause: Callable[[float], None] = time.sleep,
) -> bool:
    """Fetch a file unless it is there, going on from what an earlier attempt left.

    Bytes gather in `<target>.part`. Dropped connections, timeouts and busy servers are waited out;
    a file that changed on the server meanwhile is begun anew.

    Args:
        url: Its http or https address.
        target: Where it shall be.
        size: Its bytes, where they are known.
        md5: Its MD5 in hexadecimal, where it is known.
        sha256: Its SHA-256 in hexadecimal, where it is known.
        attempts: Requests in a row that may bring nothing new.
        timeout: Seconds that the server may take to be reached, and then to send anything at all.
        on_progress: Told how far it is.
        pause: Waits for some seconds.

    Returns:
        Whether it was fetched; False if it was there already.

    Raises:
        ValueError: If the server refuses, gives a web page or, twice, another file than expected;
            if it cannot be reached in so many attempts; if the disk is too small.
    """
    if not url.startswith(("https://", "http://")):
        raise ValueError(f"url '{url}' of '{target.name}' is no http(s) address: correct it")
    partial = Partial(url, target, size, {"md5": md5, "sha256": sha256})
    if target.is_file():
        problem = partial.problem(target)
        if problem is None:
            return False
        # It may be a label file that was corrected by hand.
        aside = target.with_name(f"{target.name}.old")
        target.replace(aside)
        logger.warning(
            "'%s' has %s: keeping it as '%s', fetching it anew", target, problem, aside.name
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    for _ in range(2):
        try:
            _receive_all(partial, attempts, timeout, on_progress, pause)
            problem = partial.problem(partial.path)
        except _WrongFileError as error:
            problem = str(error)
        if problem is None:
            partial.finish()
            return True
        partial.discard()
        logger.warning("%s: the server gave %s", target.name, problem)
    raise ValueError(
        f"{url} gave {problem}, twice: correct the url, size or checksum of '{target.name}', or "
        "set size and checksum to null if it was replaced by a newer file"
    )


def _receive_all(
    partial: Partial,
    attempts: int,
    timeout: float,
    on_progress: OnProgress,
    pause: Callable[[float], None],
) -> None:
    """Ask until the file is whole or nothing new has come for so many attempts."""
    failures = furthest = 0
    while True:
        try:
            return _receive(partial, timeout, on_progress)
        except (_DroppedError, requests.RequestException, HTTPError) as error:
            reason = _reason(error)
            # Redirected in a circle, or to what is no web address.
            if isinstance(error, (ValueError, requests.TooManyRedirects)):
                raise ValueError(f"{partial.url} leads nowhere ({reason}): correct it") from error
            arrived = partial.length()
            failures = 1 if arrived > furthest else failures + 1
            furthest = max(arrived, furthest)
            if failures >= attempts:
                raise ValueError(
                    f"{partial.url} could not be fetched in {attempts} attempts ({reason}): run "
                    f"again to go on, {readable_size(arrived)} are kept"
                ) from error
            wait = error.wait if isinstance(error, _DroppedError) else 0.0
        seconds = min(max(2.0 ** (failures - 1), wait), LONGEST_PAUSE)
        logger.warning("%s: %s; again in %.0f s", partial.target.name, reason, seconds)
        pause(seconds)


def _reason(error: object) -> str:
    """What is at the bottom of an error that wraps others, without the objects it happened in."""
    while isinstance(error, Exception):
        error = getattr(error, "reason", None) or next(iter(error.args), type(error).__name__)
    return " ".join(re.sub(r"^HTTPS?Connection\w*\([^)]*\): ", "", str(error)).split())


def _receive(partial: Partial, timeout: float, on_progress: OnProgress) -> None:
    """Add to the part, in one request, what it lacks."""
    version = partial.version()
    start = partial.length() if version else 0
    if version and start == version.size:
        return  # an earlier run ended between the last byte and the check
    # Identity: the file's own bytes, whichever way the server would rather pack them.
    headers = {"Accept-Encoding": "identity"} | (version.range_headers(start) if version else {})
    with requests.get(partial.url, headers=headers, stream=True, timeout=timeout) as response:
        _refuse_other_answers(response, partial)
        found, offset = _described(response, partial.url)
        if response.status_code == 200:
            version, start = None, 0
        elif offset != start or (version and not version.agrees_with(found)):
            partial.discard()
            raise _DroppedError("the file has changed on the server")
        if partial.size and found.size and found.size != partial.size:
            raise _WrongFileError(f"{found.size} bytes instead of {partial.size}")
        total = found.size or (version and version.size) or partial.size
        if total:
            require_space(partial.path.parent, total - start, f"'{partial.target.name}'")
        if start == 0:
            partial.begin(found)
        _append(response, partial, start, total, on_progress)


def _refuse_other_answers(response: requests.Response, partial: Partial) -> None:
    """Raise unless the answer is the file or a range of it."""
    status = response.status_code
    if status == 416:
        partial.discard()
        raise _DroppedError("the file has become shorter on the server")
    if status in BUSY or status >= 500:
        wait = _number(response.headers.get("Retry-After")) or 0
        raise _DroppedError(f"the server answers {status} {response.reason}", wait)
    if status not in {200, 206}:
        raise _refusal(partial, f"answers {status} {response.reason}")
    if response.headers.get("Content-Type", "").lower().startswith("text/html"):
        raise _refusal(partial, WEB_PAGE)


def _refusal(partial: Partial, reason: str) -> ValueError:
    return ValueError(
        f"{partial.url} {reason}: correct the url, or set it to null and put "
        f"'{partial.target.name}' into '{partial.target.parent}' by hand"
    )


def _described(response: requests.Response, url: str) -> tuple[Version, int]:
    """What an answer says of the file, and the byte that it begins with."""
    headers = response.headers
    size, offset = _number(headers.get("Content-Length")), 0
    if response.status_code == 206:
        place = re.match(r"bytes (\d+)-\d+/(\d+|\*)", headers.get("Content-Range", ""))
        size, offset = (_number(place[2]), int(place[1])) if place else (None, -1)
    return Version(url, headers.get("ETag"), headers.get("Last-Modified"), size), offset


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isdecimal() else None


def _append(
    response: requests.Response,
    partial: Partial,
    start: int,
    total: int | None,
    on_progress: OnProgress,
) -> None:
    """Write an answer's bytes to the end of the part."""
    arrived = start
    with partial.path.open("ab" if start else "wb") as file:
        for chunk in response.raw.stream(CHUNK, decode_content=False):
            if arrived == 0 and chunk.lstrip().lower().startswith(PAGE_STARTS):
                partial.discard()
                raise _refusal(partial, WEB_PAGE)
            arrived += len(chunk)
            if total and arrived > total:
                raise _WrongFileError(f"more than {total} bytes")
            file.write(chunk)
            on_progress(arrived, total)
        file.flush()
        os.fsync(file.fileno())
    if total and arrived < total:
        raise _DroppedError(f"the connection ended after {arrived} of {total} bytes")
