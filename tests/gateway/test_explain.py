"""Explanations: the same verdict as the score, and what a person needs to understand it; kept verdicts."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from reward_service import keys
from reward_service.engine.scorer import Row, Scored
from reward_service.engine.verdicts import Verdicts
from reward_service.gateway.explanation import explanation
from reward_service.keys import Scope
from reward_service.narrate import explained as narrated
from reward_service.registry import Handler, Source, load
from reward_service.types import Item, Outcome, Profile, Reason, reject
from tests.gateway.quick import quick
from tests.load.measure import service

SOURCES = [(handler, source) for handler in load().handlers.values() for source in handler.sources]


def item_of(handler: Handler, source: Source, response: str, profile: Profile, *, explain: bool) -> Item:
    extra = {name: value for name, value in source.example.extra_info.items() if name in handler.reads}
    name = source.name.replace("*", "example")
    return Item(name, response, source.example.ground_truth, extra, profile, source.name, explain)


WORSE = (
    lambda text: text,
    lambda text: text.replace("1", "7"),
    lambda text: "",
    lambda text: "<think>" + text,
    lambda text: text + " No, wait: \\boxed{12}, or <answer>x</answer>, or the answer is (B).",
    lambda text: text[: len(text) // 2],
    lambda text: f"<think>{text}</think> {text}<|im_end|>",
)


@pytest.mark.parametrize("profile", list(Profile))
def test_explaining_never_changes_a_verdict(profile: Profile) -> None:
    """Over every data source's example, and what becomes of it when it is bent."""
    told = 0
    for handler, source in SOURCES:
        for bend in WORSE:
            response = bend(source.example.response)
            plain = handler.plan(item_of(handler, source, response, profile, explain=False))
            asked = item_of(handler, source, response, profile, explain=True)
            decision = narrated(response, None, lambda _, a=asked, h=handler: h.plan(a))
            assert type(plain) is type(decision), source.name
            if isinstance(plain, Outcome) and isinstance(decision, Outcome):
                wanted = (plain.status, plain.reason, plain.score, plain.extracted, plain.flags)
                got = (decision.status, decision.reason, decision.score, decision.extracted, decision.flags)
                assert got == wanted, (source.name, response)
                account: Any = decision.trace.get("narrated", {})
                told += bool(account)
                for found in account.get("found", ()):
                    if "start" in found:
                        assert 0 <= found["start"] <= found["end"] <= len(response)
                json.dumps(account)
    assert told > len(SOURCES)


def explain(http: httpx2.Client, **item: Any) -> dict[str, Any]:
    reply = http.post("/v1/explain", json={"item": item})
    assert reply.status_code == 200, reply.text
    told: dict[str, Any] = reply.json()
    return told


def read(told: dict[str, Any]) -> str:
    """What the extraction marks in the response."""
    found = told["extraction"]
    return str(told["response"][found["start"] : found["end"]])


def fired(told: dict[str, Any]) -> tuple[str, str]:
    (step,) = [step for step in told["comparators"] if step["fired"]]
    return step["comparator"], step["said"]


def failed(told: dict[str, Any]) -> list[tuple[str, str, str]]:
    checks = [check for check in told["checks"] if not check["passed"]]
    return [(check["name"], check.get("expected", ""), check.get("got", "")) for check in checks]


def test_math(http: httpx2.Client) -> None:
    thinking = "<think>\\boxed{9}? no</think>\n"
    told = explain(
        http,
        data_source="aime24",
        response=thinking + "It is \\boxed{\\dfrac{1}{2}}.",
        ground_truth="0.25",
    )
    assert (told["score"], told["reason"]) == (0.0, "not_equal")
    assert read(told) == "\\boxed{\\dfrac{1}{2}}"
    assert not told["extraction"]["by_search"] and "last closed box" in told["extraction"]["rule"]
    assert told["part"] == [len(thinking) - 1, len(told["response"])]
    assert fired(told)[1] == "not equal"
    assert told["forms"][0]["ground_truth"] == "0.25"
    assert told["routing"]["asked"] == "aime24" and told["routing"]["handler"] == told["handler"] == "math"
    equal = explain(http, data_source="math__aime", response="\\boxed{0.5}", ground_truth="\\frac12")
    assert equal["score"] == 1.0 and fired(equal)[1] == "equal" and equal["needed"] == ""


