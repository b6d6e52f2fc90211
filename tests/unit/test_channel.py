"""The wire between supervisor and children: what survives it exactly, and what never comes out of it."""

from __future__ import annotations

import base64
import enum
import fractions
import gzip
import json
import math
import mmap
import pickle
import subprocess
import sys
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reward_service.engine import child
from reward_service.engine.channel import (
    HEADER,
    MAX_INT_BITS,
    PROGRESS,
    SLOT_BYTES,
    Task,
    decision_from_plain,
    decision_to_plain,
    pack,
    plain,
    result_from_plain,
    result_to_plain,
    unpack,
    unpack_foreign,
    work_from_plain,
    work_to_plain,
)
from reward_service.engine.child import decompress, finite, judge_one, plain_ground_truth, run_items
from reward_service.registry import Registry, Source, handler
from reward_service.runs import Program, Run, RunLimits, RunResult, RunStatus, Style, Work
from reward_service.types import (
    Domain,
    Example,
    Item,
    Limits,
    Outcome,
    Reason,
    Status,
    accept,
    reject,
    scored,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)

# Frames


@given(JSON)
def test_every_json_value_survives_a_frame(value: Any) -> None:
    frame = pack(value)
    (size,) = HEADER.unpack(frame[: HEADER.size])
    assert size == len(frame) - HEADER.size
    assert unpack(frame[HEADER.size :]) == value


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(10**5000, id="a long integer"),
        "\ud800",
        "x" * 1_000_000,
        [[[[]]]],
        {"a": {"b": None}},
        float("inf"),
        b"x",
        (1, 2),
    ],
)
def test_so_do_values_that_other_codecs_refuse(value: Any) -> None:
    assert unpack(pack(value)[HEADER.size :]) == value


