"""The states of a batch, its cursors and its rate; and what is written of items and outcomes."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from reward_service.engine.batches import (
    CLOSED,
    MARK_MS,
    NO_MARK,
    TRANSITIONS,
    Batch,
    BatchStatus,
    Counts,
    Cursor,
    Event,
    Mark,
    Marks,
    Order,
    Spec,
    advance,
    parse_cursor,
    progress,
    results_of,
    unjudged,
)
from reward_service.engine.records import (
    CHUNK_BYTES,
    CHUNK_ITEMS,
    TIMINGS,
    Corrupt,
    Entry,
    Judged,
    cut,
    entries_of,
    entry_to_json,
    outcome_from_json,
    outcome_to_json,
    pack,
    results_from_json,
    results_to_json,
    value_from_json,
    value_to_json,
)
from reward_service.engine.scorer import Row
from reward_service.types import (
    Outcome,
    Profile,
    Reason,
    Status,
    accept,
    cannot_judge,
    reject,
    scored,
)

# States

S, E = BatchStatus, Event


@pytest.mark.parametrize(
    ("events", "status"),
    [
        ([E.SEAL], S.IN_PROGRESS),
        ([E.SEAL, E.ALL_DONE], S.COMPLETED),
        ([E.SEAL, E.OVERDUE], S.FINALIZING),
        ([E.SEAL, E.OVERDUE, E.ALL_DONE], S.EXPIRED),
        ([E.SEAL, E.CANCEL], S.CANCELLING),
        ([E.SEAL, E.CANCEL, E.ALL_DONE], S.CANCELLED),
        ([E.SEAL, E.CANCEL, E.OVERDUE, E.ALL_DONE], S.CANCELLED),
        ([E.SEAL, E.OVERDUE, E.CANCEL, E.ALL_DONE], S.EXPIRED),
        ([E.REJECT], S.FAILED),
        ([E.REJECT, E.SEAL], S.FAILED),
        ([E.ALL_DONE, E.CANCEL, E.OVERDUE], S.VALIDATING),
        ([E.SEAL, E.ALL_DONE, E.CANCEL, E.OVERDUE, E.SEAL, E.REJECT], S.COMPLETED),
    ],
)
def test_what_events_lead_to(events: list[Event], status: BatchStatus) -> None:
    now = S.VALIDATING
    for event in events:
        now = advance(now, event)
    assert now is status


def test_no_terminal_state_is_ever_left_and_every_other_can_end() -> None:
    assert {status for status in S if status.terminal} == {S.COMPLETED, S.FAILED, S.EXPIRED, S.CANCELLED}
    for status in S:
        onward = {to for (start, _), to in TRANSITIONS.items() if start is status}
        assert bool(onward) is not status.terminal
    assert all(unjudged(status).status is Status.ERROR for status in CLOSED)


@given(st.lists(st.sampled_from(list(Event))))
def test_whatever_happens_what_is_terminal_stays(events: list[Event]) -> None:
    status, ended = S.VALIDATING, None
    for event in events:
        status = advance(status, event)
        assert ended is None or status is ended
        ended = status if status.terminal else None


# Rate


def batch(done: int, now: int, recent: Mark = NO_MARK, status: BatchStatus = S.IN_PROGRESS) -> Batch:
    times = {S.IN_PROGRESS: 1_000}
    return Batch(Spec("b"), status, Counts(1000, done, 0), 20, 0, now, 0, 0, times, recent)


@pytest.mark.parametrize(
    ("found", "rate", "eta"),
    [
        (batch(100, 11_000), 10.0, 90.0),
        (batch(600, 11_000, Mark(6_000, 100)), 100.0, 4.0),
        (batch(0, 11_000), 0.0, None),
        (batch(0, 1_000), 0.0, None),
        (batch(5, 500), 0.0, None),
        (batch(50, 11_000, Mark(12_000, 100)), 0.0, None),
        (batch(1000, 11_000, status=S.COMPLETED), 0.0, 0.0),
        (batch(10, 11_000, status=S.CANCELLED), 0.0, 0.0),
    ],
)
def test_rate_and_time_left(found: Batch, rate: float, eta: float | None) -> None:
    assert progress(found) == (rate, eta)


def test_marks_follow_at_a_distance() -> None:
    """The rate is of the last one to two MARK_MS: a batch that slows down shows it."""
    marks, now = Marks(), 0
    for done in range(1, 2_000):
        now += 50
        marks = marks.moved(now, done)
        assert 0 <= now - marks.older.at <= 2 * MARK_MS + 50
        assert marks.newer.at - marks.older.at in (0, MARK_MS)


# Cursors


@given(st.sampled_from(list(Order)), st.integers(0, 10**9), st.integers(0, 10**4))
def test_a_cursor_reads_back(order: Order, chunk: int, item: int) -> None:
    cursor = Cursor(order, chunk, item)
    assert parse_cursor(str(cursor)) == cursor


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x1.2",
        "i",
        "i1",
        "i.",
        "i1.",
        "i.1",
        "i-1.2",
        "i1.2.3",
        "i1.²",
        "i" + "9" * 30 + ".0",
        "i 1.2",
        "1.2",
    ],
)
def test_what_is_no_cursor(text: str) -> None:
    with pytest.raises(ValueError, match="cursor"):
        parse_cursor(text)


def test_results_carry_the_cursor_behind_them() -> None:
    judged = [Judged(n, reject()) for n in range(3)]
    found = list(results_of(Cursor(Order.INPUT, 4, 1), 256, judged))
    assert [(result.place, result.id, str(result.cursor)) for result in found] == [
        (257, 1, "i4.2"),
        (258, 2, "i5.0"),
    ]


# Chunks


def test_chunks_are_bounded_in_items_and_bytes() -> None:
    small, large = b"[1]", b'["' + b"x" * (CHUNK_BYTES // 3) + b'"]'
    assert [chunk.items for chunk in cut([small] * 200)] == [64, 64, 64, 8]
    assert [chunk.items for chunk in cut([large] * 7)] == [2, 2, 2, 1]
    assert [chunk.items for chunk in cut([b"x" * (3 * CHUNK_BYTES), small])] == [1, 1]
    assert list(cut([])) == []


@given(st.lists(st.integers(1, CHUNK_BYTES // 2), max_size=200))
def test_no_entry_is_lost_or_moved(sizes: list[int]) -> None:
    chunks = list(cut((b"9" * size for size in sizes), items=CHUNK_ITEMS, size=CHUNK_BYTES // 4))
    assert sum(chunk.items for chunk in chunks) == len(sizes)
    assert all(0 < chunk.items <= CHUNK_ITEMS for chunk in chunks)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters()), inner, max_size=4),
    max_leaves=10,
)


@given(
    st.none() | st.integers() | st.text(st.characters()),
    st.text(st.characters()),
    JSON,
    JSON,
    st.none() | st.dictionaries(st.text(), JSON, max_size=3),
    st.sampled_from(list(Profile)),
    st.booleans(),
)
def test_items_read_back_as_they_were(
    item_id: Any, response: str, gold: Any, prompt: Any, extra: Any, profile: Profile, explain: bool
) -> None:
    row = Row("math__aime", response, gold, None, prompt, extra, None, profile, explain)
    entries = [Entry(item_id, row), Entry(None, Row(None, "", ground_truth_ref="a" * 64, domain="math"))]
    (chunk,) = cut(entry_to_json(entry) for entry in entries)
    assert entries_of(chunk.payload) == entries


@pytest.mark.parametrize(
    "payload",
    [
        b"", b"{}", b"[1]", b"null", b"[[]]", b"\x80\x04]", b'["', b"[" * 100_000,
        json.dumps([[{}, "s", None, "r", 1, None, None, None, "strict", False]]).encode(),
        json.dumps([[1, "s", None, None, 1, None, None, None, "strict", False]]).encode(),
        json.dumps([[1, "s", None, "r", 1, None, None, [], "strict", False]]).encode(),
        json.dumps([[1, "s", None, "r", 1, None, None, None, "lenient", False]]).encode(),
        json.dumps([[1, "s", None, "r", 1, None, None, None, "strict", 1]]).encode(),
        zstandard.ZstdCompressor().compress(b"[" * 5_000)[:-3],
        b"\x28\xb5\x2f\xfd\0\0\0",
    ],
)  # fmt: skip
def test_what_is_no_chunk(payload: bytes) -> None:
    with pytest.raises(Corrupt):
        entries_of(payload)


def test_a_bomb_is_refused_before_it_is_unpacked() -> None:
    bomb = zstandard.ZstdCompressor().compress(b" " * (64 << 20))
    huge = bomb[:5] + b"\xff" * 8 + bomb[13:]
    with pytest.raises(Corrupt):
        entries_of(huge)
    streamed = zstandard.ZstdCompressor(write_content_size=False).compress(b" " * (64 << 20))
    with pytest.raises(Corrupt):
        entries_of(streamed)


@given(st.binary(max_size=200))
def test_no_bytes_do_anything_but_be_refused(data: bytes) -> None:
    for read in (entries_of, outcome_from_json, results_from_json):
        try:
            read(data)
        except Corrupt:
            continue


def test_chunks_that_repeat_themselves_are_stored_small() -> None:
    rows = [
        entry_to_json(Entry(n, Row("code__x", f"print({n})", {"inputs": ["1 2 3\n"] * 200})))
        for n in range(64)
    ]
    (chunk,) = cut(rows)
    assert len(chunk.payload) < sum(map(len, rows)) / 10
    assert [entry.id for entry in entries_of(chunk.payload)] == list(range(64))


# Outcomes

FULL = replace(
    scored(1 / 3, Reason.PARTIALLY_EQUAL, "\ud800é", flags=["a", "b"], trace={"gold": [1]}, n=2**70, x={"y": [0.1]}),
    handler="math", version="3", cached=True, **dict.fromkeys(TIMINGS, 1.5),
)  # fmt: skip


@pytest.mark.parametrize("outcome", [FULL, accept("x"), reject(), cannot_judge(Reason.INTERNAL, "é")])
def test_outcomes_read_back_as_they_were(outcome: Outcome) -> None:
    assert outcome_from_json(outcome_to_json(outcome)) == outcome
    first, judged = results_from_json(results_to_json(7, [Judged("é", outcome), Judged(None, outcome)]))
    assert (first, judged) == (7, [Judged("é", outcome), Judged(None, outcome)])


@given(st.floats(0.0, 1.0))
def test_scores_keep_every_bit(score: float) -> None:
    read = outcome_from_json(outcome_to_json(scored(score, Reason.PARTIALLY_EQUAL)))
    assert read.score is not None
    assert math.copysign(1, read.score) == math.copysign(1, score)
    assert read.score.hex() == score.hex()


def changed(place: int, value: Any) -> bytes:
    plain = json.loads(outcome_to_json(FULL))
    plain[place] = value
    return json.dumps(plain).encode()


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (0, "error"), (0, "maybe"), (0, []), (1, "internal"), (1, "nothing"), (2, None), (2, 1.5), (2, -0.1), (2, "1"),
        (2, True), (2, float("nan")), (2, float("inf")), (3, None), (3, 1), (4, 5), (5, "ab"), (5, [1]), (6, []),
        (7, None), (8, 3), (9, 0), (10, []), (10, {"verify_ms": "x"}), (11, 5),
    ],
)  # fmt: skip
def test_an_outcome_that_cant_have_been_one_is_refused(place: int, value: Any) -> None:
    with pytest.raises(Corrupt):
        outcome_from_json(changed(place, value))


def test_an_error_with_a_score_is_refused() -> None:
    plain = json.loads(outcome_to_json(cannot_judge(Reason.INTERNAL, "x")))
    plain[2] = 0.0
    with pytest.raises(Corrupt):
        outcome_from_json(json.dumps(plain).encode())


def test_a_timing_that_another_version_knows_is_ignored() -> None:
    plain = json.loads(outcome_to_json(FULL))
    plain[10]["moon_ms"] = 5.0
    assert outcome_from_json(json.dumps(plain).encode()) == FULL


@given(JSON)
def test_ground_truths_read_back(value: Any) -> None:
    assert value_from_json(value_to_json(value)) == value


def test_packing_is_only_for_what_is_large() -> None:
    assert pack(b"[1]") == b"[1]"
    assert pack(b"x" * 10_000, compress=False) == b"x" * 10_000