@pytest.mark.parametrize(
    ("response", "words"),
    [
        ("<think>It is 5.</think>\nSo the answer should be five.", ["No closed \\boxed", "last line says", "five"]),
        ("<think>It is \\boxed{5}", ["never ends"]),
        ("So \\boxed{5", ["opened and never closed"]),
        ("", ["response is empty"]),
    ],
)  # fmt: skip
def test_what_is_missing_is_said(http: httpx2.Client, response: str, words: list[str]) -> None:
    told = explain(http, data_source="math__aime", response=response, ground_truth="5")
    assert told["reason"] == "no_answer" and told["extraction"] is None
    assert all(word in told["needed"] for word in words), told["needed"]


def test_choice_science_table_and_logic(http: httpx2.Client) -> None:
    choice = explain(
        http,
        data_source="stem__supergpqa",
        response="First (A). The answer is (B).",
        ground_truth="C",
        extra_info={"options": ["red", "green", "blue"]},
    )
    assert read(choice).endswith("The answer is (B).") or "answer is (B)" in read(choice)
    assert choice["forms"][0] == {"what": "option", "answer": "B green", "ground_truth": "C blue"}
    assert fired(choice) == ("letter", "not equal")

    science = explain(http, data_source="stem_web", response="\\boxed{5 cm}", ground_truth="5 m")
    assert read(science) == "\\boxed{5 cm}" and fired(science) == ("quantity", "not equal")

    table = explain(
        http, data_source="table__hitab", response="\\boxed{12} and \\boxed{13}", ground_truth="12|14"
    )
    assert read(table) == "\\boxed{12} and \\boxed{13}"
    assert [step["said"] for step in table["comparators"]] == ["equal", "not equal"]

    ordering = explain(
        http,
        data_source="logic__ordering_puzzle",
        response="<answer>['owl', 'emu']</answer>",
        ground_truth=["owl", "crow"],
    )
    assert failed(ordering) == [("place 2", "crow", "emu")]
    assert read(ordering) == "<answer>['owl', 'emu']</answer>"

    zebra = explain(
        http,
        data_source="zebra",
        response='<answer>{"header": ["#", "Job"], "rows": [["1", "cook"], ["2", "cook"]]}</answer>',
        ground_truth={"header": ["#", "Job"], "rows": [["1", "cook"], ["2", "pilot"]]},
    )
    assert failed(zebra) == [("house 2, job", "pilot", "cook")]

    grid = explain(http, data_source="arcagi1", response="<answer>[[1,0],[0,3]]</answer>", ground_truth=[[1, 0], [0, 2]])  # fmt: skip
    assert failed(grid) == [("row 2", "[0, 2]", "0,3")]

    knights = explain(
        http,
        data_source="knights_knaves",
        response="CONCLUSION:\n(1) Zoey is a knight\n(2) Oliver is a knight",
        ground_truth="Zoey is a knave, and Oliver is a knight.",
    )
    assert failed(knights) == [("zoey", "knave", "knight")]

    crux = explain(
        http,
        data_source="cruxeval-o",
        response="```python\nassert f(1) == 3\n```",
        ground_truth={"code": "def f(x):\n    return x + 1", "input": "1", "output": "2"},
    )
    assert fired(crux) == ("Python's own equality", "not equal") and read(crux) == "assert f(1) == 3"


def test_flags_routes_and_errors_have_words(http: httpx2.Client) -> None:
    told = explain(http, data_source="logic__graph", response="<answer>a</answer><answer>owl</answer>", ground_truth="owl")  # fmt: skip
    (flag,) = told["flags"]
    assert flag["flag"] == "multiple_answers" and "Several" in flag["text"]
    unknown = explain(http, data_source="no_such_thing", response="x", ground_truth="y")
    assert (unknown["status"], unknown["reason"]) == ("error", "unknown_data_source")
    assert unknown["handler"] is None and "no_such_thing" in unknown["needed"]
    no_sandbox = explain(
        http, data_source="codegen__mbpp", response="```python\nx = 1\n```", ground_truth="assert f() == 1"
    )
    assert no_sandbox["reason"] == "sandbox_unavailable" and read(no_sandbox) == "x = 1"


