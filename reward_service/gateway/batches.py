"""Batches over HTTP: durable jobs in the vocabulary of OpenAI's Batch API, with order, progress and resumable results.

What is decided here: a batch is created from one request (JSON items, an NDJSON body of any length, or an uploaded file), or
not at all: every line is read before the batch exists, and a line that is no item refuses the whole with its number, because
a sender who finds that out a day later has lost a day. The body is hashed while it is read, so `Idempotency-Key` with the same
body is the same batch, and with another body a 422. Results stream as NDJSON in the order of the items or as they come;
each line carries the cursor behind it, so that an interrupted reader goes on where it was.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any, BinaryIO

from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request
from starlette.responses import Response

from reward_service.engine.batches import Batch, BatchStatus, Cursor, Order, parse_cursor, progress
from reward_service.engine.desk import Batches, Submitted
from reward_service.engine.records import Entry
from reward_service.errors import BadRequest, NotFound, TooLarge
from reward_service.gateway.access import CALLER, owns
from reward_service.gateway.core import JSON, Gateway, row_of
from reward_service.gateway.files import Files
from reward_service.gateway.middleware import pieces, whole_body
from reward_service.gateway.runs import RUN
from reward_service.gateway.stream import StreamedReply
from reward_service.gateway.weight import LINE, check_values
from reward_service.wire import ItemIn, RunId, bad_request, decode_item, encode, result

NDJSON = "application/x-ndjson"
MAX_WAIT_SECONDS = 300.0
MAX_FINDINGS = 100
ADD_ITEMS = 1_024
DAY = 86_400.0
_WINDOW = re.compile(r"(\d{1,6})([smhd])")
_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


class BatchCreate(BaseModel):
    """A batch to be made: of items, or of an uploaded file."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "oneOf": [
                {"required": ["items"], "properties": {"items": {"type": "array"}}},
                {"required": ["input_file_id"], "properties": {"input_file_id": {"type": "string"}}},
            ]
        },
    )

    items: list[ItemIn] | None = Field(
        None, min_length=1, description="The items, for a batch that fits into one body."
    )
    input_file_id: str | None = Field(None, description="Or a file of items, uploaded to /v1/files.")
    completion_window: str = Field(
        "24h",
        pattern="^([1-9][0-9]?[smh]|([1-9]|[12][0-9]|30)d)$",
        description="Time until it expires: `90s`, `30m`, `24h`, `7d`; at most 30d.",
    )
    run_id: RunId | None = Field(None, description="The training run of items that name none.")
    metadata: dict[str, Any] = Field(
        default_factory=dict, description="Yours, up to 4 kB; returned as it is."
    )


class Counted(BaseModel):
    """Items: all, judged, and those that ended in an error."""

    total: int
    completed: int
    failed: int


class BatchObject(BaseModel):
    """A batch as it is now. Times are seconds since the epoch by the store's clock; null for what has not happened."""

    id: str
    object: str = "batch"
    status: BatchStatus
    request_counts: Counted
    created_at: float
    in_progress_at: float | None
    expires_at: float | None
    finalizing_at: float | None
    completed_at: float | None
    failed_at: float | None
    expired_at: float | None
    cancelling_at: float | None
    cancelled_at: float | None
    rate: float = Field(description="Items per second over the last seconds.")
    eta_seconds: float | None
    metadata: dict[str, Any]
    errors: list[dict[str, Any]]


class BatchList(BaseModel):
    """Batches, newest first."""

    object: str = "list"
    data: list[BatchObject]
    has_more: bool


