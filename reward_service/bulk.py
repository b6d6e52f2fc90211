"""Score a whole dump: read, score, write in order, and go on where an earlier run was interrupted.

What is decided here: what a row of a dump is, and what its outcome looks like in the output. The outcome is one
nested column (`outcome` unless `--column` names another), because trainers' dumps have columns named `score`,
`reward` and `correct` of their own. It holds nothing that differs from run to run (no timings, unless they are asked for): an output is a
function of its input and the handlers' versions. A row that has that column already is an error, not overwritten.

There is no checkpoint file. Rows are copied byte for byte, so a resumed run reads the input again beside what was
written, and refuses to go on if they don't belong together.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NamedTuple, Protocol

from pydantic import (
    AliasChoices,
    AliasPath,
    BeforeValidator,
    Field,
    TypeAdapter,
    ValidationError,
    create_model,
)
from pydantic_core import from_json, to_json

from reward_service.analysis.summary import Summary, group_key
from reward_service.dump import (
    Input,
    Output,
    Record,
    Refused,
    open_input,
    outcome_of,
    output_kind,
    with_outcome,
)
from reward_service.types import Profile, Reason, cannot_judge
from reward_service.wire import TIMES, ItemIn, RewardModel, bad_request, encode, result

WINDOW_BYTES = 4 << 20
IN_FLIGHT_ROWS = 8_192
IN_FLIGHT_BYTES = 64 << 20
OUTCOME = ("status", "score", "correct", "reason", "extracted", "flags", "handler", "version")
MALFORMED = "(malformed)"
"""The data source under which rows are counted that can't be read."""


class Stopped(Exception):
    """Nothing can be scored any more where the run scores. The message says why."""


class Backend(Protocol):
    """Where items are scored."""

    async def score(self, items: Sequence[ItemIn]) -> Sequence[Mapping[str, Any]]:
        """One result (the fields of `wire.ResultOut`) per item, in their order. Stopped if it can't go on."""
        ...


@dataclass(frozen=True, slots=True)
class Job:
    """What to score, and how. group_by: a column or dotted path; limit: rows from the start.

    timings: times are recorded, too; two runs then no longer write the same bytes.
    """

    dump: Path
    out: Path
    column: str = "outcome"
    profile: Profile | None = None
    group_by: str | None = None
    batch: int = 256
    limit: int | None = None
    overwrite: bool = False
    timings: bool = False


class Entry(NamedTuple):
    """A row on its way: what can be scored of it, or what is wrong with it."""

    record: Record
    kept: bytes
    """The columns that the output keeps: the row's line, or nothing if it is no row."""
    item: ItemIn | None
    problem: str | None
    data_source: str
    group: int | None


class Progress(NamedTuple):
    """How far a run is. done and total: bytes or rows of the input; resumed: rows that were there already."""

    rows: int
    resumed: int
    done: int
    total: int | None


Watch = Callable[[Progress], None]


class Rows:
    """Reads records as rows: one pass from bytes to an item, its prompt's group, and what stands in the way."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._adapter = TypeAdapter(row_model(job.column, job.group_by))
        self._first = True
        self._group: Callable[[Any], Any] | None = None
        self.grouped_by: str | None = None
        """In words, what makes two rows samples of one prompt; None until a row has decided that."""

    def read(self, record: Record) -> Entry:
        """The record as an entry. Refused if the first row has the outcome's column already."""
        first, self._first = self._first, False
        if record.problem is not None:
            return Entry(record, b"", None, record.problem, MALFORMED, None)
        try:
            row: Any = self._adapter.validate_json(record.line)
        except ValidationError as error:
            bad = bad_request(error)
            is_row = bad.problem != "invalid-json" and record.line.startswith(b"{")
            kept = record.line if is_row and self._job.column not in from_json(record.line) else b""
            return Entry(record, kept, None, bad.detail, MALFORMED, None)
        if "own_column" in row.model_fields_set:
            problem = f"there is a column {self._job.column!r} already; name another with --column"
            if first:
                raise Refused(problem)
            return Entry(record, b"", None, problem, MALFORMED, None)
        if self._job.profile is not None:
            row.profile = self._job.profile
        name = row.data_source or row.domain or "(none)"
        return Entry(record, record.line, row, None, name[:200], self._group_of(row))

    def _group_of(self, row: Any) -> int | None:
        if self._group is None:
            self.grouped_by, self._group = grouping(row, self._job.group_by)
        value = self._group(row)
        return None if value is None else group_key(value)


