"""Trainers' wire formats: what their clients send, and what they need back, also when something can't be judged.

The requests are the ones that reference/trainers.md records from each client's own code.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest

from reward_service.adapters.memory import MemoryGroundTruths
from reward_service.engine.scorer import Row, Scored
from reward_service.gateway.app import create_app
from reward_service.gateway.core import Engine
from reward_service.gateway.dialects import DIALECTS
from reward_service.gateway.dialects.common import as_row, response_in, text_of
from reward_service.registry import Registry
from reward_service.settings import Settings
from reward_service.types import Outcome, Reason, accept, cannot_judge, reject
from tests.gateway.conftest import live

RIGHT = "<answer>['owl', 'crow']</answer>"
WRONG = "<answer>['crow', 'owl']</answer>"
GOLD = ["owl", "crow"]
SOURCE = "logic__ordering_puzzle"
CHAT = (
    "<|im_start|>user\nOrder them, like <answer>['crow', 'owl']</answer>.<|im_end|>\n<|im_start|>assistant\n"
)
ROW = {"data_source": SOURCE, "ground_truth": GOLD}


class Moody:
    """A scorer that answers as the response says: `right`, `wrong`, `down`, `malformed`, or `late` once."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    async def score_many(self, rows: Sequence[Row], *, seconds: float) -> list[Scored]:
        return [Scored(self.outcome(row.response), "s", "d") for row in rows]

    def outcome(self, response: str) -> Outcome:
        self.seen.append(response)
        if response == "right" or (response == "late" and self.seen.count("late") > 1):
            return accept("x")
        if response in ("down", "late"):
            return cannot_judge(Reason.SANDBOX_UNAVAILABLE, "no sandbox for a moment")
        if response == "malformed":
            return cannot_judge(Reason.MALFORMED_GROUND_TRUTH, "not a ground truth")
        return reject(extracted="y")


@pytest.fixture(scope="module")
def moody() -> Iterator[httpx2.Client]:
    """A service that can't always judge, behind every dialect."""

    @asynccontextmanager
    async def running() -> AsyncIterator[None]:
        yield

    engine = Engine(Moody(), Registry(), MemoryGroundTruths(), running(), None, {}, {})  # type: ignore[arg-type]
    with live(create_app(engine, Settings())) as base, httpx2.Client(base_url=base, timeout=30) as client:
        yield client


def test_every_dialect_is_served_and_can_be_switched_off() -> None:
    def paths(**settings: Any) -> set[str]:
        engine = Engine(Moody(), Registry(), MemoryGroundTruths(), None, None, {}, {})  # type: ignore[arg-type]
        return set(create_app(engine, Settings(**settings)).openapi()["paths"])

    assert {"/openrlhf", "/slime", "/verify", "/roll/submit", "/llamafactory"} <= paths()
    assert "/slime" in paths(dialects="slime")
    assert "/openrlhf" not in paths(dialects="slime")
    assert not {"/slime", "/openrlhf", "/verify"} & paths(dialects="")
    assert "/rl/slime" in paths(dialect_prefix="/rl")
    with pytest.raises(ValueError, match="no dialect 'slim'"):
        paths(dialects="slim")
    assert len(DIALECTS) >= 5


# Rows in labels, responses in transcripts


@pytest.mark.parametrize(
    ("query", "label"),
    [
        ({"data_source": SOURCE}, GOLD),
        ({}, ROW),
        ({}, json.dumps(ROW)),
        ({}, {"data_source": SOURCE, "reward_model": {"ground_truth": GOLD}}),
        ({"data_source": SOURCE}, json.dumps({"ground_truth": GOLD, "extra_info": {"index": 1}})),
        ({"domain": "ordering_puzzle"}, GOLD),
    ],
)
def test_where_the_data_source_may_stand(http: httpx2.Client, query: dict[str, str], label: Any) -> None:
    for response, reward in ((RIGHT, 1.0), (WRONG, 0.0)):
        body = {"prompt": "p", "response": response, "label": label}
        reply = http.post("/slime", json=body, params=query)
        assert (reply.status_code, reply.json()) == (200, reward), reply.text