class Evil:
    """What a pickle can do to whoever reads it."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (print, ("owned",))


def function() -> None:
    """A function of this module."""


class Colour(enum.StrEnum):
    """A string that is not exactly one."""

    RED = "red"


NOT_PLAIN = [
    Evil(), function, print, object, Colour.RED, OrderedDict(a=1), fractions.Fraction(1, 2), Reason.EQUAL,
    Item("d", "r", "g", {}), Exception("x"), complex(1, 2), range(3), object(), [1, {"a": Evil()}],
]  # fmt: skip


@pytest.mark.parametrize("value", NOT_PLAIN, ids=lambda value: type(value).__name__)
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_nothing_that_names_a_class_or_function_is_read(
    value: Any, protocol: int, capsys: pytest.CaptureFixture[str]
) -> None:
    body = pickle.dumps(value, protocol=protocol)
    with pytest.raises(pickle.UnpicklingError):
        unpack(body)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    "body",
    [
        b"cos\nsystem\n(S'touch /tmp/owned'\ntR.",  # protocol 0: GLOBAL, REDUCE
        b"(ios\nsystem\n.",  # INST
        b"\x80\x04\x8c\x02os\x8c\x06system\x93.",  # STACK_GLOBAL
        b"\x80\x02\x82\x01.",  # EXT1: an extension code
        b"Ppersistent\n.",  # PERSID
        b"\x80\x02]Q.",  # BINPERSID
        b"\x80\x02cbuiltins\nobject\n)\x81.",  # NEWOBJ
        b"",
        b"\x80\x05",
        b"garbage",
        b"\x80\x05\x8d\xff\xff\xff\xff\xff\xff\xff\x7f",  # a string of 2^63 bytes that are not there
    ],
)
def test_hand_made_pickles_are_errors(body: bytes) -> None:
    with pytest.raises(Exception) as caught:
        unpack(body)
    assert isinstance(
        caught.value,
        pickle.UnpicklingError | EOFError | ValueError | IndexError | MemoryError | OverflowError,
    )


@given(st.binary(max_size=60))
def test_arbitrary_bytes_give_plain_values_or_errors(body: bytes) -> None:
    try:
        value = unpack(body)
    except Exception:
        return
    assert type(value).__module__ == "builtins"


@pytest.mark.parametrize(
    "body",
    [
        b"\x80\x02Nr\xff\xff\xff\x7f.",  # LONG_BINPUT 2^31 - 1: a memo of 32 GiB
        b"\x80\x02Nr\xff\xff\xff\x07.",
        b"Np999999999999\n.",  # PUT
        b"\x80\x02Nq\xff.",  # BINPUT 255 in a pickle of six bytes
    ],
)
def test_a_stranger_can_not_ask_for_memory_with_a_few_bytes(body: bytes) -> None:
    with pytest.raises(pickle.UnpicklingError, match="memo"):
        unpack_foreign(body)


@given(JSON, st.integers(0, pickle.HIGHEST_PROTOCOL))
def test_plain_values_of_strangers_are_read(value: Any, protocol: int) -> None:
    assert unpack_foreign(pickle.dumps(value, protocol=protocol)) == value


@pytest.mark.parametrize("value", NOT_PLAIN, ids=lambda value: type(value).__name__)
def test_classes_of_strangers_are_not(value: Any) -> None:
    with pytest.raises((pickle.UnpicklingError, ValueError)):
        unpack_foreign(pickle.dumps(value))


# Outcomes

OUTCOMES = [
    accept("x"),
    reject(Reason.NO_ANSWER),
    scored(
        0.5, Reason.PARTIALLY_EQUAL, "half", flags=["multiple_answers"], trace={"gold": [1, 2]}, right=3, of=6
    ),
    child.malformed("it is empty"),
    child.cannot_judge(Reason.UNKNOWN_DATA_SOURCE, "no", nearest=["a", "b"]),
]


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_an_outcome_arrives_as_it_was_with_what_the_engine_knows(outcome: Outcome) -> None:
    sent = unpack(pack(decision_to_plain(outcome))[HEADER.size :])
    arrived = decision_from_plain(sent, "h", "2", 1.5, 2.5)
    assert isinstance(arrived, Outcome)
    for name in ("status", "reason", "score", "correct", "extracted", "flags"):
        assert getattr(arrived, name) == getattr(outcome, name), name
        assert type(getattr(arrived, name)) is type(getattr(outcome, name)), name
    assert dict(arrived.detail) == dict(outcome.detail)
    assert dict(arrived.trace) == dict(outcome.trace)
    assert (arrived.handler, arrived.version, arrived.queue_ms, arrived.verify_ms) == ("h", "2", 1.5, 2.5)
    assert arrived.cached is False


class Unprintable:
    """A value whose text raises."""

    def __str__(self) -> str:
        raise RuntimeError("no")


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"a": (1, {2})}, {"a": [1, [2]]}),
        ({1: "a", None: "b"}, {"1": "a", "None": "b"}),
        ([math.nan, math.inf, -math.inf, -0.0], ["nan", "inf", "-inf", -0.0]),
        (Colour.RED, "red"),
        (fractions.Fraction(1, 3), "1/3"),
        (True, True),
        (2**70, 2**70),
        pytest.param(-(10**5000), "<integer of 16610 bits>", id="a long integer"),
        (fractions.Fraction(10**5000), "<Fraction>"),
        (Unprintable(), "<Unprintable>"),
        (b"x", "b'x'"),
    ],
)
def test_detail_is_made_of_what_json_can_carry(value: Any, said: Any) -> None:
    assert plain(value) == said
    assert type(plain(value)) is type(said)
    assert json.loads(json.dumps(plain(value), allow_nan=False)) == said


def test_detail_ends_at_some_depth() -> None:
    deep: Any = "bottom"
    for _ in range(500):
        deep = [deep]
    text = json.dumps(plain(deep))
    assert len(text) < 2_000 and "bottom" in text


@given(JSON | st.integers(min_value=2**MAX_INT_BITS) | st.sets(st.integers()) | st.binary())
def test_detail_of_any_value_is_json(value: Any) -> None:
    json.dumps(plain({"x": value}), allow_nan=False)
    assert unpack(pack(plain(value))[HEADER.size :]) == plain(value)


# Work and results

PROGRAM = Program(
    "python", "print(1)", Style.ASSERT, "import x", "f,g", "assert f()", "pytest", {"a.txt": "1"},
    RunLimits(1.5, 2.5, 3.5, 4.5, 5, 6, 7, 8), {"o": [1]},
)  # fmt: skip


@pytest.mark.parametrize(
    "work",
    [
        Work(PROGRAM, (Run("in"), Run("", [1, {"t": "int"}]))),
        Work(Program("cpp", ""), (), {"expected": ["1"], "at": 3}, stop_early=False),
        Work(PROGRAM, (Run(),) * 300, [None]),
    ],
)
def test_work_arrives_as_it_was(work: Work) -> None:
    sent = unpack(pack(work_to_plain(work))[HEADER.size :])
    assert work_from_plain(sent) == work
    decided = decision_from_plain(unpack(pack(decision_to_plain(work))[HEADER.size :]), "h", "1", 0.0, 0.0)
    assert decided == work


def test_every_field_of_a_program_its_limits_and_runs_is_sent() -> None:
    """A field that is added and forgotten on the wire would silently be its default in the sandbox."""
    assert all(getattr(PROGRAM, name) != getattr(Program("", ""), name) for name in Program.__slots__)
    assert all(getattr(PROGRAM.limits, name) != getattr(RunLimits(), name) for name in RunLimits.__slots__)
    assert work_from_plain(work_to_plain(Work(PROGRAM, ()))).program == PROGRAM


@pytest.mark.parametrize("status", RunStatus)
def test_results_arrive_as_they_were(status: RunStatus) -> None:
    result = RunResult(
        status, "out\ufffd", "err", '["int",1]', 3, 9, "why", 0.5, 1.5, 1 << 20, ("fork_bomb",)
    )
    assert all(
        getattr(result, name) != getattr(RunResult(RunStatus.OK), name) for name in RunResult.__slots__[1:]
    )
    assert result_from_plain(unpack(pack(result_to_plain(result))[HEADER.size :])) == result


# Ground truths as a child unpacks them


def squeezed(text: str | bytes) -> str:
    return base64.b64encode(gzip.compress(text.encode() if isinstance(text, str) else text, mtime=0)).decode()


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"inputs": ["1\\n"], "outputs": ["2"]}', {"inputs": ["1\n"], "outputs": ["2"]}),
        ("[1, 2]", [1, 2]),
        ('"a word"', "a word"),
        ("a word", "a word"),
        ("42", "42"),
        ("null", "null"),
        ("true", "true"),
        ("", ""),
        ("{broken", "{broken"),
        ("é" * 100, "é" * 100),
    ],
)
def test_compressed_ground_truths_are_what_was_compressed(text: str, value: Any) -> None:
    packed = squeezed(text)
    assert packed.startswith("H4sI")
    assert decompress(packed) == value
    assert plain_ground_truth({"compressed": packed}) == value
    assert plain_ground_truth(packed) == value


@pytest.mark.parametrize(
    "gold",
    [
        None, True, 0, -1.5, "", "H4sI", "H4sIe", "text", "compressed", [], {}, {"compressed": 5}, {"compressed": None},
        {"compressed": "x", "other": 1}, {"Compressed": "x"}, [{"compressed": "x"}], {"a": [1, [2.5, None]]}, 10**400,
    ],
)  # fmt: skip
def test_anything_else_stays_as_it_is(gold: Any) -> None:
    assert plain_ground_truth(gold) is gold


FINE = squeezed(json.dumps([n * n for n in range(500)]))


@pytest.mark.parametrize(
    ("packed", "message"),
    [
        ("H4sI" + "!" * 30, "not base64 gzip"),
        ("H4sI" + "é" * 30, "not base64 gzip"),
        ("H4sI" + "A" * 41, "not base64 gzip"),
        ("H4sI" + "A" * 40, "not base64 gzip|cut off"),
        (FINE[:40], "cut off"),
        (FINE[: len(FINE) // 8 * 4], "cut off"),
        (base64.b64encode(gzip.compress(b"\xff\xfe" * 30, mtime=0)).decode(), "not UTF-8"),
        (
            base64.b64encode(gzip.compress(b"1", mtime=0) + gzip.compress(b"2", mtime=0)).decode(),
            "after its end",
        ),
        (base64.b64encode(base64.b64decode(FINE)[:-5] + b"XXXXX").decode(), "not base64 gzip"),
        (squeezed('{"a": NaN}'), "NaN or an infinity"),
        (squeezed("[1e999]"), "NaN or an infinity"),
    ],
)
def test_broken_ones_are_named_and_not_quoted(packed: str, message: str) -> None:
    for gold in (packed, {"compressed": packed}):
        with pytest.raises(ValueError, match=message) as caught:
            plain_ground_truth(gold)
        assert packed[:12] not in str(caught.value)


def test_a_bomb_is_refused_before_it_is_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child, "MAX_GROUND_TRUTH", 1 << 16)
    with pytest.raises(ValueError, match="larger than"):
        decompress(squeezed("0" * (1 << 24)))
    assert decompress(squeezed("0" * (1 << 16))) == "0" * (1 << 16)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(
    "place", [lambda v: v, lambda v: [1, [v]], lambda v: {"a": {"b": v}}, lambda v: (1, (v,))]
)
def test_numbers_that_are_none_are_refused(value: float, place: Any) -> None:
    assert not finite(place(value))
    with pytest.raises(ValueError, match="NaN or an infinity"):
        plain_ground_truth(place(value))


def test_depth_does_not_hurt_the_check() -> None:
    deep: Any = 1.5
    for _ in range(100_000):
        deep = [deep]
    assert finite(deep)
    while isinstance(deep, list):  # taken apart by hand: freeing it at once would recurse
        deep = deep[0]


@given(JSON)
def test_every_json_value_is_finite(value: Any) -> None:
    assert finite(value)


# One item in a child


def registry(plan: Any, judge: Any = None) -> Registry:
    into = Registry()
    plan.__doc__ = "A handler of this test."
    handler(
        "h",
        version="1",
        domain=Domain.LOGIC,
        sources=[Source("x", "any", Example("x", "x"))],
        judge=judge,
        into=into,
    )(plan)
    return into


def judged(plan: Any, gold: Any = "g", judge: Any = None, step: Any = None) -> tuple[Any, bool]:
    task = Task("h", "x", "x", "response", gold, {"question": "q"}, "guru", True, step)
    return judge_one(registry(plan, judge).handlers["h"], task)


def test_a_handler_sees_the_item_whole() -> None:
    seen: list[Item] = []
    outcome, healthy = judged(lambda item: seen.append(item) or accept("x"), squeezed("[1]"))
    assert (outcome.correct, healthy) == (True, True)
    assert (seen[0].ground_truth, seen[0].response, seen[0].extra_info, seen[0].source) == (
        [1],
        "response",
        {"question": "q"},
        "x",
    )
    assert (seen[0].profile.value, seen[0].explain) == ("guru", True)


def raising(error: BaseException) -> Any:
    def plan(item: Item) -> Outcome:
        raise error

    return plan


@pytest.mark.parametrize(
    ("error", "reason", "healthy"),
    [
        (RecursionError(), Reason.BUDGET_EXCEEDED, True),
        (MemoryError(), Reason.BUDGET_EXCEEDED, False),
        (ValueError("response"), Reason.INTERNAL, True),
        (ZeroDivisionError(), Reason.INTERNAL, True),
    ],
)
def test_what_a_handler_raises_is_the_items_outcome(
    error: Exception, reason: Reason, healthy: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    outcome, still_healthy = judged(raising(error))
    assert (outcome.reason, still_healthy) == (reason, healthy)
    assert (outcome.score is None) is (reason is Reason.INTERNAL)
    said = capfd.readouterr().err
    assert "response" not in said and "response" not in json.dumps(dict(outcome.detail)), "a value was logged"
    assert ("failed on x" in said) is (reason is Reason.INTERNAL)


def test_a_ground_truth_that_can_not_be_unpacked_is_the_rows_fault() -> None:
    outcome, healthy = judged(lambda item: accept("x"), "H4sI" + "A" * 40)
    assert (outcome.status, outcome.reason, healthy) == (Status.ERROR, Reason.MALFORMED_GROUND_TRUTH, True)


def test_running_out_of_memory_while_unpacking_is_no_score(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child, "decompress", raising(MemoryError()))
    outcome, healthy = judged(lambda item: accept("x"), FINE)
    assert (outcome.reason, healthy) == (Reason.MALFORMED_GROUND_TRUTH, False)


def test_a_step_is_judged_with_notes_and_results() -> None:
    seen: list[Any] = []

    def judge(item: Item, notes: Any, results: Sequence[RunResult]) -> Outcome:
        seen.append((notes, results))
        return accept("x")

    results = [RunResult(RunStatus.OK, "1"), RunResult(RunStatus.TIME_LIMIT)]
    step = ({"n": 1}, [result_to_plain(result) for result in results])
    assert judged(raising(AssertionError()), None, judge, step)[0].correct
    assert seen == [({"n": 1}, results)]
    assert judged(raising(AssertionError()), None, None, step)[0].reason is Reason.INTERNAL


class Memory:
    """Stands in for the limit on this process's own memory."""

    def __init__(self) -> None:
        self.allowed: list[int] = []

    def allow(self, growth: int) -> None:
        self.allowed.append(growth)


