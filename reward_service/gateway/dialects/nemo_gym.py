"""NeMo Gym's verify protocol: NeMo-RL, verifiers/prime-rl (`resources_url`), axolotl.

`POST [/nemo_gym/{server}]/verify` with `{"responses_create_params", "response" (an OpenAI Responses object), **row}`
answers the whole request again plus `reward`, and `mask_sample`, `failure_kind` and `failure_reason` when the service could not
judge (also in `instance_config`, where older NeMo-RL looks); `reward` is then the URL's `fallback` (0.0), for clients such as
axolotl that know no mask. `/seed_session`, `/close_session`, `/reverify_mode`,
`/aggregate_metrics` and the head server's discovery are answered as its clients need.

The row is ours (`data_source`, `ground_truth`, …) or one of Gym's own: `expected_answer` with `question`
(math_with_judge), `options` with `expected_answer` (mcqa), `answer` with `metadata` (reasoning_gym),
`verifier_metadata.unit_tests` (code_gen). With `?on_error=status`, or the header `X-On-Error: status`, an unjudged item is an
HTTP error (503, or 422 for good) instead of a masked sample: verifiers drops the trace then. Facts: reference/trainers.md §2.8, peers.md §1.1.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from reward_service.engine.scorer import Row
from reward_service.errors import BadRequest, Overloaded
from reward_service.gateway.core import Gateway
from reward_service.gateway.dialects.common import (
    Asked,
    asked_by,
    json_object,
    number,
    patiently,
    reply,
    row_from,
    text_of,
)
from reward_service.types import Outcome, Reason

CLIENT_SECONDS = 60.0
"""verifiers'. Gym's own client waits for ever."""
AXOLOTL_SECONDS = 30.0
"""axolotl's, whose URLs come from discovery and can't say so: it is known by the library that it calls with."""
MARGIN = 5.0
SERVERS: Mapping[str, str] = {
    "math_with_judge": "math",
    "math_with_autograder": "math",
    "mcqa": "choice",
    "gpqa_diamond": "stem__gpqa_diamond",
    "code_gen": "livecodebench",
    "equivalence_rule": "exact",
    "string_match": "exact",
    "instruction_following": "ood__ifeval",
    "ifbench": "ood__ifbench",
    "reasoning_gym": "reasoning_gym",
    "arc_agi": "simulation__arcagi1",
}
"""Gym's resource servers whose rows we can judge, and the data source that judges them."""
FAILURES: Mapping[Reason, str] = {
    Reason.SANDBOX_UNAVAILABLE: "provider_unavailable",
    Reason.JUDGE_UNAVAILABLE: "judge_failed",
    Reason.DEADLINE: "transport_timeout",
    Reason.OVERLOADED: "provider_unavailable",
}
"""Reasons in Gym's closed vocabulary of failure kinds; every other error is `verifier_error`."""


def router(gateway: Gateway) -> APIRouter:
    """The dialect's routes, at the root and under `/nemo_gym/{server}`."""
    routes = APIRouter(tags=["dialects"])
    for prefix in ("", "/nemo_gym/{server}"):
        _mount(routes, gateway, prefix)

    @routes.get("/global_config_dict_yaml", summary="NeMo Gym: the head server's discovery")
    async def discovery(request: Request) -> Response:
        host, port = request.url.hostname or "127.0.0.1", request.url.port or 80
        return reply(yaml_of(gateway, host, port))

    @routes.get("/livez", summary="NeMo Gym: is the process alive?")
    async def livez() -> Response:
        return reply({"status": "alive"})

    @routes.get("/server_instances", summary="NeMo Gym: the servers")
    async def instances() -> Response:
        return reply([{"name": name, "status": "success"} for name in SERVERS])

    return routes


def _mount(routes: APIRouter, gateway: Gateway, prefix: str) -> None:
    label = prefix.replace("/{server}", "").lstrip("/") or "root"

    @routes.post(f"{prefix}/verify", name=f"verify_{label}", summary="NeMo Gym: verify a response")
    async def verify(request: Request) -> Response:
        axolotl = request.headers.get("user-agent", "").startswith("python-requests/")
        asked = asked_by(request, (AXOLOTL_SECONDS if axolotl else CLIENT_SECONDS) - MARGIN)
        body = await json_object(gateway, request)
        server = request.path_params.get("server")
        scored = (await patiently(gateway, [gym_row(body, server, asked)], asked.seconds))[0]
        outcome = scored.outcome
        if outcome.score is None and on_error(request) == "status":
            text = str(outcome.detail.get("message", outcome.reason))
            if not outcome.retryable:
                raise BadRequest(text)
            raise Overloaded(text, problem="not-ready", retry_after=1.0)
        masked = outcome.score is None
        reward = number(gateway, scored, asked.fallback, "nemo_gym")
        answer = {
            **body,
            "reward": reward,
            "extracted_answer": outcome.extracted,
            "reason": outcome.reason.value,
            "mask_sample": masked,
            "failure_kind": failure_kind(outcome),
            "failure_reason": str(outcome.detail.get("message", outcome.reason)) if masked else None,
        }
        if masked:
            config = body.get("instance_config")
            answer["instance_config"] = {**(config if isinstance(config, dict) else {}), "mask_sample": True}
        return reply(answer)

    @routes.post(f"{prefix}/seed_session", name=f"seed_{label}", summary="NeMo Gym: nothing to seed")
    async def seed_session() -> Response:
        return reply({})

    @routes.post(f"{prefix}/close_session", name=f"close_{label}", summary="NeMo Gym: nothing to close")
    async def close_session() -> Response:
        return reply({})

    @routes.get(f"{prefix}/reverify_mode", name=f"mode_{label}", summary="NeMo Gym: verifying has no state")
    async def reverify_mode() -> Response:
        return reply("stateless")

    @routes.post(f"{prefix}/aggregate_metrics", name=f"metrics_{label}", summary="NeMo Gym: means of rewards")
    async def aggregate_metrics(request: Request) -> Response:
        body = await json_object(gateway, request)
        replies = body.get("verify_responses")
        kept = [
            float(one["reward"])
            for one in (replies if isinstance(replies, list) else [])
            if isinstance(one, dict)
            and not one.get("mask_sample")
            and isinstance(one.get("reward"), int | float)
        ]
        mean = sum(kept) / len(kept) if kept else None
        return reply(
            {
                "agent_metrics": {"mean_reward": mean, "valid_samples": len(kept)},
                "key_metrics": {"mean_reward": mean},
                "group_level_metrics": [],
            }
        )


