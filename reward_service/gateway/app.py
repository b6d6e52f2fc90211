"""The HTTP application: routes, limits and metrics around a scorer.

What is decided here: the hot routes read the raw body and decode it in one pass; FastAPI documents them from
the same models. The gateway learns everything that it serves through `Engine`, so tests can give it another.
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated, Any

from fastapi import FastAPI, Path
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from reward_service import __version__
from reward_service.engine.desk import Batches
from reward_service.engine.scorer import Scored
from reward_service.errors import BadRequest, ServiceError
from reward_service.gateway import (
    access,
    batches,
    dialects,
    docs,
    explain,
    files,
    pages,
    problems,
    programs,
    stream,
    telemetry,
)
from reward_service.gateway.core import JSON, Engine, Gateway, asked_deadline
from reward_service.gateway.middleware import Requests, pieces, whole_body
from reward_service.gateway.runs import RunIds
from reward_service.keys import Scope
from reward_service.settings import Settings
from reward_service.wire import (
    BatchIn,
    BatchOut,
    ItemIn,
    ProblemOut,
    ResultOut,
    decode_batch,
    decode_item,
    encode,
    result,
)

NDJSON = "application/x-ndjson"


def body_of(model: type[ItemIn] | type[BatchIn], example: object, *, ndjson: bool = False) -> dict[str, Any]:
    """OpenAPI's request body for a route that decodes its own."""
    schema = {"$ref": f"#/components/schemas/{model.__name__}"}
    content: dict[str, Any] = {JSON: {"schema": schema, "example": example}}
    if ndjson:
        content[NDJSON] = {"schema": {"type": "string"}, "example": json.dumps(EXAMPLE_ITEM) + "\n"}
    return {"requestBody": {"required": True, "content": content}}


EXAMPLE_ITEM = {
    "id": "a",
    "data_source": "math__aime",
    "response": "<think>6 * 7</think>The answer is \\boxed{42}.",
    "ground_truth": "42",
}
EXAMPLE_BATCH = {
    "items": [
        EXAMPLE_ITEM,
        {
            "id": "b",
            "data_source": "logic__ordering_puzzle",
            "solution_str": "<answer>['owl', 'crow']</answer>",
            "reward_model": {"ground_truth": ["owl", "crow"]},
        },
    ]
}
_PROBLEM: dict[str, Any] = {"model": ProblemOut, "content": {problems.MEDIA_TYPE: {}}}
PROBLEM_RESPONSES: dict[int | str, dict[str, Any]] = {
    status: {**_PROBLEM, "description": text}
    for status, text in (
        (400, "not JSON, or not in the encoding it claims"),
        (409, "the content has another SHA-256 than its address"),
        (413, "too large"),
        (415, "unsupported content type or encoding"),
        (422, "does not fit the schema: `errors` names item and field"),
        (429, "at capacity: come back after Retry-After seconds"),
    )
}


def create_app(engine: Engine, settings: Settings, jobs: Batches | None = None) -> FastAPI:
    """The application over an engine, and the batches beside it. Its lifespan runs the engine."""
    gateway = Gateway(engine, settings)
    stored = files.Files(settings.files_dir, settings.files_bytes)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        with closing(stored):
            async with engine.running, telemetry.ticking(gateway.metrics.monitor):
                yield
                gateway.draining = True

    app = FastAPI(
        title="Reward Service",
        version=__version__,
        summary="Verified rewards for reinforcement learning on language models.",
        lifespan=lifespan,
        docs_url=None,  # `docs.py` has them
        redoc_url=None,
        exception_handlers={
            ServiceError: problems.on_service_error,
            HTTPException: problems.on_http_exception,
            RequestValidationError: problems.on_validation_error,
            Exception: problems.on_exception,
        },
    )
    app.state.gateway = gateway
    app.add_middleware(RunIds)
    app.add_middleware(
        Requests,
        answered=gateway.metrics.answered,
        log_requests=settings.log_requests,
        local_names_only=gateway.access.keys is None and settings.auth == "auto",
        ending=lambda: gateway.draining,
    )
    _scoring_routes(app, gateway)
    _ground_truth_routes(app, gateway)
    programs.add_routes(app, gateway, PROBLEM_RESPONSES)
    explain.add_routes(app, gateway, PROBLEM_RESPONSES)
    if jobs is not None:
        files.add_routes(app, gateway, stored, PROBLEM_RESPONSES)
        batches.add_routes(app, gateway, jobs, stored, PROBLEM_RESPONSES)
    _information_routes(app, gateway, jobs)
    telemetry.add_routes(app, gateway, PROBLEM_RESPONSES)
    dialects.mount(app, gateway)
    docs.add_routes(app)
    if settings.dashboard:
        pages.add_routes(app)
    access.guard(app, gateway.access, settings.dialect_prefix)
    _document(app)
    return app


