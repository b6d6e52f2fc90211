"""What a scored dump says: a line per data source, and pass@k over the rows that share a prompt.

What is decided here: an error is no sample. It is counted, and left out of every mean and of n in pass@k, so that
a broken sandbox can't look like a weak policy. Memory stays constant however many prompts there are: the counts
per prompt live in a temporary SQLite database.

pass@k is the unbiased estimator of Chen et al. 2021 (arXiv 2107.03374, eq. 1): the mean over prompts of
1 - C(n-c, k) / C(n, k), for n judged samples of which c are correct. avg@k is the mean over prompts of the mean
score of a prompt's samples.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from hashlib import blake2b
from math import comb
from typing import Any, NamedTuple

MAX_SOURCES = 1_000
OTHER = "(other data sources)"
ANY = "all"
HELD_GROUPS = 8_192
SHOWN_LINES = 5


def pass_at_k(n: int, c: int, k: int) -> Fraction:
    """The chance that k of n samples, c of them correct, hold a correct one. ValueError unless 1 <= k <= n, c <= n."""
    if not (1 <= k <= n and 0 <= c <= n):
        raise ValueError(f"pass@{k} of {c} correct among {n}")
    return 1 - Fraction(comb(n - c, k), comb(n, k))


def group_key(value: Any) -> int:
    """64 bits of a prompt's id or text: equal for equal JSON values."""
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True, separators=(",", ":"))
    kind = b"s" if isinstance(value, str) else b"j"
    digest = blake2b(kind + text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


@dataclass(slots=True)
class Tally:
    """The counts of one data source. verify_ms: CPU over the `timed` rows that this run checked itself."""

    rows: int = 0
    errors: int = 0
    score: float = 0.0
    correct: int = 0
    no_answer: int = 0
    verify_ms: float = 0.0
    timed: int = 0

    @property
    def scored(self) -> int:
        """Rows that were judged."""
        return self.rows - self.errors

    @property
    def mean(self) -> float | None:
        """The mean score of the judged rows."""
        return self.score / self.scored if self.scored else None

    @property
    def no_answer_rate(self) -> float | None:
        """The share of the judged rows without an answer."""
        return self.no_answer / self.scored if self.scored else None

    def plus(self, other: Tally) -> Tally:
        """Both together."""
        return Tally(
            self.rows + other.rows,
            self.errors + other.errors,
            self.score + other.score,
            self.correct + other.correct,
            self.no_answer + other.no_answer,
            self.verify_ms + other.verify_ms,
            self.timed + other.timed,
        )


class Passes(NamedTuple):
    """One data source's prompts: how many, with how many judged samples each, and what those reach."""

    data_source: str
    prompts: int
    fewest: int
    most: int
    avg: float
    pass_at: dict[int, float]


class Groups:
    """Per prompt: judged samples, correct ones, and the sum of their scores."""

    def __init__(self) -> None:
        # An empty name is a temporary database on disk, with a page cache of 2 MB in memory.
        self._base = sqlite3.connect("")
        self._base.execute("PRAGMA journal_mode = OFF")
        self._base.execute("PRAGMA synchronous = OFF")
        self._base.execute(
            "CREATE TABLE prompt (source INTEGER, prompt INTEGER, n INTEGER, c INTEGER, score REAL,"
            " PRIMARY KEY (source, prompt)) WITHOUT ROWID"
        )
        self._sources: dict[str, int] = {}
        self._held: dict[tuple[int, int], list[float]] = {}

    def add(self, data_source: str, prompt: int, score: float, correct: bool) -> None:
        """One judged sample."""
        source = self._sources.setdefault(data_source, len(self._sources))
        counts = self._held.setdefault((source, prompt), [0, 0, 0.0])
        counts[0] += 1
        counts[1] += correct
        counts[2] += score
        if len(self._held) >= HELD_GROUPS:
            self._store()

    def _store(self) -> None:
        self._base.executemany(
            "INSERT INTO prompt VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE"
            " SET n = n + excluded.n, c = c + excluded.c, score = score + excluded.score",
            ((*key, *counts) for key, counts in self._held.items()),
        )
        self._base.commit()
        self._held.clear()

    def close(self) -> None:
        """Give the database back."""
        self._base.close()

    def passes(self) -> list[Passes]:
        """See `Summary.passes`."""
        self._store()
        found = [one for name, source in sorted(self._sources.items()) if (one := self._passes(name, source))]
        if len(found) > 1 and (every := self._passes(ANY, None)):
            found.append(every)
        return found

    def _passes(self, name: str, source: int | None) -> Passes | None:
        kinds = list(self._kinds(source))
        prompts = sum(count for *_, count, _ in kinds)
        most = max((n for n, *_ in kinds), default=0)
        if most < 2:
            return None
        pass_at: dict[int, float] = {}
        k = 1
        while k <= most:
            have = [(n, c, count) for n, c, count, _ in kinds if n >= k]
            chance = sum(pass_at_k(n, c, k) * count for n, c, count in have)
            pass_at[k] = float(chance / sum(count for *_, count in have))
            k *= 2
        average = sum(mean for *_, mean in kinds) / prompts
        return Passes(name, prompts, min(n for n, *_ in kinds), most, average, pass_at)

    def _kinds(self, source: int | None) -> Iterator[tuple[int, int, int, float]]:
        """(n, c, how many prompts have them, sum of their mean scores)."""
        return self._base.execute(
            "SELECT n, c, COUNT(*), SUM(score / n) FROM prompt WHERE ? IS NULL OR source = ? GROUP BY n, c",
            (source, source),
        )


@dataclass(slots=True)
class Summary:
    """Counts of the rows of one dump, in whatever order they come."""

    tallies: dict[str, Tally] = field(default_factory=dict)
    reasons: Counter[str] = field(default_factory=Counter)
    """Reasons of the errors."""
    error_lines: dict[str, list[int]] = field(default_factory=dict)
    """The first lines with each of those reasons."""
    messages: dict[str, str] = field(default_factory=dict)
    """What was said about the first of those lines."""
    flags: Counter[str] = field(default_factory=Counter)
    versions: dict[str, set[str]] = field(default_factory=dict)
    """Handler -> versions that judged rows."""
    _groups: Groups = field(default_factory=Groups)

    def add(
        self,
        line: int,
        data_source: str,
        outcome: Mapping[str, Any],
        group: int | None = None,
        verify_ms: float | None = None,
    ) -> None:
        """Count one row. group: its prompt, None if it names none. verify_ms: None if not checked in this run."""
        if data_source not in self.tallies and len(self.tallies) >= MAX_SOURCES:
            data_source = OTHER
        tally = self.tallies.setdefault(data_source, Tally())
        tally.rows += 1
        if verify_ms is not None:
            tally.verify_ms += verify_ms
            tally.timed += 1
        if outcome["handler"]:
            self.versions.setdefault(outcome["handler"], set()).add(outcome["version"])
        for flag in outcome["flags"]:
            if flag in self.flags or len(self.flags) < MAX_SOURCES:
                self.flags[flag] += 1
        if outcome["status"] == "error":
            tally.errors += 1
            self.reasons[outcome["reason"]] += 1
            lines = self.error_lines.setdefault(outcome["reason"], [])
            if len(lines) < SHOWN_LINES:
                lines.append(line)
            self.messages.setdefault(outcome["reason"], str(outcome["detail"].get("message", "")))
            return
        tally.score += outcome["score"]
        tally.correct += outcome["correct"]
        tally.no_answer += outcome["reason"] == "no_answer"
        if group is not None:
            self._groups.add(data_source, group, outcome["score"], outcome["correct"])

    def total(self) -> Tally:
        """All data sources together."""
        total = Tally()
        for tally in self.tallies.values():
            total = total.plus(tally)
        return total

    def passes(self) -> list[Passes]:
        """pass@k and avg@k per data source with several samples per prompt; with two or more of those, also of all."""
        return self._groups.passes()

    def close(self) -> None:
        """Give the temporary database back. The tallies stay."""
        self._groups.close()