def shown(batch: Batch) -> dict[str, Any]:
    """A batch as plain JSON values: the fields of `BatchObject`."""

    def at(status: BatchStatus) -> float | None:
        when = batch.times.get(status)
        return when / 1e3 if when else None

    speed = progress(batch)
    return {
        "id": batch.id,
        "object": "batch",
        "status": batch.status.value,
        "request_counts": batch.counts._asdict(),
        "created_at": batch.created_at / 1e3,
        "in_progress_at": at(BatchStatus.IN_PROGRESS),
        "expires_at": batch.expires_at / 1e3 if batch.expires_at else None,
        "finalizing_at": at(BatchStatus.FINALIZING),
        "completed_at": at(BatchStatus.COMPLETED),
        "failed_at": at(BatchStatus.FAILED),
        "expired_at": at(BatchStatus.EXPIRED),
        "cancelling_at": at(BatchStatus.CANCELLING),
        "cancelled_at": at(BatchStatus.CANCELLED),
        "rate": round(speed.rate, 3),
        "eta_seconds": None if speed.eta_seconds is None else round(speed.eta_seconds, 1),
        "metadata": dict(batch.spec.metadata),
        "errors": [dict(error) for error in batch.errors],
    }


def window_seconds(text: str) -> float:
    """Seconds of a `completion_window`. BadRequest for anything else, or more than 30 days."""
    match = _WINDOW.fullmatch(text.strip().lower())
    seconds = float(match[1]) * _UNITS[match[2]] if match else 0.0
    if not 1.0 <= seconds <= 30 * DAY:
        raise BadRequest(
            "completion_window is a number with s, m, h or d, at most 30d",
            errors=[{"pointer": "/completion_window", "message": "no time span"}],
        )
    return seconds


def idempotency_key(request: Request) -> str:
    """The request's Idempotency-Key, or "". BadRequest if it is longer than 255 characters."""
    key = request.headers.get("idempotency-key", "")
    if len(key) > 255:
        raise BadRequest("an Idempotency-Key has at most 255 characters")
    return key


class Findings:
    """What is wrong with the lines of a batch."""

    def __init__(self) -> None:
        self.errors: list[dict[str, object]] = []
        self.count = 0

    def add(self, line: int, message: str) -> None:
        """One more; the first MAX_FINDINGS are kept."""
        self.count += 1
        if len(self.errors) < MAX_FINDINGS:
            self.errors.append({"line": line, "message": message})

    def refuse(self) -> None:
        """BadRequest if there is anything."""
        if self.count:
            raise BadRequest(
                f"{self.count} of the lines are no items, so nothing was submitted; line {self.errors[0]['line']}: "
                f"{self.errors[0]['message']}",
                errors=self.errors,
            )


def entries_in(file: BinaryIO, findings: Findings, longest: int) -> Iterator[Entry]:
    """The items of an NDJSON file; what is wrong with the others goes to the findings."""
    file.seek(0)
    number = 0
    while line := file.readline(longest + 2):
        number += 1
        if len(line) > longest + 1:
            findings.add(number, f"longer than {longest} bytes")
            while line and not line.endswith(b"\n"):
                line = file.readline(1 << 20)
            continue
        if not line.strip():
            continue
        try:
            check_values(line, LINE)
            item = decode_item(line)
        except (BadRequest, TooLarge) as error:
            findings.add(number, error.detail)
            continue
        yield Entry(item.id, row_of(item, RUN.get()))


