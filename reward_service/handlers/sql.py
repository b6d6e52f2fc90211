r"""SQL answers (Spider, BIRD and their like): right if the query returns what the gold query returns.

What is decided here
- The row brings its database: a script (`schema`), the bytes of a small SQLite file in base64 (`database`), or several of
  either (`databases`: test suites, against results that agree by chance; the answer must agree on all). A path or a
  `db_id` opens nothing.
- Rows are compared as a multiset, and in their order if the gold query has an ORDER BY of its own at the top (or the
  row says `ordered`). Columns keep their order, their names don't count. Numbers are compared by value to 10 digits,
  text letter for letter. Rows that tie in the gold's ORDER BY may stand in any order among themselves.
- A gold query that returns nothing on every database can't tell answers apart, and is malformed.
- An answer has to follow the data: one that reads no table where the gold does, or returns the same on half of the rows where
  the gold's result changes, is a guess written as a query (`SELECT 4 FROM t LIMIT 1`). It is not equal, and flagged.
- The answer is the last `sql` block, else the last `<answer>`, `<solution>` or `<sql>`, else a final part that is a query.
The guru profile is BIRD's own rule: `set(rows) == set(gold rows)`, without order and number of rows.

Queries run behind the walls of `_sqlite`, in the pool's process with its CPU and memory limits. A query with
`date('now')` depends on the day; gold and answer are run at the same moment.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Any, NamedTuple

from reward_service import narrate
from reward_service.handlers import _sqlite
from reward_service.handlers._either import one_answer
from reward_service.handlers._literal import LiteralError, parse_json
from reward_service.handlers._sqlite import MAX_QUERY, Database, DatabaseError, Result, Row
from reward_service.handlers._text import fences, final_part, tags
from reward_service.registry import Source, handler
from reward_service.types import (
    NOTHING,
    Domain,
    Example,
    Item,
    Limits,
    Outcome,
    Profile,
    Reason,
    accept,
    malformed,
    reject,
)

MAX_DATABASES = 16
_SCRIPT = "CREATE TABLE singer (id INTEGER, name TEXT, age INTEGER); INSERT INTO singer VALUES (1, 'Ann', 31), (2, 'Bo', 45), (3, 'Cy', 52);"
_GOLD = '`{"query": gold SQL, "schema": script}`; or `"database": base64 of a SQLite file`, `"databases": [several]`; `"ordered"` overrides'


def _example(response: str) -> Example:
    return Example(response, {"query": "SELECT name FROM singer WHERE age > 40", "schema": _SCRIPT})


_BLOCK = _example("Filter by age.\n```sql\nSELECT s.name FROM singer AS s WHERE s.age >= 41;\n```")


class GoldError(ValueError):
    """The ground truth can't be used; the text quotes nothing of it."""


class Gold(NamedTuple):
    """The gold query, whether order counts, and the databases."""

    query: str
    ordered: bool
    databases: tuple[Database, ...]


