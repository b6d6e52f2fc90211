"""The report's page: hostile rows are only shown, errors stand apart, and every kind of file can be read."""

from __future__ import annotations

import asyncio
import gzip
import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from reward_service import parquet
from reward_service.analysis.comparison import Pairs
from reward_service.analysis.judged import ScoredDump
from reward_service.analysis.report import Ask, make
from reward_service.dump import Refused
from reward_service.registry import Registry, load
from reward_service.types import REASONS, Reason
from reward_service.wire import ItemIn
from tests.unit.test_markup import Seen

HOSTILE = "</pre></details></style><script>document.title='owned'</script><img src=x onerror=alert(1)>\" onclick='x' \u202e\x00"


@pytest.fixture(scope="module")
def registry() -> Registry:
    return load()


def outcome(score: float | None, reason: str = "", **more: Any) -> dict[str, Any]:
    correct = None if score is None else score >= 1.0
    reason = reason or ("deadline" if score is None else "equal" if correct else "not_equal")
    status = REASONS[Reason(reason)][0].value if reason in set(Reason) else "scored"
    return {
        "status": status, "score": score, "correct": correct, "reason": reason, "extracted": "7", "flags": [],
        "handler": "graph", "version": "1", "profile": "strict", "detail": {},
    } | more  # fmt: skip


def row(score: float | None, prompt: str = "p", **more: Any) -> dict[str, Any]:
    found = {
        key: more.pop(key) for key in ("reason", "flags", "extracted", "detail", "verify_ms") if key in more
    }
    base = {
        "data_source": "logic__graph",
        "prompt_id": prompt,
        "response": f"it is 7 {random.random()}",
        "ground_truth": "8",
    }
    return {**base, "outcome": outcome(score, **found), **more}


def write(path: Path, rows: Sequence[Any]) -> Path:
    path.write_text("".join(f"{one if isinstance(one, str) else json.dumps(one)}\n" for one in rows))
    return path


def page_of(registry: Registry, explain: Any = None, **ask: Any) -> str:
    return asyncio.run(make(Ask(**ask), registry, explain, lambda now: None)).page


def words(page: str) -> str:
    return " ".join(" ".join(Seen(page).text).split())


def test_hostile_rows_are_only_shown(tmp_path: Path, registry: Registry) -> None:
    """Every text that a row, a policy or an explanation can bring, on every part of the page."""
    error = row(None, reason="malformed_item", detail={"message": HOSTILE}, data_source=HOSTILE, id=HOSTILE)
    hostile = {
        "data_source": HOSTILE, "prompt": [{"role": HOSTILE, "content": HOSTILE}], "response": HOSTILE,
        "ground_truth": {HOSTILE: HOSTILE}, "id": HOSTILE, "prompt_id": HOSTILE,
    }  # fmt: skip
    bad = outcome(
        0.0, HOSTILE, extracted=HOSTILE, flags=[HOSTILE], handler=HOSTILE, version=HOSTILE, verify_ms=3.0
    )
    missing = outcome(0.0, "no_answer", flags=["x"], extracted=None)
    rows = [
        {**hostile, "outcome": bad},
        {**hostile, "outcome": missing},
        {**hostile, "outcome": {**bad, "version": "2"}},
        error,
        HOSTILE,
    ]
    before = [{**hostile, "outcome": outcome(1.0, HOSTILE)}]
    told = {"status": "scored", "score": 1.0, "reason": HOSTILE, "handler": HOSTILE, "version": HOSTILE, "rule": HOSTILE,
            "detail": {HOSTILE: HOSTILE}, "needed": HOSTILE, "extraction": {"rule": HOSTILE, "start": 1, "end": 9},
            "forms": [{"what": HOSTILE, "answer": HOSTILE, "ground_truth": HOSTILE}],
            "comparators": [{"comparator": HOSTILE, "said": HOSTILE, "note": HOSTILE, "fired": True}],
            "checks": [{"name": HOSTILE, "passed": False, "got": HOSTILE}], "trace": {HOSTILE: [{HOSTILE: [HOSTILE]}, HOSTILE]}}  # fmt: skip

    async def explain(items: Sequence[ItemIn]) -> list[dict[str, Any]]:
        assert all(item.response == HOSTILE for item in items)
        return [told for _ in items]

    dump = write(tmp_path / "<script>now.jsonl", rows)
    page = page_of(registry, explain, dump=dump, before=write(tmp_path / "before.jsonl", before))
    for element, attributes in Seen(page).elements:
        assert element not in {"script", "img", "iframe", "object", "embed", "form", "base", "link"}
        assert not [name for name in attributes if name.startswith("on") or name in ("style", "src")]
        assert attributes.get("href") is None or str(attributes["href"]).startswith("#")
    assert "http" not in page.replace("http-equiv", "")
    assert "\u202e" not in page and "\x00" not in page and "\\u202e" in page
    assert words(page).count("document.title='owned'") > 20  # shown, in all those places