def _scoring_routes(app: FastAPI, gateway: Gateway) -> None:
    @app.post(
        "/v1/score",
        summary="Score one item",
        description="`?verdicts=1` adds `verdict`: the id under which it may be kept, for `/v1/explain`. Batches too.",
        response_model=ResultOut,
        responses=PROBLEM_RESPONSES,
        openapi_extra=body_of(ItemIn, EXAMPLE_ITEM),
        tags=["score"],
    )
    async def score(request: Request) -> Response:
        with gateway.timed("score"):
            seconds = gateway.deadline(asked_deadline(request))
            item = decode_item(await gateway.body(request))
            (scored,) = await gateway.score([item], seconds)
            told = result(scored.outcome, 0, item.id)
            await explain.name_verdicts(gateway, request, [item], [told])
            return Response(encode(told), media_type=JSON)

    @app.post(
        "/v1/score/batch",
        summary="Score many items; results in their order",
        description=(
            "JSON in, JSON out, for up to 1,024 items and 8 MB (settings); or NDJSON in, NDJSON out "
            "(`Content-Type: application/x-ndjson`) for streams of any length. gzip and zstd bodies are taken."
        ),
        response_model=BatchOut,
        responses=PROBLEM_RESPONSES,
        openapi_extra=body_of(BatchIn, EXAMPLE_BATCH, ndjson=True),
        tags=["score"],
    )
    async def score_batch(request: Request) -> Response:
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        asked = asked_deadline(request)
        if kind in (NDJSON, "application/jsonl", "application/ndjson"):
            longest = gateway.settings.max_decoded_bytes
            seconds = gateway.deadline(asked)

            async def score_group(items: Sequence[ItemIn]) -> list[Scored]:
                return await gateway.score(items, seconds, wait=True)

            answers = stream.answer(pieces(request, None, None), longest, score_group)
            return stream.StreamedReply(request, answers, NDJSON)
        with gateway.timed("batch"):
            batch = decode_batch(await gateway.body(request), gateway.settings.max_items)
            seconds = gateway.deadline(asked if asked is not None else batch.deadline_seconds)
            scored = await gateway.score(batch.items, seconds, run=batch.run_id)
            results = [
                result(one.outcome, index, item.id)
                for index, (one, item) in enumerate(zip(scored, batch.items, strict=True))
            ]
            await explain.name_verdicts(gateway, request, batch.items, results)
            return Response(encode({"results": results}), media_type=JSON)


def _ground_truth_routes(app: FastAPI, gateway: Gateway) -> None:
    @app.put(
        "/v1/ground-truths/{sha256}",
        summary="Upload a ground truth once; items then name it by `ground_truth_ref`",
        description=(
            "The body's SHA-256 must be the address. `application/json` is decoded, anything else is a text. "
            "Uploading it again changes nothing."
        ),
        status_code=201,
        responses=PROBLEM_RESPONSES,
        openapi_extra={
            "requestBody": {
                "required": True,
                "content": {
                    JSON: {"schema": {"not": {"type": "null"}}, "example": "42"},
                    "text/plain": {"schema": {"type": "string"}},
                },
            }
        },
        tags=["ground truths"],
    )
    async def put_ground_truth(
        sha256: Annotated[str, Path(pattern="^[0-9a-fA-F]{64}$")], request: Request
    ) -> Response:
        limit = gateway.settings.max_ground_truth_bytes
        body = await whole_body(request, limit, limit)
        if hashlib.sha256(body).hexdigest() != sha256.lower():
            raise BadRequest("the body has another SHA-256 than the address", problem="digest-mismatch")
        kind = request.headers.get("content-type", "text/plain").partition(";")[0].strip().lower()
        value = ground_truth_value(body, kind)
        await gateway.engine.ground_truths.put(sha256.lower(), value, len(body))
        return Response(
            encode({"ground_truth_ref": sha256.lower(), "bytes": len(body)}), 201, media_type=JSON
        )


