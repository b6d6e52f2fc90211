"""One chunk of results, added up once for everything that counts: Prometheus, the steps in memory, the alerts.

What is decided here: the cost. Per item the service does nothing but score, so a chunk is taken apart into columns and
these are summed by what runs in C; a loop in Python per item would cost as much as the cache. Results are added up per
(run, data source); in a training step these are few.

- *duplicates*: items whose twin is in the same request: the scorer judges those once, and both have one result.
- *groups*: the samples of one prompt. `group_id` names them; else the items of one request that share data source,
  prompt (or the row's `index`, or its question) and ground truth. A group with one number for all teaches nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import compress
from operator import add, attrgetter, itemgetter, mul, not_
from typing import Any, NamedTuple, TypeVar

from reward_service.engine.scorer import Row, Scored
from reward_service.types import Outcome, Reason

_Value = TypeVar("_Value")
WIDTHS = 24
"""Classes of length: class k holds responses of 2^(k-1) to 2^k - 1 characters; the last one, all that are longer."""


class Sums(NamedTuple):
    """What can be added up. Errors count in `items` and `errors` only; the `_ms` are of the `fresh` (not cached) items."""

    items: float = 0.0
    scored: float = 0.0
    errors: float = 0.0
    cached: float = 0.0
    fresh: float = 0.0
    flagged: float = 0.0
    no_answer: float = 0.0
    malformed: float = 0.0
    time_limit: float = 0.0
    duplicates: float = 0.0
    score: float = 0.0
    score_squares: float = 0.0
    chars: float = 0.0
    chars_squares: float = 0.0
    chars_score: float = 0.0
    queue_ms: float = 0.0
    verify_ms: float = 0.0
    sandbox_ms: float = 0.0
    judge_ms: float = 0.0
    groups: float = 0.0
    all_zero: float = 0.0
    all_one: float = 0.0

    def plus(self, other: Sums) -> Sums:
        """Both together."""
        return Sums._make(map(add, self, other))


NO_SUMS = Sums()


class Part(NamedTuple):
    """The results of one chunk that share run and data source. widths, width_scores: scored items by class of length,
    and the sums of their scores. places: where in the chunk they are.
    """

    run: str
    data_source: str
    domain: str
    sums: Sums
    reasons: Mapping[Reason, int]
    flags: Mapping[str, int]
    widths: Mapping[int, int]
    width_scores: Mapping[int, float]
    slowest_queue_ms: float
    rows: Sequence[Row]
    outcomes: Sequence[Outcome]
    group_scores: Mapping[str, Sequence[float]]
    """Scores of groups that were named: other requests may hold more of them."""


_FIELDS = attrgetter(
    "score",
    "reason",
    "cached",
    "flags",
    "queue_ms",
    "verify_ms",
    "sandbox_ms",
    "judge_ms",
)
_RUN = attrgetter("run")
_GROUP = attrgetter("group")
_RESPONSE = attrgetter("response")
_OUTCOME = itemgetter(0)
_NAMES = itemgetter(1, 2)


def tally(rows: Sequence[Row], results: Sequence[Scored], run: str = "") -> list[Part]:
    """The parts of a chunk; `run` is that of rows that name none."""
    if not rows:
        return []
    names = set(map(_NAMES, results))
    runs = set(map(_RUN, rows))
    if len(names) == len(runs) == 1:
        ((data_source, domain),) = names
        return [_part(runs.pop() or run, data_source, domain, rows, results)]
    places: dict[tuple[str, str, str], list[int]] = {}
    for place, (row, (_, data_source, domain)) in enumerate(zip(rows, results, strict=True)):
        places.setdefault((row.run or run, data_source, domain), []).append(place)
    return [
        _part(*key, [rows[place] for place in held], [results[place] for place in held])
        for key, held in places.items()
    ]


def _part(run: str, data_source: str, domain: str, rows: Sequence[Row], results: Sequence[Scored]) -> Part:
    outcomes = list(map(_OUTCOME, results))
    scores, reason_of, cached, flags, queue, verify, sandbox, judge = zip(
        *map(_FIELDS, outcomes), strict=True
    )
    lengths = list(map(len, map(_RESPONSE, rows)))
    items, errors, hits = len(rows), scores.count(None), sum(cached)
    if hits:
        fresh = list(map(not_, cached))
        queue, verify, sandbox, judge = (
            tuple(compress(column, fresh)) for column in (queue, verify, sandbox, judge)
        )
    kept, kept_lengths = scores, lengths
    if errors:
        judged = [score is not None for score in scores]
        kept, kept_lengths = tuple(compress(scores, judged)), list(compress(lengths, judged))
    classes = list(map(int.bit_length, kept_lengths))
    width_scores: dict[int, float] = {}
    for width, score in zip(classes, kept, strict=True):
        if score:
            width_scores[width] = width_scores.get(width, 0.0) + score
    reasons = counts(reason_of)
    flagged = items - flags.count(())
    groups, named = _groups(rows, scores)
    sums = Sums(
        items,
        items - errors,
        errors,
        hits,
        items - hits,
        flagged,
        reasons.get(Reason.NO_ANSWER, 0),
        reasons.get(Reason.MALFORMED_ANSWER, 0),
        reasons.get(Reason.TIME_LIMIT, 0),
        items - len(set(map(id, results))),
        sum(kept),
        sum(map(mul, kept, kept)),
        sum(kept_lengths),
        sum(map(mul, kept_lengths, kept_lengths)),
        sum(map(mul, kept_lengths, kept)),
        sum(queue),
        sum(verify),
        sum(sandbox),
        sum(judge),
        *groups,
    )
    return Part(
        run,
        data_source,
        domain,
        sums,
        reasons,
        counts(flag[:64] for several in flags for flag in several) if flagged else {},
        counts(classes),
        width_scores,
        max(queue, default=0.0),
        rows,
        outcomes,
        named,
    )


def counts(values: Iterable[_Value]) -> dict[_Value, int]:
    """How often each value comes. `Counter` costs more for the few items that a mixed chunk has of each data source."""
    found: dict[_Value, int] = {}
    for value in values:
        found[value] = found.get(value, 0) + 1
    return found


def _groups(
    rows: Sequence[Row], scores: Sequence[float | None]
) -> tuple[tuple[int, int, int], dict[str, list[float]]]:
    """(groups, all zero, all one) of this chunk, and the scores of groups with a name."""
    named: dict[str, list[float]] = {}
    found: dict[Any, list[float]] = {}
    for row, score in zip(rows, scores, strict=True):
        if score is None:
            continue
        if row.group:
            named.setdefault(row.group, []).append(score)
            continue
        prompt = row.prompt
        if prompt is None:
            extra = row.extra_info
            prompt = (extra.get("index") or extra.get("question")) if extra else None
        if type(prompt) is not str:
            prompt = _text(prompt)
            if prompt is None:
                continue
        gold = row.ground_truth
        key = (prompt, gold if type(gold) is str else row.ground_truth_ref)
        if key in found:
            found[key].append(score)
        else:
            found[key] = [score]
    groups = [one for one in found.values() if len(one) > 1]
    return counted(groups), named


def counted(groups: Sequence[Sequence[float]]) -> tuple[int, int, int]:
    """(how many, all zero, all one)."""
    if not groups:
        return 0, 0, 0
    return len(groups), sum(not any(one) for one in groups), sum(min(one) == 1.0 for one in groups)


def _text(prompt: Any) -> str | int | None:
    """What tells one chat from another: its last message's text. None if that is none."""
    if isinstance(prompt, list | tuple) and prompt:
        last = prompt[-1]
        prompt = last.get("content") if isinstance(last, dict) else last
    return prompt if isinstance(prompt, str | int) else None