@pytest.mark.parametrize(
    ("transcript", "prompt", "response"),
    [
        (CHAT + RIGHT + "<|im_end|>", CHAT, RIGHT + "<|im_end|>"),
        ("cut off " + CHAT + RIGHT, "not a prefix", RIGHT),
        (CHAT + RIGHT, None, RIGHT),
        ("[INST] hi [/INST]" + RIGHT, None, RIGHT),
        ("plain " + RIGHT, None, "plain " + RIGHT),
        ("[INST] a [/INST] b <|assistant|>" + RIGHT, None, RIGHT),
        ("<|assistant|> b [INST] a [/INST]" + RIGHT, None, RIGHT),
        (CHAT + "a" + CHAT + RIGHT, None, RIGHT),
        (CHAT + "<" * 5_000 + RIGHT, None, "<" * 5_000 + RIGHT),
        ("<" * 5_000 + RIGHT, None, "<" * 5_000 + RIGHT),
        ("<s>" + "Order these two birds, please. " * 3 + RIGHT, "Order these two birds, please. " * 3, RIGHT),
        # Cut off on the left, in the middle of a character too; no mark of a template anywhere.
        (
            ("Order ä these two birds, please. " * 3)[20:] + RIGHT,
            "Order ä these two birds, please. " * 3,
            RIGHT,
        ),
        (
            "\ufffd" + ("Order ä these two birds, please. " * 3)[7:] + RIGHT,
            "Order ä these two birds, please. " * 3,
            RIGHT,
        ),
        # What the policy writes after its prompt is its response, whatever it looks like.
        (CHAT + "<|im_start|>assistant\n" + RIGHT, CHAT, "<|im_start|>assistant\n" + RIGHT),
    ],
)
def test_responses_in_transcripts(transcript: str, prompt: str | None, response: str) -> None:
    assert response_in(transcript, prompt).strip() == response


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ("a", "a"),
        (None, ""),
        ([{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}], "a"),
        (
            [
                {
                    "role": "assistant",
                    "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}],
                }
            ],
            "ab",
        ),
        ({"content": "a"}, "a"),
        (7, "7"),
    ],
)
def test_responses_as_messages(message: Any, text: str) -> None:
    assert text_of(message) == text


@pytest.mark.parametrize(
    ("label", "is_row"),
    [
        (ROW, True),
        (json.dumps(ROW), True),
        ({"ground_truth": None, "x": 1}, True),
        ({"reward_model": {"ground_truth": "1"}, "anything": 1}, True),
        ({"data_source": "a", "extra_info": {"constraints": []}}, True),
        # Ground truths that are objects themselves:
        ({"domain": "table", "columns": ["a"]}, False),
        ({"data_source": "wikipedia", "answer": "42"}, False),
        ({"inputs": ["1"], "outputs": ["2"]}, False),
        ('{"functional": "assert f(data_source) == 1"}', False),
        ("{not JSON, but ground_truth}", False),
        ("[1]", False),
        (None, False),
        (7, False),
    ],
)
def test_when_a_label_is_a_row(label: Any, is_row: bool) -> None:
    assert (as_row(label) is not None) is is_row


def test_lone_surrogates_and_huge_numbers_break_no_reply(http: httpx2.Client) -> None:
    head = b'{"prompt": "p", "label": "x", "response": "'
    for response in (b"\\ud83d", b"\\udc00" * 50_000, "\u2028ä中🙂".encode()):
        reply = http.post("/slime?data_source=exact", content=head + response + b'"}')
        assert (reply.status_code, reply.json()) == (200, 0.0)
    body = b'{"responses_create_params": {}, "response": "x\\ud83d", "big": 1e300, "data_source": "exact", "ground_truth": "x"}'
    reply = http.post("/verify", content=body)
    assert reply.status_code == 200
    assert reply.json()["big"] == 1e300
    reply = http.post("/verify", content=body.replace(b"\\ud83d", b"").replace(b"1e300", b"1e999"))
    assert reply.json()["big"] is None  # JSON has no infinity, and a client's parser would break


# Batches and busy times


class Straggler:
    """A scorer that is done with every item but one, which it hands back unjudged when its deadline comes."""

    async def score_many(self, rows: Sequence[Row], *, seconds: float) -> list[Scored]:
        late = any(row.response == "slow" for row in rows)
        if late:
            await asyncio.sleep(seconds)
        busy = cannot_judge(Reason.DEADLINE, "the deadline passed")
        return [Scored(busy if row.response == "slow" else accept("x"), "s", "d") for row in rows]


