"""What a scored dump says: a line per data source, and pass@k over the rows that share a prompt.

What is decided here: an error is no sample. It is counted, and left out of every mean and of n in pass@k, so that
a broken sandbox can't look like a weak policy.

pass@k is the unbiased estimator of Chen et al. 2021 (arXiv 2107.03374, eq. 1): the mean over prompts of
1 - C(n-c, k) / C(n, k), for n judged samples of which c are correct. avg@k is the mean over prompts of the mean
score of a prompt's samples.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, NamedTuple

from reward_service.analysis.statistics import pass_at_k
from reward_service.analysis.sums import Sums

MAX_SOURCES = 1_000
OTHER = "(other data sources)"
ANY = "all"
SHOWN_LINES = 5


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
        self._sums = Sums("n", "c", "score")
        self._sources: dict[str, int] = {}

    def add(self, data_source: str, prompt: int, score: float, correct: bool) -> None:
        """One judged sample."""
        source = self._sources.setdefault(data_source, len(self._sources))
        self._sums.add(source, prompt, (1, correct, score))

    def close(self) -> None:
        """Give the database back."""
        self._sums.close()

    def passes(self) -> list[Passes]:
        """See `Summary.passes`."""
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
        return self._sums.select(
            "SELECT n, c, COUNT(*), SUM(score / n) FROM t WHERE ? IS NULL OR a = ? GROUP BY n, c",
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
