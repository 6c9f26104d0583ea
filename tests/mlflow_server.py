"""As much of MLflow's server as a run needs, to fail when a test wants it to."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

EXPERIMENT = {"experiment_id": "1", "name": "cxr_pipeline", "lifecycle_stage": "active"}
RUN_ID = "a" * 32
RUN = {
    "info": {
        "run_id": RUN_ID,
        "experiment_id": "1",
        "run_name": "run",
        "status": "RUNNING",
        "lifecycle_stage": "active",
        "artifact_uri": f"mlflow-artifacts:/1/{RUN_ID}/artifacts",
    },
    "data": {},
}
ANSWERS = {
    "experiments/get-by-name": {"experiment": EXPERIMENT},
    "experiments/get": {"experiment": EXPERIMENT},
    "runs/create": {"run": RUN},
    "runs/get": {"run": RUN},
    "runs/update": {"run_info": RUN["info"]},
}


class MlflowServer(ThreadingHTTPServer):
    """Answers as MLflow does until the first metrics come, and from then on as it is told."""

    daemon_threads = True

    def __init__(self, trouble: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.trouble = trouble
        self.broken = False
        self.seen: list[str] = []
        self.seen_broken: list[str] = []
        self.closing = threading.Event()
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def close(self) -> None:
        self.closing.set()
        self.shutdown()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: MlflowServer

    def answer(self) -> None:
        server = self.server
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        server.broken |= "log-batch" in self.path and b'"metrics": [{' in body
        if server.broken:
            server.seen_broken.append(self.path)
            if server.trouble == "hangs":
                server.closing.wait()
            if server.trouble != "says 500":  # drops the connection
                self.close_connection = True
                return
        server.seen.append(self.path)
        known = (value for key, value in ANSWERS.items() if f"/{key}" in self.path)
        data = json.dumps(next(known, {})).encode()
        self.send_response(500 if server.broken else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_PUT = do_PATCH = answer  # noqa: N815

    def log_message(self, *arguments: Any) -> None:
        """Keep quiet."""
