"""Makes the report: one pass over the dump, one over the file to compare with, and a few rows explained.

What is decided here: the order (what is compared with is read first, so that flips are found in the one pass over the dump), and
that an explanation is what the handlers of this version say about a row, now. Where that differs from what was recorded, the page says
so; where nothing can be said (no sandbox, no judge), the recorded outcome stands alone.
"""

from __future__ import annotations

import zlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from reward_service import __version__
from reward_service.analysis.comparison import Pairs
from reward_service.analysis.judged import ScoredDump
from reward_service.analysis.measures import Kind, Measures, Sample
from reward_service.analysis.page import render
from reward_service.analysis.page_pairs import SHOWN_FLIPS
from reward_service.analysis.page_parts import Report
from reward_service.analysis.page_rows import SHOWN_SAMPLES
from reward_service.analysis.statistics import NO_INTERVAL, Interval
from reward_service.bulk import Progress, Watch
from reward_service.dump import Refused
from reward_service.registry import Registry
from reward_service.wire import ItemIn

Explain = Callable[[Sequence[ItemIn]], Awaitable[list[dict[str, Any]]]]
"""Judges items here and now, with the account of how (`local.all_explained`)."""
MEAN_ONLY = 0


@dataclass(frozen=True, slots=True)
class Ask:
    """What to report on. before: the file to compare with; where only its column is given, that of the same file."""

    dump: Path
    column: str = "outcome"
    before: Path | None = None
    before_column: str | None = None
    group_by: str | None = None
    samples: int = 4


class Made(NamedTuple):
    """The page, and how many rows it is about, how many of them not judged."""

    page: str
    rows: int
    errors: int


async def make(ask: Ask, registry: Registry, explain: Explain | None, watch: Watch) -> Made:
    """The page. Refused if a file can't be read as asked."""
    with ExitStack() as opened:
        measures = opened.enter_context(closing(Measures(ask.samples)))
        dump = opened.enter_context(closing(ScoredDump(ask.dump, registry, ask.column, ask.group_by)))
        pairs: Pairs | None = None
        before_mean, before_name, before_by = NO_INTERVAL, "", None
        if ask.before is not None or ask.before_column is not None:
            pairs = opened.enter_context(closing(Pairs(measures.cut)))
            path = ask.before or ask.dump
            before_name = path.name if ask.before else f"column {ask.before_column}"
            with closing(ScoredDump(path, registry, ask.before_column or ask.column, ask.group_by)) as before:
                before_mean = _read_before(before, pairs, watch)
                before_by = before.grouped_by
        for count, row in enumerate(dump.rows(), 1):
            measures.add(row)
            if pairs is not None:
                pairs.add_now(row)
            if count % 1024 == 0:
                watch(Progress(count, 0, *dump.progress))
        if pairs is not None and before_by != dump.grouped_by:
            raise Refused(
                f"rows share prompts by {dump.grouped_by} in one file and by {before_by} in the other: name what they share "
                "with --group-by"
            )
        told, why = await _tell(measures, pairs, dump, explain)
        report = Report(
            name=ask.dump.name,
            generated=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
            version=__version__,
            column=ask.column,
            grouped_by=dump.grouped_by,
            measures=measures,
            told=told,
            why_not_told=why,
            pairs=pairs,
            before_name=before_name,
            before_mean=before_mean,
        )
        counts = measures.sources.values()
        return Made(render(report), sum(one.rows for one in counts), sum(one.errors for one in counts))


def _read_before(dump: ScoredDump, pairs: Pairs, watch: Watch) -> Interval:
    with closing(Measures(MEAN_ONLY)) as measures:
        for count, row in enumerate(dump.rows(), 1):
            measures.add(row)
            pairs.add_before(row)
            if count % 1024 == 0:
                watch(Progress(count, 0, *dump.progress))
        whole, _, _ = measures.lines()
        return whole.mean


async def _tell(
    measures: Measures, pairs: Pairs | None, dump: ScoredDump, explain: Explain | None
) -> tuple[dict[int, Mapping[str, Any]], str]:
    """What is said now about each row that is shown, by its line; and why nothing is, if so."""
    if explain is None:
        return {}, ""
    shown: dict[int, Sample] = {}
    for kind in (Kind.WRONG, Kind.FLAGGED, Kind.NO_ANSWER):
        shown.update((sample.line, sample) for sample in measures.samples(kind, SHOWN_SAMPLES))
    if pairs is not None:
        shown.update((flipped.sample.line, flipped.sample) for flipped in pairs.flips(SHOWN_FLIPS))
    chosen = [sample for _, sample in sorted(shown.items()) if sample.packed is not None]
    items = [dump.item(zlib.decompress(sample.packed or b"")) for sample in chosen]
    if not items:
        return {}, ""
    try:
        told = await explain(items)
    except Exception as error:  # an engine that can't start must not cost the report
        return {}, f"The rows below are not explained: {type(error).__name__}: {error}"
    found: dict[int, Mapping[str, Any]] = {}
    for sample, one in zip(chosen, told, strict=True):
        if one["status"] == "scored":
            recorded = sample.judged.found.score
            found[sample.line] = {**one, "differs": recorded is not None and recorded != one["score"]}
    return found, ""
