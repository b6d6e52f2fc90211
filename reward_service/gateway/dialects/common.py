"""What the dialects share: rows out of labels and transcripts, and scoring for clients that can't come back.

What is decided here
- routing: most trainers send nothing but a prompt, a response and a label. The label may be a whole row (an object,
  or an object as JSON text, with `data_source` and `ground_truth`), or the bare ground truth; then the URL names the
  data source (`?data_source=math__dapo`).
- patience: a passing failure (no sandbox for a moment, no room) is tried again here until just before the client's
  own deadline, because most clients turn the first refusal into a dead run or a zero.
- one slow item costs its neighbours nothing: the scorer gets its deadline, and a moment beyond it to hand over what it
  has, so that a batch of a thousand with one straggler loses one item.
- what is left unjudged after that has no number of its own. A dialect whose client can mask or try again says so;
  elsewhere the item gets the URL's `fallback` (default 0.0), is counted in `reward_service_fallback_rewards`, and
  carries `valid: 0` where the client takes extra numbers. The table in docs/trainers/README.md says which is which.
"""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from pydantic_core import from_json
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response

from reward_service.engine.scorer import Row, Scored
from reward_service.errors import BadRequest, Overloaded
from reward_service.gateway.connection import while_connected
from reward_service.gateway.core import JSON, Gateway
from reward_service.types import Outcome, Profile, Reason, Status, cannot_judge
from reward_service.wire import encode

GOLD_KEYS = frozenset({"ground_truth", "reward_model", "ground_truth_ref"})
ROW_KEYS = GOLD_KEYS | {"data_source", "domain", "extra_info", "prompt", "profile", "id"}
HANDOVER_SECONDS = 3.0
"""How long before the answer is due the scorer's own deadline is, to hand over the items that it has; at most a seventh."""


class Asked(NamedTuple):
    """What the URL of a dialect's route says."""

    data_source: str | None
    domain: str | None
    profile: Profile
    fallback: float
    seconds: float


def asked_by(request: Request, seconds: float) -> Asked:
    """The URL's options; `seconds`: the client's own deadline less a margin. BadRequest for nonsense."""
    return _asked(request.scope["query_string"], seconds)


@lru_cache(256)
def _asked(query_string: bytes, seconds: float) -> Asked:
    """A trainer sends the same few URLs a million times: each is read once."""
    query = QueryParams(query_string)
    try:
        profile = Profile(query.get("profile", Profile.STRICT))
        fallback = float(query.get("fallback", "0"))
        seconds = min(
            float(query.get("deadline_seconds", seconds)), seconds
        )  # NaN stays, and is refused below
    except ValueError:
        fallback = math.nan
    if not math.isfinite(fallback) or not 0 < seconds < 1e6:
        raise BadRequest("profile is strict or guru; fallback and deadline_seconds are numbers")
    return Asked(query.get("data_source"), query.get("domain"), profile, fallback, seconds)


async def json_body(gateway: Gateway, request: Request) -> Any:
    """The body as JSON, within the limits. BadRequest if it is none."""
    # Old OpenRLHF sends a whole rollout batch in one body, and none of these clients can split one.
    body = await gateway.body(request, gateway.settings.max_decoded_bytes)
    try:
        return from_json(body, allow_inf_nan=False, cache_strings="keys")
    except ValueError:
        pass  # six times as fast, but it takes no lone surrogate: a response may end in half of one
    try:
        return json.loads(body, parse_constant=_refuse, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"the body is not JSON: {error}"[:200], problem="invalid-json") from None


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON value")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError("a number beyond the range of a double")  # it could not be echoed
    return value


async def json_object(gateway: Gateway, request: Request) -> dict[str, Any]:
    """The body as a JSON object. BadRequest if it is none."""
    value = await json_body(gateway, request)
    if not isinstance(value, dict):
        raise BadRequest("the body is a JSON object")
    return value


