"""SQL answers: what returns the same, what doesn't, and what a query may not do."""

from __future__ import annotations

import base64
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reward_service.handlers import _sqlite
from reward_service.handlers.sql import has_order
from reward_service.registry import load
from reward_service.types import Item, Outcome, Profile, Reason, Status
from tests.cost import cpu_within

SCHEMA = """
CREATE TABLE band (id INTEGER PRIMARY KEY, name TEXT, founded INTEGER, fee REAL);
CREATE TABLE show (band_id INTEGER, town TEXT, year INTEGER);
INSERT INTO band VALUES (1, 'Alder', 1990, 100.5), (2, 'Birch', 2001, 80.0), (3, 'Cedar', 2001, NULL), (4, 'Dogwood', 2015, 80.0);
INSERT INTO show VALUES (1, 'Oslo', 2019), (1, 'Bergen', 2020), (2, 'Oslo', 2020), (4, 'Narvik', 2021);
"""


def judge(
    query: str,
    gold: Any,
    *,
    whole: bool = False,
    profile: Profile = Profile.STRICT,
    schema: str | None = SCHEMA,
    **extra: Any,
) -> Outcome:
    route = load().route("sql")
    assert route is not None
    if schema is not None and isinstance(gold, str):
        gold = {"query": gold, "schema": schema}
    response = query if whole else f"We filter.\n```sql\n{query}\n```"
    outcome = route.handler.plan(Item(route.data_source, response, gold, extra, profile, route.source.name))
    assert isinstance(outcome, Outcome)
    return outcome


EARLY = "SELECT name FROM band WHERE founded < 2010"


@pytest.mark.parametrize(
    ("query", "gold"),
    [
        ("SELECT name FROM band WHERE founded <= 2009;", EARLY),
        ("select b.name from band b where not b.founded >= 2010 order by b.name desc", EARLY),
        ("WITH e AS (SELECT * FROM band WHERE founded < 2010) SELECT name FROM e -- done", EARLY),
        ("SELECT b.name AS title FROM band b WHERE b.id IN (1, 2, 3)", EARLY),
        ("SELECT sum(fee) / count(fee) FROM band", "SELECT avg(fee) FROM band"),
        ("SELECT count(id) FROM band", "SELECT count(*) FROM band"),
        ("SELECT 80 FROM band WHERE fee = 80", "SELECT fee FROM band WHERE fee = 80"),
        ("SELECT name FROM band ORDER BY founded, name", "SELECT name FROM band ORDER BY founded ASC, name"),
        ("SELECT founded FROM band", "SELECT founded FROM band"),
        ("SELECT name FROM band ORDER BY founded, name DESC", "SELECT name FROM band ORDER BY founded"),
        ("SELECT name, founded FROM band ORDER BY founded DESC, id DESC", "SELECT name, founded FROM band ORDER BY founded DESC"),
        ("SELECT town FROM show ORDER BY year, town DESC", "SELECT town FROM show ORDER BY year"),
        ("SELECT name FROM band WHERE fee IS NULL", "SELECT name FROM band WHERE fee IS NULL"),
        ("SELECT name, count(*) FROM band JOIN show ON id = band_id GROUP BY id", "SELECT name, count(*) FROM show, band WHERE id = band_id GROUP BY name"),
    ],
)  # fmt: skip
def test_accepts(query: str, gold: str) -> None:
    outcome = judge(query, gold)
    assert (outcome.score, outcome.reason) == (1.0, Reason.EQUAL)


