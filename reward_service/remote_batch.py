"""A whole dump as one durable batch of a running service: sent once, scored without us, read in order.

What is decided here: what an interruption can cost. Before anything is sent, a note beside the output (`OUT.batch`) says which
batch will be made: its Idempotency-Key, and the rows that it leaves out because they had results already. So the same command
after a kill sends the same items under the same key, or (once the batch is known) nothing at all, and reads on behind a cursor
that is never ahead of what the output holds. The key is made of the dump's SHA-256, of everything else that decides the items, and of
a number of this run's own: another run over the same dump, with newer handlers say, must not be given the results of the old
one. The note is deleted when the output is complete.

Lines go into the batch's own body and not through `/v1/files`: a file gets another name each time that it is sent, so that a batch made of it
isn't recognised, and with several gateways it would have to be on a disk that they share.

A batch's results are not the last word on what the service could not judge: such items are sent again one by one, as the
streaming way does it.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import secrets
import tempfile
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, NamedTuple, cast

import httpx2
import zstandard

from reward_service import __version__
from reward_service.bulk import Job, Rows, Run, Stopped
from reward_service.client.protocol import Lines, backoff, retry_after, trouble
from reward_service.commands.batch import Via
from reward_service.dump import Input, open_input
from reward_service.remote import BUSY, REFUSED, Service, said, sound, wire_item
from reward_service.types import Reason, cannot_judge
from reward_service.wire import ItemIn, encode, result

LARGE_BYTES = 32 << 20
"""A dump of so many bytes, as it is on disk, is worth a batch."""
WINDOW = "7d"
"""Time until the batch expires: a fleet may be busy for long."""
SILENCE_SECONDS = 60.0
"""When no result came for so long, the batch is looked at."""
NOTE_SECONDS = 1.0
PIECE = 1 << 18
LOST = 404


class Choice(NamedTuple):
    """Whether a batch is used, and why, in words."""

    batch: bool
    why: str


@dataclass(frozen=True, slots=True)
class Note:
    """What is remembered of a batch. dump: what decides its items (`identity`); start: items before it that have
    results already; place: items of the batch that stand before `cursor`."""

    url: str
    dump: str
    start: int
    nonce: str
    batch: str = ""
    cursor: str = ""
    place: int = 0

    @property
    def key(self) -> str:
        """The batch's Idempotency-Key."""
        parts = f"{self.dump}\n{self.start}\n{self.nonce}".encode()
        return f"dump-{hashlib.sha256(parts).hexdigest()}"


def note_path(job: Job) -> Path:
    """Where the note of a run is."""
    return job.out.with_name(job.out.name + ".batch")


def read_note(path: Path) -> Note | None:
    """The note, if there is one that can be read."""
    try:
        return Note(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):
        return None


def write_note(path: Path, note: Note) -> None:
    """Replace the note."""
    partial = path.with_name(path.name + ".tmp")
    partial.write_text(json.dumps(asdict(note)))
    partial.replace(path)


def identity(job: Job) -> str:
    """The SHA-256 of the dump and of everything else that decides which items are sent."""
    with job.dump.open("rb") as file:
        hasher = hashlib.file_digest(file, "sha256")
    options = [__version__, job.profile, job.limit, job.column, job.group_by]
    hasher.update(json.dumps(options).encode())
    return hasher.hexdigest()


async def score_via(service: Service, run: Run, via: Via) -> None:
    """Score a prepared run on a service, the way that suits it; says which and why. Stopped as always."""
    if run.job.overwrite:
        note_path(run.job).unlink(missing_ok=True)
    choice = await choose(service, run.job, via)
    if choice.batch:
        service.say(f"via a batch: {choice.why}")
        try:
            async with Batched(service, run.job, lambda: run.items_written) as backend:
                await run.score(backend)
            return
        except NoBatch as error:
            if via is Via.BATCH:
                raise
            choice = Choice(False, str(error))
    service.say(f"via requests: {choice.why}")
    await run.score(service)