def _parsed(value: Any) -> Any:
    """Nested columns that a Parquet file holds as JSON text."""
    if isinstance(value, str):
        with suppress(ValueError):
            return from_json(value)
    return value


def row_model(column: str, group_by: str | None) -> type[ItemIn]:
    """The wire's item, with what only a dump has: any `id`, nested columns as text, a column to group by."""
    path = (group_by or "prompt_id").split(".")
    where = AliasChoices(group_by or "prompt_id", AliasPath(path[0], *path[1:]))
    extra_info = Annotated[dict[str, Any] | None, BeforeValidator(_parsed)]
    reward_model = Annotated[RewardModel | None, BeforeValidator(_parsed)]
    fields: dict[str, Any] = {
        "id": (Any, None),
        "extra_info": (extra_info, None),
        "reward_model": (reward_model, None),
        "own_column": (Any, Field(None, validation_alias=column)),
        "own_group": (Any, Field(None, validation_alias=where)),
    }
    return create_model("DumpRow", __base__=ItemIn, **fields)


def grouping(row: Any, asked: str | None) -> tuple[str, Callable[[Any], Any]]:
    """What makes two rows samples of the same prompt, decided on the first row: in words, and as a function."""
    if asked is not None:
        return asked, lambda row: row.own_group
    if row.own_group is not None:
        return "prompt_id", lambda row: row.own_group
    if row.extra_info and row.extra_info.get("index") is not None:
        return "data_source and extra_info.index", lambda row: (row.extra_info or {}).get("index")
    return "the prompt's text", lambda row: row.prompt


def recorded(found: Mapping[str, Any], profile: str | None, timings: bool = False) -> dict[str, Any]:
    """What the output keeps of a result."""
    kept = {name: found[name] for name in (OUTCOME + TIMES if timings else OUTCOME)}
    return {**kept, "profile": profile, "detail": dict(found["detail"])}


def problem_outcome(entry: Entry) -> dict[str, Any]:
    """The outcome of a row that can't be read: an error with its line number, never a score."""
    error = cannot_judge(Reason.MALFORMED_ITEM, entry.problem or "", line=entry.record.number)
    return recorded(result(error, 0, None), None)


