"""Everything that a report says, gathered in one pass over a scored dump.

What is decided here: an error is no sample. It is counted, and it enters no mean, no share, no pass@k and no curve, so that a
broken sandbox can't look like a weak policy. What is held is bounded: counts per data source (at most MAX_SOURCES), counts per
prompt on disk, bins of half an octave for lengths, and a few rows as samples.
"""

from __future__ import annotations

import json
import math
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple

from reward_service.analysis.judged import Judged
from reward_service.analysis.sketches import Smallest, mixed
from reward_service.analysis.statistics import (
    NO_INTERVAL,
    Clustered,
    Interval,
    PassAt,
    clustered_mean,
    clustered_share,
    mean_interval,
    pass_curve,
    pearson,
)
from reward_service.analysis.summary import OTHER
from reward_service.analysis.sums import Sums

MAX_SOURCES = 1_000
MAX_NAMES = 64
"""Different reasons, flags and versions that are counted by name."""
SAMPLED_SOURCES = 200
SLOWEST = 20
HELD_BYTES = 48 << 20
"""Compressed bytes of whole rows that samples may hold; beyond it they are excerpts."""
WHOLE_ROW = 1 << 20
EXCERPT, PROMPT_EXCERPT, GOLD_EXCERPT = 4_000, 1_200, 800
LENGTH_BINS_PER_OCTAVE = 2

COLUMNS = ("n", "c", "na", "s", "ss", "x", "xx", "xs")
"""Per prompt: judged samples, correct ones, ones without an answer; sums of score, score², log length, its square, both."""


class Kind(StrEnum):
    """What a row is an example of."""

    WRONG = "wrong"
    FLAGGED = "flagged"
    NO_ANSWER = "no_answer"
    ERROR = "error"


def kinds_of(row: Judged) -> Iterator[Kind]:
    """The kinds that a row belongs to."""
    found = row.found
    if found.score is None:
        yield Kind.ERROR
    elif found.reason == "no_answer":
        yield Kind.NO_ANSWER
    elif not found.correct:
        yield Kind.WRONG
    if found.flags:
        yield Kind.FLAGGED


@dataclass(slots=True)
class Sample:
    """A row that is shown: excerpts, and the whole row (zlib) if there was room for it."""

    line: int
    data_source: str
    judged: Judged
    """The row without its texts."""
    prompt: str
    response: str
    response_chars: int
    ground_truth: str
    packed: bytes | None


class Slow(NamedTuple):
    """A row that took long."""

    ms: float
    line: int
    data_source: str
    reason: str
    score: float | None
    response_chars: int


class Bin(NamedTuple):
    """Responses of `low` to `high` characters: how many, and their mean score."""

    low: float
    high: float
    rows: int
    mean: Interval


@dataclass(slots=True)
class Counts:
    """The counts of one data source. lone: the sums over rows that no prompt joins (as in `Sums` of `Measures`)."""

    domain: str
    rows: int = 0
    errors: int = 0
    flagged: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    error_reasons: Counter[str] = field(default_factory=Counter)
    handlers: set[tuple[str, str]] = field(default_factory=set)
    lengths: dict[int, list[float]] = field(default_factory=dict)
    lone: list[float] = field(default_factory=lambda: [0.0] * len(COLUMNS))


@dataclass(frozen=True, slots=True)
class Line:
    """What is known of a data source, a domain or all rows. Correlations are Pearson's, of score and the logarithm of length;
    `within` is that of the deviations from each prompt's means. stuck: shares of prompts (with several samples) that are all
    wrong, all right. pass_at: by k. rates: prompts by pass rate, as (rate, prompts)."""

    name: str
    domain: str
    rows: int
    errors: int
    flagged: int
    reasons: Counter[str]
    error_reasons: Counter[str]
    handlers: frozenset[tuple[str, str]]
    mean: Interval
    correct: Interval
    no_answer: Interval
    bins: list[Bin]
    length: float | None
    within: float | None
    prompts: int
    fewest: int
    most: int
    stuck: tuple[float, float] | None
    avg: Interval
    pass_at: list[PassAt]
    rates: list[tuple[float, int]]

    @property
    def judged(self) -> int:
        """Rows that have a score."""
        return self.rows - self.errors


