"""A web server for the tests: on this machine, real, and as unreliable as a test wants it."""

import threading
from collections import defaultdict, deque
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

LAST_MODIFIED = "Mon, 23 Nov 2026 04:05:06 GMT"


@dataclass
class Served:
    """A file on the server; an ETag or a date of `None` is not sent."""

    data: bytes
    etag: str | None = '"first"'
    last_modified: str | None = LAST_MODIFIED


class Seen(NamedTuple):
    """A request."""

    path: str
    range: str | None
    if_range: str | None
    encoding: str | None


@dataclass(frozen=True)
class Answer:
    """How one request is answered, where not as it should be."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | None = None
    """In place of the file's."""
    drop_after: int | None = None
    """Bytes after which the connection ends."""
    stall_after: int | None = None
    """Bytes after which nothing more comes until the server is closed."""
    start: int | None = None
    """Byte that a range begins with, whatever was asked for."""
    ranges: bool = True
    if_range: bool = True
    length: bool = True
    """Whether the range, the condition on it, and the length of the answer are known to it."""


class WebServer(ThreadingHTTPServer):
    """Serves files, records the requests, and spoils the answers that it is told to."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files: dict[str, Served] = {}
        self.spoilt: dict[str, deque[Answer]] = defaultdict(deque)
        self.seen: list[Seen] = []
        self.closing = threading.Event()
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    def serve(self, path: str, data: bytes, **version: Any) -> str:
        """Put a file on the server; returns its address."""
        self.files[path] = Served(data, **version)
        return self.address(path)

    def address(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_port}{path}"

    def spoil(self, path: str, *answers: Answer) -> None:
        """Answer the next requests for a file like this, and those after them as one should."""
        self.spoilt[path].extend(answers)

    def close(self) -> None:
        self.closing.set()
        self.shutdown()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: WebServer

    def do_GET(self) -> None:
        web = self.server
        seen = Seen(self.path, *map(self.headers.get, ("Range", "If-Range", "Accept-Encoding")))
        web.seen.append(seen)
        answer = web.spoilt[self.path].popleft() if web.spoilt[self.path] else Answer()
        file = web.files.get(self.path)
        if answer.status != 200 or file is None:
            self.send_response(404 if file is None else answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.end_headers()
            return
        data = file.data if answer.body is None else answer.body
        start = None
        unchanged = seen.if_range in {None, file.etag, file.last_modified} or not answer.if_range
        if seen.range and answer.ranges and unchanged:
            start = int(seen.range.removeprefix("bytes=").removesuffix("-"))
            start = start if answer.start is None else answer.start
        self.send_response(200 if start is None else 206 if start < len(data) else 416)
        for name, value in {"ETag": file.etag, "Last-Modified": file.last_modified}.items():
            if value:
                self.send_header(name, value)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if start is not None:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        body = data[start or 0 :]
        if answer.length:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        for end in (answer.drop_after, answer.stall_after):
            body = body[:end]
        self.wfile.write(body)
        if answer.stall_after is not None:
            self.wfile.flush()
            self.server.closing.wait()

    def log_message(self, *arguments: Any) -> None:
        """Keep quiet."""
