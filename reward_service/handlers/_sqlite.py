"""Queries that a model wrote, on a small database in memory: read only, counted, and without a way to a file.

What is decided here: the walls. A database comes as a script or as the bytes of a SQLite file, never as a path. Queries run
behind an authorizer that knows only SELECT, reads of tables and ordinary functions; attaching, PRAGMA, virtual tables,
extensions, temporary objects and everything that writes are refused when the statement is compiled. Beside that
`query_only`, memory for temporary data (a big sort must not become a file), limits on lengths and depths, a heap limit, a
budget of virtual-machine steps, and bounds on rows and bytes. `random()` is refused, because a score has to be repeatable.
What still takes too long (one huge function call) ends with the process's own CPU limit.
"""

from __future__ import annotations

import base64
import binascii
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

MAX_SCRIPT = 4 << 20
MAX_DATABASE = 8 << 20
MAX_QUERY = 20_000
MAX_ROWS = 20_000
MAX_BYTES = 8 << 20
MAX_KEPT = 12
"""Results of trusted queries that are kept beside their database."""
STEPS = 20_000_000
"""Virtual-machine steps of one query: about a second."""
BUILD_STEPS = 40_000_000
_TICK = 10_000
_HEAP = 192 << 20

Row = tuple[Any, ...]


class DatabaseError(ValueError):
    """The database of a row can't be built; the text quotes nothing of it."""


class Forbidden(Exception):
    """The query does what queries may not do."""


class TooDear(Exception):
    """The query took more steps or memory than it may."""


class TooMuch(Exception):
    """The query returned more rows or bytes than it may."""


class Wrong(Exception):
    """SQLite refused the query; `syntax` if it is no statement at all."""

    def __init__(self, message: str, *, syntax: bool) -> None:
        super().__init__(message)
        self.syntax = syntax


@dataclass(slots=True)
class Result:
    """Rows in their order, and the tables that the query read."""

    rows: list[Row]
    tables: frozenset[str]


_FUNCTION_NAMES = """
load_extension random randomblob fts3_tokenizer readfile writefile edit fsdir sqlite_compileoption_get
sqlite_compileoption_used sqlite_source_id sqlite_version sqlite_log sqlite_offset changes total_changes
last_insert_rowid zipfile lsmode
"""
_REFUSED_FUNCTIONS = frozenset(_FUNCTION_NAMES.split())
_REFUSED_TABLES = (
    "pragma_",
    "sqlite_dbpage",
    "sqlite_dbdata",
    "dbstat",
    "sqlite_stmt",
    "bytecode",
    "tables_used",
    "completion",
    "fsdir",
)
_BUILDING = frozenset(
    getattr(sqlite3, name)
    for name in (
        "SQLITE_CREATE_INDEX", "SQLITE_CREATE_TABLE", "SQLITE_CREATE_VIEW", "SQLITE_CREATE_TRIGGER", "SQLITE_INSERT", "SQLITE_UPDATE",
        "SQLITE_DELETE", "SQLITE_DROP_TABLE", "SQLITE_DROP_VIEW", "SQLITE_DROP_INDEX", "SQLITE_ALTER_TABLE", "SQLITE_REINDEX", "SQLITE_ANALYZE",
        "SQLITE_TRANSACTION", "SQLITE_SAVEPOINT", "SQLITE_SELECT", "SQLITE_READ", "SQLITE_FUNCTION", "SQLITE_RECURSIVE",
    )
)  # fmt: skip
_LIMITS = (
    (sqlite3.SQLITE_LIMIT_LENGTH, 4 << 20),
    (sqlite3.SQLITE_LIMIT_SQL_LENGTH, MAX_SCRIPT),
    (sqlite3.SQLITE_LIMIT_COLUMN, 400),
    (sqlite3.SQLITE_LIMIT_EXPR_DEPTH, 200),
    (sqlite3.SQLITE_LIMIT_COMPOUND_SELECT, 60),
    (sqlite3.SQLITE_LIMIT_FUNCTION_ARG, 32),
    (sqlite3.SQLITE_LIMIT_ATTACHED, 0),
    (sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 500),
    (sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER, 0),
    (sqlite3.SQLITE_LIMIT_TRIGGER_DEPTH, 8),
    (sqlite3.SQLITE_LIMIT_WORKER_THREADS, 0),
)