def _refuse(name: str) -> object:
    raise ValueError(f"{name} is not a JSON value")


def ground_truth_value(body: bytes, kind: str) -> object:
    """An uploaded body as a ground truth: decoded JSON, or a text. BadRequest if it is neither."""
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise BadRequest(f"the body is not UTF-8 at byte {error.start}") from None
    if kind != JSON:
        return text
    try:
        value: object = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise BadRequest(
            "the body is not JSON; send a plain text as text/plain", problem="invalid-json"
        ) from None
    if value is None:
        raise BadRequest("null is no ground truth")
    return value


def _information_routes(app: FastAPI, gateway: Gateway, jobs: Batches | None) -> None:
    registry = gateway.engine.registry
    libraries = library_versions()
    kept = None if jobs is None else "durable" if gateway.settings.redis_url else "in_process"

    @app.get("/v1/data-sources", summary="What is routed where, and what its rows look like", tags=["about"])
    async def data_sources() -> Response:
        sources = [
            {
                "data_source": source.name,
                "aliases": list(source.aliases),
                "handler": handler.name,
                "version": handler.version,
                "domain": handler.domain,
                "rule": handler.summary,
                "ground_truth": source.gold,
                "reads": list(handler.reads),
                "example": {
                    "data_source": source.name.replace("*", "example"),
                    "response": source.example.response,
                    "ground_truth": source.example.ground_truth,
                    "extra_info": dict(source.example.extra_info),
                },
            }
            for handler in registry.handlers.values()
            for source in handler.sources
        ]
        return Response(encode({"data_sources": sources}), media_type=JSON)

    @app.get("/v1/info", summary="Versions, limits and state", tags=["about"])
    async def info() -> Response:
        told = {
            "name": "reward-service",
            "version": __version__,
            "handlers": {handler.name: handler.version for handler in registry.handlers.values()},
            "libraries": libraries,
            "batches": kept,
            "limits": gateway.settings.model_dump(include=SHOWN_SETTINGS),
            "state": {name: read() for name, (_, read) in gateway.engine.gauges.items()},
            "items_in_flight": gateway.admission.under_way,
        }
        if access.CALLER.get().may(Scope.READ):
            told["settings"] = gateway.settings.shown()
        return Response(encode(told), media_type=JSON)

    @app.get("/healthz", summary="Is the process alive?", tags=["about"])
    async def healthz() -> dict[str, str]:
        return {"status": "alive"}

    @app.get(
        "/readyz",
        summary="Can it score now?",
        responses={503: {**_PROBLEM, "description": "not (yet, or any more)"}},
        tags=["about"],
    )
    async def readyz() -> dict[str, str]:
        if gateway.draining:
            raise ServiceError("the service is shutting down", problem="not-ready", retry_after=5)
        if not gateway.engine.ready():
            raise ServiceError("no checking process is up", problem="not-ready", retry_after=1)
        return {"status": "ready"}

    @app.get("/metrics", summary="Prometheus metrics", response_class=PlainTextResponse, tags=["about"])
    async def metrics() -> Response:
        return Response(gateway.metrics.exposition(), media_type="text/plain; version=0.0.4; charset=utf-8")


LIBRARIES = (
    "sympy", "math-verify", "python-flint", "pint", "rdkit", "if-verifiable", "nltk", "reasoning-gym", "pydantic",
    "fastapi", "redis",
)  # fmt: skip
"""Those that decide scores, and those that requests pass."""


def library_versions() -> dict[str, str]:
    """What is installed of LIBRARIES, and the interpreter."""
    found = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


SHOWN_SETTINGS = {
    "processes",
    "deadline_seconds",
    "max_deadline_seconds",
    "max_items",
    "max_body_bytes",
    "max_decoded_bytes",
    "max_in_flight",
    "cache_items",
    "max_ground_truth_bytes",
}


def _document(app: FastAPI) -> None:
    """Put the models of the self-decoding routes into the OpenAPI document."""
    original = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = original()
            schemas = document.setdefault("components", {}).setdefault("schemas", {})
            models: list[type[BaseModel]] = [
                ItemIn,
                BatchIn,
                *programs.MODELS,
                *batches.MODELS,
                *explain.MODELS,
            ]
            for model in models:
                schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
                schemas.update(schema.pop("$defs", {}))
                schemas[model.__name__] = schema
        return app.openapi_schema or {}

    app.openapi = openapi  # type: ignore[method-assign]
