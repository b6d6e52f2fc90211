"""What is audited: the rows of a dump, or the handlers' own examples.

What is decided here: a row is the wire's item without a response. Rows that differ only in what the policy wrote are one
subject. A right response may stand in the column `reference_response`; for programs a reference solution in `extra_info`
does as well.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, TypeAdapter, ValidationError

from reward_service.audit import learned
from reward_service.audit.cheats import CODE, fenced
from reward_service.audit.model import Hooks, Subject
from reward_service.registry import Registry, Route

SOLUTIONS = ("reference_solution", "canonical_solution", "reference", "solution", "gold_standard_solution")


def _parsed(value: Any) -> Any:
    """Nested columns that a Parquet file holds as JSON text."""
    if isinstance(value, str):
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


class _Wrapped(BaseModel):
    model_config = ConfigDict(extra="ignore")

    ground_truth: Any = None


class AuditRow(BaseModel):
    """A row of a dump; further columns are ignored."""

    model_config = ConfigDict(extra="ignore")

    data_source: str | None = None
    domain: str | None = None
    ground_truth: Any = None
    reward_model: Annotated[_Wrapped | None, BeforeValidator(_parsed)] = None
    prompt: Any = None
    extra_info: Annotated[dict[str, Any] | None, BeforeValidator(_parsed)] = None
    reference_response: str | None = None

    def gold(self) -> Any:
        """The ground truth from whichever place it is in."""
        if self.ground_truth is None and self.reward_model is not None:
            return self.reward_model.ground_truth
        return self.ground_truth


_ROW = TypeAdapter(AuditRow)


def from_examples(registry: Registry) -> Iterator[Subject]:
    """Every data source's example, in the order of the handlers."""
    sources = [(handler, source) for handler in registry.handlers.values() for source in handler.sources]
    for number, (handler, source) in enumerate(sources, 1):
        example = source.example
        yield Subject(
            number,
            source.name.replace("*", "example"),
            source.name,
            handler.name,
            example.ground_truth,
            example.extra_info,
            reference=example.response if example.score == 1.0 else None,
            template=learned.template(example),
            hooks=Hooks(handler.dress, handler.near_misses),
        )


def from_line(number: int, line: bytes, registry: Registry) -> Subject | str:
    """The row on a line as a subject, or what is wrong with it."""
    try:
        row = _ROW.validate_json(line)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        return f"{'.'.join(map(str, first['loc'])) or 'the row'}: {first['msg']}"
    name = row.data_source or row.domain
    if not name:
        return "no data_source"
    route = registry.route(name)
    if route is None:
        return f"no handler for data source {name[:100]!r}"
    extra = row.extra_info or {}
    return Subject(
        number,
        name,
        route.source.name,
        route.handler.name,
        row.gold(),
        extra,
        row.prompt,
        row.reference_response or _solution(route, extra),
        learned.template(route.source.example),
        Hooks(route.handler.dress, route.handler.near_misses),
    )


def _solution(route: Route, extra: Mapping[str, Any]) -> str | None:
    if route.handler.name not in CODE:
        return None
    found = next(
        (extra[name] for name in SOLUTIONS if isinstance(extra.get(name), str) and extra[name].strip()), None
    )
    return fenced(found) if found is not None else None


def fingerprint(subject: Subject) -> bytes:
    """Equal for rows that differ in nothing that is audited."""
    parts = [
        subject.data_source,
        subject.ground_truth,
        dict(subject.extra_info),
        subject.question,
        subject.reference,
    ]
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).digest()[:16]


def once(subjects: Iterable[Subject]) -> Iterator[Subject]:
    """Each subject once."""
    seen: set[bytes] = set()
    for subject in subjects:
        key = fingerprint(subject)
        if key not in seen:
            seen.add(key)
            yield subject


def drawn(subjects: Iterable[Subject], limit: int, seed: int) -> list[Subject]:
    """At most `limit` subjects of each data source, drawn by the seed, in their order."""
    chance = random.Random(seed)  # noqa: S311 - a sample, no secret
    kept: dict[str, list[Subject]] = {}
    seen: dict[str, int] = {}
    for subject in subjects:
        count = seen[subject.source] = seen.get(subject.source, 0) + 1
        chosen = kept.setdefault(subject.source, [])
        if len(chosen) < limit:
            chosen.append(subject)
        elif (place := chance.randrange(count)) < limit:
            chosen[place] = subject
    return sorted(
        (subject for chosen in kept.values() for subject in chosen), key=lambda subject: subject.number
    )