def test_errors_stand_apart(tmp_path: Path, registry: Registry) -> None:
    rows = [
        row(1.0),
        row(0.0),
        row(None, reason="sandbox_unavailable", detail={"message": "no sandbox"}),
        "no json",
    ]
    text = words(page_of(registry, dump=write(tmp_path / "a.jsonl", rows)))
    assert "2 of 4 rows (50.0 %) were not judged" in text
    assert "mean score 0.500" in text and "correct 50.0 %" in text
    assert "sandbox_unavailable 1 no sandbox could run the program logic__graph 1 line 3: no sandbox" in text
    assert "malformed_item 1" in text


def test_an_empty_dump_and_one_that_was_not_scored(tmp_path: Path, registry: Registry) -> None:
    assert "There are no rows." in words(page_of(registry, dump=write(tmp_path / "a.jsonl", [])))
    plain = write(tmp_path / "b.jsonl", [{"data_source": "math", "response": "7", "ground_truth": "7"}])
    with pytest.raises(Refused, match="its first row has no 'outcome'"):
        page_of(registry, dump=plain)
    with pytest.raises(Refused, match="No such file"):
        page_of(registry, dump=tmp_path / "c.jsonl")


@pytest.mark.parametrize("kind", ["plain", "gzip", "parquet", "results", "number", "text"])
def test_every_kind_of_file(tmp_path: Path, registry: Registry, kind: str) -> None:
    rows = [row(float(number % 3 == 0), f"p{number // 4}") for number in range(24)]
    path, column = tmp_path / "dump", "outcome"
    if kind == "gzip":
        path.write_bytes(gzip.compress("".join(json.dumps(one) + "\n" for one in rows).encode()))
    elif kind == "parquet":
        lines = [json.dumps(one).encode() for one in rows]
        parquet.finish(lambda: iter(lines), path, path, "outcome", from_parquet=False)
    elif kind == "results":
        write(
            path,
            [
                {**one["outcome"], "id": str(place), "index": place, "cursor": "x"}
                for place, one in enumerate(rows)
            ],
        )
    elif kind == "number":
        column = "reward.value"
        write(path, [{**one, "outcome": None, "reward": {"value": one["outcome"]["score"]}} for one in rows])
    elif kind == "text":
        write(path, [{**one, "outcome": json.dumps(one["outcome"])} for one in rows])
    else:
        write(path, rows)
    text = words(page_of(registry, dump=path, column=column))
    assert "rows 24 24 judged" in text and "mean score 0.333" in text
    assert ("pass@4" in text) == (kind != "results")
    assert "logic" in text


def test_rows_that_are_judged_otherwise_now_are_named(tmp_path: Path, registry: Registry) -> None:
    async def explain(items: Sequence[ItemIn]) -> list[dict[str, Any]]:
        return [
            {
                "status": "scored",
                "score": 1.0,
                "reason": "equal",
                "handler": "graph",
                "version": "9",
                "rule": "the rule",
                "detail": {},
                "trace": {"step": 1},
            }
            for _ in items
        ]

    text = words(page_of(registry, explain, dump=write(tmp_path / "a.jsonl", [row(0.0), row(1.0)])))
    assert "1 of the 1 rows shown below get another verdict" in text
    assert "judged now 1, equal (graph 9)" in text and "the rule" in text


def test_an_engine_that_can_not_start_does_not_cost_the_report(tmp_path: Path, registry: Registry) -> None:
    async def explain(items: Sequence[ItemIn]) -> list[dict[str, Any]]:
        raise RuntimeError("no engine")

    text = words(page_of(registry, explain, dump=write(tmp_path / "a.jsonl", [row(0.0)])))
    assert "not explained: RuntimeError: no engine" in text and "rows 1" in text


# Two files


