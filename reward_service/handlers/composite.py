r"""Composite rewards: one score from several checks of one response, each with its weight, reported one by one.

What is decided here
- `components` (in the ground truth or in extra_info) is a list of
  `{"data_source" | "handler": name, "weight": 1, "ground_truth"?, "extra_info"?, "required"?}`. A component without a ground
  truth of its own has the item's. The score is the weighted mean; a `required` component that scores 0 makes it 0.
- Beside data sources and handlers there are two checks of form: `format` (one layout of the response, all or nothing) and
  `length`, DAPO's soft overlong punishment (arXiv 2503.14476, eq. 13) moved from [-1, 0] to [0, 1]: 1 up to
  `max_length - buffer`, falling in a line to 0 at `max_length`. A weighted mean is an affine image of DAPO's sum, and group
  normalisation doesn't see the difference. Tokens are the trainer's to count (`response_length` in extra_info).
- A component that can't be judged makes the whole an error with that reason, never a part of a score. A response can
  earn only by form if it is wrong: `required` on the answer closes that, and a composite of form alone is refused.
- At most one component may need a sandbox or a judge model: its work becomes the composite's. With two, the engine would
  have to carry two programs for one item; that is refused as `malformed_item`, before anything runs.
- Composites don't nest.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from reward_service import narrate
from reward_service.handlers._form import CHECKS, FormError
from reward_service.handlers._literal import LiteralError, parse_json
from reward_service.questions import Ask
from reward_service.registry import Decision, Handler, Source, handler, registry
from reward_service.runs import Work
from reward_service.types import (
    NOTHING,
    Domain,
    Example,
    Item,
    Limits,
    Outcome,
    Reason,
    Status,
    cannot_judge,
    scored,
)

MAX_COMPONENTS = 16
MAX_WEIGHT = 1_000_000.0
BUILT_ON: Mapping[str, str] = {
    **dict.fromkeys(("bbeh", "exact", "f1", "graph", "grid", "gym", "instruction", "json_output"), "2"),
    **dict.fromkeys(("math", "ordering", "sql", "table", "zebra"), "2"),
    "science": "4",
}
"""Handlers whose version is not "1". A composite's cached score holds theirs: where one of them changes, so must `version`
below; a test compares this table with the registry."""

_GOLD = 'what the components are checked against; or `{"components": [{"data_source": "math", "ground_truth": "42"}, …]}`'
_EXAMPLE = Example(
    "<think>6 times 7</think> So the answer is \\boxed{42}.",
    "42",
    {
        "components": [
            {"data_source": "math", "weight": 1.0, "required": True},
            {"handler": "format", "extra_info": {"format": "think_boxed"}, "weight": 0.2},
            {
                "handler": "length",
                "extra_info": {"max_length": 400, "buffer": 100, "unit": "characters"},
                "weight": 0.5,
            },
        ]
    },
)


class ComponentError(ValueError):
    """The components are not what they must be."""


@dataclass(frozen=True, slots=True)
class Component:
    """One check: `item` is what its handler sees (None for a check of form)."""

    name: str
    weight: float
    required: bool
    handler: Handler | None
    item: Item


@dataclass(frozen=True, slots=True)
class Part:
    """What a component came to."""

    name: str
    weight: float
    required: bool
    outcome: Outcome | None


def judge(item: Item, notes: Any, results: Sequence[Any]) -> Decision:
    """The one component that needed a sandbox or a judge model decides on its results; then all are put together."""
    inner = Item(notes["data_source"], "", None, notes["extra"], item.profile, notes["source"], item.explain)
    owner = registry.handlers[notes["handler"]]
    if owner.judge is None:
        return cannot_judge(Reason.INTERNAL, f"handler {owner.name} has no judge")
    decision = owner.judge(inner, notes["notes"], results)
    if not isinstance(decision, Outcome):
        return replace(decision, notes={**notes, "notes": decision.notes})
    parts = [_part_from_plain(part) for part in notes["parts"]]
    parts[notes["place"]] = replace(parts[notes["place"]], outcome=decision)
    return combined(parts, item.explain)


@handler(
    "composite",
    version="4",
    domain=Domain.INSTRUCTION,
    sources=[
        Source("composite", _GOLD, _EXAMPLE),
        Source("composite__*", _GOLD, _EXAMPLE),
    ],
    reads=("components", "question", "response_length"),
    judge=judge,
    limits=Limits(cpu_seconds=6.0, wall_seconds=40.0, memory_bytes=512 << 20),
)
def plan(item: Item) -> Decision:
    """The weighted mean of several checks of one response: answers, format, length."""
    try:
        components = components_of(item)
    except ComponentError as error:
        return cannot_judge(Reason.MALFORMED_ITEM, str(error))
    parts: list[Part] = []
    pending: tuple[int, Component, Work | Ask] | None = None
    for place, component in enumerate(components):
        decision = _decide(component)
        if isinstance(decision, Outcome):
            parts.append(Part(component.name, component.weight, component.required, decision))
            continue
        if pending is not None:
            return cannot_judge(
                Reason.MALFORMED_ITEM,
                f"two components need a sandbox or a judge model: {pending[1].name}, {component.name}",
            )
        pending = place, component, decision
        parts.append(Part(component.name, component.weight, component.required, None))
    broken = _error(parts)
    if pending is None or broken is not None:
        return broken or combined(parts, item.explain)
    place, component, decision = pending
    notes = {
        "place": place,
        "handler": component.handler.name if component.handler is not None else "",
        "data_source": component.item.data_source,
        "source": component.item.source,
        "extra": dict(component.item.extra_info),
        "notes": decision.notes,
        "parts": [_part_to_plain(part) for part in parts],
    }
    return replace(decision, notes=notes)


# ---------------------------------------------------------------- components


def components_of(item: Item) -> list[Component]:
    """The components of an item, routed. ComponentError says what is wrong with them."""
    gold = item.ground_truth
    if isinstance(gold, str) and '"components"' in gold:
        try:
            gold = parse_json(gold)
        except LiteralError:
            raise ComponentError("the ground truth is not JSON that can be read") from None
    if isinstance(gold, dict) and "components" in gold:
        listed, shared = gold["components"], gold.get("ground_truth")
    else:
        listed, shared = item.extra_info.get("components"), gold
    if not isinstance(listed, list) or not 0 < len(listed) <= MAX_COMPONENTS:
        raise ComponentError(
            f"`components` is a list of 1 to {MAX_COMPONENTS} objects, in the ground truth or in extra_info"
        )
    found = [_component(entry, at, shared, item) for at, entry in enumerate(listed, 1)]
    if all(component.handler is None for component in found):
        raise ComponentError("at least one component has to check the answer: form alone is no reward")
    return found


_KEYS = frozenset(("data_source", "handler", "weight", "ground_truth", "extra_info", "required"))


def _component(entry: Any, at: int, shared: Any, item: Item) -> Component:
    if not isinstance(entry, dict) or not set(entry) <= _KEYS:
        raise ComponentError(f"component {at}: an object with {', '.join(sorted(_KEYS))}")
    weight, required = entry.get("weight", 1.0), entry.get("required", False)
    if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 < weight <= MAX_WEIGHT:
        raise ComponentError(f"component {at}: `weight` is a number above 0")
    if not isinstance(required, bool):
        raise ComponentError(f"component {at}: `required` is true or false")
    extra = {} if entry.get("extra_info") is None else entry["extra_info"]
    if not isinstance(extra, dict):
        raise ComponentError(f"component {at}: `extra_info` is an object")
    name = entry.get("data_source") or entry.get("handler")
    if not isinstance(name, str):
        raise ComponentError(f"component {at}: names neither a data_source nor a handler")
    if name in CHECKS and not entry.get("data_source"):
        fields = {
            **{key: item.extra_info[key] for key in ("response_length",) if key in item.extra_info},
            **extra,
        }
        blank = Item(name, item.response, None, fields, item.profile, name, item.explain)
        return Component(name, float(weight), required, None, blank)
    owner, canonical, source = _routed(entry, at)
    fields = {key: value for key, value in extra.items() if key in owner.reads}
    if "question" in owner.reads and "question" not in fields and item.extra_info.get("question") is not None:
        fields["question"] = item.extra_info["question"]
    gold = entry.get("ground_truth", shared)
    inner = Item(canonical, item.response, gold, fields, item.profile, source, item.explain)
    return Component(name[:100], float(weight), required, owner, inner)


def _routed(entry: Mapping[str, Any], at: int) -> tuple[Handler, str, str]:
    """Handler, canonical data source and routing entry."""
    if entry.get("data_source"):
        route = registry.route(str(entry["data_source"]))
        if route is not None and route.handler.name != "composite":
            return route.handler, route.data_source, route.source.name
    else:
        owner = registry.handlers.get(str(entry["handler"]))
        if owner is not None and owner.name != "composite":
            source = owner.sources[0].name
            return owner, source.replace("*", ""), source
    raise ComponentError(f"component {at}: no data source or handler of this name can be a component")


def _decide(component: Component) -> Decision:
    if component.handler is not None:
        return component.handler.plan(component.item)
    try:
        return CHECKS[component.name](component.item.response, component.item.extra_info)
    except FormError as error:
        return cannot_judge(Reason.MALFORMED_ITEM, str(error))


# ---------------------------------------------------------------- the whole


def _error(parts: Sequence[Part]) -> Outcome | None:
    for at, part in enumerate(parts, 1):
        outcome = part.outcome
        if outcome is not None and outcome.status is Status.ERROR:
            message = f"component {at} ({part.name}) can't be judged: {outcome.detail.get('message', '')}"
            return cannot_judge(outcome.reason, message, flags=outcome.flags)
    return None


def combined(parts: Sequence[Part], explain: bool) -> Outcome:
    """One outcome of all parts; an error if one of them is."""
    broken = _error(parts)
    if broken is not None:
        return broken
    for part in parts if narrate.listening() else ():
        if part.outcome is not None:
            got = f"{part.outcome.score} {part.outcome.reason}"
            narrate.check(part.name, bool(part.outcome.correct), got=got, input=f"weight {part.weight:g}")
    total = sum(part.weight for part in parts)
    outcomes = [(part, part.outcome) for part in parts if part.outcome is not None]
    value = sum(part.weight * (outcome.score or 0.0) for part, outcome in outcomes) / total
    failed = next((outcome for part, outcome in outcomes if part.required and not outcome.score), None)
    full = all(outcome.correct for _, outcome in outcomes)
    score = 0.0 if failed is not None else 1.0 if full else min(value, 1.0 - 1e-12)
    worst = failed or next((outcome for _, outcome in outcomes if not outcome.score), outcomes[0][1])
    reason = Reason.EQUAL if full else Reason.PARTIALLY_EQUAL if score else worst.reason
    return scored(
        score,
        reason,
        next((outcome.extracted for _, outcome in outcomes if outcome.extracted is not None), None),
        flags=tuple(dict.fromkeys(flag for _, outcome in outcomes for flag in outcome.flags)),
        trace={"components": [dict(outcome.trace) for _, outcome in outcomes]} if explain else NOTHING,
        components=[
            {"name": part.name, "weight": part.weight, "score": outcome.score, "reason": outcome.reason.value}
            for part, outcome in outcomes
        ],
    )


def _part_to_plain(part: Part) -> list[Any]:
    outcome = part.outcome
    told = (
        None
        if outcome is None
        else [
            outcome.reason.value,
            outcome.score,
            outcome.extracted,
            list(outcome.flags),
            _plain(outcome.trace),
        ]
    )
    return [part.name, part.weight, part.required, told]


def _plain(trace: Mapping[str, Any]) -> dict[str, Any]:
    """As JSON has it: notes are plain data."""
    found: dict[str, Any] = json.loads(json.dumps(dict(trace), default=str)) if trace else {}
    return found


def _part_from_plain(plain: Sequence[Any]) -> Part:
    name, weight, required, told = plain
    if told is None:
        return Part(name, weight, required, None)
    reason, score, extracted, flags, trace = told
    return Part(name, weight, required, scored(score, Reason(reason), extracted, flags=flags, trace=trace))
