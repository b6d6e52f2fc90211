"""Kept verdicts: odd ones first, a share for each kind, within the room, and cheap to offer."""

from __future__ import annotations

from collections.abc import Mapping

from reward_service.engine.scorer import Prepared, Row, Scored
from reward_service.engine.verdicts import PER_KIND, Verdicts, short, weight
from reward_service.registry import Handler
from reward_service.types import Domain, Item, Limits, Outcome, Reason, accept, cannot_judge, reject

HANDLER = Handler("h", "1", Domain.LOGIC, lambda item: accept(""), (), (), Limits(), "A rule.")


def key(number: int) -> bytes:
    return number.to_bytes(8, "big") + bytes(8)


def offer(verdicts: Verdicts, source: str, outcomes: Mapping[int, Outcome], size: int = 10) -> None:
    groups, results, rows = {}, [], []
    for place, (number, outcome) in enumerate(outcomes.items()):
        item = Item(source, "r" * size, "gold")
        groups[key(number)] = Prepared(item, HANDLER, [place])
        results.append(Scored(outcome, source, "logic"))
        rows.append(Row(source, item.response, "gold", run="run-1"))
    verdicts.observe(groups, results, rows)


WRONG = reject(Reason.NOT_EQUAL, "x" * 200)
FLAGGED = reject(Reason.NOT_EQUAL, "x", flags=("multiple_answers",))
ERROR = cannot_judge(Reason.SANDBOX_UNAVAILABLE, "no")


def test_odd_ones_are_all_kept_and_come_first() -> None:
    verdicts = Verdicts(1 << 20, seed=1)
    offer(verdicts, "a", dict.fromkeys(range(200), WRONG) | {900: FLAGGED, 901: ERROR})
    kept = verdicts.all("a")
    assert {kept[0].id, kept[1].id} == {key(900).hex()[:16], key(901).hex()[:16]}
    assert 2 < len(kept) <= 2 + PER_KIND
    assert verdicts.get(key(900).hex()[:16]) in kept and kept[0].run == "run-1"
    assert verdicts.all("b") == [] and len(verdicts.all()) == len(kept)


def test_a_kind_never_takes_more_than_its_share() -> None:
    verdicts = Verdicts(64 << 10, seed=1)
    offer(verdicts, "quiet", {1: WRONG})
    for start in range(100, 400, 8):
        offer(verdicts, "chatty", dict.fromkeys(range(start, start + 8), WRONG), size=2_000)
        assert verdicts.size <= 64 << 10
    assert verdicts.get(key(1).hex()[:16]) is not None
    assert 1 < len(verdicts.all("chatty")) <= PER_KIND
    newest = max(int(kept.id, 16) for kept in verdicts.all("chatty"))
    assert newest >= 380


def test_many_data_sources_stay_within_the_room_and_odd_ones_outlive_ordinary_ones() -> None:
    room = 40_000
    verdicts = Verdicts(room, seed=1)
    offer(verdicts, "flagged", {1: FLAGGED}, size=1_000)
    for number in range(300):
        offer(verdicts, f"source {number}", {1_000 + number: WRONG}, size=1_000)
    assert verdicts.size <= room and len(verdicts) > 10
    assert verdicts.get(key(1).hex()[:16]) is not None
    assert verdicts.get(key(1_000).hex()[:16]) is None and verdicts.get(key(1_299).hex()[:16]) is not None


def test_the_same_item_again_is_one_verdict_and_a_flip_stays() -> None:
    verdicts = Verdicts(1 << 20)
    item = Item("a", "r", "g")
    verdicts.keep(key(1), item, Scored(WRONG, "a", "logic"), shadow={"score": 1.0})
    verdicts.keep(key(1), item, Scored(WRONG, "a", "logic"))
    (kept,) = verdicts.all()
    assert kept.shadow == {"score": 1.0} and kept.odd
    assert verdicts.size == kept.size


def test_nothing_is_kept_of_explained_items_of_huge_ones_or_without_room() -> None:
    verdicts = Verdicts(10_000)
    item = Item("a", "r", "g", explain=True)
    verdicts.observe({key(1): Prepared(item, HANDLER, [0])}, [Scored(WRONG, "a", "")], [Row("a", "r")])
    offer(verdicts, "a", {2: FLAGGED}, size=9_000)
    off = Verdicts(0)
    offer(off, "a", {3: FLAGGED})
    assert len(verdicts) == len(off) == 0


def test_keeping_is_limited_in_rate() -> None:
    verdicts = Verdicts(64 << 20)
    for number in range(2_000):
        offer(verdicts, f"s{number}", {number: FLAGGED})
    assert 300 < len(verdicts) < 1_900


def test_weight_counts_no_further_than_it_must() -> None:
    assert weight(Item("a", "x" * 100, ["y" * 50, {"k": 1}]), 1 << 20) > 150
    endless: list[object] = []
    endless.append(endless)
    assert weight(Item("a", "", endless), 10_000) <= 11_000
    assert short("x" * 200).endswith("…") and len(short("x" * 200)) == 80
