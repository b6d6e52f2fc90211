"""Parquet in and out, for the command line. Needs the `parquet` extra (pyarrow).

What is decided here: a Parquet output is only written once every row has its outcome, because the format has no
readable half; until then the rows and outcomes are in a journal (compressed JSON lines) beside it. From a Parquet
input the output keeps the input's columns and types as they are. From JSON lines, a column of one scalar type
keeps it, and any other column (nested, or of mixed types) is text: strings stay, the rest becomes JSON.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic_core import to_json

from reward_service.dump import Record, Refused
from reward_service.wire import TIMES

try:
    import pyarrow as pa
    import pyarrow.parquet as pq
except ModuleNotFoundError as missing:
    raise Refused(
        "Parquet needs pyarrow, which is not installed: pip install 'reward-service[parquet]'"
    ) from missing

BATCH_ROWS = 256
GROUP_BYTES = 32 << 20
"""Bytes of rows, as JSON, that go into one row group."""


class ParquetInput:
    """The rows of a Parquet file as JSON lines. NaN becomes null, bytes base64, dates ISO 8601."""

    kind = "parquet"

    def __init__(self, path: Path, column: str) -> None:
        self._file = open_parquet(path)
        if column in self._file.schema_arrow.names:
            raise Refused(f"{path}: there is a column {column!r} already; name another with --column")
        self.total: int | None = self._file.metadata.num_rows
        self._done = 0

    @property
    def done(self) -> int:
        """Rows read."""
        return self._done

    def records(self) -> Iterator[Record]:
        """The rows in their order, numbered from 1."""
        for batch in self._file.iter_batches(BATCH_ROWS):
            for row in batch.to_pylist():
                self._done += 1
                try:
                    line = to_json(row, inf_nan_mode="null", bytes_mode="base64")
                except (ValueError, TypeError) as error:
                    yield Record(self._done, b"", f"the row can't be read as JSON ({error})")
                else:
                    yield Record(self._done, line)

    def close(self) -> None:
        """Give the file back."""
        self._file.close()


def open_parquet(path: Path) -> Any:
    """A pyarrow ParquetFile. Refused if it is none."""
    try:
        # With a buffer, column chunks are streamed; without, each row group would be held whole.
        return pq.ParquetFile(path, buffer_size=1 << 20, pre_buffer=False)
    except (OSError, pa.ArrowException) as error:
        raise Refused(f"{path}: not a readable Parquet file ({str(error)[:200]})") from None


def outcome_type(*, timings: bool = False) -> Any:
    """The Parquet type of an outcome. `detail` is open, so it is JSON text."""
    text = pa.string()
    times = [(name, pa.float64()) for name in TIMES] if timings else []
    return pa.struct(
        [
            ("status", text),
            ("score", pa.float64()),
            ("correct", pa.bool_()),
            ("reason", text),
            ("extracted", text),
            ("flags", pa.list_(text)),
            ("handler", text),
            ("version", text),
            ("profile", text),
            ("detail", text),
            *times,
        ]
    )


Journal = Callable[[], Iterator[bytes]]
"""Gives the lines of a finished run, as often as it is called."""


def finish(
    journal: Journal, dump: Path, out: Path, column: str, *, from_parquet: bool, timings: bool = False
) -> None:
    """Make the Parquet file `out` of a journal. It appears whole or not at all."""
    half = out.with_name(out.name + ".tmp")
    kind = outcome_type(timings=timings)
    try:
        if from_parquet:
            _extend(journal(), dump, half, column, kind)
        else:
            _convert(journal, half, column, kind)
        half.replace(out)
    finally:
        half.unlink(missing_ok=True)


class _Groups:
    """Record batches on their way into row groups of about GROUP_BYTES."""

    def __init__(self, writer: Any, schema: Any) -> None:
        self._writer, self._schema = writer, schema
        self._held: list[Any] = []
        self._size = 0

    def add(self, batch: Any) -> None:
        self._held.append(batch)
        self._size += batch.nbytes
        if self._size >= GROUP_BYTES:
            self.end()

    def end(self) -> None:
        if self._held:
            self._writer.write_table(pa.Table.from_batches(self._held, self._schema))
        self._held, self._size = [], 0


Mask = Callable[[Path], Iterator[bool]]
"""Says for each row of a file, in their order, whether it is kept."""


def select(files: Sequence[Path], out: Path, mask: Mask) -> None:
    """The kept rows of Parquet files with their columns and types as they are. Refused if those differ between files."""
    sources = [open_parquet(path) for path in files]
    schema = sources[0].schema_arrow
    for path, source in zip(files, sources, strict=True):
        if not source.schema_arrow.equals(schema):
            raise Refused(f"{path} has other columns or types than {files[0]}: write *.jsonl")
    half = out.with_name(out.name + ".tmp")
    try:
        with pq.ParquetWriter(half, schema, compression="zstd") as writer:
            groups = _Groups(writer, schema)
            for path, source in zip(files, sources, strict=True):
                keep = mask(path)
                for batch in source.iter_batches(BATCH_ROWS):
                    groups.add(batch.filter(pa.array(itertools.islice(keep, batch.num_rows), pa.bool_())))
                for _ in keep:  # to its end, where it gives back what it holds
                    pass
            groups.end()
        half.replace(out)
    finally:
        half.unlink(missing_ok=True)
        for source in sources:
            source.close()


def convert(journal: Journal, out: Path) -> None:
    """JSON lines as a Parquet file, by the same rules as with outcomes. It appears whole or not at all."""
    half = out.with_name(out.name + ".tmp")
    try:
        _convert(journal, half, None, None)
        half.replace(out)
    finally:
        half.unlink(missing_ok=True)


def _outcome(outcome: dict[str, Any]) -> dict[str, Any]:
    extracted = outcome["extracted"]
    if isinstance(extracted, str):
        extracted = extracted.encode("utf-8", "replace").decode()  # a lone surrogate fits no column
    return {**outcome, "extracted": extracted, "detail": json.dumps(outcome["detail"])}


def _extend(lines: Iterator[bytes], dump: Path, half: Path, column: str, kind: Any) -> None:
    """The input's own record batches, with the outcomes as one more column."""
    source = open_parquet(dump)
    schema = source.schema_arrow.append(pa.field(column, kind))
    with pq.ParquetWriter(half, schema, compression="zstd") as writer:
        groups = _Groups(writer, schema)
        for batch in source.iter_batches(BATCH_ROWS):
            taken = itertools.islice(lines, batch.num_rows)
            outcomes = [_outcome(json.loads(line)[column]) for line in taken]
            if not outcomes:
                break
            arrays = [*batch.slice(0, len(outcomes)).columns, pa.array(outcomes, kind)]
            groups.add(pa.record_batch(arrays, schema=schema))
        groups.end()
    source.close()