@handler(
    "sql",
    version="2",
    domain=Domain.TABLE,
    sources=[
        Source("sql__spider", _GOLD, _BLOCK, ("spider", "xlang-ai/spider")),
        Source("sql__bird", _GOLD, _BLOCK, ("bird", "bird_bench")),
        Source("sql", _GOLD, _BLOCK, ("text2sql", "text_to_sql")),
        Source("sql__*", _GOLD, _example("<answer>SELECT name FROM singer WHERE NOT age <= 40</answer>")),
    ],
    reads=("schema", "database", "databases", "ordered"),
    limits=Limits(cpu_seconds=6.0, wall_seconds=30.0, memory_bytes=512 << 20),
)
@one_answer
def plan(item: Item) -> Outcome:
    """The query returns the rows of the gold query: as a multiset, or in order where the gold query orders them."""
    try:
        gold = prepared(item.ground_truth, item.extra_info)
        wanted = [database.trusted(gold.query) for database in gold.databases]
    except (GoldError, DatabaseError) as error:
        return malformed(str(error))
    except (_sqlite.Forbidden, _sqlite.TooDear, _sqlite.TooMuch, _sqlite.Wrong) as error:
        return malformed(f"the gold query doesn't run on its database: {type(error).__name__}")
    if not any(result.rows for result in wanted):
        return malformed("the gold query returns no rows: any query that returns none would be paid")
    trace = (
        {"gold": gold.query[:2_000], "ordered": gold.ordered, "rows": [len(one.rows) for one in wanted]}
        if item.explain
        else NOTHING
    )
    query = answer_query(item.response)
    if query is None:
        return reject(Reason.NO_ANSWER, trace=trace)
    if len(query) > MAX_QUERY:
        return reject(Reason.MALFORMED_ANSWER, flags=("oversized_answer",), trace=trace)
    same = same_set if item.profile is Profile.GURU else same_rows
    narrate.found_text("the last query of the response", query)
    for number, (database, expected) in enumerate(zip(gold.databases, wanted, strict=True), 1):
        try:
            result = database.run(query)
        except _sqlite.Forbidden as error:
            return reject(
                Reason.CONSTRAINT_VIOLATED,
                query,
                flags=("forbidden_statement",),
                trace=trace,
                message=str(error),
            )
        except _sqlite.TooDear:
            return reject(Reason.BUDGET_EXCEEDED, query, trace=trace)
        except _sqlite.TooMuch:
            return reject(Reason.OUTPUT_LIMIT, query, trace=trace)
        except _sqlite.Wrong as error:
            reason = Reason.MALFORMED_ANSWER if error.syntax else Reason.RUNTIME_ERROR
            return reject(reason, query, trace=trace, message=str(error))
        if narrate.listening():
            equal = same(expected.rows, result.rows, gold.ordered)
            narrate.check(f"database {number}", equal, expected=expected.rows[:20], got=result.rows[:20])
        if not same(expected.rows, result.rows, gold.ordered) and not (
            gold.ordered and same_but_for_ties(database, gold.query, expected, result)
        ):
            return reject(Reason.NOT_EQUAL, query, trace=trace, rows=len(result.rows))
        if not follows(database, gold.query, query, expected, result):
            return reject(
                Reason.NOT_EQUAL,
                query,
                flags=("constant_answer",),
                trace=trace,
                message="the result doesn't depend on the data",
            )
    return accept(query, trace=trace)


# ---------------------------------------------------------------- ground truths


def prepared(value: Any, extra: Any) -> Gold:
    """The ground truth with its databases opened. GoldError or DatabaseError."""
    if isinstance(value, str) and value.lstrip().startswith("{"):
        try:
            value = parse_json(value)
        except LiteralError:
            raise GoldError("the ground truth is not JSON that can be read") from None
    row = dict(value) if isinstance(value, dict) else {"query": value}
    for name in ("schema", "database", "databases", "ordered"):
        if row.get(name) is None and extra.get(name) is not None:
            row[name] = extra[name]
    query = next((row[name] for name in ("query", "sql", "SQL", "gold_sql", "gold") if row.get(name)), None)
    if not isinstance(query, str) or not query.strip() or len(query) > MAX_QUERY:
        raise GoldError("the ground truth needs the gold SQL in `query`")
    ordered = row.get("ordered")
    if ordered is not None and not isinstance(ordered, bool):
        raise GoldError("`ordered` is true or false")
    return Gold(query, has_order(query) if ordered is None else ordered, tuple(_databases(row)))


def _databases(row: dict[str, Any]) -> list[Database]:
    several = row.get("databases")
    if several is None:
        several = [row]
    if not isinstance(several, list) or not 0 < len(several) <= MAX_DATABASES:
        raise GoldError(f"`databases` is a list of 1 to {MAX_DATABASES}")
    found = []
    for one in several:
        entry = {"schema": one} if isinstance(one, str) else one
        if not isinstance(entry, dict):
            raise GoldError("a database is a script, or an object with `schema` or `database`")
        if isinstance(entry.get("database"), str) and entry["database"]:
            found.append(_sqlite.open_database("bytes", entry["database"]))
        elif isinstance(entry.get("schema"), str) and entry["schema"].strip():
            found.append(_sqlite.open_database("script", entry["schema"]))
        else:
            raise GoldError(
                "the row needs its database: `schema` (a script) or `database` (base64); files are not opened"
            )
    return found


_TOKEN = re.compile(
    r"--[^\n]*|/\*.*?(?:\*/|\Z)|'(?:[^']|'')*'?|\"[^\"]*\"?|`[^`]*`?|\[[^\]]*\]?|[()]|\w+|\S", re.DOTALL
)


def order_end(query: str) -> int | None:
    """Where the terms of the ORDER BY outside of all brackets end, before a LIMIT; None if there is no such ORDER BY."""
    depth, end = 0, 0
    before, ordered = "", False
    for match in _TOKEN.finditer(query):
        piece = match.group().lower()
        if piece.startswith(("--", "/*")):
            continue
        depth += (piece == "(") - (piece == ")")
        if depth == 0 and before == "order" and piece == "by":
            ordered = True
        elif depth == 0 and ordered and piece in ("limit", "offset", ";"):
            break
        before, end = piece, match.end()
    return end if ordered else None


