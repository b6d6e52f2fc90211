"""API keys: what one looks like, what it may do, and the file that they are kept in.

What is decided here
- A key is `rsk_` and 40 random letters and digits (238 bits): found by secret scanners, selected by a double click.
- At rest there is only its SHA-256. A slow hash (scrypt) is for secrets that can be guessed; nobody guesses 238 bits, and
  16 ms per request would let anybody without a key keep the gateway busy.
- The look-up is by that hash, so its timing says something about the hash of what was sent and nothing about a key; the
  comparison that decides is a constant-time one. No clear key is kept in memory, not even as the key of a cache.
- The file is JSON, replaced in one step by the commands and read again when it has changed. One that can't be read
  leaves the keys as they were: a typing error must not lock every trainer out. Names are tenants: batches, files,
  queues' turns and quotas belong to a name, so a key can be replaced by a second one of the same name.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import os
import re
import secrets
import string
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)

PREFIX = "rsk_"
LENGTH = 40
SHAPE = re.compile(rf"^{PREFIX}[A-Za-z0-9]{{{LENGTH}}}$", re.ASCII)
NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", re.ASCII)
"""Of a key: it is part of keys in Redis and a label of metrics."""
LOOK_SECONDS = 1.0
"""How often the file is looked at."""
_ALPHABET = string.ascii_letters + string.digits


class Scope(StrEnum):
    """What a key may do."""

    SCORE = "score"
    """Have items scored, in requests and streams, and upload ground truths."""
    BATCH = "batch"
    """Durable batches and files; its own only."""
    RUN = "run"
    """Run programs that it sends."""
    READ = "read"
    """Metrics, dashboards, telemetry, verdicts, the effective settings."""
    EXPLAIN = "explain"
    """Replies that show expected values and what a test got."""
    ADMIN = "admin"
    """Everything, and what belongs to other names."""


@dataclass(frozen=True, slots=True)
class Key:
    """A key as it is kept. created, expires: seconds since the epoch, 0 for never. Quotas: items, 0 for none."""

    id: str
    name: str
    sha256: str
    scopes: frozenset[Scope]
    created: int = 0
    expires: int = 0
    items_per_minute: int = 0
    items_per_day: int = 0

    def may(self, scope: Scope) -> bool:
        """Does it have the scope?"""
        return scope in self.scopes or Scope.ADMIN in self.scopes


class BadKeys(ValueError):
    """The file of keys can't be used. The message says why, and never quotes a secret."""


def digest(key: str) -> str:
    """What is kept of a key."""
    return hashlib.sha256(key.encode()).hexdigest()


def make(
    name: str,
    scopes: Iterable[Scope],
    *,
    days: float = 0.0,
    items_per_minute: int = 0,
    items_per_day: int = 0,
) -> tuple[str, Key]:
    """(the key, what is kept of it). ValueError for a name that is none."""
    if not NAME.match(name):
        raise ValueError("a name has 1 to 64 letters, digits, dots, dashes and underscores")
    secret = PREFIX + "".join(secrets.choice(_ALPHABET) for _ in range(LENGTH))
    now = int(time.time())
    return secret, Key(
        f"key_{secrets.token_hex(4)}",
        name,
        digest(secret),
        frozenset(scopes),
        now,
        int(now + days * 86_400) if days else 0,
        items_per_minute,
        items_per_day,
    )


def read(path: Path) -> list[Key]:
    """The keys of a file. BadKeys if it is missing or says something else."""
    try:
        entries = json.loads(path.read_bytes())["keys"]
        keys = [_key(entry) for entry in entries]
    except OSError as error:
        raise BadKeys(f"{path}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadKeys(f"{path} is no file of keys ({type(error).__name__})") from None
    if len({key.sha256 for key in keys}) < len(keys) or len({key.id for key in keys}) < len(keys):
        raise BadKeys(f"{path} has a key twice")
    return keys


def _key(entry: dict[str, Any]) -> Key:
    key = Key(
        str(entry["id"]),
        str(entry["name"]),
        str(entry["sha256"]).lower(),
        frozenset(map(Scope, entry["scopes"])),
        _when(entry.get("created")),
        _when(entry.get("expires")),
        int(entry.get("items_per_minute") or 0),
        int(entry.get("items_per_day") or 0),
    )
    if not NAME.match(key.name) or not re.fullmatch(r"[0-9a-f]{64}", key.sha256):
        raise ValueError("not a key")
    if key.items_per_minute < 0 or key.items_per_day < 0:
        raise ValueError("not a quota")
    return key


def _when(text: str | None) -> int:
    return int(datetime.fromisoformat(text).astimezone(UTC).timestamp()) if text else 0


def shown_time(seconds: int) -> str | None:
    """A time as the file has it; None for never."""
    return datetime.fromtimestamp(seconds, UTC).isoformat() if seconds else None


def write(path: Path, keys: Sequence[Key]) -> None:
    """Replace the file in one step, readable by its owner only."""
    entries = [
        asdict(key)
        | {
            "scopes": sorted(key.scopes),
            "created": shown_time(key.created),
            "expires": shown_time(key.expires),
        }
        for key in keys
    ]
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    partial = Path(name)
    try:
        with os.fdopen(handle, "w") as file:
            json.dump({"keys": entries}, file, indent=1)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        partial.rename(path)
    finally:
        partial.unlink(missing_ok=True)


def without(keys: Sequence[Key], what: str) -> list[Key]:
    """The keys but the one with this id, or but all of this name."""
    return [key for key in keys if what not in (key.id, key.name)]


class Keys:
    """The keys of a file, as it is now."""

    def __init__(self, path: Path) -> None:
        """BadKeys if the file can't be used."""
        self._path = path
        self._state = _state(path)
        self._by_digest = {key.sha256: key for key in read(path)}
        self._look_at = time.monotonic() + LOOK_SECONDS

    def __len__(self) -> int:
        return len(self._by_digest)

    def all(self) -> list[Key]:
        """Every key."""
        return list(self._by_digest.values())

    def find(self, secret: str) -> Key | None:
        """The key that this is, if it is one and has not expired."""
        if time.monotonic() >= self._look_at:
            self._look()
        if not SHAPE.match(secret):
            return None
        hashed = digest(secret)
        key = self._by_digest.get(hashed)
        if key is None or not hmac.compare_digest(key.sha256, hashed):
            return None
        return None if key.expires and key.expires <= time.time() else key

    def _look(self) -> None:
        self._look_at = time.monotonic() + LOOK_SECONDS
        state = _state(self._path)
        if state == self._state:
            return
        self._state = state
        try:
            self._by_digest = {key.sha256: key for key in read(self._path)}
            log.info("%d API keys were read from %s", len(self), self._path)
        except BadKeys as error:
            log.error("%s; the keys stay as they were", error)


def _state(path: Path) -> tuple[int, int, int]:
    """What changes when the file does. Through links: Kubernetes replaces the folder that a mounted secret links to."""
    try:
        found = path.stat()
    except OSError:
        return 0, 0, 0
    return found.st_ino, found.st_size, found.st_mtime_ns


ANYBODY = Key("", "", "", frozenset(Scope))
"""Who calls where keys are off: one nameless tenant that may do everything."""