async def choose(service: Service, job: Job, via: Via) -> Choice:
    """A batch or not. Stopped if a batch was asked for and can't be."""
    if via is Via.STREAM:
        return Choice(False, "asked for")
    regular = job.dump.is_file()
    if regular and read_note(note_path(job)) is not None:
        return Choice(True, f"{note_path(job)} says that an earlier run began one")
    size = job.dump.stat().st_size if regular else 0
    if via is Via.AUTO and size < LARGE_BYTES:
        return Choice(False, f"less than {LARGE_BYTES >> 20} MiB" if regular else "not a file")
    if not regular:
        raise Stopped("a batch needs a dump that can be read twice; give a file, or --via stream")
    reply = await service.ask("GET", "/v1/info", final=REFUSED | {LOST})
    try:
        kept = json.loads(reply.content).get("batches")
    except (ValueError, AttributeError):
        kept = None
    if via is Via.BATCH:
        return Choice(True, "asked for")
    if kept == "durable":
        return Choice(True, f"{size >> 20} MiB, and the service keeps batches durably")
    return Choice(False, "the service keeps no batches beyond its own life")


class Body(NamedTuple):
    """A batch's lines, compressed; how many items."""

    file: BinaryIO
    items: int

    async def pieces(self) -> AsyncIterator[bytes]:
        """From the start."""
        self.file.seek(0)
        while piece := self.file.read(PIECE):
            yield piece


async def body_of(job: Job, start: int) -> Body:
    """The lines of a dump's items, without the first `start`."""
    packed = cast("BinaryIO", tempfile.TemporaryFile())  # noqa: SIM115 - the caller closes it
    reader = open_input(job.dump, job.column)
    try:
        count = 0
        with zstandard.ZstdCompressor(level=1).stream_writer(packed, closefd=False) as out:
            for item in items_of(job, reader):
                count += 1
                if count > start:
                    out.write(encode(wire_item(item)) + b"\n")
                if count % 1024 == 0:
                    await asyncio.sleep(0)  # an interruption is noticed
    except BaseException:
        packed.close()
        raise
    finally:
        reader.close()
    return Body(packed, max(0, count - start))


def items_of(job: Job, reader: Input) -> Iterator[ItemIn]:
    """The rows of a dump that can be scored."""
    rows = Rows(job)
    for count, record in enumerate(reader.records()):
        if count == job.limit:
            return
        entry = rows.read(record)
        if entry.item is not None:
            yield entry.item


