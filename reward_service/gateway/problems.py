"""Every error of the service as RFC 9457 problem+json, from the one table in `errors.PROBLEMS`."""

from __future__ import annotations

import math
from typing import Any

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from reward_service.errors import PROBLEMS, ServiceError
from reward_service.wire import encode

MEDIA_TYPE = "application/problem+json"


def request_id(request: Request) -> str:
    """The id that the middleware gave this request."""
    return str(request.scope.get("state", {}).get("request_id", ""))


def problem(
    name: str, detail: str, request_id: str = "", errors: list[dict[str, object]] | None = None
) -> dict[str, Any]:
    """The body of a problem."""
    entry = PROBLEMS[name]
    return {
        "type": f"urn:reward-service:problem:{name}",
        "title": entry.title,
        "status": entry.status,
        "detail": detail,
        "advice": entry.advice,
        "request_id": request_id,
        "errors": errors or [],
    }


def problem_response(
    request: Request,
    name: str,
    detail: str,
    *,
    errors: list[dict[str, object]] | None = None,
    retry_after: float | None = None,
) -> Response:
    """One problem as a response. `retry_after` is rounded up to whole seconds."""
    body = problem(name, detail, request_id(request), errors)
    headers = {} if retry_after is None else {"Retry-After": str(max(1, math.ceil(retry_after)))}
    response = Response(encode(body), body["status"], headers, MEDIA_TYPE)
    if response.status_code == 401:
        # A line each: Chromium reads one challenge a line, and asks for a password only if it reads "Basic".
        for scheme in ("Basic", "Bearer"):
            response.headers.append("WWW-Authenticate", f'{scheme} realm="reward-service"')
    return response


async def on_service_error(request: Request, error: Exception) -> Response:
    """A ServiceError of ours."""
    if not isinstance(error, ServiceError):
        return await on_exception(request, error)
    return problem_response(
        request, error.problem, error.detail, errors=error.errors, retry_after=error.retry_after
    )


async def on_http_exception(request: Request, error: Exception) -> Response:
    """Starlette's own errors: unknown routes and methods."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    name = {404: "not-found", 405: "method-not-allowed", 413: "too-large"}.get(status, "internal")
    if status == 400:
        name = "invalid-json"
    response = problem_response(request, name, f"{request.method} {request.url.path}")
    if isinstance(error, HTTPException) and error.headers:
        response.headers.update(error.headers)
    return response


async def on_validation_error(request: Request, error: Exception) -> Response:
    """FastAPI's findings about parameters of the cool routes."""
    findings = error.errors() if isinstance(error, RequestValidationError) else []
    errors: list[dict[str, object]] = [
        {"pointer": "/" + "/".join(str(part) for part in finding["loc"]), "message": finding["msg"]}
        for finding in findings[:20]
    ]
    detail = f"{errors[0]['pointer']}: {errors[0]['message']}" if errors else "invalid request"
    return problem_response(request, "invalid-body", detail, errors=errors)


async def on_exception(request: Request, error: Exception) -> Response:
    """Anything else is a defect of ours; the log has it under the request id."""
    return problem_response(request, "internal", f"{type(error).__name__}; see the service's log")