def on_error(request: Request) -> str | None:
    """How an unjudged item is answered: `status` for an HTTP error. A base URL, which is all that some clients are
    given, carries no query: so a header says it too.
    """
    return request.query_params.get("on_error") or request.headers.get("x-on-error")


def failure_kind(outcome: Outcome) -> str | None:
    """Gym's word for why an item was not judged; None if it was."""
    return None if outcome.score is not None else FAILURES.get(outcome.reason, "verifier_error")


def gym_row(body: Mapping[str, Any], server: str | None, asked: Asked) -> Row:
    """The row in a verify request: ours, or one of Gym's own layouts."""
    response = output_text(body.get("response"))
    prompt = prompt_of(body.get("responses_create_params"))
    source = asked.data_source or (SERVERS.get(server, server) if server else None)
    asked = asked._replace(data_source=source)
    extra = dict(body["extra_info"]) if isinstance(body.get("extra_info"), dict) else {}
    if isinstance(body.get("question"), str):
        extra.setdefault("question", body["question"])
    label = {"extra_info": extra, "data_source": body.get("data_source", source)}
    tests = body.get("verifier_metadata")
    if "ground_truth" in body or "reward_model" in body or "ground_truth_ref" in body:
        names = ("ground_truth", "reward_model", "ground_truth_ref", "domain", "profile")
        label |= {name: body[name] for name in names if name in body}
    elif isinstance(tests, dict) and isinstance(tests.get("unit_tests"), dict):
        label |= {
            "ground_truth": json.dumps(tests["unit_tests"]),
            "data_source": body.get("data_source") or source or "livecodebench",
        }
    elif "options" in body and "expected_answer" in body:
        extra["options"] = merged_options(body["options"])
        label |= {
            "ground_truth": body["expected_answer"],
            "data_source": body.get("data_source") or source or "choice",
        }
    elif "answer" in body and isinstance(body.get("metadata"), dict):
        extra |= {"entry": {name: body.get(name) for name in ("question", "answer", "metadata")}}
        extra.setdefault("task", body["metadata"].get("source_dataset"))
        label |= {
            "ground_truth": body["answer"],
            "data_source": body.get("data_source") or source or "reasoning_gym",
        }
    elif "expected_answer" in body:
        label |= {
            "ground_truth": body["expected_answer"],
            "data_source": body.get("data_source") or source or "math",
        }
    else:
        label |= {"ground_truth": None}
    return row_from(label, response, prompt, asked)


def merged_options(options: Any) -> Any:
    """mcqa's list of one-entry objects as one object."""
    if isinstance(options, list) and all(isinstance(one, dict) for one in options):
        return {name: text for one in options for name, text in one.items()}
    return options


def output_text(response: Any) -> str:
    """What the assistant said in a Responses object: the text of its last message; reasoning is left out."""
    if not isinstance(response, Mapping):
        return text_of(response)
    output = response.get("output")
    if isinstance(output, list):
        said = [
            one
            for one in output
            if isinstance(one, Mapping)
            and one.get("type", "message") == "message"
            and one.get("role", "assistant") == "assistant"
        ]
        return text_of(said[-1]) if said else ""
    return str(response.get("output_text") or "")


def prompt_of(params: Any) -> Any:
    """The prompt in the request's parameters: text or messages."""
    return params.get("input") if isinstance(params, Mapping) else None


def yaml_of(gateway: Gateway, host: str, port: int) -> str:
    """The head server's configuration as YAML text: every server at this address."""
    lines: list[str] = []
    for name in SERVERS:
        lines += [
            f"{name}:",
            "  resources_servers:",
            f"    {name}:",
            f"      host: {json.dumps(host)}",
            f"      port: {port}",
            "      entrypoint: app.py",
        ]
    return "\n".join(lines) + "\n"
