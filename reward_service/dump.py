"""Dumps as streams of JSON lines, however they are stored, and outputs that an interruption can't spoil.

What is decided here: a row stays the bytes that it was. Whatever the input is (JSONL, gzip, zstd, Parquet), it
becomes one JSON line per row; the outcome is spliced in before the closing brace. So numbers, key order and
columns that we know nothing of survive, and an interrupted output proves by itself which input it is from.

Lines end at a line feed and nowhere else: U+2028, U+0085 and form feeds occur inside strings. Compressed output
is a sequence of whole frames, cut by the number of bytes and never by time, so that a run that was killed and
resumed writes the very bytes that an undisturbed one writes.
"""

from __future__ import annotations

import fcntl
import gzip
import io
import os
import stat
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, Protocol

import zstandard

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

MAX_LINE = 256 << 20
"""Bytes of one row. Real rows with their tests inside reach some ten megabytes."""
FRAME_BYTES = 1 << 20
"""Bytes of rows in one frame of compressed output: what a kill can cost there."""
READ_BYTES = 16 << 10
BUFFER_BYTES = 256 << 10
SPACE = b" \t\r\n"
BOM = b"\xef\xbb\xbf"
DAMAGE = (EOFError, zlib.error, zstandard.ZstdError)


class Refused(Exception):
    """The run can't start as it was asked for; nothing was changed. The message says what to do."""


class Record(NamedTuple):
    """One row: its line (or row) number from 1, its JSON without a line end, or what is wrong with it."""

    number: int
    line: bytes
    problem: str | None = None


class Input(Protocol):
    """A dump that is being read. `done` and `total` are in the same unit; total is None for a pipe."""

    kind: str
    total: int | None

    @property
    def done(self) -> int:
        """How much has been read."""
        ...

    def records(self) -> Iterator[Record]:
        """The rows in their order; blank lines are no rows. OSError if the disk fails."""
        ...

    def close(self) -> None:
        """Give the file back."""
        ...


def open_input(path: Path, column: str) -> Input:
    """The dump at `path`, by what its first bytes say. Refused if it can't be read, or has `column` already."""
    try:
        raw = path.open("rb", buffering=0)
    except OSError as error:
        raise Refused(f"{path}: {error.strerror}") from None
    try:
        buffered = io.BufferedReader(raw, BUFFER_BYTES)
        kind = kind_of(buffered.peek(4))
    except OSError as error:
        raise Refused(f"{path}: {error.strerror}") from None
    if kind == "parquet":
        raw.close()
        from reward_service.parquet import ParquetInput

        return ParquetInput(path, column)
    return TextInput(raw, buffered, kind)


def kind_of(start: bytes) -> str:
    """`plain`, `gzip`, `zstd` or `parquet`, by a file's first bytes."""
    for kind, magic in (("gzip", b"\x1f\x8b"), ("zstd", b"\x28\xb5\x2f\xfd"), ("parquet", b"PAR1")):
        if start.startswith(magic):
            return kind
    return "plain"


class TextInput:
    """JSON lines, plain or compressed, with a bound on the length of a line."""

    def __init__(self, raw: io.FileIO, buffered: BinaryIO, kind: str) -> None:
        status = os.fstat(raw.fileno())
        self.kind = kind
        self.total: int | None = status.st_size if stat.S_ISREG(status.st_mode) else None
        self._raw = raw
        self._file = buffered  # closes the raw file when it goes
        self._stream: BinaryIO = buffered
        if kind != "plain":
            self._stream = io.BufferedReader(_Pieces(frames(buffered, kind)), BUFFER_BYTES)

    @property
    def done(self) -> int:
        """Bytes read from the disk."""
        return self._raw.tell() if self.total is not None else 0

    def records(self) -> Iterator[Record]:
        """The rows. Where a compressed file is damaged or cut off, a last record says so."""
        number = 0
        try:
            while line := self._stream.readline(MAX_LINE + 1):
                number += 1
                if len(line) > MAX_LINE:
                    while line and not line.endswith(b"\n"):
                        line = self._stream.readline(BUFFER_BYTES)
                    yield Record(number, b"", f"longer than {MAX_LINE} bytes")
                    continue
                if number == 1:
                    line = line.removeprefix(BOM)
                line = line.strip(SPACE)
                if line:
                    yield Record(number, line)
        except DAMAGE as error:
            yield Record(number + 1, b"", f"the file is damaged or cut off here ({error})")

    def close(self) -> None:
        """Give the file back."""
        self._file.close()


def frames(file: BinaryIO, kind: str) -> Iterator[tuple[bytes, int | None]]:
    """Decompressed pieces; with the last piece of a frame comes the offset in the file at which it ends.

    EOFError if the last frame is cut off, zlib.error or ZstdError if one is damaged.
    """

    def machine() -> Any:
        return (
            zlib.decompressobj(wbits=31) if kind == "gzip" else zstandard.ZstdDecompressor().decompressobj()
        )

    current = machine()
    offset, inside = 0, False
    while data := file.read(READ_BYTES):
        while data:
            if not inside and kind == "gzip" and not (data := _after_padding(data)):
                break
            inside = True
            piece = current.decompress(data)
            rest: bytes = current.unused_data
            offset += len(data) - len(rest)
            if current.eof:
                yield piece, offset
                current, inside = machine(), False
            elif piece:
                yield piece, None
            data = rest
    if inside:
        raise EOFError("its last frame is incomplete")