@dataclass(slots=True)
class Database:
    """One database in memory, open for queries only. names: of its tables and views. results: of trusted queries.

    halves: copies without every second row, made when first asked for.
    """

    connection: sqlite3.Connection
    names: frozenset[str]
    results: dict[str, Result] = field(default_factory=dict)
    _halves: list[Database] | None = None

    def run(self, query: str) -> Result:
        """The rows of one SELECT. Forbidden, TooDear, TooMuch or Wrong."""
        if len(query) > MAX_QUERY:
            raise TooMuch("the query is too long")
        guard = _Guard()
        self.connection.set_authorizer(guard.query)
        _budget(self.connection, STEPS)
        try:
            cursor = self.connection.execute(query)
            if cursor.description is None:  # a statement that returns no columns is no query
                guard.refused = True
                raise sqlite3.DatabaseError
            rows = _fetch(cursor)
        except (sqlite3.Error, sqlite3.Warning, ValueError, MemoryError) as error:
            raise _told(error, guard) from None
        finally:
            self.connection.set_progress_handler(None, 0)
        return Result(rows, self.names & guard.tables)

    def halves(self) -> list[Database]:
        """The database with the odd rows of every table only, and with the even ones; [] if that can't be made."""
        if self._halves is None:
            self._halves = []
            with suppress(sqlite3.Error, DatabaseError, MemoryError):
                self._halves = [_half(self, rest) for rest in (0, 1)]
        return self._halves

    def __del__(self) -> None:
        self.connection.close()

    def trusted(self, query: str) -> Result:
        """The same for a row's own query, kept."""
        found = self.results.get(query)
        if found is None:
            found = self.run(query)
            if len(self.results) >= MAX_KEPT:
                self.results.clear()
            self.results[query] = found
        return found


class _Guard:
    """Authorizers, and what they saw."""

    def __init__(self) -> None:
        self.tables: set[str] = set()
        self.refused = False

    def query(
        self, action: int, one: str | None, two: str | None, database: str | None, trigger: str | None
    ) -> int:
        if action == sqlite3.SQLITE_READ:
            table = (one or "").lower()
            if table.startswith(_REFUSED_TABLES):
                return self._no()
            self.tables.add(table)
            return sqlite3.SQLITE_OK
        if action == sqlite3.SQLITE_FUNCTION:
            return self._no() if (two or "").lower() in _REFUSED_FUNCTIONS else sqlite3.SQLITE_OK
        return (
            sqlite3.SQLITE_OK if action in (sqlite3.SQLITE_SELECT, sqlite3.SQLITE_RECURSIVE) else self._no()
        )

    def build(
        self, action: int, one: str | None, two: str | None, database: str | None, trigger: str | None
    ) -> int:
        if action == sqlite3.SQLITE_PRAGMA:
            return sqlite3.SQLITE_IGNORE  # dumps begin with some; they are no-ops here
        if action == sqlite3.SQLITE_FUNCTION and (two or "").lower() in _REFUSED_FUNCTIONS:
            return self._no()
        return sqlite3.SQLITE_OK if action in _BUILDING else self._no()

    def _no(self) -> int:
        self.refused = True
        return sqlite3.SQLITE_DENY


def _fetch(cursor: sqlite3.Cursor) -> list[Row]:
    rows: list[Row] = []
    size = 0
    for row in cursor:
        size += sum(len(value) if isinstance(value, str | bytes) else 8 for value in row)
        rows.append(row)
        if len(rows) > MAX_ROWS or size > MAX_BYTES:
            cursor.close()
            raise TooMuch("too many rows or bytes")
    return rows