@pytest.mark.parametrize(
    ("query", "gold"),
    [
        ("SELECT name FROM band", EARLY),
        ("SELECT name FROM band WHERE founded < 2000", EARLY),
        ("SELECT DISTINCT founded FROM band", "SELECT founded FROM band"),
        ("SELECT name FROM band ORDER BY name DESC", "SELECT name FROM band ORDER BY name"),
        ("SELECT name FROM band", "SELECT name FROM band ORDER BY fee DESC, name"),
        ("SELECT name FROM band ORDER BY founded DESC, name", "SELECT name FROM band ORDER BY founded"),
        (
            "SELECT name FROM band ORDER BY id LIMIT 3",
            "SELECT name FROM band ORDER BY founded LIMIT 3 OFFSET 1",
        ),
        ("SELECT founded, name FROM band", "SELECT name, founded FROM band"),
        ("SELECT upper(name) FROM band", "SELECT name FROM band"),
        ("SELECT cast(founded AS TEXT) FROM band", "SELECT founded FROM band"),
        ("SELECT fee + 0.01 FROM band WHERE fee = 80", "SELECT fee FROM band WHERE fee = 80"),
        ("SELECT name, 1 FROM band", "SELECT name FROM band"),
    ],
)
def test_rejects(query: str, gold: str) -> None:
    outcome = judge(query, gold)
    assert (outcome.score, outcome.reason) == (0.0, Reason.NOT_EQUAL)


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("SELECT nope FROM band", Reason.RUNTIME_ERROR),
        ("SELECT name FROM nowhere", Reason.RUNTIME_ERROR),
        ("SELEC name FROM band", Reason.MALFORMED_ANSWER),
        ("SELECT name FROM band WHERE", Reason.MALFORMED_ANSWER),
        (f"{EARLY}; {EARLY}", Reason.MALFORMED_ANSWER),
        (f"{EARLY}\0", Reason.MALFORMED_ANSWER),
        ("SELECT '" + "x" * 30_000 + "'", Reason.MALFORMED_ANSWER),
        ("SELECT 1; DROP TABLE band", Reason.MALFORMED_ANSWER),
    ],
)
def test_queries_that_fail(query: str, reason: Reason) -> None:
    outcome = judge(query, EARLY)
    assert (outcome.score, outcome.reason) == (0.0, reason)


FORBIDDEN = [
    "DROP TABLE band", "DELETE FROM band", "UPDATE band SET name = ''", "INSERT INTO band VALUES (9, 'x', 1, 1) RETURNING name", "CREATE TABLE t (x)",
    "CREATE TEMP TABLE t AS SELECT 1", "CREATE TEMP VIEW v AS SELECT 1", "PRAGMA table_info(band)", "PRAGMA query_only = OFF", "PRAGMA writable_schema = ON",
    "SELECT * FROM pragma_database_list", "SELECT * FROM pragma_table_info('band')", "SELECT load_extension('/tmp/x.so')", "SELECT readfile('/etc/passwd')",
    "SELECT random()", "SELECT hex(randomblob(8))", "SELECT fts3_tokenizer('simple')", "BEGIN", "COMMIT", "SAVEPOINT s", "ANALYZE", "REINDEX", "DETACH main",
    "CREATE VIRTUAL TABLE v USING fts5(x)", "ALTER TABLE band ADD COLUMN x", "EXPLAIN DELETE FROM band", "WITH x AS (SELECT 1) DELETE FROM band",
]  # fmt: skip


@pytest.mark.parametrize("query", FORBIDDEN)
def test_a_query_only_reads(query: str) -> None:
    outcome = judge(query, EARLY)
    assert outcome.score == 0.0
    assert outcome.reason in {Reason.CONSTRAINT_VIOLATED, Reason.RUNTIME_ERROR}
    assert judge(EARLY, EARLY).correct, "and the database is as it was"


@pytest.mark.parametrize(
    "form", ["ATTACH '{}' AS a", "VACUUM INTO '{}'", "ATTACH DATABASE 'file:{}?mode=rwc' AS a"]
)
def test_no_file_is_ever_made(form: str, tmp_path: Path) -> None:
    target = tmp_path / "made.db"
    assert judge(form.format(target), EARLY).reason is Reason.CONSTRAINT_VIOLATED
    gold = {"query": EARLY, "schema": form.format(target) + ";" + SCHEMA}
    assert judge(EARLY, gold).reason is Reason.MALFORMED_GROUND_TRUTH
    assert (
        judge(EARLY, {"query": form.format(target), "schema": SCHEMA}).reason is Reason.MALFORMED_GROUND_TRUTH
    )
    assert not target.exists()