def reply(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON response."""
    return Response(encode(value), status, dict(headers or {}), JSON)


def row_from(label: Any, response: Any, prompt: Any, asked: Asked) -> Row:
    """A row for the scorer: from a label that is a row, or from the URL's data source and a bare ground truth."""
    text = response if isinstance(response, str) else text_of(response)
    wrapped = as_row(label)
    if wrapped is None:
        return Row(asked.data_source, text, label, prompt=prompt, domain=asked.domain, profile=asked.profile)
    gold = wrapped.get("ground_truth")
    model = wrapped.get("reward_model")
    if gold is None and isinstance(model, Mapping):
        gold = model.get("ground_truth")
    extra = wrapped.get("extra_info")
    reference = wrapped.get("ground_truth_ref")
    source, domain = wrapped.get("data_source"), wrapped.get("domain")
    try:
        profile = Profile(wrapped.get("profile", asked.profile))
    except ValueError:
        profile = asked.profile
    return Row(
        str(source) if source is not None else asked.data_source,
        text,
        gold,
        reference if isinstance(reference, str) else None,
        wrapped.get("prompt", prompt),
        extra if isinstance(extra, Mapping) else None,
        str(domain) if domain is not None else asked.domain,
        profile,
    )


def as_row(label: Any) -> Mapping[str, Any] | None:
    """The label as a row, if it is one: an object (or its JSON text) that holds a ground truth in one of a row's places,
    or nothing but a row's fields with a data source among them. Any other object is a ground truth itself.
    """
    if isinstance(label, str):
        if not label.lstrip().startswith("{") or not ("ground_truth" in label or "data_source" in label):
            return None
        try:
            label = json.loads(label)
        except (ValueError, RecursionError):
            return None
    if not isinstance(label, dict):  # decoded JSON: `Mapping` would cost more than the rest
        return None
    if GOLD_KEYS & label.keys() or ("data_source" in label and not label.keys() - ROW_KEYS):
        return label
    return None


def text_of(message: Any) -> str:
    """A response as text: a string, chat messages (the last assistant's), or content parts."""
    if isinstance(message, str):
        return message
    if isinstance(message, Mapping):
        return text_of(message.get("content", message.get("text", "")))
    if isinstance(message, Sequence):
        roles = [part for part in message if isinstance(part, Mapping) and part.get("role") == "assistant"]
        if roles:
            return text_of(roles[-1])
        return "".join(text_of(part) for part in message)
    return "" if message is None else str(message)


_TURNS = (
    "<|im_start|>assistant",
    "<|start_header_id|>assistant<|end_header_id|>",
    "<start_of_turn>model",
    "<|start_of_role|>assistant<|end_of_role|>",
    "<｜Assistant｜>",
    "<|assistant|>",
    "<|Assistant|>",
)
_INSTRUCTION_END = "[/INST]"
"""How chat templates begin the assistant's turn."""


def last_turn(transcript: str) -> int:
    """Where the assistant's last turn begins; 0 without a mark of one.

    By the angle brackets from the end: searching for each mark in turn costs several times as much.
    """
    found = (
        transcript.rfind(_INSTRUCTION_END) + len(_INSTRUCTION_END) if _INSTRUCTION_END in transcript else 0
    )
    at = len(transcript)
    for _ in range(200):
        at = transcript.rfind("<", found, at)
        if at < 0:
            return found
        if transcript.startswith(_TURNS, at):
            return at + next(len(turn) for turn in _TURNS if transcript.startswith(turn, at))
    return max(
        found, *(transcript.rfind(turn, 0, at) + len(turn) if turn in transcript else 0 for turn in _TURNS)
    )


OVERLAP = 48
"""Characters of a cut-off prompt that must be left for it to be found."""


def response_in(transcript: str, prompt: Any) -> str:
    """The response in a transcript: what follows the prompt, or the last turn of the assistant, or all of it.

    The prompt may have a BOS token in front of it. One that was cut off on the left is found by its end; where
    the tokenizer changed it, the chat template's last mark decides.
    """
    if isinstance(prompt, str) and prompt:
        if (at := transcript.find(prompt, 0, len(prompt) + 64)) >= 0:
            return transcript[at + len(prompt) :]
        tail, end = prompt[-OVERLAP:], len(prompt) + OVERLAP
        for _ in range(8 if len(tail) == OVERLAP else 0):
            at = transcript.rfind(tail, 0, end)
            if at < 0:
                break
            # A cut through a character leaves U+FFFD at the seam.
            if prompt.endswith(transcript[: at + OVERLAP].lstrip("\ufffd")):
                return transcript[at + OVERLAP :]
            end = at + OVERLAP - 1
    return transcript[last_turn(transcript) :]


async def patiently(gateway: Gateway, rows: Sequence[Row], seconds: float) -> list[Scored]:
    """Score rows within `seconds`; what failed for a passing reason is tried again until they are over.

    Overloaded if they are more than the caller's quota has left.
    """
    await gateway.access.charge(len(rows))
    async with while_connected(lambda: gateway.metrics.dropped.inc(len(rows))):
        return await uncharged(gateway, rows, seconds)


async def uncharged(gateway: Gateway, rows: Sequence[Row], seconds: float) -> list[Scored]:
    """The same for rows that have been counted against the quota already."""
    with gateway.timed("dialect"):
        return await _patiently(gateway, rows, seconds)


async def _patiently(gateway: Gateway, rows: Sequence[Row], seconds: float) -> list[Scored]:
    handover = min(HANDOVER_SECONDS, seconds / 7)
    until = time.monotonic() + seconds - handover
    results: list[Scored] = [
        Scored(cannot_judge(Reason.DEADLINE, "the client's deadline passed"), "unknown", "unknown")
        for _ in rows
    ]
    places = list(range(len(rows)))
    pause = 0.25
    while places:
        left = until - time.monotonic()
        if left <= 0:
            break
        try:
            found = await admitted(gateway, [rows[place] for place in places], until, handover)
        except (TimeoutError, Overloaded):
            break
        for place, scored in zip(places, found, strict=True):
            results[place] = scored
        places = [place for place in places if passing(results[place].outcome)]
        gateway.metrics.retried([results[place] for place in places])
        if not places or time.monotonic() + pause >= until:
            break
        await asyncio.sleep(pause)
        pause = min(5.0, pause * 2)
    gateway.record(rows, results)  # each item once, whatever it went through
    return results


async def admitted(gateway: Gateway, rows: Sequence[Row], until: float, handover: float) -> list[Scored]:
    """Score rows by the monotonic time `until`, waiting for places included. TimeoutError if nothing came of it.

    `Gateway.score_rows` gives the scorer all the seconds again after a wait: then the clock here would strike first,
    and take the finished items away with the late ones.
    """
    clock = asyncio.get_running_loop().time() - time.monotonic()
    async with asyncio.timeout_at(until + clock) as patience:
        async with gateway.admission.admit(len(rows), wait=True):
            patience.reschedule(until + clock + handover)
            return await gateway.engine.scorer.score_many(rows, seconds=max(0.0, until - time.monotonic()))


def passing(outcome: Outcome) -> bool:
    """Is it an error that may be gone in a moment? A deadline with time left over was a machine too busy."""
    return outcome.status is Status.ERROR and outcome.retryable


def number(gateway: Gateway, scored: Scored, fallback: float, dialect: str) -> float:
    """The score, or the fallback for a client that has no other way; then it is counted."""
    if scored.outcome.score is not None:
        return scored.outcome.score
    gateway.metrics.fallbacks.labels(dialect, scored.outcome.reason.value).inc()
    return fallback