class Measures:
    """Add rows, then ask."""

    def __init__(self, samples: int = 4) -> None:
        """samples: rows of each kind that are kept per data source."""
        self.sources: dict[str, Counts] = {}
        self.flags: Counter[str] = Counter()
        self.versions: dict[str, set[str]] = {}
        self.messages: dict[str, tuple[int, str]] = {}
        """Reason of an error -> the first line that has it, and what was said."""
        self.slowest: Smallest[Slow] = Smallest(SLOWEST)
        self.timed = 0
        self.milliseconds = 0.0
        self.range = (0.0, 1.0)
        self._samples_each = samples
        self._samples: dict[tuple[Kind, str], Smallest[Sample]] = {}
        self._held = 0
        self._numbers: dict[str, int] = {}
        self._sums = Sums(*COLUMNS)

    def add(self, row: Judged) -> None:
        """Count one row."""
        found = row.found
        name = row.data_source
        counts = self.sources.get(name)
        if counts is None:
            name = name if len(self.sources) < MAX_SOURCES else OTHER
            counts = self.sources.setdefault(name, Counts(row.domain))
            self._numbers.setdefault(name, len(self._numbers))
        counts.rows += 1
        counts.flagged += bool(found.flags)
        for flag in found.flags:
            _count(self.flags, flag)
        if found.handler:
            versions = (
                self.versions.setdefault(found.handler, set()) if len(self.versions) < MAX_SOURCES else set()
            )
            if len(versions) < MAX_NAMES:
                versions.add(found.version)
            if len(counts.handlers) < MAX_NAMES:
                counts.handlers.add((found.handler, found.version))
        chars = len(row.item.response or "") if row.item is not None else 0
        if found.ms is not None:
            self.timed += 1
            self.milliseconds += found.ms
            if self.slowest.wants(-found.ms):
                slow = Slow(found.ms, row.record.number, name, found.reason, found.score, chars)
                self.slowest.offer(-found.ms, slow)
        if found.score is None:
            counts.errors += 1
            _count(counts.error_reasons, found.reason)
            if found.reason in self.messages or len(self.messages) < MAX_NAMES:
                self.messages.setdefault(found.reason, (row.record.number, found.message[:EXCERPT]))
        else:
            _count(counts.reasons, found.reason or ("correct" if found.correct else "not correct"))
            self._add_score(name, counts, row, chars, found.score)
        self._sample(name, row)

    def _add_score(self, name: str, counts: Counts, row: Judged, chars: int, score: float) -> None:
        low, high = self.range
        if not low <= score <= high:
            self.range = min(low, score), max(high, score)
        x = math.log2(1 + chars)
        values = (
            1,
            row.found.correct,
            row.found.reason == "no_answer",
            score,
            score * score,
            x,
            x * x,
            x * score,
        )
        if row.prompt is None:
            lone = counts.lone
            for place, value in enumerate(values):
                lone[place] += value
        else:
            self._sums.add(self._numbers[name], row.prompt, values)
        if row.item is not None:
            bin_ = int(LENGTH_BINS_PER_OCTAVE * math.log2(chars)) if chars else -1
            sums = counts.lengths.setdefault(bin_, [0.0, 0.0, 0.0])
            sums[0] += 1
            sums[1] += score
            sums[2] += score * score

    def _sample(self, name: str, row: Judged) -> None:
        sample: Sample | None = None
        for kind in kinds_of(row):
            kept = self._samples.get((kind, name))
            if kept is None:
                if len(self._samples) >= SAMPLED_SOURCES * len(Kind) or not self._samples_each:
                    continue
                kept = self._samples[kind, name] = Smallest(self._samples_each)
            key = mixed(row.record.number)
            if not kept.wants(key):
                continue
            sample = sample or self.cut(row)
            gone = kept.offer(key, sample)
            if gone is not None and gone.packed is not None:
                self._held -= len(gone.packed)

    def cut(self, row: Judged) -> Sample:
        """What is kept of a row that is shown."""
        name = row.data_source
        item = row.item
        packed = None
        if item is not None and len(row.record.line) <= WHOLE_ROW and self._held < HELD_BYTES:
            packed = zlib.compress(row.record.line, 1)
            self._held += len(packed)
        bare = Judged(row.record._replace(line=b""), name, row.domain, row.prompt, row.found, None, row.name)
        if item is None:
            text = row.record.line[:EXCERPT].decode("utf-8", "replace")
            return Sample(row.record.number, name, bare, "", text, len(row.record.line), "", None)
        response = item.response or ""
        chars = len(response)
        return Sample(
            row.record.number, name, bare,
            prompt_text(item.prompt)[-PROMPT_EXCERPT:], middle_cut(response, EXCERPT), chars,
            middle_cut(shown(item.gold()), GOLD_EXCERPT), packed,
        )  # fmt: skip

    def samples(self, kind: Kind, most: int) -> list[Sample]:
        """Rows of a kind: one of each data source in turn, at most `most`."""
        queues = [kept.values() for (one, _), kept in sorted(self._samples.items()) if one is kind]
        found: list[Sample] = []
        for turn in range(self._samples_each):
            found += [queue[turn] for queue in queues if turn < len(queue)]
        return sorted(
            found[:most], key=lambda sample: (sample.judged.domain, sample.data_source, sample.line)
        )

    def close(self) -> None:
        """Give the temporary database back."""
        self._sums.close()

    # What it comes to

    def lines(self) -> tuple[Line, list[Line], list[Line]]:
        """All rows, each domain, each data source."""
        sums = {a: list(rest) for a, *rest in self._sums.select(_SUMS)}
        kinds: dict[int, list[tuple[int, int, int]]] = {}
        for a, n, c, count in self._sums.select("SELECT a, n, c, COUNT(*) FROM t GROUP BY a, n, c"):
            kinds.setdefault(a, []).append((int(n), int(c), count))

        def line(name: str, domain: str, names: Iterable[str]) -> Line:
            names = list(names)
            numbers = [self._numbers[one] for one in names]
            found = [sums[number] for number in numbers if number in sums]
            merged: Counter[tuple[int, int]] = Counter()
            for number in numbers:
                for n, c, count in kinds.get(number, ()):
                    merged[n, c] += count
            counts = [self.sources[one] for one in names]
            return _line(name, domain, counts, found, merged, self.range)

        sources = [line(name, counts.domain, [name]) for name, counts in sorted(self.sources.items())]
        by_domain: dict[str, list[str]] = {}
        for name, counts in self.sources.items():
            by_domain.setdefault(counts.domain, []).append(name)
        domains = [line(domain, domain, names) for domain, names in sorted(by_domain.items())]
        sources.sort(key=lambda one: (one.domain, one.name))
        return line("all", "", self.sources), domains, sources


