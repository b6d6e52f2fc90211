"""Explanations and kept verdicts over HTTP.

What is decided here: explaining is scoring. The item goes through admission, the scorer and the pool like any other and
costs what an item costs; it is counted nowhere and kept nowhere, because an explanation is no traffic. What a reader may
see of ground truths, and of other tenants' verdicts, is asked in two functions here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any

from fastapi import FastAPI, Path, Query
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from starlette.requests import Request
from starlette.responses import Response

from reward_service.engine.channel import plain
from reward_service.engine.scorer import Row
from reward_service.engine.verdicts import Kept, summary
from reward_service.errors import BadRequest, NotFound
from reward_service.gateway.access import CALLER, owns
from reward_service.gateway.core import JSON, Gateway, asked_deadline, row_of
from reward_service.gateway.explanation import explanation, shown
from reward_service.keys import Scope
from reward_service.wire import ItemIn, bad_request, encode, result

VERDICT = r"^[0-9a-f]{16}$"
EXAMPLE = {
    "item": {"data_source": "math__aime", "response": "The answer is \\boxed{42}.", "ground_truth": "42"}
}


class ExplainIn(BaseModel):
    """What to explain: an item, or a verdict that the service still has."""

    # The schema has the rule that `decode` has, so that generated clients and testers know it.
    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "oneOf": [
                {"required": [name], "properties": {name: {"not": {"type": "null"}}}}
                for name in ("item", "verdict")
            ]
        },
    )

    item: ItemIn | None = None
    verdict: str | None = Field(None, pattern=VERDICT, description="The id of a kept verdict.")


MODELS: tuple[type[BaseModel], ...] = (ExplainIn,)
_ASKED = TypeAdapter(ExplainIn)


def sees_ground_truths() -> bool:
    """May the caller see ground truths and expected values?"""
    return CALLER.get().may(Scope.EXPLAIN)


def may_see(kept: Kept) -> bool:
    """May the caller see this verdict? Responses belong to the name that sent them."""
    return owns(kept.tenant)


def add_routes(app: FastAPI, gateway: Gateway, responses: dict[int | str, dict[str, Any]]) -> None:
    """The routes of this module."""
    kept_or_not = {**responses, 404: {**responses[400], "description": "no such verdict (any more)"}}

    @app.post(
        "/v1/explain",
        summary="Judge one item, and say how the verdict came about",
        description="`item`, or `verdict`: the id of a verdict that the service still has.",
        responses=kept_or_not,
        openapi_extra={
            "requestBody": {
                "required": True,
                "content": {JSON: {"schema": {"$ref": "#/components/schemas/ExplainIn"}, "example": EXAMPLE}},
            }
        },
        tags=["explain"],
    )
    async def explain(request: Request) -> Response:
        seconds = gateway.deadline(asked_deadline(request))
        asked = decode(await gateway.body(request))
        if asked.item is not None:
            row = row_of(asked.item)
        else:
            row = row_of_kept(find(gateway, asked.verdict or ""))
        return Response(encode(await explained(gateway, row, seconds)), media_type=JSON)

    @app.get(
        "/v1/verdicts",
        summary="Verdicts that are kept to be looked at",
        description="Of each data source and reason a few; errors and flagged ones first. `data_source`: a routing entry.",
        tags=["explain"],
    )
    async def verdicts(
        data_source: Annotated[str | None, Query(max_length=200)] = None,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    ) -> Response:
        return Response(encode({"verdicts": listed(gateway, data_source, limit)}), media_type=JSON)

    @app.get(
        "/v1/verdicts/{verdict}",
        summary="A kept verdict: the item and its outcome",
        responses=kept_or_not,
        tags=["explain"],
    )
    async def verdict(verdict: Annotated[str, Path(pattern=VERDICT)]) -> Response:
        return Response(encode(told_of(find(gateway, verdict))), media_type=JSON)


def decode(body: bytes) -> ExplainIn:
    """What was asked for. BadRequest if it is neither an item nor a verdict, or both."""
    try:
        asked = _ASKED.validate_json(body)
    except ValidationError as error:
        raise bad_request(error) from None
    if (asked.item is None) is (asked.verdict is None):
        raise BadRequest("give `item` or `verdict`, and not both")
    return asked


def listed(gateway: Gateway, data_source: str | None, limit: int = 100) -> list[dict[str, Any]]:
    """What the caller may see of the kept verdicts (of one routing entry), odd ones first, then the newest."""
    golds = sees_ground_truths()
    found = [kept for kept in gateway.engine.verdicts.all(data_source) if may_see(kept)]
    return [summary(kept, golds=golds) | {"data_source": kept.data_source} for kept in found[:limit]]


def find(gateway: Gateway, name: str) -> Kept:
    """The kept verdict. NotFound if it isn't kept (any more), or is not the caller's to see."""
    kept = gateway.engine.verdicts.get(name)
    if kept is None or not may_see(kept):
        raise NotFound(f"verdict {name!r} is not kept (any more): send the item itself")
    return kept


def row_of_kept(kept: Kept) -> Row:
    """The row that the same item is made of."""
    item = kept.item
    return Row(
        item.data_source,
        item.response,
        item.ground_truth,
        extra_info=dict(item.extra_info) or None,
        profile=item.profile,
    )


async def name_verdicts(
    gateway: Gateway, request: Request, items: Sequence[ItemIn], results: Sequence[dict[str, Any]]
) -> None:
    """Add to each result the id of its verdict, if the request asks for it (`?verdicts=1`): some microseconds each."""
    if request.query_params.get("verdicts", "0").lower() in ("0", "false", "no", ""):
        return
    keys = await gateway.engine.scorer.keys_of([row_of(item) for item in items])
    for told, key in zip(results, keys, strict=True):
        told["verdict"] = key.hex()[:16] if key else None


async def explained(gateway: Gateway, row: Row, seconds: float) -> dict[str, Any]:
    """The explanation of a row, judged now."""
    scorer = gateway.engine.scorer
    await gateway.access.charge(1)
    (key,) = await scorer.keys_of([row])
    await gateway.access.charge(1)
    async with gateway.admission.admit(1, wait=False, seconds=seconds):
        (scored,) = await scorer.score_many([replace(row, explain=True)], seconds=seconds)
    name = key.hex()[:16] if key else ""
    told = explanation(row, scored, gateway.engine.registry, verdict=name, golds=sees_ground_truths())
    kept = gateway.engine.verdicts.get(name)
    return told | {"kept": kept is not None, "shadow": dict(kept.shadow) if kept and kept.shadow else None}


def told_of(kept: Kept) -> dict[str, Any]:
    """A kept verdict as plain data."""
    item = kept.item
    golds = sees_ground_truths()
    return {
        "verdict": kept.id,
        "at": kept.at,
        "run": kept.run,
        "source": kept.data_source,
        "item": {
            "data_source": item.data_source,
            "response": item.response,
            "ground_truth": shown(item.ground_truth) if golds else None,
            "extra_info": plain(dict(item.extra_info)) if golds else {},
            "profile": item.profile.value,
        },
        "result": result(kept.outcome, 0, None),
        "shadow": dict(kept.shadow) if kept.shadow else None,
    }