class Desk:
    """Creates batches for the routes. One batch is read at a time per process, in pieces, off the event loop."""

    def __init__(self, gateway: Gateway, batches: Batches, files: Files) -> None:
        self._gateway = gateway
        self._batches = batches
        self._files = files
        self._longest = gateway.settings.max_decoded_bytes

    async def from_json(self, request: Request) -> Submitted:
        """A batch from a JSON body."""
        settings = self._gateway.settings
        body = await whole_body(request, settings.max_body_bytes, settings.max_decoded_bytes)
        try:
            asked = BatchCreate.model_validate_json(body)
        except ValidationError as error:
            raise bad_request(error) from None
        if (asked.items is None) == (asked.input_file_id is None):
            raise BadRequest("a batch has either items or an input_file_id")
        if len(json.dumps(asked.metadata)) > 4_096:
            raise TooLarge("metadata has more than 4 kB")
        options = {"window_seconds": window_seconds(asked.completion_window), "metadata": asked.metadata}
        key = idempotency_key(request)
        if asked.items is not None:
            run = asked.run_id or RUN.get()
            entries = [Entry(item.id, row_of(item, run)) for item in asked.items]
            return await self._submit(entries, key, hashlib.sha256(body).hexdigest(), options)
        with self._files.open(str(asked.input_file_id)) as (file, digest):
            combined = hashlib.sha256(body + digest.encode()).hexdigest()
            return await self._from_file(file, key, combined, options)

    async def from_ndjson(self, request: Request) -> Submitted:
        """A batch from a body of lines, of any length up to the limit of files."""
        query = request.query_params
        options = {"window_seconds": window_seconds(query.get("completion_window", "24h")), "metadata": {}}
        hasher = hashlib.sha256(str(sorted(query.items())).encode())
        limit = self._gateway.settings.max_file_bytes
        with tempfile.TemporaryFile() as file:
            async for piece in pieces(request, limit, limit):
                hasher.update(piece)
                await asyncio.to_thread(file.write, piece)
            return await self._from_file(file, idempotency_key(request), hasher.hexdigest(), options)

    async def _from_file(
        self, file: BinaryIO, key: str, digest: str, options: Mapping[str, Any]
    ) -> Submitted:
        tenant = CALLER.get().name
        replayed = await self._batches.replay(tenant, key, digest)
        if replayed is not None:
            return Submitted(replayed, True)
        findings = Findings()
        upload = await self._batches.begin(tenant=tenant, key=key, digest=digest, **options)
        reader = entries_in(file, findings, self._longest)
        while part := await asyncio.to_thread(take, reader, ADD_ITEMS):
            if not findings.count:
                await upload.add(part)
        findings.refuse()
        if not upload.items:
            raise BadRequest("a batch has at least one item")
        await self._gateway.access.charge(upload.items)
        return await upload.seal()

    async def _submit(
        self, entries: list[Entry], key: str, digest: str, options: Mapping[str, Any]
    ) -> Submitted:
        if not entries:
            raise BadRequest(
                "a batch has at least one item", errors=[{"pointer": "/items", "message": "empty"}]
            )
        tenant = CALLER.get().name
        replayed = await self._batches.replay(tenant, key, digest)
        if replayed is not None:
            return Submitted(replayed, True)
        await self._gateway.access.charge(len(entries))
        return await self._batches.submit(entries, tenant=tenant, key=key, digest=digest, **options)


def take(reader: Iterator[Entry], count: int) -> list[Entry]:
    """Up to `count` entries."""
    return [entry for _, entry in zip(range(count), reader, strict=False)]


async def result_lines(batches: Batches, batch: str, cursor: Cursor, follow: bool) -> AsyncIterator[bytes]:
    """Results as NDJSON, each with the cursor behind it."""
    async for found in batches.results(batch, cursor, follow=follow):
        line = result(found.outcome, found.place, found.id)
        line["cursor"] = str(found.cursor)
        yield encode(line) + b"\n"