def _told(error: Exception, guard: _Guard) -> Exception:
    text = str(error)
    if guard.refused or "prohibited" in text or "authoriz" in text:
        return Forbidden("only SELECT on the database's own tables is allowed")
    if isinstance(error, MemoryError) or "interrupted" in text or "too big" in text:
        return TooDear("the query took more steps or memory than it may")
    syntax = (
        "syntax" in text
        or "incomplete" in text
        or "one statement" in text
        or "unrecognized token" in text
        or "null char" in text
    )
    return Wrong(text[:200], syntax=syntax)


def _budget(connection: sqlite3.Connection, steps: int) -> None:
    left = steps // _TICK

    def tick() -> int:
        nonlocal left
        left -= 1
        return 1 if left < 0 else 0

    connection.set_progress_handler(tick, _TICK)


def _connection() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:", isolation_level=None, cached_statements=0)
    connection.text_factory = _decoded
    for pragma in ("temp_store=2", "trusted_schema=OFF", "cell_size_check=ON", f"hard_heap_limit={_HEAP}"):
        connection.execute(f"PRAGMA {pragma}")
    for limit, value in _LIMITS:
        connection.setlimit(limit, value)
    return connection


def _half(whole: Database, rest: int) -> Database:
    whole.connection.set_authorizer(None)
    data = whole.connection.serialize()
    connection = _connection()
    connection.deserialize(data)
    connection.set_authorizer(_Guard().build)
    _budget(connection, BUILD_STEPS)
    tables = connection.execute(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
    )
    for (name,) in tables.fetchall():
        quoted = '"' + name.replace('"', '""') + '"'
        with suppress(sqlite3.OperationalError):  # a table without rowid stays whole
            connection.execute(f"DELETE FROM {quoted} WHERE rowid % 2 = {rest}")  # noqa: S608 - the name is the row's own, quoted
    connection.set_progress_handler(None, 0)
    connection.set_authorizer(None)
    connection.execute("PRAGMA query_only=ON")
    return Database(connection, whole.names)


@lru_cache(maxsize=4)
def open_database(kind: str, text: str) -> Database:
    """The database that a script (`script`) or base64 bytes (`bytes`) describe; the last few are kept. DatabaseError."""
    connection = _connection()
    build: Callable[[sqlite3.Connection, str], None] = _from_bytes if kind == "bytes" else _from_script
    try:
        build(connection, text)
        connection.set_authorizer(None)
        connection.execute("PRAGMA query_only=ON")
        rows = connection.execute("SELECT name FROM sqlite_master WHERE type IN ('table', 'view')").fetchall()
        names = frozenset(name.lower() for (name,) in rows)
    except (sqlite3.Error, sqlite3.Warning, ValueError, MemoryError) as error:
        connection.close()
        if isinstance(error, DatabaseError):
            raise
        raise DatabaseError(f"the database can't be built: {type(error).__name__}") from None
    connection.set_progress_handler(None, 0)
    if not names:
        connection.close()
        raise DatabaseError("the database has no table")
    return Database(connection, names)


def _from_script(connection: sqlite3.Connection, script: str) -> None:
    if len(script) > MAX_SCRIPT:
        raise DatabaseError(f"the script is longer than {MAX_SCRIPT} characters")
    connection.set_authorizer(_Guard().build)
    _budget(connection, BUILD_STEPS)
    connection.executescript(script)
    if connection.in_transaction:
        connection.execute("COMMIT")


def _from_bytes(connection: sqlite3.Connection, text: str) -> None:
    if len(text) > MAX_DATABASE * 4 // 3 + 4:
        raise DatabaseError(f"the database is larger than {MAX_DATABASE} bytes")
    try:
        data = bytearray(base64.b64decode(text, validate=True))
    except (binascii.Error, ValueError):
        raise DatabaseError("the database is not base64") from None
    if not data.startswith(b"SQLite format 3\0") or len(data) < 512:
        raise DatabaseError("the database is not a SQLite file")
    data[18:20] = b"\1\1"  # a file in WAL mode can't be opened in memory
    connection.deserialize(bytes(data))


def _decoded(data: bytes) -> str:
    return data.decode("utf-8", "replace")
