"""What both clients are told, and the requests that they make of it."""

from __future__ import annotations

import gzip
import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any

import httpx2

from reward_service import __version__
from reward_service.client.protocol import CHUNK_ITEMS, Chunk, ClientError, encode_item, trouble, words

BROKEN = (httpx2.TransportError, httpx2.InvalidURL)

GRACE_SECONDS = 5.0
"""How much longer than the deadline that it was told the client waits for the service's answer, at most."""
GRACE_SHARE = 0.15
"""The grace as a share of the time that is left: the call's own deadline is hard, since a trainer may take its passing
for a reward of 0 (AReaL does, after 15 s)."""


@dataclass(frozen=True, slots=True)
class Options:
    """How a client talks to its service.

    api_key: sent as a bearer token. deadline_seconds: of a `score` call, retries included. connections: requests
    under way at once. chunk_items: items in a request. compress: gzip request bodies (worth it across a network).
    profile: for items that name none.
    """

    url: str
    api_key: str | None = None
    deadline_seconds: float = 120.0
    connections: int = 8
    chunk_items: int = CHUNK_ITEMS
    compress: bool = False

    def but_url(self) -> dict[str, Any]:
        """Every option but the URL."""
        fields = asdict(self)
        del fields["url"]
        return fields

    def trouble(self, error: Exception) -> str:
        """What broke on the way (one of BROKEN), in words. ClientError if it is the address that is wrong."""
        if isinstance(error, (httpx2.UnsupportedProtocol, httpx2.InvalidURL)):
            raise ClientError(f"{self.url}: {error}") from None
        return trouble(error)

    def http(self) -> dict[str, Any]:
        """Arguments for an httpx2 client."""
        headers = {"user-agent": f"reward-service-client/{__version__}"}
        if self.api_key:
            headers["authorization"] = f"Bearer {self.api_key}"
        limits = httpx2.Limits(max_connections=self.connections, max_keepalive_connections=self.connections)
        return {"base_url": self.url, "headers": headers, "limits": limits}

    def ground_truth(self, value: Any) -> tuple[str, bytes, str]:
        """(path, body, content type) of an upload."""
        if isinstance(value, str):
            content, kind = value.encode(), "text/plain"
        else:
            content, kind = encode_item({"v": value})[5:-1], "application/json"
        return f"/v1/ground-truths/{hashlib.sha256(content).hexdigest()}", content, kind

    @staticmethod
    def reference(status: int, body: bytes) -> str:
        """The reference in the service's answer to an upload."""
        if status != 201:
            raise ClientError(words(status, body), status)
        return str(json.loads(body)["ground_truth_ref"])


def post_of(options: Options, chunk: Chunk, remaining: float) -> dict[str, Any]:
    """Arguments for posting a chunk with so many seconds left."""
    import httpx2

    remaining = max(0.05, remaining)
    told = remaining - min(GRACE_SECONDS, GRACE_SHARE * remaining)
    content, headers = chunk.content, {"content-type": "application/json"}
    if options.compress:
        content, headers["content-encoding"] = gzip.compress(content, 1), "gzip"
    return {
        "url": "/v1/score/batch",
        "params": {"deadline_seconds": f"{told:.3f}"},
        "content": content,
        "headers": headers,
        "timeout": httpx2.Timeout(remaining, connect=min(10.0, remaining)),
    }