def test_what_passed_its_deadline_in_the_queue_is_not_judged() -> None:
    sent: list[Any] = []
    page = mmap.mmap(-1, SLOT_BYTES * 2)
    tasks = [(*Task("h", "x", "x", str(number), "g", {}), 0.0) for number in range(3)]
    assert run_items(registry(raising(AssertionError())), tasks, page, 1, Memory(), sent.append)
    (kind, verdicts, _), = sent  # fmt: skip
    assert kind == "D"
    assert [plain[1] for _, plain, _, _ in verdicts] == ["deadline"] * 3


def test_a_child_says_which_item_it_is_on_and_stops_when_it_is_not_healthy() -> None:
    page = mmap.mmap(-1, SLOT_BYTES * 2)
    seen: list[int] = []

    def plan(item: Item) -> Outcome:
        seen.append(PROGRESS.unpack_from(page, SLOT_BYTES)[0])
        if item.response == "2":
            raise MemoryError
        return accept(item.response)

    sent: list[Any] = []
    tasks = [(*Task("h", "x", "x", str(number), "g", {}), math.inf) for number in range(5)]
    memory = Memory()
    assert not run_items(registry(plan), tasks, page, 1, memory, sent.append)
    assert memory.allowed == [Limits().memory_bytes] * 3
    assert seen == [0, 1, 2]
    assert [message[0] for message in sent] == ["V"] * len(sent)
    assert [place for message in sent for place, *_ in message[1]] == [0, 1, 2]


def test_importing_the_child_starts_nothing_and_is_light() -> None:
    code = "import sys, reward_service.engine.child; print(sorted({'numpy', 'asyncio', 'fastapi', 'pydantic'} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"