COUNT = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c)"
DEAR = [
    (f"{COUNT} SELECT count(*) FROM c", Reason.BUDGET_EXCEEDED),
    (f"{COUNT} SELECT x FROM c", Reason.OUTPUT_LIMIT),
    (f"{COUNT} SELECT x FROM c ORDER BY -x", Reason.BUDGET_EXCEEDED),
    ("SELECT zeroblob(1000000000)", Reason.BUDGET_EXCEEDED),
    ("SELECT replace(hex(zeroblob(1000000)), '0', 'aaaaaaaaaaaa')", Reason.BUDGET_EXCEEDED),
    ("SELECT hex(zeroblob(1500000)) FROM band, show", Reason.OUTPUT_LIMIT),
    ("SELECT count(*) FROM " + ", ".join(f"band b{n}" for n in range(20)), Reason.BUDGET_EXCEEDED),
    (f"{COUNT} SELECT group_concat(x) FROM c", Reason.BUDGET_EXCEEDED),
]


@pytest.mark.parametrize(("query", "reason"), DEAR)
def test_a_dear_query_is_stopped(query: str, reason: Reason) -> None:
    with cpu_within(3.0):
        outcome = judge(query, EARLY)
        assert (outcome.score, outcome.reason) == (0.0, reason)


def test_deep_queries_are_refused() -> None:
    for query in (
        "SELECT " + "(" * 2_000 + "1" + ")" * 2_000,
        "SELECT " + "-" * 5_000 + "1",
        " UNION ".join(["SELECT 1"] * 500),
        "SELECT " + "abs(" * 900 + "1" + ")" * 900,
    ):
        assert judge(query, EARLY).score == 0.0


@pytest.mark.parametrize(
    "query",
    [
        "SELECT 4",
        "VALUES (4)",
        "WITH x(n) AS (VALUES (4)) SELECT n FROM x",
        "SELECT 2 + 2",
        "SELECT count(*) FROM (SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3 UNION ALL SELECT 4)",
        "SELECT 4 FROM band LIMIT 1",
        "SELECT max(4) FROM band",
        "SELECT count(*) - count(*) + 4 FROM band",
        "SELECT CASE WHEN EXISTS (SELECT * FROM band) THEN 4 END",
    ],
)
def test_a_guess_written_as_a_query_is_not_paid(query: str) -> None:
    outcome = judge(query, "SELECT count(*) FROM band")
    assert (outcome.score, outcome.flags) == (0.0, ("constant_answer",))


def test_several_databases_tell_apart_what_one_does_not() -> None:
    gold = "SELECT count(*) FROM band"
    other = SCHEMA + "INSERT INTO band VALUES (5, 'Elm', 2016, 1.0);"
    lucky = "SELECT count(*) FROM show"
    assert judge(lucky, gold).correct
    assert not judge(lucky, {"query": gold, "databases": [SCHEMA, other]}).correct
    assert judge(
        "SELECT count(id) FROM band", {"query": gold, "databases": [{"schema": SCHEMA}, other]}
    ).correct


def file_of(script: str, *, wal: bool = False) -> str:
    connection = sqlite3.connect(":memory:")
    connection.executescript(script)
    data = bytearray(connection.serialize())
    connection.close()
    if wal:
        data[18:20] = b"\2\2"
    return base64.b64encode(bytes(data)).decode()


@pytest.mark.parametrize("wal", [False, True])
def test_the_bytes_of_a_file(wal: bool) -> None:
    gold = {"query": EARLY, "database": file_of(SCHEMA, wal=wal)}
    assert judge("SELECT name FROM band WHERE founded < 2005", gold).correct
    assert not judge("SELECT name FROM band", gold).correct
    assert judge("DELETE FROM band", gold).reason is Reason.CONSTRAINT_VIOLATED


