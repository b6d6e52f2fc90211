"""The errors that cross a boundary of the service, and how each one looks on the wire.

ServiceError
├── BadRequest            the body can't be read: syntax, schema, encoding          400 / 409 / 415 / 422
├── TooLarge              more bytes, items or depth than a request may have         413
├── TooSlow               a body that does not go on                                 408
├── NotFound              no such thing                                              404
├── Unauthenticated       no key, or none of ours                                    401
├── Forbidden             the key may not do that; a page of another origin          403
├── Overloaded            no capacity now; `retry_after` says when                   429 / 503
├── PoolBroken            the process pool can't start children                      503
├── SandboxUnavailable    no sandbox could run a program; retried once by the engine 503
├── JudgeUnavailable      no judge model answered                                    503
└── Internal              a defect of ours                                           500

What is decided here: the table from error to RFC 9457 problem type. Handlers import none of this: they
raise plain exceptions, and the process that runs them turns those into outcomes (`engine/child.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple


class ServiceError(Exception):
    """An error with a place in the problem table. `detail` is for people; `errors` names the fields."""

    problem = "internal"

    def __init__(
        self,
        detail: str,
        *,
        problem: str | None = None,
        errors: list[dict[str, object]] | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.problem = problem or self.problem
        self.errors = errors or []
        self.retry_after = retry_after


class BadRequest(ServiceError):
    """The request can't be read as what the route takes."""

    problem = "invalid-body"


class TooLarge(ServiceError):
    """More than a request may have."""

    problem = "too-large"


class TooSlow(ServiceError):
    """The rest of a body does not come."""

    problem = "too-slow"


class NotFound(ServiceError):
    """Nothing under that name."""

    problem = "not-found"


class Unauthenticated(ServiceError):
    """No key, or one that is none of this service's."""

    problem = "unauthenticated"


class Forbidden(ServiceError):
    """The caller is known, and may not do that."""

    problem = "forbidden"


class Overloaded(ServiceError):
    """No capacity now. Nothing was lost: the same request may be sent again."""

    problem = "overloaded"


class PoolBroken(ServiceError):
    """The pool of checking processes can't be kept alive on this machine."""

    problem = "not-ready"


class SandboxUnavailable(ServiceError):
    """The sandbox failed, not the program: engine unreachable, container lost, protocol broken."""

    problem = "not-ready"


class JudgeUnavailable(ServiceError):
    """No judge model could be asked: none configured, none reachable, or taken out of service."""

    problem = "not-ready"


class Internal(ServiceError):
    """A defect of the service."""

    problem = "internal"


class Problem(NamedTuple):
    """One RFC 9457 problem type: HTTP status, title, and what to do."""

    status: int
    title: str
    advice: str


PROBLEMS: dict[str, Problem] = {
    "invalid-json": Problem(400, "The body is not JSON", "Send one JSON document; see the position."),
    "invalid-body": Problem(422, "The body does not fit the schema", "`errors` names each item and field."),
    "invalid-encoding": Problem(400, "The body could not be decompressed", "Send gzip, zstd or identity."),
    "unsupported-media-type": Problem(
        415, "Unsupported content type or encoding", "Use application/json or application/x-ndjson."
    ),
    "digest-mismatch": Problem(
        409,
        "The content does not have the SHA-256 of its address",
        "PUT to /v1/ground-truths/{sha256 of the body}.",
    ),
    "too-slow": Problem(
        408, "The request did not arrive in time", "Send it without pauses; a stream may pause for minutes."
    ),
    "head-too-large": Problem(
        431, "The head of the request is too large", "Send fewer or shorter headers, and a shorter path."
    ),
    "too-large": Problem(413, "The request is too large", "Split it, compress it, or stream NDJSON."),
    "not-found": Problem(404, "Not found", "See /docs for the routes."),
    "method-not-allowed": Problem(405, "Method not allowed", "See /docs for the routes."),
    "unauthenticated": Problem(
        401, "The request has no valid API key", "Send `Authorization: Bearer KEY` or `X-API-Key: KEY`."
    ),
    "forbidden": Problem(403, "The key may not do that", "Use a key with the scope that `detail` names."),
    "over-quota": Problem(
        429, "The key's quota is used up", "Wait for Retry-After seconds, then send it again."
    ),
    "overloaded": Problem(
        429, "The service is at capacity", "Wait for Retry-After seconds, then send it again."
    ),
    "no-room": Problem(507, "There is no room to store that", "Delete files, or wait until batches end."),
    "not-ready": Problem(503, "The service can't score now", "Wait for /readyz, then send it again."),
    "internal": Problem(500, "A defect of the service", "Report it with the request id."),
}
"""Problem type (the last part of its URI) -> HTTP status, title and advice. The only such table."""


@contextmanager
def boundary(what: str) -> Iterator[None]:
    """Whatever leaves the block that is not a ServiceError becomes an Internal that names the block."""
    try:
        yield
    except ServiceError:
        raise
    except Exception as error:
        raise Internal(f"{what}: {type(error).__name__}") from error
