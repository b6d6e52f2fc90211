"""What a dump is measured by: by hand, in any order, within bounds."""

from __future__ import annotations

import json
import math
import random
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reward_service.analysis import measures as module
from reward_service.analysis.judged import Judged, Judgement, judgement
from reward_service.analysis.measures import Kind, Line, Measures, middle_cut, prompt_text
from reward_service.analysis.sketches import Smallest, mixed
from reward_service.analysis.statistics import wilson
from reward_service.analysis.summary import OTHER
from reward_service.dump import Record
from reward_service.wire import ItemIn


def row(
    line: int,
    score: float | None,
    source: str = "a",
    prompt: int | None = None,
    reason: str = "",
    chars: int = 10,
    **more: Any,
) -> Judged:
    correct = score is not None and score >= 1.0
    reason = reason or ("equal" if correct else "deadline" if score is None else "not_equal")
    found = Judgement(score, correct, reason, handler="h", version="1", **more)
    item = ItemIn(data_source=source, response="x" * chars, ground_truth="g")
    text = json.dumps({"data_source": source, "response": item.response, "ground_truth": "g"}).encode()
    return Judged(Record(line, text), source, "logic", prompt, found, item, None)


def measured(rows: list[Judged], **more: Any) -> tuple[Line, list[Line], list[Line], Measures]:
    measures = Measures(**more)
    for one in rows:
        measures.add(one)
    whole, domains, sources = measures.lines()
    measures.close()
    return whole, domains, sources, measures


def test_errors_are_counted_and_enter_nothing_else() -> None:
    judged = [
        row(1, 1.0, prompt=1),
        row(2, 0.0, prompt=1),
        row(3, 0.0, prompt=2, reason="no_answer"),
        row(4, 1.0, prompt=2),
    ]
    errors = [row(line, None, prompt=line % 3) for line in range(5, 15)]
    alone, _, _, _ = measured(judged)
    whole, (domain,), (source,), measures = measured([*judged, *errors])
    assert (whole.rows, whole.judged, whole.errors) == (14, 4, 10)
    assert whole.error_reasons == Counter(deadline=10)
    assert (whole.mean, whole.correct, whole.no_answer) == (alone.mean, alone.correct, alone.no_answer)
    assert whole.mean.share == 0.5 and whole.no_answer.share == 0.25
    assert (whole.prompts, whole.fewest, whole.most) == (2, 2, 2)
    assert [at.interval.share for at in whole.pass_at] == [0.5, 1.0]
    assert whole.rates == [(0.5, 2)]
    assert whole.bins == alone.bins and whole.stuck == (0.0, 0.0)
    assert domain.mean == source.mean == whole.mean
    assert measures.messages == {"deadline": (5, "")}


def test_only_errors_have_no_score() -> None:
    whole, _, _, _ = measured([row(1, None), row(2, None, prompt=3)])
    assert math.isnan(whole.mean.share) and math.isnan(whole.correct.share)
    assert (whole.bins, whole.pass_at, whole.stuck, whole.length, whole.prompts) == ([], [], None, None, 0)


def test_scores_of_zero_and_one_have_wilsons_interval_and_partial_ones_a_mean() -> None:
    whole, _, _, _ = measured([row(line, float(line < 4)) for line in range(10)])
    assert whole.mean == whole.correct == wilson(4, 10)
    whole, _, _, _ = measured([row(1, 0.5), row(2, 1.0), row(3, 0.0)])
    assert whole.mean.share == 0.5 and whole.correct.share == pytest.approx(1 / 3)


def test_prompts_of_one_data_source_are_not_those_of_another() -> None:
    rows = [row(1, 1.0, "a", 7), row(2, 0.0, "a", 7), row(3, 0.0, "b", 7), row(4, 0.0, "b", 7)]
    whole, _, (a, b), _ = measured(rows)
    assert (whole.prompts, a.prompts, b.prompts) == (2, 1, 1)
    assert (a.stuck, b.stuck, whole.stuck) == ((0.0, 0.0), (1.0, 0.0), (0.5, 0.0))


def test_length_against_score_within_prompts() -> None:
    """Hard prompts have long answers, but of each prompt's samples the longer ones are right: two signs, both told."""
    rows = []
    for prompt in range(20):
        base = 100 if prompt < 10 else 100_000
        easy = prompt < 10
        for sample in range(4):
            chars = base * (1 + sample)
            score = 1.0 if (sample > 0 if easy else sample == 3) else 0.0
            rows.append(row(len(rows), score, prompt=prompt, chars=chars))
    whole, _, _, _ = measured(rows)
    assert whole.length is not None and whole.within is not None
    assert whole.length < -0.2 and whole.within > 0.7
    assert sum(one.rows for one in whole.bins) == 80
    assert all(one.low <= one.high for one in whole.bins)