def _convert(journal: Journal, half: Path, column: str | None, outcome: Any) -> None:
    """Rows of JSON lines: once over the journal for the columns' types, once for the values. column: of outcomes, if any."""
    kinds: dict[str, set[str]] = {}
    for line in journal():
        for name, value in json.loads(line).items():
            kinds.setdefault(name, set()).update(_kind(value))
    if column is not None:
        kinds.pop(column, None)
    types = {name: _type(found) for name, found in kinds.items()}
    schema = pa.schema([*types.items(), *([(column, outcome)] if column is not None else [])])
    with pq.ParquetWriter(half, schema, compression="zstd") as writer:
        rows: list[dict[str, Any]] = []
        size = 0
        for line in journal():
            row: dict[str, Any] = json.loads(line)
            for name, kind in types.items():
                value = row.get(name)
                if kind == pa.string() and value is not None and not isinstance(value, str):
                    row[name] = json.dumps(value, ensure_ascii=False)
            if column is not None:
                row[column] = _outcome(row[column])
            rows.append(row)
            size += len(line)
            if size >= GROUP_BYTES:
                writer.write_table(pa.Table.from_pylist(rows, schema))
                rows, size = [], 0
        if rows:
            writer.write_table(pa.Table.from_pylist(rows, schema))


def _kind(value: Any) -> tuple[str, ...]:
    """What a column must hold to hold this value; nothing for null."""
    match value:
        case None:
            return ()
        case bool():
            return ("bool",)
        case int() if abs(value) <= 2**53:
            return ("int",)
        case int() if -(2**63) <= value < 2**63:
            return ("int", "long")
        case float():
            return ("float",)
        case _:
            return ("text",)


def _type(kinds: set[str]) -> Any:
    """The Parquet type of a column: integers go with floats as long as none is changed by it."""
    if kinds == {"bool"}:
        return pa.bool_()
    if kinds and kinds <= {"int", "long"}:
        return pa.int64()
    if kinds and kinds <= {"int", "float"}:
        return pa.float64()
    return pa.string()