_TOTALS = (
    "COUNT(*)", "SUM(n)", "SUM(n*n)",
    "SUM(s)", "SUM(s*s)", "SUM(n*s)",
    "SUM(c)", "SUM(c*c)", "SUM(n*c)",
    "SUM(na)", "SUM(na*na)", "SUM(n*na)",
    "SUM(ss)", "SUM(x)", "SUM(xx)", "SUM(xs)",
    "SUM(xs - 1.0*x*s/n)", "SUM(xx - 1.0*x*x/n)", "SUM(ss - 1.0*s*s/n)",
    "SUM(n > 1)", "SUM(n > 1 AND c = 0)", "SUM(n > 1 AND c = n)",
    "SUM(1.0*s/n)", "SUM(1.0*s*s/(1.0*n*n))",
)  # fmt: skip
_SUMS = f"SELECT a, {', '.join(_TOTALS)} FROM t GROUP BY a"  # noqa: S608


def _line(
    name: str,
    domain: str,
    counts: list[Counts],
    found: list[list[float]],
    kinds: Counter[tuple[int, int]],
    bounds: tuple[float, float],
) -> Line:
    (
        prompts, n, nn, s, s2, ns, c, c2, nc, na, na2, nna, ss, x, xx, xs, wxs, wxx, wss, several, zeros, ones, avg, avg2,
    ) = [sum(column) for column in zip(*found, strict=True)] if found else [0.0] * len(_TOTALS)  # fmt: skip
    lone_n, lone_c, lone_na, lone_s, lone_ss, lone_x, lone_xx, lone_xs = [
        sum(column) for column in zip([0.0] * len(COLUMNS), *(one.lone for one in counts), strict=True)
    ]
    clusters = int(prompts + lone_n)
    rows = n + lone_n
    sizes = nn + lone_n

    def sums(total: float, squares: float, products: float, lone: float, lone_squares: float) -> Clustered:
        return Clustered(clusters, rows, total + lone, squares + lone_squares, products + lone, sizes)

    reasons: Counter[str] = Counter()
    errors: Counter[str] = Counter()
    lengths: dict[int, list[float]] = {}
    for one in counts:
        reasons.update(one.reasons)
        errors.update(one.error_reasons)
        for bin_, values in one.lengths.items():
            into = lengths.setdefault(bin_, [0.0, 0.0, 0.0])
            for place, value in enumerate(values):
                into[place] += value
    length = pearson(rows, x + lone_x, xx + lone_xx, s + lone_s, ss + lone_ss, xs + lone_xs)
    rates: Counter[float] = Counter()
    for (samples, right), count in kinds.items():
        rates[right / samples] += count
    several_found = {samples for samples, _ in kinds}
    has_passes = any(samples > 1 for samples in several_found)
    correct = clustered_share(sums(c, c2, nc, lone_c, lone_c))
    binary = ss + lone_ss == s + lone_s == c + lone_c
    return Line(
        name=name,
        domain=domain,
        rows=sum(one.rows for one in counts),
        errors=sum(one.errors for one in counts),
        flagged=sum(one.flagged for one in counts),
        reasons=reasons,
        error_reasons=errors,
        handlers=frozenset(pair for one in counts for pair in one.handlers),
        # A mean of zeros and ones is a share, and has the better interval.
        mean=correct if binary else clustered_mean(sums(s, s2, ns, lone_s, lone_ss), *bounds),
        correct=correct,
        no_answer=clustered_share(sums(na, na2, nna, lone_na, lone_na)),
        bins=[
            Bin(*_edges(bin_), int(rows_in), mean_interval(rows_in, score, squares, *bounds))
            for bin_, (rows_in, score, squares) in sorted(lengths.items())
        ],
        length=length,
        within=pearson(n - prompts, 0.0, wxx, 0.0, wss, wxs) if several else None,
        prompts=int(prompts),
        fewest=min(several_found, default=0),
        most=max(several_found, default=0),
        stuck=(zeros / several, ones / several) if several else None,
        avg=mean_interval(prompts, avg, avg2, *bounds) if prompts else NO_INTERVAL,
        pass_at=pass_curve((*key, count) for key, count in kinds.items()) if has_passes else [],
        rates=sorted(rates.items()) if has_passes else [],
    )


def _edges(bin_: int) -> tuple[float, float]:
    if bin_ < 0:
        return 0.0, 1.0
    return 2 ** (bin_ / LENGTH_BINS_PER_OCTAVE), 2 ** ((bin_ + 1) / LENGTH_BINS_PER_OCTAVE)


def _count(counter: Counter[str], name: str) -> None:
    counter[name if name in counter or len(counter) < MAX_NAMES else "(others)"] += 1


def middle_cut(text: str, most: int) -> str:
    """The text, or its begin and (mostly) its end: answers stand at the end."""
    if len(text) <= most:
        return text
    head = most // 4
    return f"{text[:head]}\n[… {len(text) - most:,} characters …]\n{text[head - most :]}"


def shown(value: Any) -> str:
    """A ground truth as text."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def prompt_text(prompt: Any) -> str:
    """A prompt as text: chat messages become `role: content`."""
    if prompt is None:
        return ""
    if isinstance(prompt, list):
        parts = [
            f"{one.get('role', '')}: {one.get('content', '')}" if isinstance(one, dict) else str(one)
            for one in prompt
        ]
        return "\n".join(parts)
    return shown(prompt)