def told(found: tuple[Line, list[Line], list[Line], Measures]) -> str:
    """All lines as text (NaN equals NaN), reasons sorted."""
    whole, domains, sources, _ = found
    lines = [whole, *domains, *sources]
    return repr(
        [
            (
                replace(one, reasons=Counter(), error_reasons=Counter()),
                sorted(one.reasons.items()),
                sorted(one.error_reasons.items()),
            )
            for one in lines
        ]
    )


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([0.0, 0.5, 1.0, None]), st.integers(0, 3) | st.none(), st.sampled_from("ab")
        ),
        max_size=40,
    ),
    st.randoms(),
)
def test_the_order_of_rows_changes_nothing(rows: list[tuple[Any, Any, str]], rng: random.Random) -> None:
    made = [row(line, score, source, prompt) for line, (score, prompt, source) in enumerate(rows)]
    before = measured(made)
    rng.shuffle(made)
    after = measured(made)
    assert told(before) == told(after)
    for kind in Kind:
        assert [one.line for one in before[3].samples(kind, 9)] == [
            one.line for one in after[3].samples(kind, 9)
        ]


def test_samples_are_few_fair_and_of_their_kind() -> None:
    rows = [row(line, 0.0, "ab"[line % 2], flags=("f",) if line % 10 == 0 else ()) for line in range(1_000)]
    rows += [row(1_000 + line, 0.0, reason="no_answer") for line in range(5)]
    rows += [row(2_000, None), row(2_001, 1.0)]
    *_, measures = measured(rows, samples=3)
    assert [one.data_source for one in measures.samples(Kind.WRONG, 40)] == ["a"] * 3 + ["b"] * 3
    assert len(measures.samples(Kind.WRONG, 2)) == 2
    assert {one.data_source for one in measures.samples(Kind.WRONG, 2)} == {"a", "b"}
    assert all(one.judged.found.flags for one in measures.samples(Kind.FLAGGED, 40))
    assert len(measures.samples(Kind.NO_ANSWER, 40)) == 3
    assert [one.line for one in measures.samples(Kind.ERROR, 40)] == [2_000]


def test_each_row_has_the_same_chance_to_be_a_sample() -> None:
    drawn: Counter[int] = Counter()
    for salt in range(2_000):
        kept: Smallest[int] = Smallest(2)
        for value in range(10):
            kept.offer(mixed(value, salt), value)
        drawn.update(kept.values())
    assert all(abs(count - 400) < 80 for count in drawn.values()), drawn  # four standard deviations


def test_what_is_held_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_SOURCES", 5)
    monkeypatch.setattr(module, "HELD_BYTES", 200)
    rows = [
        row(line, 0.0, f"s{line}", chars=10_000, flags=(f"f{line}",), reason=f"r{line}")
        for line in range(100)
    ]
    whole, _, sources, measures = measured(rows)
    assert {line.name for line in sources} == {OTHER, *(f"s{number}" for number in range(5))}
    assert whole.rows == 100 and len(measures.flags) == 65 and measures.flags["(others)"] == 36
    samples = measures.samples(Kind.WRONG, 1_000)
    assert all(len(one.response) < 4_100 for one in samples)
    assert sum(len(one.packed) for one in samples if one.packed) < 1_000


def test_the_slowest_rows() -> None:
    rows = [row(line, 1.0, ms=float(line)) for line in range(1, 101)]
    *_, measures = measured([*rows, row(101, 1.0)])
    assert [slow.line for slow in measures.slowest.values()] == list(range(100, 80, -1))
    assert (measures.timed, measures.milliseconds) == (100, 5050.0)


@pytest.mark.parametrize(
    ("value", "score", "correct", "reason"),
    [
        (
            {"status": "scored", "score": 0.5, "correct": False, "reason": "partially_equal"},
            0.5,
            False,
            "partially_equal",
        ),
        ({"status": "error", "score": None, "correct": None, "reason": "deadline"}, None, False, "deadline"),
        ({"status": "error", "score": 0.0, "reason": "deadline"}, None, False, "deadline"),
        (
            '{"status": "scored", "score": 1.0, "reason": "equal", "detail": "{\\"message\\": \\"m\\"}"}',
            1.0,
            True,
            "equal",
        ),
        ({"score": "1"}, None, False, ""),
        (1, 1.0, True, ""),
        (-1.0, -1.0, False, ""),
        (True, 1.0, True, ""),
        (math.nan, None, False, "(no outcome)"),
        (None, None, False, "(no outcome)"),
        ([1], None, False, "(no outcome)"),
    ],
)
def test_judgements_from_files(value: Any, score: float | None, correct: bool, reason: str) -> None:
    found = judgement(value)
    assert (found.score, found.correct, found.reason) == (score, correct, reason)


def test_texts() -> None:
    assert middle_cut("x" * 10, 10) == "x" * 10
    assert middle_cut("a" * 5 + "b" * 5, 4) == "a\n[… 6 characters …]\nbbb"
    assert prompt_text([{"role": "user", "content": "x"}, 7]) == "user: x\n7"
    assert (prompt_text(None), prompt_text("p"), prompt_text({"a": 1})) == ("", "p", '{"a": 1}')
