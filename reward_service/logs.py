"""What the service writes about itself: lines for people or for machines, each with the id of its request.

What is decided here
- A line is about the service, a request or a chunk, never about an item, and no line holds what a policy or a row says: the
  text of an exception may quote it, so tracebacks have their frames and types only (all of it with `log_level=debug`).
- What looks like a secret (one of our keys, a password in a URL) is masked wherever it comes from.
- Control characters are escaped, so that nothing that is logged can forge a line or reach a terminal.
- Requests that failed are logged, a few a second at most: a client that is refused a thousand times a second must not fill
  the disk. All requests, if asked for.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import time
import traceback
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TextIO

LONGEST = 2_000
"""Characters of a message."""
LINES_PER_SECOND = 20.0
PROBES = frozenset({"/healthz", "/readyz", "/livez"})
_SECRETS = re.compile(r"rsk_[A-Za-z0-9]{8,}|(?<=://)[^/@\s]*@|(?<=Bearer )\S+|(?<=Basic )\S+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\ud800-\udfff]")
_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


@dataclass(slots=True)
class Note:
    """A request as its log line and its trace have it. items: those that were judged for it."""

    id: str
    tenant: str = ""
    items: int = 0


NOTE: ContextVar[Note | None] = ContextVar("note", default=None)
"""The request that is being served."""


def masked(text: str) -> str:
    """The text without what looks like a secret."""
    return _SECRETS.sub("***", text)


def plain(text: str) -> str:
    """The text in one line of bounded length, without secrets and control characters."""
    text = masked(text[:LONGEST])
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


class Lines(logging.Formatter):
    """One record as a line of text, or as one of JSON. quote: with the texts of exceptions."""

    def __init__(self, *, as_json: bool = False, quote: bool = False) -> None:
        super().__init__()
        self._as_json = as_json
        self._quote = quote

    def format(self, record: logging.LogRecord) -> str:
        """logging's."""
        when = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        note = NOTE.get()
        more = {name: value for name, value in vars(record).items() if name not in _OWN}
        if note is not None:
            more.setdefault("request_id", note.id)
        message = plain(record.getMessage())
        trace = self._trace(record.exc_info[1]) if record.exc_info else ""
        if self._as_json:
            entry: dict[str, Any] = {
                "time": when,
                "level": record.levelname.lower(),
                "logger": record.name,
                "message": message,
            }
            entry |= {name: plain(value) if isinstance(value, str) else value for name, value in more.items()}
            if trace:
                entry["exception"] = trace
            return json.dumps(entry, default=str)
        fields = "".join(f" {name}={plain(str(value))}" for name, value in more.items())
        return f"{when} {record.levelname} {record.name}: {message}{fields}" + (f"\n{trace}" if trace else "")

    def _trace(self, error: BaseException | None) -> str:
        if self._quote:
            return masked("".join(traceback.format_exception(error))).rstrip()
        parts = []
        while error is not None:
            frames = "".join(traceback.format_tb(error.__traceback__))
            parts.append(f"{frames}{type(error).__module__}.{type(error).__qualname__}")
            error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
        return "\ncaused by\n".join(parts)


class _Stderr(logging.StreamHandler[TextIO]):
    """Writes to what stderr is by then: who replaces it, as test runners do, may close what was there before."""

    def emit(self, record: logging.LogRecord) -> None:
        """logging's."""
        self.stream = sys.stderr
        super().emit(record)


def configure(level: str, kind: str = "text", requests: str = "failed") -> None:
    """Write the process's log to stderr, from this level up, as `text` or `json`. requests: `all` has every chunk logged too."""
    handler = _Stderr()
    handler.setFormatter(Lines(as_json=kind == "json", quote=level.lower() == "debug"))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.getLogger("reward_service.chunks").setLevel(
        logging.INFO if requests == "all" else logging.WARNING
    )
    # They write the headers and bodies of what they send.
    for name in ("httpx2", "httpcore2", "httpx", "httpcore", "urllib3", "docker"):
        logging.getLogger(name).setLevel(max(logging.WARNING, logging.getLogger().level))


class RequestLog:
    """The lines about requests. which: `failed`, `all` or `none`."""

    def __init__(self, which: str = "failed") -> None:
        self._which = which
        self._log = logging.getLogger("reward_service.requests")
        self._credit = LINES_PER_SECOND
        self._at = time.monotonic()
        self._left_out = 0

    def wants(self, status: int, route: str = "") -> bool:
        """Is a request that ended so to be logged? A probe that says `not ready` has not failed."""
        return self._which == "all" or (self._which == "failed" and status >= 400 and route not in PROBES)

    def add(self, note: Note, method: str, route: str, status: int, seconds: float) -> None:
        """One line, or one more that is left out."""
        if self._which != "all":
            now = time.monotonic()
            self._credit = min(LINES_PER_SECOND, self._credit + (now - self._at) * LINES_PER_SECOND)
            self._at = now
            if self._credit < 1.0:
                self._left_out += 1
                return
            self._credit -= 1.0
        fields: dict[str, Any] = {
            "request_id": note.id, "method": method, "route": route, "status": status, "ms": round(seconds * 1e3, 1),
            "items": note.items, "key": note.tenant,
        }  # fmt: skip
        if self._left_out:
            fields["left_out"], self._left_out = self._left_out, 0
        level = logging.WARNING if status >= 500 else logging.INFO
        self._log.log(level, "request", extra={name: value for name, value in fields.items() if value != ""})
