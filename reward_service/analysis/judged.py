"""Reads scored dumps: rows that `score` wrote, results of a batch, or rows with a number that somebody else recorded.

What is decided here: what a judgement is when it comes from a file. An outcome's `status` decides; a bare number is a score,
correct from 1.0 on; null is "not judged". What is not judged never has a score. Rows that share a prompt are found in the same
way as when they were scored.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import AliasChoices, AliasPath, Field, TypeAdapter, ValidationError, create_model
from pydantic_core import from_json

from reward_service.analysis.flips import field_at, recorded_score
from reward_service.analysis.summary import group_key
from reward_service.bulk import MALFORMED, grouping, row_model
from reward_service.dump import Input, Record, Refused, open_input
from reward_service.registry import Registry
from reward_service.wire import TIMES, ItemIn

NO_OUTCOME = "(no outcome)"
UNKNOWN_DOMAIN = "(unknown)"


@dataclass(frozen=True, slots=True)
class Judgement:
    """What was recorded about a row. score: None if it was not judged. ms: None if no time was recorded."""

    score: float | None
    correct: bool
    reason: str
    extracted: str | None = None
    flags: tuple[str, ...] = ()
    handler: str = ""
    version: str = ""
    message: str = ""
    ms: float | None = None


@dataclass(frozen=True, slots=True)
class Judged:
    """One row of a scored dump. prompt: a hash of what its samples share, None if nothing names it."""

    record: Record
    data_source: str
    domain: str
    prompt: int | None
    found: Judgement
    item: ItemIn | None
    """None if the row has no response."""
    name: str | int | None = None


def judgement(value: Any) -> Judgement:
    """A recorded outcome, or a bare score, as a judgement."""
    if isinstance(value, str):
        with suppress(ValueError):
            value = from_json(value)
    if isinstance(value, bool | int | float) and math.isfinite(value):
        return Judgement(float(value), value >= 1.0, "")
    if not isinstance(value, Mapping):
        return Judgement(None, False, NO_OUTCOME)
    score = recorded_score(value) if value.get("status", "scored") == "scored" else None
    correct = value.get("correct")
    detail = value.get("detail")
    if isinstance(detail, str):
        with suppress(ValueError):
            detail = from_json(detail)
    message = detail.get("message", "") if isinstance(detail, Mapping) else ""
    flags = value.get("flags")
    spent = [value[name] for name in TIMES if isinstance(value.get(name), int | float)]
    extracted = value.get("extracted")
    return Judgement(
        score=score,
        correct=score is not None and (correct if isinstance(correct, bool) else score >= 1.0),
        reason=str(value.get("reason") or "")[:64],
        extracted=None if extracted is None else str(extracted),
        flags=tuple(str(flag)[:64] for flag in flags[:32]) if isinstance(flags, list) else (),
        handler=str(value.get("handler") or "")[:64],
        version=str(value.get("version") or "")[:32],
        message=str(message),
        ms=sum(spent) if spent else None,
    )


class ScoredDump:
    """A scored dump that is being read. Refused if it can't be, or if its first row holds no outcome."""

    def __init__(
        self, path: Path, registry: Registry, column: str = "outcome", group_by: str | None = None
    ) -> None:
        self.path = path
        self._registry = registry
        self._column = column
        self._asked = group_by
        alias = AliasChoices(column, AliasPath(*column.split(".")))
        model = create_model(
            "ScoredRow",
            __base__=row_model(column, group_by),
            own_column=(Any, Field(None, validation_alias=alias)),
            # Rows of a data set, and results, have none.
            response=(str | None, Field(None, validation_alias=AliasChoices("response", "solution_str"))),
        )
        self._adapter: TypeAdapter[Any] = TypeAdapter(model)
        self._domains: dict[tuple[str, str], str] = {}
        self._group: Callable[[Any], Any] | None = None
        self.grouped_by: str | None = None
        """In words, what makes two rows samples of one prompt; None until a row has decided that."""
        self._input: Input = open_input(path, "")

    @property
    def progress(self) -> tuple[int, int | None]:
        """How much was read, of how much (bytes or rows; None for a pipe)."""
        return self._input.done, self._input.total

    def rows(self, *, scored: bool = True) -> Iterator[Judged]:
        """The rows in their order. scored: the first one must hold an outcome, else Refused."""
        first = scored
        for record in self._input.records():
            row = self._read(record)
            if first and row.found.reason == NO_OUTCOME:
                raise Refused(
                    f"{self.path}: its first row has no {self._column!r}; score the dump first, or name the column "
                    "that holds the outcome or the score with --column"
                )
            first = False
            yield row

    def close(self) -> None:
        """Give the file back."""
        self._input.close()

    def item(self, line: bytes) -> ItemIn:
        """The item in a row that was read before."""
        item: ItemIn = self._adapter.validate_json(line)
        return item

    def _read(self, record: Record) -> Judged:
        try:
            row: Any = self._adapter.validate_json(record.line)
        except ValidationError:
            return self._unreadable(record)
        value = row.own_column
        if value is None and "own_column" not in row.model_fields_set:
            value = self._own_result(record)
        found = judgement(value)
        name = (row.data_source or row.domain or "(none)")[:200]
        named = row.id if isinstance(row.id, str | int) else None
        item = row if row.response is not None else None
        return Judged(record, name, self._domain(found.handler, name), self._prompt(row), found, item, named)

    def _unreadable(self, record: Record) -> Judged:
        """A row that is no item: what `score` said about it."""
        row: Any = None
        with suppress(ValueError):
            row = json.loads(record.line)
        if not isinstance(row, dict):
            found = Judgement(None, False, "malformed_item", message=record.problem or "not a JSON object")
            return Judged(record, MALFORMED, UNKNOWN_DOMAIN, None, found, None)
        value = row.get(self._column, field_at(row, self._column))
        found = judgement(row if value is None and is_result(row) else value)
        name = str(row.get("data_source") or row.get("domain") or ("(none)" if found.handler else MALFORMED))[
            :200
        ]
        named = row.get("id")
        named = named if isinstance(named, str | int) else None
        return Judged(record, name, self._domain(found.handler, name), None, found, None, named)

    def _own_result(self, record: Record) -> Any:
        row = json.loads(record.line)
        return row if is_result(row) else None

    def _prompt(self, row: Any) -> int | None:
        if self._group is None:
            self.grouped_by, self._group = grouping(row, self._asked)
        value = self._group(row)
        return None if value is None else group_key(value)

    def _domain(self, handler: str, data_source: str) -> str:
        key = handler, data_source
        domain = self._domains.get(key)
        if domain is None:
            known = self._registry.handlers.get(handler)
            if known is None and (route := self._registry.route(data_source)):
                known = route.handler
            domain = known.domain.value if known else UNKNOWN_DOMAIN
            if len(self._domains) < 10_000:
                self._domains[key] = domain
        return domain


def is_result(row: Mapping[str, Any]) -> bool:
    """Is the row itself what the service answered?"""
    return "status" in row and "score" in row and "reason" in row