def service_of(scorer: Any, **settings: Any) -> Any:
    @asynccontextmanager
    async def running() -> AsyncIterator[None]:
        yield

    engine = Engine(scorer, Registry(), MemoryGroundTruths(), running(), None, {}, {})
    return live(create_app(engine, Settings(**settings)))


def test_a_straggler_costs_its_neighbours_nothing() -> None:
    with service_of(Straggler()) as base, httpx2.Client(base_url=base, timeout=30) as client:
        body = {"query": ["a", "slow", "b"], "prompts": [""] * 3, "labels": ["l"] * 3}
        value = openrlhf(client, body, deadline_seconds="0.7", data_source="s")
    assert value["rewards"] == [1.0, 0.0, 1.0]
    assert value["extra_logs"]["valid"] == [1.0, 0.0, 1.0]


async def test_who_waits_for_a_place_is_judged_within_the_time_that_is_left() -> None:
    # One place; the first request holds it for half of the second's time.
    with service_of(Straggler(), max_in_flight=1) as base:
        async with httpx2.AsyncClient(base_url=base, timeout=30) as client:

            async def post(response: str, seconds: float) -> httpx2.Response:
                query = {"data_source": "s", "deadline_seconds": str(seconds), "format": "object"}
                body = {"prompt": "", "response": response, "label": ""}
                return await client.post("/slime", json=body, params=query)

            first = asyncio.create_task(post("slow", 1.0))
            await asyncio.sleep(0.3)
            second = await post("quick", 2.0)
            assert second.json()["score"] == 1.0
            assert (await first).status_code == 503


class Brief:
    """A scorer that takes a moment, and counts how many items it holds at most."""

    def __init__(self) -> None:
        self.held = self.most = 0

    async def score_many(self, rows: Sequence[Row], *, seconds: float) -> list[Scored]:
        self.held += len(rows)
        self.most = max(self.most, self.held)
        await asyncio.sleep(0.01)
        self.held -= len(rows)
        return [Scored(accept("x") if row.response == "right" else reject(), "s", "d") for row in rows]


async def test_a_full_service_refuses_no_trainer() -> None:
    # Four places, two hundred samples at once: our own route answers 429, which trainers' clients don't survive.
    brief = Brief()
    with service_of(brief, max_in_flight=4) as base:
        async with httpx2.AsyncClient(base_url=base, timeout=60) as client:

            async def post(place: int) -> httpx2.Response:
                body = {"prompt": "", "response": "wrong" if place % 3 else "right", "label": "l"}
                return await client.post("/slime", json=body, params={"data_source": "s"})

            replies = await asyncio.gather(*map(post, range(200)))
    assert [reply.json() for reply in replies] == [float(place % 3 == 0) for place in range(200)]
    assert brief.most <= 4


# OpenRLHF


def openrlhf(http: httpx2.Client, body: dict[str, Any], **query: str) -> dict[str, Any]:
    reply = http.post("/openrlhf", json=body, params=query)
    assert reply.status_code == 200, reply.text
    value: dict[str, Any] = reply.json()
    assert set(value) == {"rewards", "scores", "extra_logs"}
    assert set(value["extra_logs"]) == {"valid", "correct", "flagged"}  # the same keys, whatever came
    for numbers in (value["rewards"], value["scores"], *value["extra_logs"].values()):
        assert all(type(number) is float for number in numbers)
    return value


def test_openrlhf(http: httpx2.Client) -> None:
    one = openrlhf(
        http, {"query": [CHAT + RIGHT + "<|im_end|>"], "prompts": [CHAT], "labels": [json.dumps(ROW)]}
    )
    assert one["rewards"] == one["scores"] == [1.0]
    whole = openrlhf(
        http,
        {"query": [CHAT + RIGHT, CHAT + WRONG] * 40, "prompts": [CHAT] * 80, "labels": [GOLD] * 80},
        data_source=SOURCE,
    )
    assert whole["rewards"] == [1.0, 0.0] * 40
    assert openrlhf(http, {"query": [], "prompts": [], "labels": []})["rewards"] == []
    assert openrlhf(http, {"query": ["x"]}, data_source=SOURCE)["extra_logs"]["valid"] == [0.0]


