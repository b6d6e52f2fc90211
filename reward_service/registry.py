"""Which handler judges which data source.

What is decided here: names. Rows of the same data arrive under many names (`logic__arcagi1`,
`simulation__arcagi1`, `arcagi1`, `logic__arcagi1_111`), so a name is looked up as it stands, then without
its domain prefix and its size, repetition and `_dataset` suffixes, then by the handlers' patterns. A name
that none of this finds is an error with the nearest known names, never a guess.
"""

from __future__ import annotations

import difflib
import importlib
import pkgutil
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.metadata import entry_points
from types import MappingProxyType
from typing import Any

from reward_service.questions import Ask
from reward_service.runs import Work
from reward_service.types import Domain, Example, Item, Limits, Outcome

ENTRY_POINTS = "reward_service.handlers"
MAX_NAME = 200
"""Characters of a data source's name. Names come from outside, and looking for a long one's kin is costly."""

Decision = Outcome | Work | Ask
Plan = Callable[[Item], Decision]
Judge = Callable[[Item, Any, Sequence[Any]], Decision]
"""The results are `RunResult`s of the runs that were asked for, or the one `Opinion` on a question."""
Writes = Callable[[Any, Mapping[str, Any]], Iterable[str]]
"""From a ground truth and the row's extra_info to whole responses, for `reward-service audit`."""


@dataclass(frozen=True, slots=True)
class Source:
    """One data source of a handler.

    name: canonical and lower case; a final `*` makes it a prefix pattern. gold: the ground truth's format
    in one line. example: a row that scores 1. aliases: other names in the wild (prefixes and size
    suffixes need none).
    """

    name: str
    gold: str
    example: Example
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Handler:
    """One kind of check. `plan` and `judge` are pure and synchronous.

    reads: the extra_info fields that it looks at. judge: decides on the results of the runs, or on the opinion,
    that `plan` asked for; it gets the item without response and ground truth, which it keeps in its notes as far as needed.
    dress, near_misses: responses that must score 1 and 0, if the handler offers any to be audited with.
    """

    name: str
    version: str
    domain: Domain
    plan: Plan
    sources: tuple[Source, ...]
    reads: tuple[str, ...]
    limits: Limits
    summary: str
    judge: Judge | None = None
    dress: Writes | None = None
    near_misses: Writes | None = None


@dataclass(frozen=True, slots=True)
class Route:
    """Where one data source goes: `data_source` is its canonical full name."""

    data_source: str
    source: Source
    handler: Handler


@dataclass(slots=True)
class Registry:
    """Handlers by name and routes by data source. Registration refuses duplicates."""

    _handlers: dict[str, Handler] = field(default_factory=dict)
    _exact: dict[str, Route] = field(default_factory=dict)
    _short: dict[str, Route] = field(default_factory=dict)
    _patterns: list[tuple[str, Source, Handler]] = field(default_factory=list)

    @property
    def handlers(self) -> Mapping[str, Handler]:
        """Every registered handler, by name."""
        return MappingProxyType(self._handlers)

    def add(self, handler: Handler) -> None:
        """Register a handler and its sources. ValueError for a name that is taken."""
        if handler.name in self._handlers:
            raise ValueError(f"there is a handler named {handler.name!r} already")
        self._handlers[handler.name] = handler
        for source in handler.sources:
            self._add_source(handler, source)

    def _add_source(self, handler: Handler, source: Source) -> None:
        for name in (source.name, *source.aliases):
            if name != name.strip().lower() or not 0 < len(name) <= MAX_NAME:
                raise ValueError(f"{name!r}: names of sources are lower case and short")
        if source.name.endswith("*"):
            rival = next((h.name for prefix, _, h in self._patterns if prefix == source.name[:-1]), None)
            if rival is not None:
                raise ValueError(f"the pattern {source.name!r} is taken by handler {rival!r}")
            self._patterns.append((source.name[:-1], source, handler))
            self._patterns.sort(key=lambda entry: -len(entry[0]))
            names: Iterable[str] = source.aliases
        else:
            names = (source.name, *source.aliases)
        for name in names:
            canonical = source.name if not source.name.endswith("*") else name
            route = Route(canonical, source, handler)
            taken = self._exact.get(name)
            if taken is not None:
                raise ValueError(f"data source {name!r} is taken by handler {taken.handler.name!r}")
            self._exact[name] = route
            self._short.setdefault(short_name(name), route)

    def route(self, data_source: str) -> Route | None:
        """The route of a data source under any of its names, or None."""
        if len(data_source) > MAX_NAME:
            return None
        name = data_source.strip().lower()
        found = self._exact.get(name) or self._short.get(short_name(name))
        if found is not None:
            return found
        for prefix, source, handler in self._patterns:
            if name.startswith(prefix):
                return Route(name, source, handler)
        return None

    def nearest(self, data_source: str, count: int = 3) -> list[str]:
        """The known names that look most like an unknown one, best first."""
        wanted = short_name(data_source[:MAX_NAME].strip().lower())
        by_short = {short_name(name): route.source.name for name, route in self._exact.items()}
        hits = difflib.get_close_matches(wanted, by_short, n=count, cutoff=0.5)
        return list(dict.fromkeys(by_short[hit] for hit in hits))


_PREFIX = re.compile(r"^(?:math|codegen|code|stem|science|logic|simulation|table|tabular|ood)__")
_SUFFIX = re.compile(r"(?:_dataset|_repeated_\d+x|_\d+(?:\.\d+)?k?)$")


def short_name(name: str) -> str:
    """A data source's name without domain prefix, sizes and repetitions: `logic__zebra_puzzle_1.3k` -> `zebra_puzzle`."""
    name = _PREFIX.sub("", name.replace("-", "_").replace(" ", "_"))
    while (shorter := _SUFFIX.sub("", name)) != name and shorter:
        name = shorter
    return name


registry = Registry()


def handler(
    name: str,
    *,
    version: str,
    domain: Domain,
    sources: Sequence[Source],
    reads: Sequence[str] = (),
    limits: Limits | None = None,
    judge: Judge | None = None,
    dress: Writes | None = None,
    near_misses: Writes | None = None,
    into: Registry = registry,
) -> Callable[[Plan], Plan]:
    """Register the decorated `plan(item) -> Outcome` as a handler; its docstring's first line is the summary.

    version: change it with every change of a verdict (it is part of the cache key). reads: the extra_info
    fields that can change the score, and no others; `question` is also looked for in the prompt. judge: for
    handlers whose `plan` may return `Work` or `Ask`. dress, near_misses: whole responses that must score 1 and 0 for a
    ground truth, for the audit (docs/audit.md).
    """

    def register(plan: Plan) -> Plan:
        summary = (plan.__doc__ or "").strip().partition("\n")[0]
        if not summary:
            raise ValueError(f"handler {name!r} needs a docstring that states its rule")
        into.add(
            Handler(
                name,
                version,
                Domain(domain),
                plan,
                tuple(sources),
                tuple(reads),
                limits or Limits(),
                summary,
                judge,
                dress,
                near_misses,
            )
        )
        return plan

    return register


@lru_cache(maxsize=1)
def load() -> Registry:
    """The registry with the built-in handlers and those that installed packages offer as entry points."""
    import reward_service.handlers as package

    for module in pkgutil.iter_modules(package.__path__):
        if not module.name.startswith("_"):
            importlib.import_module(f"{package.__name__}.{module.name}")
    for entry in entry_points(group=ENTRY_POINTS):
        entry.load()
    return registry
