"""What happened in each step of the last half hour, per data source, per run and for all: in memory, and bounded.

What is decided here: chunks are added to the running step of their (run, data source) only; when the step is over (or
somebody looks) it is folded into every series that it belongs to. So a chunk costs one addition, however many ways
there are to look at it. A series holds `STEPS` steps, and only those in which something happened; series that were not
touched for longest are dropped when there are more than the bound. Who makes up run ids can push out other runs'
series, never the service's totals or a data source's (their names are the routing table's).
"""

from __future__ import annotations

from array import array
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple, TypeVar

from reward_service.health.tally import NO_SUMS, WIDTHS, Part, Sums
from reward_service.types import Reason

_Key = TypeVar("_Key")
STEP_SECONDS = 10
STEPS = 180
MAX_RUNS = 200
MAX_SOURCES = 1_000
MAX_PAIRS = 600
"""(run, data source) pairs: two hundred data sources in three runs, or thirty in twenty."""
MAX_RUNNING = 2 * MAX_PAIRS


class Step(NamedTuple):
    """What happened in one step; `at` is its start in Unix seconds."""

    at: int
    packed: array[float]
    reasons: Mapping[Reason, int]
    flags: Mapping[str, int]

    @property
    def sums(self) -> Sums:
        """The sums, by name."""
        return Sums._make(self.packed)


class Series:
    """The steps of one thing, oldest first, and what it is."""

    __slots__ = ("domain", "items", "last_seen", "steps", "width_scores", "widths")

    def __init__(self) -> None:
        self.domain = ""
        self.items = 0
        self.last_seen = 0.0
        self.steps: deque[Step] = deque(maxlen=STEPS)
        self.widths: list[int] = [0] * WIDTHS
        self.width_scores: list[float] = [0.0] * WIDTHS

    def add(self, running: Running, now: float) -> None:
        """What a running step has gathered."""
        self.items += int(running.sums.items)
        self.last_seen = now
        self.domain = running.domain
        for width, count in running.widths.items():
            self.widths[min(width, WIDTHS - 1)] += count
        for width, score in running.width_scores.items():
            self.width_scores[min(width, WIDTHS - 1)] += score
        last = self.steps[-1] if self.steps else None
        if last is None or last.at != running.at:
            step = Step(running.at, array("d", running.sums), dict(running.reasons), dict(running.flags))
            self.steps.append(step)
            return
        self.steps[-1] = Step(
            running.at,
            array("d", last.sums.plus(running.sums)),
            dict(Counter(last.reasons) + Counter(running.reasons)),
            dict(Counter(last.flags) + Counter(running.flags)),
        )

    def since(self, at: float) -> list[Step]:
        """The steps that start at `at` or later."""
        return [step for step in self.steps if step.at >= at]


class Running:
    """What a (run, data source) has gathered since the last fold."""

    __slots__ = ("at", "domain", "flags", "reasons", "sums", "width_scores", "widths")

    def __init__(self, at: int) -> None:
        self.at = at
        self.domain = ""
        self.sums = NO_SUMS
        self.reasons: Counter[Reason] = Counter()
        self.flags: Counter[str] = Counter()
        self.widths: Counter[int] = Counter()
        self.width_scores: Counter[int] = Counter()

    def add(self, part: Part) -> None:
        """One more chunk's."""
        self.domain = part.domain
        self.sums = self.sums.plus(part.sums)
        self.reasons.update(part.reasons)
        self.widths.update(part.widths)
        if part.flags:
            self.flags.update(part.flags)
        if part.width_scores:
            self.width_scores.update(part.width_scores)


class History:
    """Every series. folded: hears of what each (run, data source) gathered, in time's order. `now` is Unix seconds."""

    def __init__(self, folded: Callable[[str, str, Running], object]) -> None:
        self._folded = folded
        self.total = Series()
        self.sources: OrderedDict[str, Series] = OrderedDict()
        self.runs: OrderedDict[str, Series] = OrderedDict()
        self.pairs: OrderedDict[tuple[str, str], Series] = OrderedDict()
        self._running: dict[tuple[str, str], Running] = {}
        self._at = 0

    def add(self, parts: Sequence[Part], now: float) -> None:
        """One chunk."""
        at = step_of(now)
        if at != self._at or len(self._running) > MAX_RUNNING:
            self.fold(now)
        for part in parts:
            key = (part.run, part.data_source)
            running = self._running.get(key)
            if running is None:
                running = self._running[key] = Running(at)
            running.add(part)

    def add_sums(self, run: str, source: str, sums: Sums, now: float) -> None:
        """Something that was found out later than its chunk."""
        running = self._running.setdefault((run, source), Running(step_of(now)))
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
        self._running.clear()
        self._at = step_of(now)

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


def step_of(now: float) -> int:
    """The start of the step that a moment is in."""
    return int(now) // STEP_SECONDS * STEP_SECONDS