def test_openrlhf_sends_whole_rollout_batches(http: httpx2.Client) -> None:
    queries = [CHAT + "x" * 10_000 + (RIGHT if n % 2 else WRONG) for n in range(150)]
    body = {"query": queries, "prompts": [CHAT] * 150, "labels": [GOLD] * 150}
    assert len(json.dumps(body)) > 1 << 20  # more than a native batch of this service may have
    assert openrlhf(http, body, data_source=SOURCE)["rewards"] == [0.0, 1.0] * 75


def test_openrlhf_when_it_can_not_be_judged(moody: httpx2.Client) -> None:
    body = {"query": ["right", "down", "malformed", "late"], "labels": ["l"] * 4}
    value = openrlhf(moody, body, deadline_seconds="1", fallback="-0.5", data_source="s")
    assert value["rewards"] == [1.0, -0.5, -0.5, 1.0]
    assert value["scores"] == [1.0, 0.0, 0.0, 1.0]
    assert value["extra_logs"]["valid"] == [1.0, 0.0, 0.0, 1.0]
    assert 'reward_service_fallback_rewards_total{dialect="openrlhf",reason="sandbox_unavailable"} 1.0' in (
        moody.get("/metrics").text
    )


# slime


def test_slime_answers_a_number_or_an_object(http: httpx2.Client) -> None:
    body = {"prompt": [{"role": "user", "content": "q"}], "response": RIGHT, "label": GOLD}
    assert http.post("/slime", json=body, params={"data_source": SOURCE}).json() == 1.0
    reply = http.post("/slime", json=body, params={"data_source": SOURCE, "format": "object"})
    assert reply.json() == {"score": 1.0, "valid": 1.0, "correct": 1.0, "reason": "equal"}
    assert reply.headers["content-type"] == "application/json"


def test_slime_tries_again_what_may_pass_and_gets_a_number_for_the_rest(moody: httpx2.Client) -> None:
    def post(response: str) -> httpx2.Response:
        query = {"data_source": "s", "deadline_seconds": "0.5", "fallback": "-1"}
        return moody.post("/slime", json={"prompt": "", "response": response, "label": ""}, params=query)

    assert post("down").status_code == 503
    assert int(post("down").headers["retry-after"]) >= 1
    assert post("malformed").json() == -1.0
    assert post("wrong").json() == 0.0


# NeMo Gym


def gym_request(text: str, **row: Any) -> dict[str, Any]:
    """What Gym's agents and verifiers send: the row, the parameters, and an OpenAI Responses object."""
    return {
        "responses_create_params": {"input": [{"role": "user", "content": "Order them."}]},
        "response": {
            "id": "r",
            "created_at": 0,
            "model": "m",
            "object": "response",
            "output": [
                {"id": "t", "type": "reasoning", "summary": [{"type": "summary_text", "text": WRONG}]},
                {
                    "id": "m1",
                    "type": "message",
                    "role": "assistant",
                    "status": "completed",
                    "content": [{"type": "output_text", "text": text, "annotations": []}],
                },
            ],
            "parallel_tool_calls": True,
            "tool_choice": "auto",
            "tools": [],
        },
        **row,
    }


def test_nemo_gym_echoes_everything_and_adds_the_reward(http: httpx2.Client) -> None:
    assert http.post("/seed_session", json={}).json() == {}
    for path in ("/verify", "/nemo_gym/ordering/verify"):
        for text, reward in ((RIGHT, 1.0), (WRONG, 0.0)):
            body = gym_request(text, **ROW, my_column={"kept": [1]})
            answer = http.post(path, json=body).json()
            assert {name: answer[name] for name in body} == body
            assert answer["reward"] == reward
            assert (answer["mask_sample"], answer["failure_kind"]) == (False, None)