def add_routes(
    app: FastAPI,
    gateway: Gateway,
    batches: Batches,
    files: Files,
    problem_responses: dict[int | str, dict[str, Any]],
) -> None:
    """`/v1/batches`."""
    desk = Desk(gateway, batches, files)
    missing: dict[int | str, dict[str, Any]] = {
        404: {**problem_responses[400], "description": "no such batch (any more)"}
    }

    @app.post(
        "/v1/batches",
        summary="Create a batch",
        description=(
            "Items in JSON, an uploaded file, or lines (`Content-Type: application/x-ndjson`). With an `Idempotency-Key`, the same "
            "key and body again is the same batch. `completion_window` of an NDJSON body is a query parameter."
        ),
        response_model=BatchObject,
        responses={
            **problem_responses,
            404: {**problem_responses[400], "description": "no such file (any more)"},
        },
        openapi_extra={
            "requestBody": {
                "required": True,
                "content": {
                    JSON: {
                        "schema": {"$ref": "#/components/schemas/BatchCreate"},
                        "example": {
                            "items": [
                                {
                                    "id": 1,
                                    "data_source": "logic__graph",
                                    "response": "<answer>owl</answer>",
                                    "ground_truth": "owl",
                                }
                            ]
                        },
                    },
                    NDJSON: {"schema": {"type": "string"}},
                },
            }
        },
        tags=["batches"],
    )
    async def create_batch(request: Request) -> Response:
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        lines = kind in (NDJSON, "application/jsonl", "application/ndjson")
        submitted = await (desk.from_ndjson(request) if lines else desk.from_json(request))
        headers = {"Idempotent-Replayed": "true"} if submitted.replayed else {}
        return Response(encode(shown(submitted.batch)), headers=headers, media_type=JSON)

    @app.get(
        "/v1/batches",
        summary="Batches, newest first",
        response_model=BatchList,
        responses=problem_responses,
        tags=["batches"],
    )
    async def list_batches(request: Request) -> Response:
        limit = whole_number(request, "limit", 20, 1, 100)
        found = await batches.of_tenant(CALLER.get().name, request.query_params.get("after", ""), limit + 1)
        data = [shown(batch) for batch in found[:limit]]
        return Response(
            encode({"object": "list", "data": data, "has_more": len(found) > limit}), media_type=JSON
        )

    @app.get(
        "/v1/batches/{batch_id}",
        summary="A batch: status, counts, rate, ETA; `?wait=` seconds for its end",
        response_model=BatchObject,
        responses={**problem_responses, **missing},
        tags=["batches"],
    )
    async def get_batch(batch_id: str, request: Request) -> Response:
        seconds = whole_number(request, "wait", 0, 0, int(MAX_WAIT_SECONDS))
        found = await owned(batches, batch_id)
        if seconds:
            found = await batches.wait(batch_id, seconds)
        return Response(encode(shown(found)), media_type=JSON)

    @app.get(
        "/v1/batches/{batch_id}/results",
        summary="Results as NDJSON, while it runs",
        description=(
            "`order=input` (default) or `completion`; `cursor=` goes on behind a line; `follow=false` ends with what is there. Each "
            "line is a result with its `cursor`."
        ),
        responses={
            **problem_responses,
            **missing,
            200: {"content": {NDJSON: {"schema": {"type": "string"}}}},
        },
        tags=["batches"],
    )
    async def get_results(batch_id: str, request: Request) -> Response:
        query = request.query_params
        try:
            order = Order(query.get("order", "input"))
            cursor = parse_cursor(query["cursor"]) if "cursor" in query else Cursor(order)
        except ValueError:
            raise BadRequest("order is input or completion; cursor is one from a result line") from None
        await owned(batches, batch_id)
        follow = query.get("follow", "true").lower() not in ("false", "0", "no")
        return StreamedReply(request, result_lines(batches, batch_id, cursor, follow), NDJSON)

    @app.post(
        "/v1/batches/{batch_id}/cancel",
        summary="Cancel a batch; what has been scored is kept",
        response_model=BatchObject,
        responses={**problem_responses, **missing},
        tags=["batches"],
    )
    async def cancel_batch(batch_id: str) -> Response:
        await owned(batches, batch_id)
        return Response(encode(shown(await batches.cancel(batch_id))), media_type=JSON)


async def owned(batches: Batches, batch: str) -> Batch:
    """The batch, if it is the caller's. NotFound otherwise, as if there were none."""
    found = await batches.get(batch)
    if not owns(found.spec.tenant):
        raise NotFound(f"there is no batch {batch[:100]!r} (any more)")
    return found


def whole_number(request: Request, name: str, default: int, least: int, most: int) -> int:
    """A query parameter as a whole number in its range. BadRequest otherwise."""
    text = request.query_params.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 10 and least <= int(text) <= most):
        raise BadRequest(
            f"{name} is a whole number from {least} to {most}",
            errors=[{"pointer": f"/query/{name}", "message": "not in the range"}],
        )
    return int(text)


MODELS: tuple[type[BaseModel], ...] = (BatchCreate,)
"""Schemas that the OpenAPI document needs beside those that FastAPI finds."""
