"""Which training run a request belongs to: said once by header or URL, so that no trainer's wire format has to know it.

What is decided here: `X-Run-Id`, or `?run_id=` for trainers that can set nothing but a URL; an item's or a batch's own
`run_id` wins. A name that is none is refused (422), because a run that is counted under another name than its own is
found out a day later. It never changes a score.
"""

from __future__ import annotations

import re
from contextvars import ContextVar
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from reward_service.gateway.problems import problem_response

RUN: ContextVar[str] = ContextVar("run", default="")
"""The run of this request; "" for none."""
_NAME = re.compile(r"[A-Za-z0-9._:/-]{1,64}")


class RunIds:
    """Reads the run of a request, and keeps it in `RUN` for whatever counts its items."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI's."""
        if scope["type"] == "http":
            name = next((value for key, value in scope["headers"] if key == b"x-run-id"), b"")
            run = name.decode("latin-1")
            if not run and b"run_id=" in scope["query_string"]:
                run = parse_qs(scope["query_string"].decode("latin-1")).get("run_id", [""])[-1]
            if run:
                if not _NAME.fullmatch(run):
                    refused = problem_response(
                        Request(scope),
                        "invalid-body",
                        "a run id has 1 to 64 of the characters A-Z a-z 0-9 . _ : / -",
                        errors=[{"pointer": "/run_id", "message": "not a run id"}],
                    )
                    await refused(scope, receive, send)
                    return
                RUN.set(run)
        await self._app(scope, receive, send)