@pytest.mark.parametrize(
    ("server", "row", "right", "wrong"),
    [
        (
            "mcqa",
            {"options": [{"A": "red"}, {"B": "blue"}], "expected_answer": "B"},
            "\\boxed{B}",
            "\\boxed{A}",
        ),
        (
            None,
            {"options": [{"A": "red"}, {"B": "blue"}], "expected_answer": "B"},
            "\\boxed{B}",
            "\\boxed{A}",
        ),
        ("math_with_judge", {"question": "1/4+1/4?", "expected_answer": "1/2"}, "\\boxed{0.5}", "\\boxed{2}"),
        (None, {"question": "1/4+1/4?", "expected_answer": "1/2"}, "\\boxed{0.5}", "\\boxed{2}"),
    ],
)
def test_nemo_gym_rows_of_its_own_servers(
    http: httpx2.Client, server: str | None, row: dict[str, Any], right: str, wrong: str
) -> None:
    path = f"/nemo_gym/{server}/verify" if server else "/verify"
    assert http.post(path, json=gym_request(right, **row)).json()["reward"] == 1.0
    assert http.post(path, json=gym_request(wrong, **row)).json()["reward"] == 0.0


def test_nemo_gym_masks_what_it_can_not_judge(moody: httpx2.Client) -> None:
    body = gym_request("down", data_source="s", ground_truth="g", instance_config={"a": 1})
    answer = moody.post("/verify", json=body, params={"deadline_seconds": "0.3"}).json()
    assert (answer["reward"], answer["mask_sample"]) == (0.0, True)
    assert answer["failure_kind"] == "provider_unavailable"
    assert answer["failure_reason"]
    assert answer["instance_config"] == {"a": 1, "mask_sample": True}
    malformed = gym_request("malformed", data_source="s", ground_truth="g")
    assert moody.post("/verify", json=malformed).json()["failure_kind"] == "verifier_error"
    query = {"deadline_seconds": "0.3", "on_error": "status"}
    assert moody.post("/verify", json=body, params=query).status_code == 503
    # verifiers is given a base URL and headers; what can't ever be judged is no 503.
    assert moody.post("/verify", json=malformed, headers={"X-On-Error": "status"}).status_code == 422
    # For a client that knows no mask (axolotl) the URL says what takes its place; both are counted.
    query = {"deadline_seconds": "0.3", "fallback": "-1"}
    assert moody.post("/verify", json=body, params=query).json()["reward"] == -1.0
    counted = 'reward_service_fallback_rewards_total{dialect="nemo_gym",reason="sandbox_unavailable"} 2.0'
    assert counted in moody.get("/metrics").text