def test_every_flag_of_the_handlers_has_words() -> None:
    from reward_service.gateway.explanation import FLAGS

    assert all(text.endswith(".") for text in FLAGS.values())


def test_a_bad_request_says_what_is_wrong(http: httpx2.Client) -> None:
    for body, status in (
        ({}, 422),
        ({"item": {"response": "x"}, "verdict": "0" * 16}, 422),
        ({"verdict": "../../etc"}, 422),
        ({"verdict": "0" * 16}, 404),
        ({"item": {"data_source": "x"}}, 422),
    ):
        reply = http.post("/v1/explain", json=body)
        assert reply.status_code == status, (body, reply.text)


@pytest.fixture(scope="module")
def scored(http: httpx2.Client) -> Iterator[list[dict[str, Any]]]:
    items = [
        {"data_source": "logic__graph", "response": f"<answer>n{number}</answer>", "ground_truth": "n1"}
        for number in range(40)
    ]
    reply = http.post("/v1/score/batch?verdicts=1", json={"items": items})
    assert reply.status_code == 200, reply.text
    yield reply.json()["results"]


def test_verdicts_are_kept_listed_and_explained(http: httpx2.Client, scored: list[dict[str, Any]]) -> None:
    source = "logic__graph_logical_dataset"
    listed = http.get("/v1/verdicts", params={"data_source": source}).json()["verdicts"]
    assert listed and {one["data_source"] for one in listed} == {source}
    mine = {result["verdict"]: result for result in scored}
    kept = [one for one in listed if one["verdict"] in mine]
    assert 1 <= len(kept) <= 40
    name = kept[0]["verdict"]
    told = http.get(f"/v1/verdicts/{name}").json()
    assert told["result"]["score"] == mine[name]["score"] and told["item"]["ground_truth"] == "n1"
    again = http.post("/v1/explain", json={"verdict": name}).json()
    assert (again["verdict"], again["score"], again["kept"]) == (name, mine[name]["score"], True)
    assert again["response"] == told["item"]["response"]
    assert http.get("/v1/verdicts/0123456789abcdef").status_code == 404


def test_an_explained_item_is_neither_kept_nor_counted(http: httpx2.Client) -> None:
    def count() -> float:
        text = http.get("/metrics").text
        lines = [line for line in text.splitlines() if line.startswith("reward_service_items_total")]
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines)

    before = count()
    told = explain(http, data_source="logic__graph", response="<answer>unseen</answer>", ground_truth="owl")
    assert not told["kept"] and count() == before
    assert http.get(f"/v1/verdicts/{told['verdict']}").status_code == 404


def test_a_shadow_shows_its_flips_in_telemetry_metrics_and_verdicts() -> None:
    """The real thing: a process of its own that judges in the other profile, beside a live service."""
    with service(
        "reward_service.registry:load",
        processes="1",
        sandbox="none",
        shadow_share="1.0",
        shadow_profile="guru",
    ) as (base, _), httpx2.Client(base_url=base, timeout=30) as client:  # fmt: skip
        source = "logic__graph_logical_dataset"
        items = [
            {"data_source": source, "response": f"So \\boxed{{n{number}}}.", "ground_truth": f"n{number}"}
            for number in range(8)
        ]
        items.append({"data_source": source, "response": "<answer>owl</answer>", "ground_truth": "owl"})
        headers = {"X-Run-Id": "grpo-7"}
        results = client.post("/v1/score/batch", json={"items": items}, headers=headers).json()["results"]
        assert [result["score"] for result in results] == [1.0] * 9
        until = time.monotonic() + 60
        while time.monotonic() < until:
            (told,) = client.get("/v1/telemetry").json()["shadow"] or [{"compared": 0}]
            if told["compared"] == 9:
                break
            time.sleep(0.05)
        assert (told["data_source"], told["compared"], told["flips"], told["down"]) == (source, 9, 8, 8)
        assert told["reasons"] == [{"from": "equal", "to": "no_answer", "count": 8}]
        assert told["shadow_version"] == f"graph {told['version']}, guru"
        text = client.get("/metrics").text
        assert 'reward_service_shadow_items_total{result="down"} 8.0' in text
        assert 'reward_service_shadow_items_total{result="same"} 1.0' in text
        verdict = client.get(f"/v1/verdicts/{told['samples'][0]}").json()
        assert verdict["result"]["score"] == 1.0 and verdict["run"] == "grpo-7"
        assert (verdict["shadow"]["score"], verdict["shadow"]["profile"]) == (0.0, "guru")
        again = client.post("/v1/explain", json={"verdict": verdict["verdict"]}).json()
        assert again["score"] == 1.0 and again["shadow"]["reason"] == "no_answer"
        listed = client.get("/v1/telemetry", params={"data_source": source}).json()["verdicts"]
        assert {one["verdict"] for one in listed} >= set(told["samples"])