def _after_padding(data: bytes) -> bytes:
    """gzip files on tapes and block devices are padded with zero bytes."""
    return data.lstrip(b"\0")


class _Pieces(io.RawIOBase):
    """A raw stream over pieces of bytes."""

    def __init__(self, pieces: Iterator[tuple[bytes, int | None]]) -> None:
        self._pieces = pieces
        self._left = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        while not self._left:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._left = memoryview(piece[0])
        view = memoryview(buffer)
        count = min(len(view), len(self._left))
        view[:count] = self._left[:count]
        self._left = self._left[count:]
        return count


SUFFIXES = {
    ".jsonl": "plain",
    ".ndjson": "plain",
    ".json": "plain",
    ".gz": "gzip",
    ".zst": "zstd",
    ".zstd": "zstd",
    ".parquet": "parquet",
}


def output_kind(path: Path) -> str:
    """What to write, by the file's name. Refused for a name that doesn't say."""
    kind = SUFFIXES.get(path.suffix.lower())
    if kind is None:
        raise Refused(f"{path}: name the output *.jsonl, *.jsonl.gz, *.jsonl.zst or *.parquet")
    return kind


def with_outcome(line: bytes, column: bytes, outcome: bytes) -> bytes:
    """A row's line with one more column and a line end. `line` is a JSON object, or empty."""
    row = line[:-1].rstrip(SPACE) if line else b"{"
    comma = b"" if row == b"{" else b", "
    return b"".join((row, comma, column, b": ", outcome, b"}\n"))


def outcome_of(written: bytes, line: bytes, column: bytes) -> bytes | None:
    """The outcome in a written line if it is `line` with one, else None."""
    empty = with_outcome(line, column, b"")
    head = empty.removesuffix(b"}\n")
    if not (written.startswith(head) and written.endswith(b"}\n")):
        return None
    return written[len(head) : -2]


class Output:
    """The rows written so far, and the place to append to. Held by one run at a time."""

    def __init__(self, path: Path, kind: str, *, fresh: bool) -> None:
        """Open for appending; Refused if another run holds the file."""
        self.path = path
        self._kind = kind
        self._good = 0
        self._frame: list[bytes] = []
        self._size = 0
        self._new = not path.exists()
        self._file = path.open("a+b")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.close()
            raise Refused(f"{path}: another run is writing it") from None
        if fresh:
            self._file.truncate(0)

    def written(self) -> Iterator[bytes]:
        """The whole lines that are there. A half-written line or frame at the end is left out."""
        self._file.seek(0)
        if self._kind == "plain":
            for line in self._file:
                if not line.endswith(b"\n"):
                    return
                self._good += len(line)
                yield line
            return
        parts: list[bytes] = []
        try:
            for piece, end in frames(self._file, self._kind):
                parts.append(piece)
                if end is not None:
                    lines = io.BytesIO(b"".join(parts))
                    parts = []
                    self._good = end
                    yield from lines
        except DAMAGE:
            return

    def begin(self) -> None:
        """Cut off what is not whole. Call it after `written`."""
        self._file.truncate(self._good)
        self._file.seek(0, os.SEEK_END)

    def write(self, line: bytes) -> None:
        """Append one line; it is in the file after `flush`, or when its frame is full. OSError: disk full."""
        if self._kind == "plain":
            self._file.write(line)
            return
        self._frame.append(line)
        self._size += len(line)
        if self._size >= FRAME_BYTES:
            self._end_frame()

    def flush(self) -> None:
        """Hand to the operating system what may be handed over: a kill of this process then can't take it."""
        self._file.flush()

    def _end_frame(self) -> None:
        data = b"".join(self._frame)
        self._frame.clear()
        self._size = 0
        if self._kind == "gzip":
            self._file.write(gzip.compress(data, 6, mtime=0))
        else:
            self._file.write(zstandard.ZstdCompressor(level=3).compress(data))

    def finish(self, final: Path | None) -> None:
        """Write the rest, make it durable, and give the file its final name (None: keep the name)."""
        if self._frame:
            self._end_frame()
        self._file.flush()
        os.fsync(self._file.fileno())
        if final is not None:
            self.rename(final)

    def rename(self, path: Path) -> None:
        """Give the file another name, and keep it locked."""
        self.path.replace(path)
        self.path = path

    def close(self) -> None:
        """Give the file back, and the lock with it. An empty file that this run made goes away."""
        empty = self._new and not os.fstat(self._file.fileno()).st_size
        self._file.close()
        if empty and self.path.suffix == ".partial":
            self.path.unlink(missing_ok=True)