def has_order(query: str) -> bool:
    """Is there an ORDER BY outside of all brackets?"""
    return order_end(query) is not None


# ---------------------------------------------------------------- answers


_LANGUAGES = frozenset(("sql", "sqlite", "sqlite3", "mysql", "postgresql", ""))
_TAGS = ("answer", "solution", "sql")
_QUERY = re.compile(r"(?:select|with|values)\b|\(\s*select\b", re.IGNORECASE)


def answer_query(response: str) -> str | None:
    """The query that a response ends with, or None."""
    text = final_part(response)
    blocks = [(block.start, block.body) for block in fences(text) if block.language in _LANGUAGES]
    marked = [(span.start, span.content) for name in _TAGS for span in tags(text, name)]
    if marked and not blocks:
        return _inside(max(marked)[1])
    if blocks:
        return max(blocks)[1].strip() or None
    bare = text.strip()
    return bare if _QUERY.match(bare) else None


def _inside(text: str) -> str | None:
    return text.strip().strip("`").removeprefix("sql\n").strip() or None


# ---------------------------------------------------------------- comparison


def follows(database: Database, gold: str, query: str, expected: Result, result: Result) -> bool:
    """Does the answer read the data, and change where the gold's result changes with it? See the module's docstring."""
    if not expected.tables:
        return True
    if not result.tables:
        return False
    for half in database.halves():
        try:
            if same_rows(half.trusted(gold).rows, expected.rows, ordered=False):
                continue
            if same_rows(half.run(query).rows, result.rows, ordered=False):
                return False
        except (_sqlite.Forbidden, _sqlite.TooDear, _sqlite.TooMuch, _sqlite.Wrong):
            continue
    return True


def same_rows(gold: list[Row], answer: list[Row], ordered: bool) -> bool:
    """The same rows, as often; and in the same order where it counts."""
    if len(gold) != len(answer):
        return False
    left, right = ([tuple(map(_key, row)) for row in rows] for rows in (gold, answer))
    return left == right if ordered else Counter(left) == Counter(right)


def same_but_for_ties(database: Database, gold: str, expected: Result, result: Result) -> bool:
    """The gold's order, where rows that its ORDER BY leaves alone may stand in any order among themselves.

    Which rows those are is seen by running the gold twice more, with all columns behind its ORDER BY, rising and falling: the
    stretches in which the two runs hold the same rows.
    """
    try:
        rising, falling = (database.trusted(query) for query in with_columns(gold, expected))
    except (ValueError, _sqlite.Forbidden, _sqlite.TooDear, _sqlite.TooMuch, _sqlite.Wrong):
        return False
    forward, backward, given = (
        [tuple(map(_key, row)) for row in one.rows] for one in (rising, falling, result)
    )
    if not len(forward) == len(backward) == len(given):
        return False
    start = 0
    balance: Counter[Any] = Counter()
    for at, (one, two) in enumerate(zip(forward, backward, strict=True), 1):
        balance[one] += 1
        balance[two] -= 1
        if not any(balance.values()):
            if Counter(forward[start:at]) != Counter(given[start:at]):
                return False
            start, balance = at, Counter()
    return start == len(forward)


def with_columns(query: str, result: Result) -> tuple[str, str]:
    """The query with every column of its result behind its own ORDER BY, rising and falling. ValueError without one."""
    end = order_end(query)
    if end is None or not result.rows:
        raise ValueError("no ORDER BY at the top")
    numbers = range(1, len(result.rows[0]) + 1)
    rising, falling = (", ".join(f"{number} {way}" for number in numbers) for way in ("ASC", "DESC"))
    return f"{query[:end]}, {rising} {query[end:]}", f"{query[:end]}, {falling} {query[end:]}"


def same_set(gold: list[Row], answer: list[Row], ordered: bool) -> bool:
    """BIRD's rule."""
    return set(gold) == set(answer)


def _key(value: Any) -> Any:
    """What two equal cells share: numbers by value to 10 digits, everything else as it is, with its type."""
    if isinstance(value, int):
        return ("number", value)
    if isinstance(value, float):
        if value.is_integer() and abs(value) < 2**53:
            return ("number", int(value))
        rounded = float(f"{value:.10g}")
        return ("number", int(rounded) if rounded.is_integer() and abs(rounded) < 2**53 else rounded)
    return (type(value).__name__, value)