class Batched:
    """Scores a dump's items, from the one numbered `start` on and in their order, as a batch of the service.

    Use as `async with Batched(...) as backend`. written: how many items of the dump the output holds.
    """

    def __init__(self, service: Service, job: Job, written: Callable[[], int]) -> None:
        self._service = service
        self._job = job
        self._written = written
        self._path = note_path(job)
        self._note: Note
        self._first = self._next = written()
        self._turn = asyncio.Lock()
        self._results = self._read()
        self._hints: list[tuple[int, str]] = []
        self._noted = time.monotonic()

    async def __aenter__(self) -> Batched:
        dump = await asyncio.to_thread(identity, self._job)
        note, written = read_note(self._path), self._written()
        if note is None or (note.dump, note.url) != (dump, self._service.url) or note.start > written:
            note = Note(self._service.url, dump, written, secrets.token_hex(8))
        if note.start + note.place > written:  # the output lost its end
            note = replace(note, cursor="", place=0)
        self._note = note
        if note.batch:
            self._service.say(f"going on with {note.batch}")
        else:
            await self._create()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._results.aclose()
        if kind is None:  # every result is in the output
            self._path.unlink(missing_ok=True)

    async def score(self, items: Sequence[ItemIn]) -> Sequence[Mapping[str, Any]]:
        """The results of the next items. Calls are answered in the order in which they are made."""
        first, self._next = self._next, self._next + len(items)
        async with self._turn:
            found = [await anext(self._results) for _ in items]
            self._remember(first + len(items))
        again = [place for place, one in enumerate(found) if one["retryable"]]
        if again:
            better = await self._service.score([items[place] for place in again])
            for place, one in zip(again, better, strict=True):
                found[place] = one
        return found

    def _remember(self, items: int) -> None:
        """Note a cursor, once the output holds everything before it."""
        if self._note.cursor and (not self._hints or self._hints[-1][1] != self._note.cursor):
            self._hints.append((items, self._note.cursor))
        now = time.monotonic()
        if now - self._noted < NOTE_SECONDS:
            return
        safe = [hint for hint in self._hints if hint[0] <= self._written()]
        if safe:
            self._noted = now
            self._hints = self._hints[len(safe) :]
            place, cursor = safe[-1]
            write_note(self._path, replace(self._note, cursor=cursor, place=place - self._note.start))

    async def _create(self) -> None:
        """Make the batch that the note describes, or find it."""
        write_note(self._path, replace(self._note, cursor="", place=0))
        body = await body_of(self._job, self._note.start)
        with body.file:
            headers = {
                "content-type": "application/x-ndjson", "content-encoding": "zstd", "idempotency-key": self._note.key,
            }  # fmt: skip
            path = f"/v1/batches?completion_window={WINDOW}"
            reply = await self._service.ask("POST", path, body.pieces, headers, final=REFUSED | {LOST, 507})
        if reply.status_code != 200:
            self._path.unlink(missing_ok=True)
            raise NoBatch(f"the service made no batch: {said(reply)}")
        try:
            name = str(json.loads(reply.content)["id"])
        except (ValueError, KeyError, TypeError):
            raise Stopped(f"{self._service.url}: the answer is no batch; is it this service?") from None
        self._note = replace(self._note, batch=name, cursor="", place=0)
        write_note(self._path, self._note)
        self._service.say(f"{body.items:,} items sent as {name}")

    async def _read(self) -> AsyncGenerator[Mapping[str, Any], None]:
        """One result per item from the first one that is asked for on, for ever: what the batch has none of is an error."""
        attempt, started = 0, time.monotonic()
        place = self._first  # of the dump's items
        while True:
            moved, whole, status, problem, least = False, True, 200, "", 0.0
            try:
                async with self._results_from_cursor() as reply:
                    status = reply.status_code
                    if status != 200:
                        await reply.aread()
                        problem, least = said(reply), retry_after(reply.headers.get("retry-after"))
                    lines = Lines()
                    async for data in reply.aiter_bytes():
                        for line in lines.feed(data) if status == 200 else ():
                            moved, attempt, started = True, 0, time.monotonic()
                            self._service.patience.succeeded()
                            found, cursor = self._result(line)
                            here = self._note.start + int(found["index"])
                            while place < here:
                                place += 1
                                yield LEFT_OUT
                            self._note = replace(self._note, cursor=cursor)
                            if here == place:
                                place += 1
                                yield found
            except httpx2.ReadTimeout:
                whole = False
            except httpx2.TransportError as error:
                problem = trouble(error)
            attempt += 1
            if status == LOST:
                await self._begin_again()
            elif status != 200 and status not in BUSY and status != 500:
                raise Stopped(f"{self._service.url} can't be used: {problem}")
            elif problem:
                await self._service.patience.wait(problem, attempt, started, least)
            elif not moved and await self._ended() and whole:
                while True:
                    yield LEFT_OUT
            elif not moved:
                started = time.monotonic()  # it answers: there is nothing new, that is all
                await self._service.pause(backoff(attempt))

    def _results_from_cursor(self) -> AbstractAsyncContextManager[httpx2.Response]:
        params = {"cursor": self._note.cursor} if self._note.cursor else {}
        url = f"{self._service.url}/v1/batches/{self._note.batch}/results"
        timeout = httpx2.Timeout(SILENCE_SECONDS, connect=10.0)
        return self._service.client.stream("GET", url, params=params, timeout=timeout)

    def _result(self, line: bytes) -> tuple[dict[str, Any], str]:
        try:
            found: dict[str, Any] = json.loads(line)
            if sound(found) and isinstance(found["index"], int):
                return found, str(found["cursor"])
        except (ValueError, KeyError, TypeError, AttributeError):
            pass
        raise Stopped(f"{self._service.url}: a line that is no result; is it this service?")

    async def _ended(self) -> bool:
        """Will the batch get no further results? A batch that the service has lost is made again."""
        reply = await self._service.ask("GET", f"/v1/batches/{self._note.batch}", final=REFUSED | {LOST})
        if reply.status_code != 200:
            return False  # reading says the same, and acts on it
        state = json.loads(reply.content)
        counts = state["request_counts"]
        ended = state["status"] in ("completed", "failed", "expired", "cancelled")
        if not ended:
            done = counts["completed"] + counts["failed"]
            self._service.say(f"{self._note.batch} {state['status']}: {done:,} of {counts['total']:,} items")
        return bool(ended)

    async def _begin_again(self) -> None:
        """The service has lost the batch: another one, of the items that the output does not hold yet."""
        self._service.say(f"the service has lost {self._note.batch}; the rest is sent again")
        self._hints.clear()
        self._note = Note(self._note.url, self._note.dump, self._written(), secrets.token_hex(8))
        await self._create()


class NoBatch(Stopped):
    """The service takes this dump as no batch: another way may do."""


LEFT_OUT: Mapping[str, Any] = {
    **result(cannot_judge(Reason.INTERNAL, "the batch ended without a result for this item"), 0, None),
    "retryable": True,
}
