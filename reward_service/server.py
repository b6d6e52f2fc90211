"""The service as a process: a listening socket, uvicorn around the application, and what is printed at start.

What is decided here: the socket is bound before anything slow happens, so that a taken port is one clear line;
the address is printed once requests are answered, and not before.
"""

from __future__ import annotations

import errno
import signal
import socket
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from reward_service.assemble import build_app
from reward_service.gateway.access import is_loopback
from reward_service.gateway.http1 import Connection
from reward_service.logs import configure
from reward_service.settings import Settings

KEEP_ALIVE_SECONDS = 75
"""Longer than the idle time of common clients and proxies, so that it is they who close."""
BACKLOG = 4096


class CannotListen(Exception):
    """The address can't be had. The message says why."""


class Server(uvicorn.Server):
    """Calls `ready` once it answers.

    Told to end by SIGTERM, it first says that it is no longer ready (`draining`) and goes on for `notice` seconds, so that
    whoever sends it requests can notice; then it takes no more, finishes those that it has, and ends. A second signal, or
    Ctrl-C, skips the notice.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        ready: Callable[[], object],
        draining: Callable[[], object] = lambda: None,
        notice: float = 0.0,
    ) -> None:
        super().__init__(config)
        self._ready = ready
        self._draining = draining
        self._notice = notice
        self._until: float | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """uvicorn's."""
        super().handle_exit(sig, frame)
        self._draining()
        if sig == signal.SIGTERM and self._until is None and self._notice > 0:
            self._until = time.monotonic() + self._notice
            self.should_exit = False

    async def on_tick(self, counter: int) -> bool:
        """uvicorn's."""
        over = self._until is not None and time.monotonic() >= self._until
        return await super().on_tick(counter) or over

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """uvicorn's."""
        await super().startup(sockets)
        if self.started:
            self._ready()


def configured(app: ASGIApp, **more: Any) -> uvicorn.Config:
    """What every server of ours has in common: bounded connections, no web sockets, our own logs, and no name."""
    return uvicorn.Config(
        app,
        http=Connection,
        ws="none",
        access_log=False,
        log_config=None,
        log_level="warning",
        server_header=False,
        **more,
    )


def listen(host: str, port: int, advice: str = "--port 0 takes a free one") -> socket.socket:
    """A bound socket. CannotListen if the address is taken (with the advice) or not ours."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        hint = f"; {advice}" if error.errno == errno.EADDRINUSE else ""
        raise CannotListen(f"can't listen on {host} port {port}: {error.strerror}{hint}") from None
    listener.set_inheritable(False)
    return listener


def serve(settings: Settings, say: Callable[[str], object]) -> int:
    """Run the service until it is told to stop; the exit code. CannotListen if the address can't be had; ValueError for
    settings that can't be served: half a judge, an open address without keys.
    """
    configure(settings.log_level, settings.log_format, settings.log_requests)
    with listen(settings.host, settings.port) as listener:
        host, port = listener.getsockname()[:2]
        open_to_all = settings.auth == "off" and not is_loopback(host)
        if host in ("0.0.0.0", "::"):  # noqa: S104 - for the text only
            host = "127.0.0.1"
        url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        app = build_app(settings)
        keys = app.state.gateway.access.keys is not None
        config = configured(
            app,
            loop="uvloop",
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=settings.drain_seconds,
            backlog=BACKLOG,
        )
        server = Server(
            config,
            lambda: say(greeting(url, open_to_all=open_to_all, keys=keys)),
            app.state.gateway.drain,
            settings.drain_notice_seconds,
        )
        try:
            server.run(sockets=[listener])
        except KeyboardInterrupt:
            pass
        return 0 if server.started else 1


def greeting(url: str, *, open_to_all: bool = False, keys: bool = False) -> str:
    """Where it is, and one call to try. open_to_all: others reach it and there are no keys; keys: it wants one."""
    header = ' -H "X-API-Key: $REWARD_SERVICE_API_KEY"' if keys else ""
    warning = (
        "\nKeys are off (REWARD_SERVICE_AUTH=off): whoever reaches this address can use it.\n"
        if open_to_all
        else ""
    )
    return f"""\
The reward service answers at {url} (API: {url}/docs). Ctrl-C stops it. Try:

  curl -s {url}/v1/score{header} -d '{{"data_source": "logic__graph", "response": "<answer>owl</answer>", "ground_truth": "owl"}}'
{warning}"""
