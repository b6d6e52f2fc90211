"""What happened in each step of the last half hour, per data source, per run and for all: in memory, and bounded.

What is decided here: chunks are added to the running step of their (run, data source) only; when the step is over (or
somebody looks) it is folded into every series that it belongs to. So a chunk costs one addition, however many ways
there are to look at it. A series holds `STEPS` steps, and only those in which something happened; series that were not
touched for longest are dropped when there are more than the bound. Who makes up run ids can push out other runs'
series, never the service's totals or a data source's (their names are the routing table's).
"""

from __future__ import annotations

from array import array
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from operator import add, sub
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar

from reward_service.health.tally import NO_SUMS, WIDTHS, Part, Sums
from reward_service.types import Reason

_Key = TypeVar("_Key")
NO_FLAGS: Mapping[str, int] = MappingProxyType({})
STEP_SECONDS = 10
"""Unless a setting says otherwise."""
STEPS = 180
MAX_RUNS = 200
MAX_SOURCES = 1_000
MAX_PAIRS = 600
"""(run, data source) pairs: two hundred data sources in three runs, or thirty in twenty."""
MAX_RUNNING = 2 * MAX_PAIRS


class Shown(NamedTuple):
    """The figures of a step that are drawn per data source: per scored item; None where none was scored."""

    mean: float | None
    no_answer: float | None
    flagged: float | None


class Step(NamedTuple):
    """What happened until the end of a step; `at` is its start in Unix seconds. reasons, flags, shown: of this step alone.

    upto: the sums since the series began. Sums over any window are then one subtraction, not one addition per step.
    """

    at: int
    upto: array[float]
    reasons: Mapping[Reason, int]
    flags: Mapping[str, int]
    shown: Shown


class Window(NamedTuple):
    """A series over some time: the sums of all, and the steps that are not empty. base: the sums before the first."""

    whole: Sums
    steps: list[Step]
    base: array[float]

    def sums(self) -> Iterator[Sums]:
        """The sums of each step."""
        before = self.base
        for step in self.steps:
            yield Sums._make(map(sub, step.upto, before))
            before = step.upto


class Series:
    """The steps of one thing, oldest first, and what it is."""

    __slots__ = ("_base", "domain", "items", "last_seen", "steps", "width_scores", "widths")

    def __init__(self) -> None:
        self.domain = ""
        self.items = 0
        self.last_seen = 0.0
        self.steps: deque[Step] = deque()
        self.widths: list[int] = [0] * WIDTHS
        self.width_scores: list[float] = [0.0] * WIDTHS
        self._base = array("d", NO_SUMS)

    def add(self, running: Running, now: float) -> None:
        """What a running step has gathered."""
        self.items += int(running.sums.items)
        self.last_seen = now
        self.domain = running.domain
        for width, count in running.widths.items():
            self.widths[min(width, WIDTHS - 1)] += count
        for width, score in running.width_scores.items():
            self.width_scores[min(width, WIDTHS - 1)] += score
        reasons, flags = running.reasons, running.flags
        last = self.steps.pop() if self.steps and self.steps[-1].at == running.at else None
        if last is not None:
            reasons, flags = merged(last.reasons, reasons), merged(last.flags, flags)
        before = self.steps[-1].upto if self.steps else self._base
        upto = array("d", map(add, last.upto if last else before, running.sums))
        shown = shown_of(Sums._make(map(sub, upto, before)))
        self.steps.append(Step(running.at, upto, dict(reasons), dict(flags) if flags else NO_FLAGS, shown))
        if len(self.steps) > STEPS:
            self._base = self.steps.popleft().upto

    def window(self, first: int, last: int) -> Window:
        """The steps that start from `first` to `last`."""
        steps = [step for step in self.steps if first <= step.at <= last]
        base = self._base
        if steps and steps[0] is not self.steps[0]:
            for step in self.steps:
                if step is steps[0]:
                    break
                base = step.upto
        whole = Sums._make(map(sub, steps[-1].upto, base)) if steps else NO_SUMS
        return Window(whole, steps, base)


def shown_of(sums: Sums) -> Shown:
    """The figures of one step."""
    scored = sums.scored
    if not scored:
        return Shown(None, None, None)
    return Shown(
        round(sums.score / scored, 4), round(sums.no_answer / scored, 4), round(sums.flagged / scored, 4)
    )


