"""A durable batch as a client sees it, without any input or output: what to ask next, and what came of it.

What is decided here: nothing that a process, a connection or the service does on the way loses a result. The batch is
created under an Idempotency-Key made of its items, so creating it again is harmless; results are read in the order in which
they come, each with a cursor, and reading goes on behind the last one after any interruption; a batch that the service has
lost (404) is created again, and what was read before is kept. By the deadline, what has no result is a Reward without a score.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from reward_service.client.protocol import (
    BUSY,
    ClientError,
    Lines,
    Reward,
    backoff,
    encode_item,
    retry_after,
    reward_from,
    unscored,
    words,
)
from reward_service.types import Reason

READ_SECONDS = 60.0
"""Silence after which a reader asks again."""


class BatchRun:
    """One `score_batch` call: the body to create the batch with, how far its results were read, and the rewards."""

    def __init__(
        self,
        items: Sequence[Mapping[str, Any]],
        seconds: float,
        key: str | None,
        window: str,
        progress: Callable[[int, int], object] | None = None,
    ) -> None:
        lines = [encode_item({**item, "id": place}) for place, item in enumerate(items)]
        self.body = b"\n".join(lines) + b"\n"
        self.key = key or f"sha256-{hashlib.sha256(self.body).hexdigest()}"
        self.window = window
        self.batch_id: str | None = None
        self._rewards: list[Reward | None] = [None] * len(items)
        self.missing = len(items)
        """Items without a reward."""
        self._progress = progress
        self._lines = Lines()
        self._cursor: str | None = None
        self._until = time.monotonic() + seconds
        self._attempts = 0
        self._trouble = "the call's deadline passed"

    @property
    def remaining(self) -> float:
        """Seconds until the deadline."""
        return self._until - time.monotonic()

    @property
    def over(self) -> bool:
        """Is there nothing more to ask?"""
        return not self.missing or self.remaining <= 0

    def create(self) -> dict[str, Any]:
        """Arguments for creating the batch."""
        return {
            "url": "/v1/batches",
            "params": {"completion_window": self.window},
            "content": self.body,
            "headers": {"content-type": "application/x-ndjson", "idempotency-key": self.key},
            "timeout": READ_SECONDS + 30.0,
        }

    def created(self, status: int, headers: Mapping[str, str], body: bytes) -> float:
        """Take in the answer; seconds to wait before the next step. ClientError if the items can't be a batch."""
        if status == 200:
            try:
                self.batch_id = str(json.loads(body)["id"])
            except (ValueError, KeyError, TypeError):
                raise ClientError(
                    "the answer is no batch; is there a reward service at this URL?", 200
                ) from None
            self._cursor = None
            return 0.0
        return self._refused(status, headers, body)

    def read(self) -> dict[str, Any]:
        """Arguments for reading on."""
        self._lines = Lines()
        params = {"order": "completion"} if self._cursor is None else {"cursor": self._cursor}
        return {"url": f"/v1/batches/{self.batch_id}/results", "params": params, "timeout": READ_SECONDS}

    def feed(self, data: bytes) -> None:
        """Take in bytes of results, and tell how far it is."""
        for line in self._lines.feed(data):
            self.line(line)
        if self._progress is not None:
            self._progress(len(self._rewards) - self.missing, len(self._rewards))

    def line(self, line: bytes) -> None:
        """Take in a line of results. ClientError for one that is none."""
        try:
            result = json.loads(line)
            place, cursor = int(result["index"]), str(result["cursor"])
            reward = reward_from(result)
            self.missing -= self._rewards[place] is None
            self._rewards[place] = reward
        except (ValueError, KeyError, TypeError, IndexError):
            raise ClientError("the service sent a line that is no result", 200) from None
        self._cursor = cursor
        self._attempts = 0

    def ended(self, status: int, headers: Mapping[str, str], body: bytes) -> float:
        """Reading ended without all results, or was refused; seconds to wait before the next step."""
        if status == 200:
            return self.broken("the results ended early")
        if status == 404:  # the service lost it, or kept it no longer
            self.batch_id = None
            return self.broken("the service lost the batch")
        return self._refused(status, headers, body)

    def broken(self, message: str) -> float:
        """The connection broke, or nothing came; seconds to wait before the next step."""
        self._attempts += 1
        self._trouble = message
        return min(backoff(self._attempts), max(0.0, self.remaining))

    def _refused(self, status: int, headers: Mapping[str, str], body: bytes) -> float:
        if status not in BUSY:
            raise ClientError(words(status, body), status)
        wait = max(self.broken(words(status, body)), retry_after(headers.get("retry-after")))
        return min(wait, max(0.0, self.remaining))

    def rewards(self) -> list[Reward]:
        """One reward per item, in their order."""
        return [reward or unscored(Reason.SERVICE_UNREACHABLE, self._trouble) for reward in self._rewards]
