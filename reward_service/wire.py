"""What goes over HTTP: items and results, one schema for gateway and client.

What is decided here: which layouts of a row are read (the native one and Guru's), what a result says, and
that no NaN or infinity is ever written. The hot routes decode with `decode_batch` and `decode_line` (one
pass from bytes to models) and encode with `encode_result`; FastAPI only documents these models.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Annotated, Any, cast

from pydantic import (
    AliasChoices,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    TypeAdapter,
    ValidationError,
    create_model,
)
from pydantic_core import to_json

from reward_service.errors import BadRequest, TooLarge
from reward_service.types import REASONS, Outcome, Profile, Reason, Status

RunId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._:/-]{1,64}$")]
"""The name of a training run: for counting, never for scoring."""
Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
"""A SHA-256 in lower-case hex."""


class RewardModel(BaseModel):
    """Guru's wrapper around the ground truth."""

    model_config = ConfigDict(extra="ignore")

    ground_truth: Any = None


class ItemIn(BaseModel):
    """One thing to score. Unknown columns of a row are ignored."""

    model_config = ConfigDict(
        extra="ignore",
        json_schema_extra={
            "examples": [
                {
                    "id": "a",
                    "data_source": "math__aime",
                    "response": "<think>6 * 7</think>The answer is \\boxed{42}.",
                    "ground_truth": "42",
                }
            ]
        },
    )

    id: str | int | None = Field(None, description="Yours; echoed in the result.")
    data_source: str | None = Field(None, description="Where the row is from; routes it to a handler.")
    domain: str | None = Field(None, description="Instead of a data source: a handler by its generic name.")
    response: str | None = Field(
        validation_alias=AliasChoices("response", "solution_str"),
        description="What the policy wrote. `solution_str` is the same.",
    )
    ground_truth: Any = Field(None, description="What it is checked against; see /v1/data-sources.")
    ground_truth_ref: Digest | None = Field(None, description="SHA-256 of an uploaded ground truth.")
    reward_model: RewardModel | None = Field(None, description="Guru's place for the ground truth.")
    prompt: Any = Field(None, description="The prompt: text or chat messages.")
    extra_info: dict[str, Any] | None = Field(None, description="Guru's further fields of the row.")
    profile: Profile = Field(Profile.STRICT, description="`strict`, or `guru` for the published semantics.")
    run_id: RunId | None = Field(
        None, description="The training run that it is counted under; or send `X-Run-Id`."
    )
    group_id: str | int | None = Field(
        None, description="The same for all samples of one prompt; nothing takes prompt and ground truth."
    )

    def gold(self) -> Any:
        """The ground truth from whichever place it is in."""
        if self.ground_truth is None and self.reward_model is not None:
            return self.reward_model.ground_truth
        return self.ground_truth


class BatchIn(BaseModel):
    """A batch of items."""

    model_config = ConfigDict(extra="forbid")

    items: list[ItemIn] = Field(description="At most 1,024 (a setting).")
    deadline_seconds: float | None = Field(None, gt=0, description="What is not judged by then is an error.")
    run_id: RunId | None = Field(None, description="The training run of items that name none.")


class ResultOut(BaseModel):
    """What one item got."""

    id: str | int | None = Field(description="The item's id.")
    index: int = Field(description="The item's place in the request, from 0.")
    status: Status
    score: float | None = Field(description="In [0, 1]; null for an error, never 0.")
    correct: bool | None = Field(description="Full marks? null for an error.")
    reason: Reason
    extracted: str | None = Field(description="The answer that was read out of the response.")
    flags: list[str] = Field(description="What looked like reward hacking.")
    handler: str
    version: str
    detail: dict[str, Any]
    cached: bool
    queue_ms: float = Field(description="Milliseconds of waiting.")
    verify_ms: float = Field(description="CPU milliseconds of checking.")
    sandbox_ms: float = Field(description="CPU milliseconds of running the program.")
    judge_ms: float = Field(description="Milliseconds of waiting for a judge model.")
    retryable: bool = Field(description="For an error: is sending the item again worth it?")
    mask_sample: bool = Field(description="For trainers that mask: true exactly for errors.")


TIMES = ("verify_ms", "sandbox_ms", "judge_ms")
"""What judging an item took, beside waiting."""


