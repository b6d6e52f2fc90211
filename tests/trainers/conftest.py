"""Tests against the trainers' own code: `make test-trainers`, in an environment of its own (requirements/trainers.txt).

They are not collected elsewhere: torch, ray and six trainers are no dependency of ours. The service runs as users
run it, from the repository's environment, in a process that tests may stop and start. Between a client and the service stands a
`Wire`: it passes requests on, can be slow or refuse, and keeps what was said. With REWARD_SERVICE_RECORD=1 that is written to
tests/gateway/fixtures, from where the ordinary suite plays it again (tests/gateway/test_recorded_wire.py).
"""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
FIXTURES = ROOT / "tests" / "gateway" / "fixtures"
RECORDED_BYTES = 24_000
"""Of one exchange, and of all exchanges of one test."""
if not os.environ.get("REWARD_SERVICE_TRAINERS"):
    collect_ignore_glob = ["test_*.py"]


class Service:
    """`reward-service serve` on a fixed port, to be stopped and started."""

    def __init__(self, **settings: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.url = f"http://127.0.0.1:{self.port}"
        self._settings = {f"REWARD_SERVICE_{name.upper()}": value for name, value in settings.items()}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it can score."""
        command = [str(ROOT / ".venv" / "bin" / "reward-service"), "serve", "--port", str(self.port)]
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        self._process = subprocess.Popen(command, cwd=ROOT, env={**environment, **self._settings})
        until = time.monotonic() + 90
        while time.monotonic() < until:
            assert self._process.poll() is None, "the service ended while it started"
            try:
                connection = HTTPConnection("127.0.0.1", self.port, timeout=2)
                connection.request("GET", "/readyz")
                if connection.getresponse().status == 200:
                    return
            except OSError:
                pass
            time.sleep(0.1)
        raise AssertionError("the service did not start")

    def stop(self) -> None:
        """Stop it as a supervisor does."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(60)
            self._process = None


class Wire:
    """A proxy in front of the service. delay: seconds before each reply. refuse: statuses to answer next, instead."""

    def __init__(self, port: int) -> None:
        self.delay = 0.0
        self.refuse: list[int] = []
        self.exchanges: list[dict[str, Any]] = []
        wire = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _pass_on(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                time.sleep(wire.delay)
                if wire.refuse:
                    status, kind, reply = wire.refuse.pop(0), "text/html", b"<html>not now</html>"
                else:
                    headers = {name: value for name, value in self.headers.items() if name.lower() != "host"}
                    try:
                        with closing(HTTPConnection("127.0.0.1", port, timeout=200)) as onward:
                            onward.request(self.command, self.path, body, headers)
                            response = onward.getresponse()
                            status, reply = response.status, response.read()
                            kind = response.headers.get("content-type", "")
                    except OSError:
                        self.close_connection = True  # nobody there: the client sees a cut connection
                        return
                    wire.keep(self, body, status, reply)
                self.send_response(status)
                self.send_header("content-type", kind)
                self.send_header("content-length", str(len(reply)))
                self.end_headers()
                self.wfile.write(reply)

            do_POST = do_GET = do_PUT = _pass_on

            def log_message(self, *_: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            request_queue_size = 256
            daemon_threads = True

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def keep(self, request: BaseHTTPRequestHandler, body: bytes, status: int, reply: bytes) -> None:
        """Remember an exchange that is small enough to be kept."""
        if len(body) + len(reply) > RECORDED_BYTES:
            return
        names = ("content-type", "accept", "user-agent", "authorization", "xrl-authorization", "x-on-error")
        headers = {name: request.headers[name] for name in names if request.headers.get(name)}
        self.exchanges.append(
            {
                "method": request.command,
                "path": request.path,
                "headers": headers,
                "body": body.decode(),
                "status": status,
                "reply": json.loads(reply) if reply else None,
            }
        )

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture(scope="session")
def service() -> Iterator[Service]:
    """One service for the session; a test that stops it starts it again."""
    found = Service(processes="1", sandbox="bubblewrap", sandbox_places="2")
    found.start()
    yield found
    found.stop()


@pytest.fixture
def wire(service: Service, request: pytest.FixtureRequest) -> Iterator[Wire]:
    """The wire to it; what was said on it is kept if we are asked to record."""
    found = Wire(service.port)
    yield found
    found.close()
    trainer = re.sub(r"^test_|\.py$", "", request.node.path.name)
    if os.environ.get("REWARD_SERVICE_RECORD") and found.exchanges:
        FIXTURES.mkdir(exist_ok=True)
        path = FIXTURES / f"{trainer}.json"
        kept = json.loads(path.read_text()) if path.exists() else {}
        kept[request.node.name] = distinct(found.exchanges)
        path.write_text(json.dumps(kept, indent=1, ensure_ascii=False, sort_keys=True) + "\n")


def distinct(exchanges: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """At most six exchanges in their order, none twice, and no more bytes than `RECORDED_BYTES`."""
    seen: dict[str, dict[str, Any]] = {}
    size = 0
    for exchange in exchanges:
        key = exchange["path"] + exchange["body"]
        length = len(json.dumps(exchange))
        if key not in seen and len(seen) < 6 and size + length <= RECORDED_BYTES:
            seen[key] = exchange
            size += length
    return list(seen.values())


@pytest.fixture(autouse=True)
def environment(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What a user sets: where the service is."""
    from reward_service.client.trainers import common

    monkeypatch.setenv("REWARD_SERVICE_URL", wire.url)
    monkeypatch.delenv("REWARD_SERVICE_DATA_SOURCE", raising=False)
    yield
    common.close()