# Who may see what


def kept_by(tenant: str, number: int) -> tuple[bytes, Item, Scored]:
    item = Item("logic__graph_logical_dataset", f"<answer>{tenant}</answer>", "secret owl")
    return bytes([number]) * 16, item, Scored(reject(Reason.NOT_EQUAL, tenant), item.data_source, "logic")


def test_verdicts_belong_to_a_name_and_ground_truths_need_their_scope(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    secrets: dict[str, dict[str, str]] = {}
    made = []
    for name, scopes in (
        ("a", {Scope.READ}),
        ("a", {Scope.READ, Scope.EXPLAIN}),
        ("b", {Scope.READ, Scope.EXPLAIN}),
        ("boss", {Scope.ADMIN}),
        ("trainer", {Scope.SCORE}),
    ):
        secret, key = keys.make(name, scopes)
        made.append(key)
        secrets[name if name not in secrets else f"{name}+"] = {"authorization": f"Bearer {secret}"}
    keys.write(file, made)
    client = quick(keys_file=str(file))
    store = Verdicts(1 << 20)
    object.__setattr__(client.app.state.gateway.engine, "verdicts", store)  # type: ignore[attr-defined]
    for number, tenant in enumerate(("a", "b"), 1):
        store.keep(*kept_by(tenant, number), tenant=tenant)
    mine, theirs = ("01" * 8), ("02" * 8)

    def get(path: str, who: str) -> httpx2.Response:
        return client.get(path, headers=secrets[who])

    assert [one["verdict"] for one in get("/v1/verdicts", "a").json()["verdicts"]] == [mine]
    assert {one["verdict"] for one in get("/v1/verdicts", "boss").json()["verdicts"]} == {mine, theirs}
    assert get(f"/v1/verdicts/{theirs}", "a").status_code == 404
    assert get("/v1/verdicts", "trainer").status_code == 403
    for path in ("/v1/verdicts", f"/v1/verdicts/{mine}"):
        assert "secret" not in get(path, "a").text
        assert "secret" in get(path, "a+").text
    telemetry = "/v1/telemetry?data_source=logic__graph_logical_dataset"
    assert "secret" not in get(telemetry, "a").text and mine in get(telemetry, "a").text
    assert theirs not in get(telemetry, "a").text
    body = {"verdict": theirs}
    assert client.post("/v1/explain", json=body, headers=secrets["a+"]).status_code == 404
    assert client.post("/v1/explain", json=body, headers=secrets["a"]).status_code == 403


def test_without_the_scope_an_explanation_holds_no_ground_truth() -> None:
    account = {
        "found": [{"rule": "r", "start": 0, "end": 3}],
        "forms": [{"what": "w", "answer": "emu", "ground_truth": "SECRET"}],
        "comparators": [{"comparator": "c", "said": "not equal", "note": "emu and SECRET"}],
        "checks": [
            {"name": "test 1", "passed": False, "expected": "SECRET", "got": "emu", "input": "SECRET", "message": "SECRET"}
        ],
        "ground_truth": "SECRET",
    }  # fmt: skip
    outcome = reject(Reason.NOT_EQUAL, "emu", trace={"gold": "SECRET", "narrated": account})
    row = Row("logic__graph", "emu", "SECRET", extra_info={"tests": "SECRET"})
    told = explanation(row, Scored(outcome, "logic__graph", "logic"), load(), golds=False)
    assert "SECRET" not in json.dumps(told) and told["hidden"] and told["extraction"]["end"] == 3
    assert "SECRET" in json.dumps(explanation(row, Scored(outcome, "logic__graph", "logic"), load()))