class Running:
    """What a (run, data source) has gathered since the last fold."""

    __slots__ = ("at", "domain", "flags", "reasons", "sums", "width_scores", "widths")

    def __init__(self, at: int) -> None:
        self.at = at
        self.domain = ""
        self.sums = NO_SUMS
        self.reasons: dict[Reason, int] = {}
        self.flags: dict[str, int] = {}
        self.widths: dict[int, int] = {}
        self.width_scores: dict[int, float] = {}

    def join(self, other: Part | Running) -> None:
        """What a chunk, or another step, gathered."""
        self.domain = other.domain
        self.sums = self.sums.plus(other.sums)
        merge(self.reasons, other.reasons)
        merge(self.widths, other.widths)
        merge(self.width_scores, other.width_scores)
        if other.flags:
            merge(self.flags, other.flags)


class History:
    """Every series. folded: hears of what each (run, data source) gathered, in time's order. `now` is Unix seconds."""

    def __init__(
        self, folded: Callable[[str, str, Running], object], step_seconds: int = STEP_SECONDS
    ) -> None:
        self._folded = folded
        self._step_seconds = step_seconds
        self.total = Series()
        self.sources: OrderedDict[str, Series] = OrderedDict()
        self.runs: OrderedDict[str, Series] = OrderedDict()
        self.pairs: OrderedDict[tuple[str, str], Series] = OrderedDict()
        self.lifetime: dict[str, Running] = {}
        """Everything since the start, by data source: what Prometheus is told."""
        self._running: dict[tuple[str, str], Running] = {}
        self._at = 0

    def add(self, parts: Sequence[Part], now: float) -> None:
        """One chunk."""
        at = step_of(now, self._step_seconds)
        if at != self._at or len(self._running) > MAX_RUNNING:
            self.fold(now)
        for part in parts:
            key = (part.run, part.data_source)
            running = self._running.get(key)
            if running is None:
                running = self._running[key] = Running(at)
            running.join(part)

    def add_sums(self, run: str, source: str, sums: Sums, now: float) -> None:
        """Something that was found out later than its chunk."""
        running = self._running.setdefault((run, source), Running(step_of(now, self._step_seconds)))
        series = self.sources.get(source)
        running.domain = running.domain or (series.domain if series else "")
        running.sums = running.sums.plus(sums)

    def fold(self, now: float) -> None:
        """Bring the series up to date."""
        for (run, source), running in self._running.items():
            for series in (
                self.total,
                touched(self.sources, source, MAX_SOURCES),
                touched(self.runs, run, MAX_RUNS),
                touched(self.pairs, (run, source), MAX_PAIRS),
            ):
                series.add(running, now)
            self._folded(run, source, running)
            whole = self.lifetime.get(source)
            if whole is None:
                whole = self.lifetime[source] = Running(running.at)
            whole.join(running)
        self._running.clear()
        self._at = step_of(now, self._step_seconds)

    def chosen(self, run: str | None, source: str | None) -> Iterator[tuple[str, Series]]:
        """The series of every data source (or of `source`), in all runs or in `run`; with the data source's name."""
        if run is None:
            yield from ((name, one) for name, one in self.sources.items() if source in (None, name))
            return
        for (of_run, name), one in self.pairs.items():
            if of_run == run and source in (None, name):
                yield name, one

    def whole(self, run: str | None, source: str | None) -> Series:
        """The one series of what is asked for; an empty one if there is none."""
        if run is not None and source is not None:
            return self.pairs.get((run, source), Series())
        if run is not None:
            return self.runs.get(run, Series())
        return self.total if source is None else self.sources.get(source, Series())


def merge(into: dict[_Key, Any], more: Mapping[_Key, float]) -> None:
    """Add counts to counts."""
    for key, count in more.items():
        into[key] = into.get(key, 0) + count


def merged(one: Mapping[_Key, int], other: Mapping[_Key, int]) -> dict[_Key, int]:
    """Both counts together."""
    both = dict(one)
    merge(both, other)
    return both


def touched(series: OrderedDict[_Key, Series], key: _Key, bound: int) -> Series:
    """The series of a key, now the last to be dropped."""
    found = series.get(key)
    if found is None:
        found = series[key] = Series()
        if len(series) > bound:
            series.popitem(last=False)
    else:
        series.move_to_end(key)
    return found


def step_of(now: float, step_seconds: int = STEP_SECONDS) -> int:
    """The start of the step that a moment is in."""
    return int(now) // step_seconds * step_seconds
