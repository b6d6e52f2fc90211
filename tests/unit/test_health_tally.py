"""A chunk is added up right, whatever is in it; steps and series are bounded and add up to the same."""

from __future__ import annotations

import random
from collections import Counter
from statistics import correlation

import pytest

from reward_service.engine.scorer import Row, Scored
from reward_service.health.monitor import Monitor
from reward_service.health.series import MAX_PAIRS, MAX_RUNNING, MAX_RUNS, STEP_SECONDS, STEPS, History
from reward_service.health.tally import tally
from reward_service.telemetry import Metrics
from reward_service.types import Outcome, Reason, accept, cannot_judge, reject, scored

START = 1_700_000_000.0


class Clock:
    """A clock that tests turn."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return self.now


def chunk(*pairs: tuple[Row, Outcome], source: str = "s") -> tuple[list[Row], list[Scored]]:
    return [row for row, _ in pairs], [
        Scored(outcome, row.data_source or source, "math") for row, outcome in pairs
    ]


def random_chunk(seed: int, items: int = 300) -> tuple[list[Row], list[Scored]]:
    draw = random.Random(seed)
    rows, results = [], []
    for _ in range(items):
        source = draw.choice("abc")
        rows.append(
            Row(
                source,
                "x" * draw.randint(0, 9_000),
                "g",
                prompt=draw.choice("pqrs"),
                run=draw.choice(["", "r1", "r2"]),
            )
        )
        outcome = draw.choice(
            [
                accept("1"),
                reject(Reason.NOT_EQUAL, "2", flags=("multiple_answers", "x" * 99)),
                reject(Reason.NO_ANSWER),
                reject(Reason.TIME_LIMIT),
                scored(0.25, Reason.PARTIALLY_EQUAL),
                cannot_judge(Reason.DEADLINE, "late"),
            ]
        )
        results.append(Scored(outcome, source, "logic"))
    return rows, results


def test_every_part_adds_up_to_what_a_plain_loop_finds() -> None:
    rows, results = random_chunk(1)
    parts = {(part.run, part.data_source): part for part in tally(rows, results, "none")}
    assert len(parts) == 9
    for (run, source), part in parts.items():
        mine = [
            (row, one.outcome)
            for row, one in zip(rows, results, strict=True)
            if (row.run or "none", one.data_source) == (run, source)
        ]
        judged = [(len(row.response), one.score) for row, one in mine if one.score is not None]
        sums = part.sums
        assert (sums.items, sums.scored, sums.errors) == (len(mine), len(judged), len(mine) - len(judged))
        assert sums.score == pytest.approx(sum(score for _, score in judged))
        assert sums.score_squares == pytest.approx(sum(score**2 for _, score in judged))
        assert sums.chars == sum(length for length, _ in judged)
        assert sums.chars_score == pytest.approx(sum(length * score for length, score in judged))
        assert part.reasons == Counter(one.reason for _, one in mine)
        assert part.flags == Counter(flag[:64] for _, one in mine for flag in one.flags)
        assert (sums.no_answer, sums.time_limit) == (
            part.reasons.get(Reason.NO_ANSWER, 0),
            part.reasons.get(Reason.TIME_LIMIT, 0),
        )
        assert sums.flagged == sum(bool(one.flags) for _, one in mine)
        assert part.widths == Counter(length.bit_length() for length, _ in judged)
        assert sum(part.width_scores.values()) == pytest.approx(sums.score)


def test_timings_are_of_fresh_items_only_and_twins_are_counted() -> None:
    fresh = Outcome(
        "scored", Reason.EQUAL, 1.0, True, queue_ms=3.0, verify_ms=2.0, sandbox_ms=5.0, judge_ms=7.0
    )  # type: ignore[arg-type]
    old = Outcome("scored", Reason.EQUAL, 1.0, True, queue_ms=100.0, verify_ms=100.0, cached=True)  # type: ignore[arg-type]
    twin = Scored(fresh, "s", "d")
    (part,) = tally([Row("s", "r")] * 4, [twin, twin, twin, Scored(old, "s", "d")])
    sums = part.sums
    assert (sums.fresh, sums.cached, sums.duplicates) == (3, 1, 2)
    assert (sums.queue_ms, sums.verify_ms, sums.sandbox_ms, sums.judge_ms) == (9.0, 6.0, 15.0, 21.0)
    assert part.slowest_queue_ms == 3.0


YES, NO, ERROR = accept("1"), reject(Reason.NOT_EQUAL, "2"), cannot_judge(Reason.DEADLINE, "late")


@pytest.mark.parametrize(
    ("rows", "outcomes", "expected"),
    [
        ([Row("s", "r", "g", prompt="p")] * 4, [YES, NO, NO, NO], (1, 0, 0)),
        ([Row("s", "r", "g", prompt="p")] * 3, [NO, NO, ERROR], (1, 1, 0)),
        ([Row("s", "r", "g", prompt="p")] * 3, [YES, YES, YES], (1, 0, 1)),
        ([Row("s", "r", "g", prompt="p"), Row("s", "r", "h", prompt="p")], [YES, YES], (0, 0, 0)),
        (
            [Row("s", "r", "g", prompt=[{"role": "user", "content": t}]) for t in "ppq"],
            [NO, NO, YES],
            (1, 1, 0),
        ),
        ([Row("s", "r", "g", extra_info={"index": n}) for n in (7, 7, 8, 8)], [NO, NO, YES, YES], (2, 1, 1)),
        ([Row("s", "r", "g", extra_info={"question": "q"})] * 2, [YES, NO], (1, 0, 0)),
        ([Row("s", "r", "g")] * 3, [YES, YES, YES], (0, 0, 0)),  # nothing says that they are one prompt's
        ([Row("s", "r", "g", prompt={"deep": [{}]})] * 2, [YES, YES], (0, 0, 0)),
        ([Row("s", "r", "g", prompt=[[]])] * 2, [YES, YES], (0, 0, 0)),
        ([Row("s", "r", [1], prompt="p")] * 2, [YES, YES], (1, 0, 1)),
        ([Row("s", "r", "g", prompt="p")] * 2, [ERROR, ERROR], (0, 0, 0)),
    ],
)
def test_groups(rows: list[Row], outcomes: list[Outcome], expected: tuple[int, int, int]) -> None:
    (part,) = tally(rows, [Scored(outcome, "s", "d") for outcome in outcomes])
    assert (part.sums.groups, part.sums.all_zero, part.sums.all_one) == expected


def test_a_named_group_spans_requests_and_closes_when_nothing_more_comes() -> None:
    clock = Clock()
    monitor = Monitor(clock)
    for outcome in (NO, NO, YES):
        monitor.record(*chunk((Row("s", "r", group="7"), outcome)))
        clock.now += 5
    monitor.record(*chunk((Row("s", "r", group="alone"), YES)))
    assert monitor.show()["sources"][0]["groups"] == 0
    clock.now += 60
    (source,) = monitor.show()["sources"]
    assert (source["groups"], source["all_zero_groups"], source["all_one_groups"]) == (1, 0.0, 0.0)


def test_the_views_add_up() -> None:
    clock = Clock()
    monitor = Monitor(clock)
    everything: list[tuple[Row, Scored]] = []
    for seed in range(20):
        rows, results = random_chunk(seed, 50)
        everything += zip(rows, results, strict=True)
        monitor.record(rows, results)
        if seed % 3 == 0:
            monitor.show()  # looking changes nothing
        clock.now += 7
    whole = monitor.show()
    count = len(everything)
    assert sum(whole["totals"]["items"]) == sum(row["items"] for row in whole["sources"]) == count
    assert sum(run["items"] for run in whole["runs"]) == count
    assert {run["run"] for run in whole["runs"]} == {"", "r1", "r2"}
    assert sum(map(sum, whole["totals"]["reasons"].values())) == count
    of_source = [(row, one) for row, one in everything if one.data_source == "a"]
    scores = [one.outcome.score for _, one in of_source if one.outcome.score is not None]
    lengths = [len(row.response) for row, one in of_source if one.outcome.score is not None]
    row = next(row for row in whole["sources"] if row["data_source"] == "a")
    mean = sum(scores) / len(scores)
    assert row["mean"] == pytest.approx(mean, abs=1e-5)
    assert row["variance"] == pytest.approx(
        sum((score - mean) ** 2 for score in scores) / len(scores), abs=1e-4
    )
    assert row["masked_rate"] == pytest.approx(1 - len(scores) / len(of_source), abs=1e-5)
    assert row["length_correlation"] == pytest.approx(correlation(lengths, scores), abs=1e-3)
    one = monitor.show(run="r1", data_source="a")
    mine = [found for row, found in of_source if row.run == "r1"]
    assert sum(one["totals"]["items"]) == one["sources"][0]["items"] == len(mine)
    assert sum(bin_["items"] for bin_ in one["lengths"]) == sum(
        found.outcome.score is not None for found in mine
    )
    for name, column in one["totals"].items():
        for values in column.values() if isinstance(column, dict) else (column,):
            assert len(values) == len(one["steps"]), name


def test_what_is_older_than_the_window_is_gone() -> None:
    clock = Clock()
    monitor = Monitor(clock)
    for _ in range(STEPS + 50):
        monitor.record(*chunk((Row("s", "r"), YES), (Row("s", "r"), NO)))
        clock.now += STEP_SECONDS
    (source,) = monitor.show()["sources"]
    assert source["items"] == 2 * (STEPS - 1)  # the step that runs now is empty
    assert source["mean"] == 0.5
    assert source["mean_steps"] == [0.5] * (STEPS - 1) + [None]
    assert len(monitor.history.total.steps) == STEPS
    assert monitor.show(minutes=1)["sources"][0]["items"] == 2 * 5
    clock.now += 2 * STEP_SECONDS
    monitor.record(*chunk((Row("s", "r"), YES)))  # after a gap
    assert monitor.show(minutes=1)["sources"][0]["mean_steps"] == [0.5, 0.5, 0.5, None, None, 1.0]
    clock.now += 3_600
    (source,) = monitor.show()["sources"]
    assert (source["items"], source["mean"], source["variance"]) == (0, None, None)


def test_whoever_makes_up_run_ids_pushes_out_runs_and_nothing_else() -> None:
    clock = Clock()
    monitor = Monitor(clock)
    for start in range(0, 5_000, 500):
        monitor.record(*chunk(*((Row("s", "r", run=f"run{start + n}"), YES) for n in range(500))))
    history: History = monitor.history
    assert len(history._running) <= MAX_RUNNING + 500
    shown = monitor.show()
    assert (len(history.runs), len(history.pairs), len(history.sources)) == (MAX_RUNS, MAX_PAIRS, 1)
    assert shown["runs"][0]["run"] == "run4999"
    assert sum(shown["totals"]["items"]) == shown["sources"][0]["items"] == 5_000


def test_prometheus_is_told_the_same_and_no_run() -> None:
    metrics = Metrics("0")
    rows, results = random_chunk(3)
    metrics.record(rows, results, "grpo-7")
    lines = metrics.exposition().decode().splitlines()
    assert not [line for line in lines if "grpo-7" in line or '"r1"' in line]
    items = sum(
        float(line.rpartition(" ")[2]) for line in lines if line.startswith("reward_service_items_total")
    )
    assert items == len(rows)
    scored_ = [row for row, one in zip(rows, results, strict=True) if one.outcome.score is not None]
    below = [
        float(line.rpartition(" ")[2])
        for line in lines
        if line.startswith("reward_service_response_chars_bucket") and 'le="1023.0"' in line
    ]
    assert sum(below) == sum(len(row.response) <= 1023 for row in scored_)


def test_results_that_cannot_be_counted_cost_no_score() -> None:
    metrics = Metrics("0")
    metrics.record([Row("s", "r")], [None])  # type: ignore[list-item]
    metrics.record(*chunk((Row("s", "r"), YES)))
    assert sum(metrics.monitor.show()["totals"]["items"]) == 1