def pairs_of(registry: Registry, tmp_path: Path, before: Sequence[Any], now: Sequence[Any]) -> Pairs:
    pairs = Pairs(lambda found: found)  # type: ignore[arg-type,return-value]
    for name, rows, add in (("before", before, pairs.add_before), ("now", now, pairs.add_now)):
        dump = ScoredDump(write(tmp_path / name, rows), registry)
        for one in dump.rows():
            add(one)
        dump.close()
    return pairs


def test_the_same_responses_judged_twice(tmp_path: Path, registry: Registry) -> None:
    """Matched by what they are, wherever they stand; what only one side judged is no flip."""
    scores = [(1.0, 0.0), (0.0, 1.0), (0.0, 0.0), (0.2, 0.4), (None, 1.0), (1.0, None), (None, None)]
    before = [{**row(old), "response": f"r{place}"} for place, (old, _) in enumerate(scores)]
    now = [{**row(new), "response": f"r{place}"} for place, (_, new) in enumerate(scores)]
    now.append({**row(1.0), "response": "new"})
    random.Random(3).shuffle(now)
    pairs = pairs_of(registry, tmp_path, before, now)
    total = pairs.verdicts.total()
    assert (total.rows, total.compared, total.up, total.down, total.partial) == (7, 4, 1, 1, 1)
    assert (total.only_before, total.only_now, pairs.now.unmatched) == (1, 1, 1)
    assert pairs.flip_shares()["all"].share == 0.5
    assert [(one.before, one.now) for one in pairs.flips(9)] == [(1.0, 0.0), (0.0, 1.0)]
    pairs.close()


def test_two_policies_on_the_same_prompts_by_hand(tmp_path: Path, registry: Registry) -> None:
    """Changes per prompt: +1/2, 0, and one whose errors leave it one sample, -1; a fourth only one side judged."""
    before = [
        *(row(score, "a") for score in (0.0, 1.0)),
        *(row(score, "b") for score in (0.0, 0.0)),
        row(1.0, "c"),
        row(None, "c"),
        row(1.0, "d"),
    ]
    now = [
        *(row(score, "a") for score in (1.0, 1.0)),
        *(row(score, "b") for score in (0.0, 0.0)),
        row(0.0, "c"),
        row(None, "d"),
    ]
    pairs = pairs_of(registry, tmp_path, before, now)
    (paired,) = pairs.paired()
    assert (paired.prompts, paired.better, paired.worse) == (3, 1, 1)
    assert (paired.before, paired.now, paired.change.share) == pytest.approx((0.5, 1 / 3, -1 / 6))
    assert (paired.change.low, paired.change.high) == (-1.0, 1.0)  # three prompts say next to nothing
    assert pairs.verdicts.total().rows == 0
    pairs.close()
    text = words(page_of(registry, dump=tmp_path / "now", before=tmp_path / "before"))
    assert "logic__graph 3 0.500 0.333 -0.167 (-1.000 to +1.000)" in text


def test_two_columns_of_one_file(tmp_path: Path, registry: Registry) -> None:
    rows = [{**row(float(place % 2)), "rescored": outcome(1.0)} for place in range(8)]
    text = words(
        page_of(registry, dump=write(tmp_path / "a", rows), column="rescored", before_column="outcome")
    )
    assert "Against column outcome" in text and "8 rows are in both" in text
    assert "logic__graph 8 8 4 0 0 50.0 %" in text


def test_files_that_name_prompts_in_different_ways_are_refused(tmp_path: Path, registry: Registry) -> None:
    other = {key: value for key, value in row(1.0).items() if key != "prompt_id"} | {
        "extra_info": {"index": 3}
    }
    with pytest.raises(Refused, match="prompt_id in one file and by data_source and extra_info"):
        page_of(registry, dump=write(tmp_path / "a", [row(1.0)]), before=write(tmp_path / "b", [other]))


def test_nan_is_never_drawn(tmp_path: Path, registry: Registry) -> None:
    rows = [row(1.0, f"p{place}", response="x" * place) for place in range(3)] + [row(None, "q")]
    page = page_of(registry, dump=write(tmp_path / "a", rows), before=write(tmp_path / "b", rows[:1]))
    assert " nan" not in words(page) and "+nan" not in page
    for _, attributes in Seen(page).elements:
        assert not any(value and "nan" in value.split() for value in attributes.values())