class Clock:
    """A scorer that remembers the seconds it was given."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    async def score_many(self, rows: Sequence[Row], *, seconds: float) -> list[Scored]:
        self.seconds.append(seconds)
        return [Scored(accept("x"), "s", "d") for _ in rows]


def test_every_client_is_answered_before_its_own_deadline() -> None:
    clock = Clock()
    with service_of(clock) as base, httpx2.Client(base_url=base, timeout=30) as client:
        gym = gym_request("x", data_source="s", ground_truth="g")
        client.post("/verify", json=gym)
        client.post("/verify", json=gym, headers={"user-agent": "python-requests/2.32"})  # axolotl
        client.post("/slime", json={"response": "x"})
        client.post("/openrlhf", json={"query": ["x"]})
        client.post("/verify", json=gym, params={"deadline_seconds": "3"})
    for given, client_waits in zip(clock.seconds, (60, 30, 120, 180, 3), strict=True):
        assert client_waits / 2 < given < client_waits


def test_nemo_gym_around_it(http: httpx2.Client) -> None:
    assert http.get("/reverify_mode").json() == "stateless"
    assert http.get("/livez").json() == {"status": "alive"}
    assert http.get("/nemo_gym/mcqa/reverify_mode").json() == "stateless"
    config = http.get("/global_config_dict_yaml").json()
    assert f"      port: {http.base_url.port}\n" in config
    assert "math_with_judge:\n  resources_servers:\n" in config
    replies = [{"reward": 1.0}, {"reward": 0.0, "mask_sample": True}, {"reward": 0.5}, {"broken": 1}]
    metrics = http.post("/aggregate_metrics", json={"verify_responses": replies}).json()
    assert metrics["key_metrics"]["mean_reward"] == 0.75
    assert http.post("/close_session", json={}).json() == {}


# ROLL


def roll(http: httpx2.Client, response: str, info: Any, manager: Any = None, **query: str) -> dict[str, Any]:
    submitted = http.post(
        "/roll/submit",
        params=query,
        headers={"XRL-Authorization": "Bearer x"},
        json={
            "priority": 0, "project_id": "p", "experiment_id": "e", "global_step": 1, "data_id": "d", "rollout_id": "r",
            "prompt": "q", "response": response, "reward_info": info, "reward_manager": manager, "timeout": 60,
        },
    ).json()  # fmt: skip
    assert submitted["errcode"] == 0
    # The client polls by GET with a JSON body.
    reply = http.request("GET", "/roll/result", json={"reward_request_id": submitted["reward_request_id"]})
    value: dict[str, Any] = reply.json()
    return value


def test_roll_submits_and_polls_once(http: httpx2.Client) -> None:
    for result in (
        roll(http, RIGHT, ROW),
        roll(http, RIGHT, {"ground_truth": GOLD}, [SOURCE]),
        roll(http, RIGHT, {"ground_truth": GOLD}, data_source=SOURCE),
        roll(http, RIGHT, json.dumps(ROW)),
    ):
        assert (result["errcode"], result["reward_score"]) == (0, 1.0)
        assert all(isinstance(entry, dict) for entry in result["dimention_reward_score"].values())
        assert result["end_time"] >= result["start_time"]
    assert roll(http, WRONG, ROW)["reward_score"] == 0.0
    unknown = http.request("GET", "/roll/result", json={"reward_request_id": "nothing"}).json()
    assert unknown["errcode"] == 2


def test_roll_keeps_to_the_client_s_own_timeout(moody: httpx2.Client) -> None:
    began = time.monotonic()
    body = {"prompt": "q", "response": "down", "reward_info": {"ground_truth": "x"}, "timeout": 0.4}
    submitted = moody.post("/roll/submit", json=body, params={"data_source": "s"}).json()
    reply = moody.request("GET", "/roll/result", json={"reward_request_id": submitted["reward_request_id"]})
    assert reply.json()["errcode"] == 2
    assert time.monotonic() - began < 4


def test_roll_when_it_can_not_be_judged(moody: httpx2.Client) -> None:
    assert roll(moody, "down", {"ground_truth": "x"}, "s", deadline_seconds="0.3")["errcode"] == 2
    assert roll(moody, "malformed", {"ground_truth": "x"}, "s", fallback="-1")["reward_score"] == -1.0


# LLaMA-Factory


def test_llamafactory(http: httpx2.Client, moody: httpx2.Client) -> None:
    body = {"model": "model", "messages": [CHAT + RIGHT, CHAT + WRONG]}
    query = {"data_source": SOURCE, "ground_truth": json.dumps(GOLD)}
    assert http.post("/llamafactory", json=body, params=query).json()["scores"] == [1.0, 0.0]
    body = {"model": "model", "messages": ["right", "malformed"]}
    assert moody.post("/llamafactory", json=body, params={"data_source": "s"}).json()["scores"] == [1.0, 0.0]


# Hostile and malformed requests


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/openrlhf", b"[]"),
        ("/openrlhf", b'{"query": ["a", "b"], "labels": ["x"]}'),
        ("/slime", b"{}"),
        ("/slime", b'{"response": NaN}'),
        ("/verify", b'{"response": "\\ud83d", "huge": 1e999}'),
        ("/verify", b"nonsense"),
        ("/roll/submit", b"7"),
        ("/llamafactory", b"\xff"),
        ("/openrlhf", b"[" * 50_000),
    ],
)
def test_what_no_client_sends_is_refused_in_words(http: httpx2.Client, path: str, body: bytes) -> None:
    reply = http.post(path, content=body)
    assert reply.status_code in (400, 422)
    assert reply.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    "query",
    [
        {"profile": "kind"},
        {"fallback": "nan"},
        {"fallback": "x"},
        {"deadline_seconds": "0"},
        {"deadline_seconds": "nan"},
    ],
)
def test_options_that_are_none(http: httpx2.Client, query: dict[str, str]) -> None:
    body = {"prompt": "", "response": "", "label": ""}
    assert http.post("/slime", json=body, params=query).status_code == 422
