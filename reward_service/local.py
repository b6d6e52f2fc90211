"""This process as the place where the command line scores: an engine of its own, and one item explained.

What is decided here: a dump has no deadline. Its rows wait for as long as the pool needs; each one's own budget
still holds.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from reward_service.assemble import build_engine
from reward_service.dump import open_input
from reward_service.engine.scorer import Scorer
from reward_service.errors import BadRequest
from reward_service.gateway.core import row_of
from reward_service.gateway.explanation import explanation
from reward_service.settings import Settings
from reward_service.wire import ItemIn, decode_item, result

CACHE_ITEMS = 16_384
"""Outcomes remembered during one dump: enough for the repeats near each other, and little memory."""
NO_DEADLINE = 1e9
ALONE = {"verdict_bytes": 0, "shadow_share": 0.0}
"""Nobody looks on here, whatever the environment says."""


class Local:
    """`bulk.Backend` over a scorer in this process."""

    def __init__(self, scorer: Scorer) -> None:
        self._scorer = scorer

    async def score(self, items: Sequence[ItemIn]) -> Sequence[Mapping[str, Any]]:
        """One result per item, in their order."""
        scored = await self._scorer.score_many([row_of(item) for item in items], seconds=NO_DEADLINE)
        return [result(one.outcome, place, None) for place, one in enumerate(scored)]


@asynccontextmanager
async def local(settings: Settings) -> AsyncIterator[Local]:
    """A running engine by the settings. PoolBroken if it can't start."""
    small = min(settings.cache_items, CACHE_ITEMS)
    engine = build_engine(settings.model_copy(update={"cache_items": small} | ALONE))
    async with engine.running:
        yield Local(engine.scorer)


def item_in(path: Path | None, number: int, given: Mapping[str, Any]) -> ItemIn:
    """The item on line `number` of a dump, or a file that is one JSON object, with the `given` fields over it.

    ValueError or Refused if there is none. A given ground truth or extra_info is JSON if it reads as JSON.
    """
    fields = {} if path is None else _row(path, number)
    if "response" in given:
        fields.pop("solution_str", None)
    fields.update(given)
    for name in ("ground_truth", "extra_info"):
        if name in given:
            fields[name] = _json_or_text(given[name])
    try:
        return decode_item(json.dumps(fields).encode())
    except BadRequest as error:
        raise ValueError(f"not an item: {error.detail}") from None


def _row(path: Path, number: int) -> dict[str, Any]:
    records = open_input(path, "").records()
    record = next((record for record in records if number in (1, record.number)), None)
    if record is None:
        raise ValueError(f"{path} has no line {number}, or it is blank")
    row = _object(record.line)
    if row is None and number == 1:  # one document over several lines
        row = _object(b"\n".join([record.line, *(record.line for record in records)]))
    if row is None:
        raise ValueError(f"line {number} of {path} is not a JSON object; {record.problem or ''}".rstrip("; "))
    return row


def _object(text: bytes) -> dict[str, Any] | None:
    try:
        row = json.loads(text)
    except ValueError:
        return None
    return row if isinstance(row, dict) else None


def _json_or_text(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


async def explained(settings: Settings, item: ItemIn) -> dict[str, Any]:
    """The explanation of one item, as `POST /v1/explain` gives it."""
    (told,) = await all_explained(settings, [item])
    return told


async def all_explained(settings: Settings, items: Sequence[ItemIn]) -> list[dict[str, Any]]:
    """The same for several items, in their order."""
    engine = build_engine(settings.model_copy(update=ALONE))
    rows = [row_of(item) for item in items]
    async with engine.running:
        keys = await engine.scorer.keys_of(rows)
        scored = await engine.scorer.score_many(
            [replace(row, explain=True) for row in rows], seconds=NO_DEADLINE
        )
    return [
        explanation(row, one, engine.registry, verdict=key.hex()[:16] if key else "")
        for row, key, one in zip(rows, keys, scored, strict=True)
    ]