def test_the_database_may_come_beside_the_gold_query() -> None:
    assert judge(EARLY, EARLY, schema=None, database=file_of(SCHEMA)).correct
    route = load().route("spider")
    assert route is not None
    item = Item(
        route.data_source,
        f"```sql\n{EARLY}\n```",
        EARLY,
        {"schema": SCHEMA},
        Profile.STRICT,
        route.source.name,
    )
    outcome = route.handler.plan(item)
    assert isinstance(outcome, Outcome)
    assert outcome.correct


def test_pragmas_and_transactions_of_a_dump_do_nothing() -> None:
    dump = f"PRAGMA foreign_keys=OFF;\nBEGIN TRANSACTION;\n{SCHEMA}\nCOMMIT;"
    assert judge(EARLY, {"query": EARLY, "schema": dump}).correct


MALFORMED: dict[str, Any] = {
    "no database": {"query": EARLY}, "a path": {"query": EARLY, "database": "/tmp/x.sqlite"}, "a db_id": {"query": EARLY, "db_id": "concert", "db_path": "/data"},
    "no query": {"schema": SCHEMA}, "an empty query": {"query": " ", "schema": SCHEMA}, "a script with an error": {"query": EARLY, "schema": "CREATE TABLE"},
    "no table": {"query": "SELECT 1", "schema": "SELECT 1;"}, "a query that fails": {"query": "SELECT x FROM band", "schema": SCHEMA},
    "a query that writes": {"query": "DELETE FROM band", "schema": SCHEMA}, "a query without end": {"query": f"{COUNT} SELECT count(*) FROM c", "schema": SCHEMA},
    "no rows": {"query": "SELECT name FROM band WHERE id = 77", "schema": SCHEMA}, "broken base64": {"query": EARLY, "database": "????"},
    "no SQLite file": {"query": EARLY, "database": base64.b64encode(b"x" * 600).decode()}, "a cut file": {"query": EARLY, "database": file_of(SCHEMA)[:4000]},
    "no list": {"query": EARLY, "databases": "x"}, "an empty list": {"query": EARLY, "databases": []}, "order": {"query": EARLY, "schema": SCHEMA, "ordered": "yes"},
    "an extension": {"query": EARLY, "schema": "CREATE VIRTUAL TABLE v USING fts5(x);" + SCHEMA}, "a script without end": {"query": EARLY, "schema": f"CREATE TABLE t AS {COUNT} SELECT x FROM c;"},
    "random golds": {"query": "SELECT random() FROM band", "schema": SCHEMA}, "None": None, "a number": 5,
}  # fmt: skip


@pytest.mark.parametrize("what", MALFORMED)
@pytest.mark.parametrize("profile", Profile)
def test_malformed_ground_truth(what: str, profile: Profile) -> None:
    for query in (EARLY, "SELECT 1 WHERE 0"):
        outcome = judge(query, MALFORMED[what], schema=None, profile=profile)
        assert (outcome.status, outcome.reason) == (Status.ERROR, Reason.MALFORMED_GROUND_TRUTH)


def test_guru_is_birds_rule() -> None:
    for query, gold in (
        ("SELECT DISTINCT founded FROM band", "SELECT founded FROM band"),
        ("SELECT name FROM band ORDER BY name DESC", "SELECT name FROM band ORDER BY name"),
    ):
        assert judge(query, gold, profile=Profile.GURU).correct
        assert not judge(query, gold).correct
    assert not judge("SELECT name FROM band", EARLY, profile=Profile.GURU).correct


def test_the_row_may_say_whether_order_counts() -> None:
    query, gold = "SELECT name FROM band ORDER BY name DESC", "SELECT name FROM band ORDER BY name"
    assert judge(query, {"query": gold, "schema": SCHEMA, "ordered": False}).correct
    assert not judge(
        query, {"query": EARLY.replace(" WHERE founded < 2010", ""), "schema": SCHEMA, "ordered": True}
    ).correct


