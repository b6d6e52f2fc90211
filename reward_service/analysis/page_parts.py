"""What the parts of the report's page are made with: the facts, tables, and numbers in words."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from reward_service.analysis.comparison import Pairs
from reward_service.analysis.markup import Content, Html, safe, tag
from reward_service.analysis.measures import Measures
from reward_service.analysis.statistics import NO_INTERVAL, Interval
from reward_service.types import REASONS, Reason

NONE = "–"
SHOWN_SOURCES = 400


@dataclass(frozen=True, slots=True)
class Report:
    """All that the page is made of. told: what the current handlers say about a sample, by its line."""

    name: str
    generated: str
    version: str
    column: str
    grouped_by: str | None
    measures: Measures
    told: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)
    why_not_told: str = ""
    pairs: Pairs | None = None
    before_name: str = ""
    before_mean: Interval = NO_INTERVAL


def percent(value: float, digits: int = 1) -> str:
    """A share as a percentage."""
    return NONE if math.isnan(value) else f"{100 * value:.{digits}f} %"


def span(value: Interval) -> str:
    """An interval of a share, as percentages."""
    return "" if math.isnan(value.low) else f"{100 * value.low:.1f} to {100 * value.high:.1f} %"


def table(columns: Sequence[Content], rows: Iterable[Html], *, numbers: Iterable[int], caption: str) -> Html:
    """A table that scrolls by itself; `numbers` are the places of columns aligned to the right."""
    right = set(numbers)
    head = [
        tag("th", column, scope="col", class_="number" if place in right else None)
        for place, column in enumerate(columns)
    ]
    made = tag(
        "table",
        tag("caption", caption, class_="visually-hidden"),
        tag("thead", tag("tr", head)),
        tag("tbody", list(rows)),
        class_="table",
    )
    return tag("div", made, class_="scroll", tabindex=0, role="region", aria_label=caption)


def cells_row(cells: Sequence[Content], numbers: Iterable[int], class_: str | None = None) -> Html:
    """A row of a table; its first cell names it."""
    right = set(numbers)
    made = [
        tag("th", cell, scope="row")
        if place == 0
        else tag("td", cell, class_="number" if place in right else None)
        for place, cell in enumerate(cells)
    ]
    return tag("tr", made, class_=class_)


def short(value: Interval) -> str:
    """The estimate."""
    return NONE if math.isnan(value.share) else f"{value.share:.3f}"


def ends(value: Interval) -> str:
    """The ends of its interval."""
    return "" if math.isnan(value.low) else f"{value.low:.3f} to {value.high:.3f}"


def with_ends(value: Interval, *, share: bool = False) -> Html:
    """An estimate, and its interval in small."""
    number, interval = (percent(value.share), span(value)) if share else (short(value), ends(value))
    return safe([number, " ", tag("span", interval, class_="low")])


def meaning(reason: str) -> str:
    """What a reason means; nothing for one that isn't ours."""
    try:
        return REASONS[Reason(reason)][2]
    except ValueError:
        return ""
