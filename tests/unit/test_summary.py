"""The table per data source, and pass@k by its definition."""

from __future__ import annotations

import itertools
import math
import random
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reward_service.analysis import summary as module
from reward_service.analysis import sums
from reward_service.analysis.statistics import pass_at_k
from reward_service.analysis.summary import ANY, OTHER, Passes, Summary, Tally, group_key
from reward_service.bulk import Job, Rows
from reward_service.dump import Record


def outcome(score: float | None, reason: str = "equal", **more: Any) -> dict[str, Any]:
    """A row's outcome as the output has it; None is an error."""
    status = "error" if score is None else "scored"
    correct = None if score is None else score == 1.0
    base = {"status": status, "score": score, "correct": correct, "reason": reason, "flags": [], "detail": {}}
    return base | {"handler": "h", "version": "1"} | more


@given(st.integers(1, 7), st.data())
def test_pass_at_k_is_the_share_of_draws_that_hold_a_correct_sample(n: int, data: st.DataObject) -> None:
    c, k = data.draw(st.integers(0, n)), data.draw(st.integers(1, n))
    draws = list(itertools.combinations([True] * c + [False] * (n - c), k))
    assert pass_at_k(n, c, k) == Fraction(sum(any(draw) for draw in draws), len(draws))


@pytest.mark.parametrize(("n", "c", "k"), [(4, 5, 1), (4, -1, 1), (4, 2, 5), (4, 2, 0), (0, 0, 1)])
def test_pass_at_k_of_nonsense_is_refused(n: int, c: int, k: int) -> None:
    with pytest.raises(ValueError, match="pass@"):
        pass_at_k(n, c, k)


def test_a_table_by_hand() -> None:
    summary = Summary()
    for line, (source, score, reason, spent) in enumerate(
        [
            ("a", 1.0, "equal", 2.0),
            ("a", 0.5, "partially_equal", 4.0),
            ("a", 0.0, "no_answer", None),
            ("a", None, "deadline", 0.0),
            ("b", None, "deadline", None),
        ],
        1,
    ):
        summary.add(line, source, outcome(score, reason), None, spent)
    assert summary.tallies["a"] == Tally(4, 1, 1.5, 1, 1, 6.0, 3)
    assert (summary.tallies["a"].mean, summary.tallies["a"].no_answer_rate) == (0.5, 1 / 3)
    assert (summary.tallies["b"].mean, summary.tallies["b"].no_answer_rate) == (None, None)
    assert summary.total() == Tally(5, 2, 1.5, 1, 1, 6.0, 3)
    assert summary.error_lines == {"deadline": [4, 5]}
    assert summary.messages == {"deadline": ""}
    assert summary.passes() == []
    summary.close()


def test_passes_by_hand() -> None:
    summary = Summary()
    samples = {1: [1.0, 0.0, 0.0, 0.0], 2: [1.0, 1.0, 0.5, None], 3: [0.0], 4: [None, None]}
    for prompt, scores in samples.items():
        for score in scores:
            summary.add(1, "a", outcome(score), prompt)
    for score in (1.0, 0.0):
        summary.add(1, "b", outcome(score), 1)  # the same id in another data source is another prompt
    summary.add(1, "c", outcome(1.0), 9)
    summary.add(1, "a", outcome(1.0), None)
    a, b, every = summary.passes()
    # Prompt 4 has no judged sample, and prompt 2 has three: an error is no sample.
    assert (a.data_source, a.prompts, a.fewest, a.most) == ("a", 3, 1, 4)
    assert math.isclose(a.avg, (0.25 + 2.5 / 3 + 0.0) / 3)
    assert a.pass_at == pytest.approx({1: (1 / 4 + 2 / 3 + 0) / 3, 2: (1 / 2 + 1) / 2, 4: 1.0})
    assert b == Passes("b", 1, 2, 2, 0.5, {1: 0.5, 2: 1.0})
    assert (every.data_source, every.prompts) == (ANY, 5)
    summary.close()