class BatchOut(BaseModel):
    """Results in the order of the items."""

    results: list[ResultOut]


class ProblemOut(BaseModel):
    """RFC 9457 problem details."""

    type: str
    title: str
    status: int
    detail: str
    advice: str
    request_id: str
    errors: list[dict[str, Any]] = Field(default_factory=list)


_ITEM = TypeAdapter(ItemIn)


@lru_cache(8)
def _batch_of_at_most(most: int) -> TypeAdapter[BatchIn]:
    """Pydantic stops at the first item too many; without it, half a million empty items cost twelve seconds."""
    items = Annotated[list[ItemIn], Field(max_length=most)]
    adapter: TypeAdapter[BatchIn] = TypeAdapter(create_model("Batch", __base__=BatchIn, items=(items, ...)))
    return adapter


def decode_batch(body: bytes, max_items: int) -> BatchIn:
    """A batch from a JSON body. BadRequest names the item and the field; TooLarge beyond `max_items`."""
    try:
        return _batch_of_at_most(max_items).validate_json(body)
    except ValidationError as error:
        if any(
            found["type"] == "too_long" and found["loc"] == ("items",)
            for found in error.errors(include_url=False, include_input=False)
        ):
            raise TooLarge(f"a JSON batch has at most {max_items} items: send several, or NDJSON") from None
        raise bad_request(error) from None


def decode_item(body: bytes) -> ItemIn:
    """One item from a JSON body or line. BadRequest names the field."""
    try:
        return _ITEM.validate_json(body)
    except ValidationError as error:
        raise bad_request(error) from None


def bad_request(error: ValidationError) -> BadRequest:
    """Pydantic's findings in our words: where, what, and never the offending value."""
    findings = error.errors(include_url=False, include_input=False, include_context=False)
    if findings and findings[0]["type"] == "json_invalid":
        return BadRequest(findings[0]["msg"], problem="invalid-json")
    errors: list[dict[str, object]] = []
    for finding in findings[:20]:
        place = finding["loc"]
        entry: dict[str, object] = {
            "pointer": "/" + "/".join(str(part) for part in place),
            "message": finding["msg"],
        }
        if len(place) > 1 and place[0] == "items" and isinstance(place[1], int):
            entry["item"] = place[1]
        if place and isinstance(place[-1], str):
            entry["field"] = place[-1]
        errors.append(entry)
    first = errors[0] if errors else {"pointer": "/", "message": "invalid"}
    more = f" (and {len(findings) - 1} more)" if len(findings) > 1 else ""
    return BadRequest(f"{first['pointer']}: {first['message']}{more}", errors=errors)


_RETRYABLE = {reason: status is Status.ERROR and retry for reason, (status, retry, _) in REASONS.items()}


def result(outcome: Outcome, index: int, item_id: str | int | None) -> dict[str, Any]:
    """A result as plain JSON values: the fields of `ResultOut`, in its order."""
    error = outcome.status is Status.ERROR
    return {
        "id": item_id,
        "index": index,
        "status": outcome.status,
        "score": outcome.score,
        "correct": outcome.correct,
        "reason": outcome.reason,
        "extracted": outcome.extracted,
        "flags": outcome.flags,
        "handler": outcome.handler,
        "version": outcome.version,
        # A mappingproxy is no JSON object to the encoder, and would take its slow path.
        "detail": dict(outcome.detail) if outcome.detail else {},
        "cached": outcome.cached,
        "queue_ms": round(outcome.queue_ms, 3),
        "verify_ms": round(outcome.verify_ms, 3),
        "sandbox_ms": round(outcome.sandbox_ms, 3),
        "judge_ms": round(outcome.judge_ms, 3),
        "retryable": _RETRYABLE[outcome.reason],
        "mask_sample": error,
    }


def encode(value: Mapping[str, Any] | Sequence[Any]) -> bytes:
    """JSON bytes: UTF-8, non-finite numbers as null, lone surrogates escaped."""
    try:
        return to_json(value, inf_nan_mode="null")
    except (ValueError, TypeError, RecursionError):
        # A lone surrogate (from a JSON-in-a-string, say) has no UTF-8: escape everything instead.
        return json.dumps(value, default=_plain, allow_nan=False).encode("ascii")


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(cast("Mapping[str, Any]", value))
    return str(value)
