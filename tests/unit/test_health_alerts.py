"""Alerts: what raises one, what doesn't, what it says, and when it ends."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from reward_service.engine.scorer import Row, Scored
from reward_service.health.alerts import ACCEPTED_SECONDS, Alert
from reward_service.health.dress import marked_answer, same_but_for_dress
from reward_service.health.jumps import Point, jumped
from reward_service.health.monitor import Monitor
from reward_service.types import Outcome, Reason, accept, cannot_judge, reject, scored
from tests.unit.test_health_tally import Clock

SAME = [
    ("12", "12"),
    ("1{,}204", "1204"),
    ("$1,204$", "1204.0"),
    ("\\frac{1}{2}", "0.5"),
    ("\\dfrac12", "1/2"),
    ("\\boxed{\\text{Paris}}", "paris"),
    ("<answer> B </answer>", "B"),
    ("**B.**", "b"),
    ("['owl', 'crow']", ["owl", "crow"]),
    ("x + 1", "x+1"),
    ("\u2212 3", -3),
    ("３", 3),
]
OTHER = [
    ("13", "12"),
    ("50%", "0.5"),
    ("5 m", "5"),
    ("1.20", "1.2041"),
    ("", "12"),
    ("$$", "12"),
    ("A or B", "A"),
    ("12", None),
    ("True", True),
    ("1,20", "120"),
    ("1/0", "1/0.0"),
    ("crow, owl", ["owl", "crow"]),
    ("9" * 5_000, "9" * 5_000),
    ("12", {"answer": 12}),
    ("12", [10**5_000]),
]


@pytest.mark.parametrize(
    ("answer", "gold", "same"), [(*pair, True) for pair in SAME] + [(*pair, False) for pair in OTHER]
)
def test_what_is_dress(answer: str, gold: Any, same: bool) -> None:
    assert same_but_for_dress(answer, gold) is same


@pytest.mark.parametrize(
    ("response", "answer"),
    [
        ("so \\boxed{\\frac{1}{2}}.", "\\frac{1}{2}"),
        ("\\boxed{1} no, \\boxed{2}", "2"),
        ("<answer>B</answer>", "B"),
        ("<answer>B", "B"),
        ("it is 12", None),
        ("\\boxed{12" + "x" * 500, None),
        ("\\boxed{12}" + "x" * 5_000, None),
        ("\\boxed{" * 10_000, None),
    ],
)
def test_the_marked_answer_of_a_response(response: str, answer: str | None) -> None:
    assert marked_answer(response) == answer


def points(values: list[float], error: float = 0.02) -> list[Point]:
    return [Point(10.0 * place, value, error) for place, value in enumerate(values)]


FLAT = [0.4, 0.42, 0.39, 0.41, 0.4, 0.38, 0.41, 0.4, 0.42, 0.4]
RAMP = [0.2 + 0.02 * n for n in range(20)]
WILD = [0.1, 0.8, 0.3, 0.9, 0.2, 0.7, 0.1, 0.9, 0.4, 0.6]


@pytest.mark.parametrize(
    ("values", "error", "jump"),
    [
        ([*FLAT, 0.9, 0.92], 0.02, True),
        ([*FLAT, 0.05, 0.02], 0.02, True),
        ([*FLAT, 0.42, 0.41], 0.02, False),
        ([*FLAT, 0.9], 0.02, False),  # one point may be a batch of easy prompts
        ([*FLAT, 0.9, 0.4], 0.02, False),
        ([*FLAT[:4], 0.9, 0.9], 0.02, False),  # no baseline yet
        ([*RAMP, 0.6, 0.62, 0.64, 0.66], 0.02, False),  # a run that learns
        ([*RAMP, 0.95, 0.97], 0.02, True),
        ([*WILD, 0.95, 0.9], 0.02, False),
        ([*FLAT, 0.9, 0.92], 0.2, False),  # few items a point
        ([*FLAT[:5], 0.0, *FLAT[5:], 0.41, 0.4], 0.02, False),  # a bad point in the past
    ],
)
def test_jumps(values: list[float], error: float, jump: bool) -> None:
    assert (jumped(points(values, error), 0.15, 0.01) is not None) is jump


class Stage:
    """A monitor, fed with points of 256 items each."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.monitor = Monitor(self.clock)
        self.draw = random.Random(3)

    def play(
        self, count: int, make: Callable[[], Outcome], *, chars: int = 800, source: str = "s", run: str = "r"
    ) -> None:
        for _ in range(count):
            rows = [
                Row(source, "x" * self.draw.randint(chars // 2, chars), "12", run=run) for _ in range(256)
            ]
            self.monitor.record(rows, [Scored(make(), source, "math") for _ in rows])
            self.clock.now += 30

    def right(self, share: float) -> Callable[[], Outcome]:
        return lambda: accept("12") if self.draw.random() < share else reject(Reason.NOT_EQUAL, "13")

    def alerts(self) -> list[Alert]:
        self.monitor.history.fold(self.clock.now)
        return self.monitor.alerts.now(self.clock.now)

    def kinds(self) -> set[str]:
        return {alert.kind for alert in self.alerts()}


def test_a_score_jump_is_seen_says_what_and_ends_when_it_is_back() -> None:
    stage = Stage()
    stage.play(14, stage.right(0.4))
    assert not stage.kinds()
    began = stage.clock.now
    stage.play(3, stage.right(0.97))
    (alert,) = stage.alerts()
    assert (alert.kind, alert.data_source, alert.run) == ("score_jump", "s", "r")
    assert abs(alert.since - began) <= 30
    assert alert.value > 0.9 > 0.5 > alert.baseline
    assert "s in run r" in alert.text
    stage.play(4, stage.right(0.4))
    assert not stage.kinds()


def test_a_new_level_is_accepted_after_a_while() -> None:
    stage = Stage()
    stage.play(14, stage.right(0.4))
    stage.play(int(ACCEPTED_SECONDS / 30) + 4, stage.right(0.97))
    assert not stage.kinds()


@pytest.mark.parametrize(
    ("kind", "before", "after"),
    [
        ("no_answer_jump", lambda: accept("1"), lambda: reject(Reason.NO_ANSWER)),
        ("no_answer_jump", lambda: accept("1"), lambda: reject(Reason.MALFORMED_ANSWER, "?")),
        ("flag_jump", lambda: accept("1"), lambda: accept("1", flags=("exit_before_tests",))),
    ],
)
def test_the_other_jumps(kind: str, before: Callable[[], Outcome], after: Callable[[], Outcome]) -> None:
    stage = Stage()

    def mixed(share: float) -> Callable[[], Outcome]:
        return lambda: after() if stage.draw.random() < share else before()

    stage.play(14, mixed(0.02))
    assert not stage.kinds()
    stage.play(4, mixed(0.6))
    assert kind in stage.kinds()
    stage.play(14, mixed(0.02))
    assert kind not in stage.kinds()
    assert not [alert for alert in stage.alerts() if alert.kind == kind]  # the way back is no alert


def test_a_length_jump() -> None:
    stage = Stage()
    stage.play(14, stage.right(0.5), chars=800)
    stage.play(3, stage.right(0.5), chars=3_000)
    (alert,) = stage.alerts()
    assert alert.kind == "length_jump"
    assert alert.value > 2_000 > 1_000 > alert.baseline > 400  # in characters


def test_a_run_that_starts_beside_another_is_no_jump() -> None:
    stage = Stage()
    stage.play(14, stage.right(0.2), run="young")
    stage.play(14, stage.right(0.9), run="old")
    assert not stage.kinds()


def test_errors_are_an_alert_while_they_last_and_name_their_reason() -> None:
    stage = Stage()
    stage.play(
        3,
        lambda: (
            cannot_judge(Reason.SANDBOX_UNAVAILABLE, "no engine")
            if stage.draw.random() < 0.3
            else accept("1")
        ),
    )
    (alert,) = stage.alerts()
    assert (alert.kind, alert.data_source) == ("error_rate", "s")
    assert "sandbox_unavailable" in alert.text
    assert alert.value == pytest.approx(0.3, abs=0.1)
    (trouble,) = stage.monitor.show()["recent_errors"]
    assert (trouble["reason"], trouble["message"]) == ("sandbox_unavailable", "no engine")
    assert trouble["count"] == sum(stage.monitor.show()["totals"]["errors"])
    stage.play(6, lambda: accept("1"))
    assert not stage.kinds()


def test_a_single_error_is_no_alert() -> None:
    stage = Stage()
    once = iter([cannot_judge(Reason.DEADLINE, "late")])
    stage.play(2, lambda: next(once, accept("1")))
    assert not stage.kinds()


def test_a_judge_that_is_down_by_its_errors_or_by_its_gauge() -> None:
    stage = Stage()
    stage.play(2, lambda: scored(1.0, Reason.JUDGE_YES))
    assert not stage.kinds()
    stage.play(
        2,
        lambda: (
            cannot_judge(Reason.JUDGE_UNAVAILABLE, "refused") if stage.draw.random() < 0.9 else accept("1")
        ),
    )
    stage.play(2, lambda: cannot_judge(Reason.JUDGE_UNAVAILABLE, "refused"))
    assert stage.kinds() == {"judge_down"}  # and no error_rate beside it
    stage.play(6, lambda: scored(1.0, Reason.JUDGE_YES))
    assert not stage.kinds()
    gauges = {"reward_service_judge_configured": 1.0, "reward_service_judge_in_service": 0.0}
    stage.monitor.watch({name: lambda name=name: gauges[name] for name in gauges})
    stage.monitor.tick()
    assert not stage.kinds()  # a judge that has just been started has yet to be tried
    stage.clock.now += 60
    stage.monitor.tick()
    assert stage.kinds() == {"judge_down"}
    gauges["reward_service_judge_in_service"] = 1.0
    stage.monitor.tick()
    assert not stage.kinds()
    gauges.update({"reward_service_judge_configured": 0.0, "reward_service_judge_in_service": 0.0})
    stage.monitor.tick()
    assert not stage.kinds()  # none was asked for


@pytest.mark.parametrize(
    ("refused", "response", "suspect"),
    [
        (lambda: reject(Reason.NOT_EQUAL, "12.0"), "", "rejects_right_answers"),
        (lambda: reject(Reason.NO_ANSWER), "so \\boxed{12}", "rejects_right_answers"),
        (lambda: reject(Reason.NOT_EQUAL, "13"), "", ""),
        (lambda: reject(Reason.NO_ANSWER), "I can't say", ""),
        (
            lambda: reject(Reason.AMBIGUOUS_ANSWER, "12"),
            "\\boxed{12} \\boxed{13}",
            "",
        ),  # the policy's own fault
    ],
)
def test_a_verifier_that_refuses_right_answers(
    refused: Callable[[], Outcome], response: str, suspect: str
) -> None:
    clock = Clock()
    monitor = Monitor(clock)
    draw = random.Random(1)
    for _ in range(40):
        rows = [Row("s", response, "12") for _ in range(32)]
        outcomes = [refused() if draw.random() < 0.5 else reject(Reason.NOT_EQUAL, "99") for _ in rows]
        monitor.record(
            rows, [Scored(replace(one, handler="h", version="1"), "s", "math") for one in outcomes]
        )
        clock.now += 5
    (source,) = monitor.show()["sources"]
    assert source["suspect"] == suspect
    alerts = [alert for alert in monitor.show()["alerts"] if alert["kind"] == "rejects_right_answers"]
    assert len(alerts) == source["alerts"] == bool(suspect)
    # Another version of the handler is innocent until proven guilty.
    monitor.record(
        [Row("s", "", "12")], [Scored(replace(accept("12"), handler="h", version="2"), "s", "math")]
    )
    assert not monitor.show()["sources"][0]["suspect"]
