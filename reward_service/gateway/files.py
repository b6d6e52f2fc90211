"""Uploaded files of items, on disk: for batches that are sent once and created later, or more than once.

What is decided here: a file is complete or not there. It is written under another name, flushed, and renamed; a disk that is
full refuses the upload (507) and leaves nothing. Files are content-addressed by nothing: the name is random, because two
tenants may upload the same bytes. Parquet is turned into lines when it arrives, so a batch reads one format. With several
gateways the directory has to be shared, or batches be created from NDJSON bodies.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import json
import os
import re
import secrets
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from fastapi import FastAPI
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from reward_service.errors import BadRequest, NotFound, Overloaded
from reward_service.gateway.access import CALLER, owns
from reward_service.gateway.core import JSON, Gateway
from reward_service.gateway.middleware import pieces
from reward_service.gateway.stream import StreamedReply
from reward_service.wire import encode

_ID = re.compile(r"file_[0-9a-f]{24}")
_PARQUET = b"PAR1"
KEEP_SECONDS = 7 * 86_400


class FileObject(BaseModel):
    """A file as it is: bytes of its lines, seconds since the epoch, the SHA-256 of the lines."""

    id: str
    object: str = "file"
    bytes: int
    created_at: float
    filename: str
    purpose: str = "batch"
    sha256: str


class FileList(BaseModel):
    """Files, newest first."""

    object: str = "list"
    data: list[FileObject]


class Files:
    """The directory of uploaded files."""

    def __init__(self, folder: str, max_total: int) -> None:
        self._folder = Path(folder or f"{tempfile.gettempdir()}/reward-service-files-{secrets.token_hex(12)}")
        self._own = not folder
        self._max_total = max_total

    def close(self) -> None:
        """Remove the directory, if the settings name none: it was made for this process."""
        if self._own:
            shutil.rmtree(self._folder, ignore_errors=True)

    async def put(self, body: AsyncIterator[bytes], filename: str, tenant: str = "") -> dict[str, Any]:
        """Store a body, as the tenant's. TooLarge, BadRequest (no lines, broken Parquet), Overloaded (no room)."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if sum(entry["bytes"] for entry in self.all()) >= self._max_total:
            raise Overloaded("the store of files is full: delete some", problem="no-room", retry_after=60.0)
        name = f"file_{secrets.token_hex(12)}"
        partial, description = self._folder / f".{name}.partial", self._folder / f".{name}.json.partial"
        try:
            await self._receive(body, partial)
            size, digest = await asyncio.to_thread(as_lines, partial)
            about = {
                "id": name, "object": "file", "bytes": size, "created_at": round(time.time(), 3), "filename": filename[:200],
                "purpose": "batch", "sha256": digest, "tenant": tenant,
            }  # fmt: skip
            description.write_text(json.dumps(about))
            description.rename(self._folder / f"{name}.json")
            partial.rename(self._folder / name)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise Overloaded("the disk for files is full", problem="no-room", retry_after=60.0) from None
            raise
        finally:
            for unfinished in (partial, description):
                with suppress(OSError):
                    unfinished.unlink(missing_ok=True)
        return about

    async def _receive(self, body: AsyncIterator[bytes], partial: Path) -> None:
        with partial.open("wb") as file:
            async for piece in body:
                await asyncio.to_thread(file.write, piece)
            await asyncio.to_thread(file.flush)
            await asyncio.to_thread(os.fsync, file.fileno())

    def all(self) -> list[dict[str, Any]]:
        """Every file, newest first; those that are too old are deleted."""
        found = []
        for path in self._folder.glob("file_*.json"):
            try:
                about = json.loads(path.read_text())
            except (OSError, ValueError):
                continue
            if about["created_at"] < time.time() - KEEP_SECONDS:
                self.delete(about["id"])
            elif (self._folder / about["id"]).exists():
                found.append(about)
        return sorted(found, key=lambda about: -about["created_at"])

    def about(self, name: str) -> dict[str, Any]:
        """A file's description. NotFound if there is none, or none of the caller's."""
        try:
            if _ID.fullmatch(name) and (self._folder / name).exists():
                about: dict[str, Any] = json.loads((self._folder / f"{name}.json").read_text())
                if owns(about.get("tenant", "")):
                    return about
        except (OSError, ValueError):
            pass
        raise NotFound(f"there is no file {name[:60]!r} (any more)")

    @contextmanager
    def open(self, name: str) -> Iterator[tuple[BinaryIO, str]]:
        """A file's lines and their SHA-256. NotFound if there is none."""
        about = self.about(name)
        with (self._folder / name).open("rb") as file:
            yield file, about["sha256"]

    def delete(self, name: str) -> None:
        """Delete a file. NotFound if the name is none of ours."""
        if not _ID.fullmatch(name):
            raise NotFound(f"there is no file {name[:60]!r}")
        for path in (self._folder / f"{name}.json", self._folder / name):
            path.unlink(missing_ok=True)