def test_prompts_beyond_memory_count_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(7)
    samples = [
        (f"s{rng.randrange(3)}", rng.randrange(-400, 400), float(rng.random() < 0.4)) for _ in range(5_000)
    ]
    found = []
    for held in (1, 64, 10**9):
        monkeypatch.setattr(sums, "HELD_KEYS", held)
        summary = Summary()
        for source, prompt, score in samples:
            summary.add(1, source, outcome(score), prompt)
        found.append(summary.passes())
        summary.close()
    assert len(found[0]) == 4
    for one, other in itertools.pairwise(found):
        for left, right in zip(one, other, strict=True):
            assert left[:4] == right[:4]
            assert left.avg == pytest.approx(right.avg) and left.pass_at == right.pass_at


def test_names_and_flags_from_outside_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_SOURCES", 5)
    summary = Summary()
    for number in range(100):
        summary.add(number, f"s{number}", outcome(1.0, flags=[f"f{number}", "f0"]))
    assert len(summary.tallies) == 6 and summary.tallies[OTHER].rows == 95
    assert len(summary.flags) == 5 and summary.flags["f0"] == 101
    assert summary.total().rows == 100
    summary.close()


def test_two_versions_of_a_handler_are_noticed() -> None:
    summary = Summary()
    summary.add(1, "a", outcome(1.0))
    summary.add(2, "a", outcome(1.0, version="2"))
    summary.add(3, "a", outcome(None, "unknown_data_source", handler="", version=""))
    assert summary.versions == {"h": {"1", "2"}}
    summary.close()


# What makes two rows samples of one prompt

CHAT = '[{"role": "user", "content": "q"}]'


@pytest.mark.parametrize(
    ("asked", "same", "other", "words"),
    [
        (None, '"prompt_id": 7, "prompt": "p"', '"prompt_id": 8, "prompt": "p"', "prompt_id"),
        (None, '"prompt_id": "a"', '"prompt_id": "b"', "prompt_id"),
        (
            None,
            '"extra_info": {"index": 0}',
            '"extra_info": {"index": 1}',
            "data_source and extra_info.index",
        ),
        (
            None,
            '"extra_info": "{\\"index\\": 0}"',
            '"extra_info": {"index": 1}',
            "data_source and extra_info.index",
        ),
        (None, '"prompt": "p"', '"prompt": "q"', "the prompt's text"),
        (None, f'"prompt": {CHAT}', '"prompt": "q"', "the prompt's text"),
        ("uid", '"uid": [1, 2], "prompt_id": 1', '"uid": [1], "prompt_id": 1', "uid"),
        ("extra_info.uid", '"extra_info": {"uid": 1}', '"extra_info": {"uid": "1"}', "extra_info.uid"),
        ("a.b", '"a.b": 1', '"a": {"b": 2}', "a.b"),
    ],
)
def test_grouping(tmp_path: Any, asked: str | None, same: str, other: str, words: str) -> None:
    rows = Rows(Job(tmp_path, tmp_path, group_by=asked))

    def group(columns: str) -> int | None:
        line = '{"data_source": "d", "response": "r"' + (f", {columns}" if columns else "") + "}"
        return rows.read(Record(1, line.encode())).group

    first = group(same)
    assert rows.grouped_by == words
    assert first is not None and group(same) == first
    assert group(other) not in (None, first)
    assert group("") is None


def test_the_first_good_row_decides_and_the_rest_follow(tmp_path: Any) -> None:
    rows = Rows(Job(tmp_path, tmp_path))
    rows.read(Record(1, b"no row"))
    assert rows.grouped_by is None
    rows.read(Record(2, b'{"response": "r", "prompt": "p"}'))
    assert rows.read(Record(3, b'{"response": "r", "prompt_id": 5}')).group is None


def test_group_keys_are_of_the_value_and_not_of_its_spelling() -> None:
    assert group_key({"a": 1, "b": 2}) == group_key({"b": 2, "a": 1})
    assert len({group_key(value) for value in ("1", 1, [1], {"a": 1}, '{"a":1}', "\ud800")}) == 6