@pytest.mark.parametrize(
    ("query", "ordered"),
    [
        ("SELECT a FROM t ORDER BY a", True), ("select a from t order\n by a limit 1", True), ("SELECT a FROM (SELECT a FROM t ORDER BY a)", False), ("SELECT 'order by' FROM t", False),
        ("SELECT a FROM t -- ORDER BY a", False), ("SELECT a /* ORDER BY */ FROM t", False), ("SELECT a, row_number() OVER (ORDER BY a) FROM t", False), ('SELECT "order by" FROM t', False),
        ("SELECT a FROM t WHERE b = ')' ORDER BY a", True), ("(SELECT a FROM t) ORDER BY a", True), ("SELECT [order by] FROM t", False), ("SELECT it''s FROM t ORDER BY 1", True),
    ],
)  # fmt: skip
def test_an_order_at_the_top(query: str, ordered: bool) -> None:
    assert has_order(query) is ordered


@pytest.mark.parametrize(
    "response",
    [
        f"```sql\nSELECT 1\n```\nno:\n```sql\n{EARLY}\n```",
        f"```\n{EARLY}\n```",
        f"```SQLite\n{EARLY};\n```",
        f"<think>```sql\nSELECT 1\n```</think> <answer>{EARLY}</answer>",
        f"<solution>\n{EARLY}\n</solution>",
        f"<answer>```sql\n{EARLY}\n```</answer>",
        EARLY,
        f"<think>hm</think>{EARLY};",
    ],
)
def test_where_the_query_stands(response: str) -> None:
    assert judge(response, EARLY, whole=True).correct


@pytest.mark.parametrize(
    "response",
    [
        "",
        "I don't know.",
        f"<think>```sql\n{EARLY}\n```",
        f"```sql\n{EARLY}",
        "```python\nprint(1)\n```",
        f"The query is {EARLY}",
    ],
)
def test_no_query(response: str) -> None:
    assert judge(response, EARLY, whole=True).reason is Reason.NO_ANSWER


@given(st.text(max_size=60))
def test_any_text_is_judged_and_always_alike(text: str) -> None:
    first, second = judge(text, EARLY, whole=True), judge(text, EARLY, whole=True)
    assert first == second
    assert first.status is Status.SCORED


@given(
    st.lists(st.tuples(st.integers(-3, 3), st.sampled_from(["a", "b", None])), min_size=1, max_size=6),
    st.randoms(use_true_random=False),
)
def test_rows_in_any_order_are_the_same_and_one_more_or_less_is_not(
    rows: list[tuple[int, str | None]], random: Any
) -> None:
    def table(entries: list[tuple[int, str | None]]) -> str:
        values = ", ".join(
            f"({number}, {'NULL' if text is None else repr(text)})" for number, text in entries
        )
        return f"CREATE TABLE t (n, s); CREATE TABLE u (n, s); INSERT INTO t VALUES {values}; "

    def copied(entries: list[tuple[int, str | None]]) -> str:
        return "".join(
            f"INSERT INTO u VALUES ({number}, {'NULL' if text is None else repr(text)}); "
            for number, text in entries
        )

    shuffled = rows[:]
    random.shuffle(shuffled)
    gold = "SELECT n, s FROM t"
    assert judge("SELECT n, s FROM u", gold, schema=table(rows) + copied(shuffled)).correct
    assert not judge("SELECT n, s FROM u", gold, schema=table(rows) + copied([*shuffled, rows[0]])).correct
    assert not judge("SELECT n, s FROM u", gold, schema=table(rows) + copied(shuffled[1:])).correct


def test_databases_are_kept_and_closed() -> None:
    _sqlite.open_database.cache_clear()
    first = _sqlite.open_database("script", SCHEMA)
    assert _sqlite.open_database("script", SCHEMA) is first
    for number in range(6):
        _sqlite.open_database("script", f"CREATE TABLE t{number} (x)")
    assert _sqlite.open_database.cache_info().currsize <= 4