def shown(about: dict[str, Any]) -> dict[str, Any]:
    """A file's description as its owner sees it: the fields of `FileObject`."""
    return {name: value for name, value in about.items() if name != "tenant"}


def as_lines(path: Path) -> tuple[int, str]:
    """Turn Parquet into lines, in place; bytes and SHA-256 of the lines. BadRequest for an empty or broken file."""
    with path.open("rb") as file:
        if file.read(4) == _PARQUET:
            _from_parquet(path)
    hasher, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            hasher.update(piece)
            size += len(piece)
    if not size:
        raise BadRequest("the file is empty")
    return size, hasher.hexdigest()


def _from_parquet(path: Path) -> None:
    try:
        import pyarrow.parquet as parquet
    except ImportError:
        raise BadRequest("reading Parquet needs the extra: pip install 'reward-service[parquet]'") from None
    lines = path.with_suffix(".lines")
    try:
        with lines.open("wb") as out:
            for batch in parquet.ParquetFile(path).iter_batches(1_024):
                out.writelines(encode(row) + b"\n" for row in batch.to_pylist())
    except Exception as error:
        lines.unlink(missing_ok=True)
        raise BadRequest(f"the Parquet file can't be read: {type(error).__name__}") from None
    lines.rename(path)


def add_routes(
    app: FastAPI, gateway: Gateway, files: Files, problem_responses: dict[int | str, dict[str, Any]]
) -> None:
    """`/v1/files`."""
    missing: dict[int | str, dict[str, Any]] = {
        404: {**problem_responses[400], "description": "no such file (any more)"}
    }

    @app.post(
        "/v1/files",
        summary="Upload a file of items: NDJSON or Parquet as the body (`?filename=`)",
        status_code=201,
        response_model=FileObject,
        responses={
            **problem_responses,
            507: {**problem_responses[400], "description": "no room for more files"},
        },
        openapi_extra={
            "requestBody": {
                "required": True,
                "content": {
                    kind: {"schema": {"type": "string", "format": "binary", "minLength": 1}}
                    for kind in ("application/x-ndjson", "application/octet-stream")
                },
            }
        },
        tags=["batches"],
    )
    async def upload(request: Request) -> Response:
        if request.headers.get("content-type", "").startswith("multipart/"):
            raise BadRequest("send the file as the body, not as a form", problem="unsupported-media-type")
        limit = gateway.settings.max_file_bytes
        about = await files.put(
            pieces(request, limit, limit), request.query_params.get("filename", ""), CALLER.get().name
        )
        return Response(encode(shown(about)), 201, media_type=JSON)

    @app.get("/v1/files", summary="Files, newest first", response_model=FileList, tags=["batches"])
    async def list_files() -> Response:
        own = [shown(about) for about in files.all() if about.get("tenant", "") == CALLER.get().name]
        return Response(encode({"object": "list", "data": own}), media_type=JSON)

    @app.get(
        "/v1/files/{file_id}",
        summary="A file's description",
        response_model=FileObject,
        responses={**problem_responses, **missing},
        tags=["batches"],
    )
    async def about_file(file_id: str) -> Response:
        return Response(encode(shown(files.about(file_id))), media_type=JSON)

    @app.get(
        "/v1/files/{file_id}/content",
        summary="A file's lines",
        responses={
            **problem_responses,
            **missing,
            200: {"content": {"application/x-ndjson": {"schema": {"type": "string"}}}},
        },
        tags=["batches"],
    )
    async def content(file_id: str, request: Request) -> Response:
        files.about(file_id)

        async def lines() -> AsyncIterator[bytes]:
            with files.open(file_id) as (file, _):
                while piece := await asyncio.to_thread(file.read, 1 << 16):
                    yield piece

        return StreamedReply(request, lines(), "application/x-ndjson")

    @app.delete(
        "/v1/files/{file_id}",
        summary="Delete a file",
        responses={**problem_responses, **missing},
        tags=["batches"],
    )
    async def delete(file_id: str) -> Response:
        files.about(file_id)
        files.delete(file_id)
        return Response(encode({"id": file_id, "object": "file", "deleted": True}), media_type=JSON)