class Run:
    """One run over one dump: `prepare`, then `score` if there is something to do, and always `close`.

    `summary` and `rows` may be read at any time. written: rows in the output; resumed: those that were there before.
    """

    def __init__(self, job: Job, watch: Watch) -> None:
        """Check the job and open its files. Refused if it can't be done; then nothing was changed."""
        self.job = job
        self.summary = Summary()
        self.rows = Rows(job)
        self._watch = watch
        self._column = to_json(job.column)
        self._kind = output_kind(job.out)
        self._partial = job.out.with_name(job.out.name + ".partial")
        if job.out.exists() and job.dump.exists() and job.out.samefile(job.dump):
            raise Refused("the output is the input")
        if not job.out.parent.is_dir():
            raise Refused(f"{job.out.parent}: no such directory")
        if self._kind == "parquet":
            import reward_service.parquet  # noqa: F401 - says now what to install
        self._input: Input = open_input(job.dump, job.column)
        try:
            self._output = self._open_output()
        except BaseException:
            self._input.close()
            raise
        self._entries = self._read()
        self._next: Entry | None = None
        self.resumed = 0
        self.written = 0
        self.items_written = 0
        """How many of the written rows are items: the others can't be read."""

    def _open_output(self) -> Output:
        job = self.job
        kind = "zstd" if self._kind == "parquet" else self._kind
        if job.overwrite or self._partial.exists() or not job.out.exists():
            return Output(self._partial, kind, fresh=job.overwrite)
        if self._kind == "parquet":
            raise Refused(f"{job.out} exists and is complete; --overwrite scores everything again")
        return Output(job.out, kind, fresh=False)

    def prepare(self) -> bool:
        """Walk over what is there already; is anything left to do? Refused if it is from another input."""
        self._check_written()
        self._next = next(self._entries, None)
        return self._next is not None or self._output.path == self._partial

    async def score(self, backend: Backend) -> None:
        """Score what is left, and give the output its name. Written rows survive any exception."""
        if self._output.path != self._partial:  # complete, until the input grew
            self._output.rename(self._partial)
        self._output.begin()
        await self._score_rest(backend)
        self._finish()

    def close(self) -> None:
        """Give the files back."""
        self._output.close()
        self._input.close()
        self.summary.close()

    def _read(self) -> Iterator[Entry]:
        for count, record in enumerate(self._input.records()):
            if count == self.job.limit:
                return
            yield self.rows.read(record)

    def _check_written(self) -> None:
        """Walk over the written rows and the input side by side. Refused where they differ."""
        again = "give another output, or --overwrite to score everything again"
        for line in self._output.written():
            entry = next(self._entries, None)
            if entry is None:
                raise Refused(f"{self._output.path} has more rows than the input: {again}")
            outcome = self._outcome_in(line, entry)
            if outcome is None:
                place = f"row {self.resumed + 1} (line {entry.record.number} of {self.job.dump})"
                raise Refused(f"{self._output.path} was not made from this input: {place} differs; {again}")
            if entry.item is not None and outcome["profile"] != entry.item.profile:
                raise Refused(f"{self._output.path} was scored with profile {outcome['profile']}: {again}")
            self.summary.add(entry.record.number, entry.data_source, outcome, entry.group)
            self.resumed += 1
            self.items_written += entry.item is not None
            if self.resumed % 1024 == 0:
                self._report()
        self.written = self.resumed
        self._report()

    def _outcome_in(self, line: bytes, entry: Entry) -> dict[str, Any] | None:
        data = outcome_of(line, entry.kept, self._column)
        if data is None:
            return None
        try:
            outcome: Any = json.loads(
                data
            )  # pydantic's parser refuses the lone surrogates that `encode` escapes
        except ValueError:
            return None
        if not isinstance(outcome, dict) or set(outcome) - set(TIMES) != {*OUTCOME, "profile", "detail"}:
            return None
        if entry.item is None and outcome != json.loads(encode(problem_outcome(entry))):
            return None
        return outcome

    async def _score_rest(self, backend: Backend) -> None:
        running: deque[tuple[list[Entry], asyncio.Task[Sequence[Mapping[str, Any]]], int]] = deque()
        rows = size = 0
        try:
            for window, bytes_ in windows(self._next, self._entries, self.job.batch):
                items = [entry.item for entry in window if entry.item is not None]
                running.append((window, asyncio.create_task(score_window(backend, items)), bytes_))
                rows, size = rows + len(window), size + bytes_
                await asyncio.sleep(0)
                while running and (rows >= IN_FLIGHT_ROWS or size >= IN_FLIGHT_BYTES or running[0][1].done()):
                    window, task, bytes_ = running.popleft()
                    self._write(window, await task)
                    rows, size = rows - len(window), size - bytes_
            while running:
                window, task, _ = running.popleft()
                self._write(window, await task)
        finally:
            for _, task, _ in running:
                task.cancel()
            await asyncio.gather(*(task for _, task, _ in running), return_exceptions=True)

    def _write(self, window: Sequence[Entry], results: Sequence[Mapping[str, Any]]) -> None:
        found = iter(results)
        for entry in window:
            number = entry.record.number
            if entry.item is None:
                outcome = problem_outcome(entry)
                self.summary.add(number, MALFORMED, outcome)
            else:
                result = next(found)
                outcome = recorded(result, entry.item.profile, self.job.timings)
                spent = None if result["cached"] else result["verify_ms"]
                self.summary.add(number, entry.data_source, outcome, entry.group, spent)
            self._output.write(with_outcome(entry.kept, self._column, encode(outcome)))
        self._output.flush()
        self.written += len(window)
        self.items_written += len(results)
        self._report()

    def _finish(self) -> None:
        if self._kind != "parquet":
            self._output.finish(self.job.out)
            return
        from reward_service import parquet

        self._output.finish(None)
        parquet.finish(
            self._output.written,
            self.job.dump,
            self.job.out,
            self.job.column,
            from_parquet=self._input.kind == "parquet",
            timings=self.job.timings,
        )
        self._output.path.unlink()

    def _report(self) -> None:
        self._watch(Progress(self.written or self.resumed, self.resumed, self._input.done, self._input.total))


def windows(first: Entry | None, entries: Iterator[Entry], rows: int) -> Iterator[tuple[list[Entry], int]]:
    """Entries in groups of at most `rows`, and of about WINDOW_BYTES, with each group's bytes."""
    window = [] if first is None else [first]
    size = len(first.record.line) if first is not None else 0
    for entry in entries:
        if len(window) >= rows or (window and size >= WINDOW_BYTES):
            yield window, size
            window, size = [], 0
        window.append(entry)
        size += len(entry.record.line)
    if window:
        yield window, size


async def score_window(backend: Backend, items: Sequence[ItemIn]) -> Sequence[Mapping[str, Any]]:
    """The backend's results, as many as items."""
    if not items:
        return []
    results = await backend.score(items)
    if len(results) != len(items):
        raise RuntimeError(f"{len(results)} results for {len(items)} items")
    return results
