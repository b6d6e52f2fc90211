"""The difficulty filter over files: counts per prompt, a verdict for each, and the rows of those that are kept.

What is decided here: two passes, so that the counts of millions of prompts can be on disk and a row is never held. Which model
a row is of is said by its file or by a column. Rows go to the output as they came: the same bytes for JSON lines, the same
types for Parquet. What is undecided is not kept unless that is asked for, because a filter that can't say must not pretend to.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from pydantic_core import from_json, to_json

from reward_service.analysis.difficulty import (
    CAUSE_OF,
    Cause,
    Rules,
    Suspicion,
    Tally,
    Verdict,
    suspicions,
    tallies,
    undressed,
)
from reward_service.analysis.flips import field_at
from reward_service.analysis.judged import Judged, ScoredDump
from reward_service.analysis.measures import middle_cut, shown
from reward_service.analysis.sketches import Smallest, mixed
from reward_service.analysis.summary import group_key
from reward_service.analysis.sums import Sums
from reward_service.bulk import Progress, Watch
from reward_service.dump import Output, Refused, kind_of, output_kind
from reward_service.registry import Registry

WIDTH = len(Tally._fields)
SUSPECTS = 20
NUMBERS = list(Verdict)


class Role(NamedTuple):
    """Whose sample a row is. With one model only, it is both."""

    weak: bool
    strong: bool


WEAK, STRONG, BOTH = Role(True, False), Role(False, True), Role(True, True)


@dataclass(frozen=True, slots=True)
class Ask:
    """What to filter. files: scored dumps, with the model that each is of (None: `model_column` says). data: a data set whose rows
    are written instead of the samples. once: one row for each prompt."""

    files: Sequence[tuple[Path, Role | None]]
    out: Path
    rules: Rules
    column: str = "outcome"
    group_by: str | None = None
    model_column: str | None = None
    weak_model: str | None = None
    strong_model: str | None = None
    data: Path | None = None
    once: bool = False
    keep_undecided: bool = False


@dataclass(slots=True)
class Line:
    """What became of the prompts of one data source, or of all."""

    prompts: int = 0
    verdicts: Counter[Verdict] = field(default_factory=Counter)
    undecided_by_errors: int = 0
    because: Counter[Cause] = field(default_factory=Counter)
    errors_would_drop: int = 0
    errors_may_matter: int = 0
    suspects: int = 0
    suspicions: Counter[Suspicion] = field(default_factory=Counter)
    rows: int = 0
    rows_kept: int = 0
    row_errors: int = 0

    def plain(self) -> dict[str, Any]:
        """As JSON, in words."""
        return {
            "prompts": self.prompts,
            **{verdict.value: self.verdicts[verdict] for verdict in Verdict},
            "undecided_because_of_errors": self.undecided_by_errors,
            "impossible_only_because_of": {cause.value: self.because[cause] for cause in Cause},
            "impossible_if_errors_were_failures": self.errors_would_drop,
            "dropped_but_errors_could_have_kept_it": self.errors_may_matter,
            "suspected_false_negatives": self.suspects,
            "suspicions": {one.value: self.suspicions[one] for one in Suspicion},
            "rows": self.rows,
            "rows_not_judged": self.row_errors,
            "rows_kept": self.rows_kept,
        }


@dataclass(slots=True)
class Suspect:
    """An impossible prompt to look at, with its first rejected sample."""

    data_source: str
    why: tuple[str, ...]
    strong_samples: int
    file: str = ""
    line: int = 0
    ground_truth: str = ""
    extracted: str = ""


@dataclass(slots=True)
class Found:
    """What a filter did. unreadable: rows that name no prompt; other_models: rows of neither model; not_scored: rows of
    `data` whose prompt has no sample."""

    total: Line = field(default_factory=Line)
    sources: dict[str, Line] = field(default_factory=dict)
    suspects: list[Suspect] = field(default_factory=list)
    grouped_by: str | None = None
    unreadable: int = 0
    other_models: int = 0
    not_scored: int = 0

    def summary(self, ask: Ask) -> dict[str, Any]:
        """As JSON."""
        rules = ask.rules
        return {
            "rules": {
                "weak_max": None if rules.weak_max is None else str(rules.weak_max),
                "strong_min": None if rules.strong_min is None else str(rules.strong_min),
                "min_samples": rules.samples,
                "pass_score": rules.pass_score,
                "undecided": "kept" if ask.keep_undecided else "dropped",
            },
            "files": [str(path) for path, _ in ask.files],
            "grouped_by": self.grouped_by,
            "total": self.total.plain(),
            "data_sources": {name: line.plain() for name, line in sorted(self.sources.items())},
            "rows_that_name_no_prompt": self.unreadable,
            "rows_of_other_models": self.other_models,
            "rows_not_scored": self.not_scored,
            "suspects": [asdict(one) for one in self.suspects],
        }


class Filter:
    """One run: `run`, once."""

    def __init__(self, ask: Ask, registry: Registry, watch: Watch) -> None:
        """Refused if the ask makes no sense."""
        self._ask = ask
        self._registry = registry
        self._watch = watch
        self._rows = 0
        self._found = Found()
        self._numbers: dict[str, int] = {}
        self._names: list[str] = []
        self._roles = {role for _, role in ask.files if role is not None}
        if ask.model_column is not None:
            self._roles |= {WEAK} if ask.weak_model else set()
            self._roles |= {STRONG} if ask.strong_model else set()
        check(ask, self._roles)

    def run(self) -> Found:
        """Read, decide, write. Refused, with nothing written, if the files don't fit each other."""
        with ExitStack() as opened:
            columns = [f"{role}{name}" for role in ("w", "s") for name in range(WIDTH)]
            counts = opened.enter_context(closing(Sums(*columns, "looks_equal")))
            answers = opened.enter_context(closing(Sums("n")))
            verdicts = opened.enter_context(closing(Sums("verdict")))
            self._count(counts, answers)
            chosen = self._decide(counts, answers, verdicts)
            self._write(verdicts, chosen)
        return self._found

    # Pass 1

    def _count(self, counts: Sums, answers: Sums) -> None:
        for path, role in self._ask.files:
            with closing(self._open(path, self._ask.column)) as dump:
                for row in self._read(dump):
                    whose = self._role_of(row, role)
                    if whose is None:
                        self._found.other_models += 1
                    elif row.prompt is None:
                        self._found.unreadable += 1
                    else:
                        self._count_row(row, row.prompt, whose, counts, answers)
                self._same_grouping(path, dump)

    def _count_row(self, row: Judged, prompt: int, whose: Role, counts: Sums, answers: Sums) -> None:
        found = row.found
        source = self._source(row.data_source)
        line = self._found.sources.setdefault(row.data_source, Line())
        for one in (line, self._found.total):
            one.rows += 1
            one.row_errors += found.score is None
        passed = found.score is not None and found.score >= self._ask.rules.pass_score
        failed = found.score is not None and not passed
        cause = CAUSE_OF.get(found.reason) if failed else None
        sample = (
            found.score is not None, passed, found.score is None,
            cause is Cause.NO_ANSWER, cause is Cause.UNCLEAR, cause is Cause.LIMITS,
        )  # fmt: skip
        none = (0,) * WIDTH
        alike = False
        if failed and found.extracted and row.item is not None:
            plain = undressed(found.extracted)
            gold = row.item.gold()
            alike = bool(plain) and isinstance(gold, str | int | float) and plain == undressed(str(gold))
            if whose.strong:
                answers.add(mixed(prompt, source) - (1 << 63), group_key(plain), (1,))
        counts.add(
            source, prompt, (*(sample if whose.weak else none), *(sample if whose.strong else none), alike)
        )

    def _role_of(self, row: Judged, role: Role | None) -> Role | None:
        if role is not None:
            return role
        ask = self._ask
        if ask.model_column is None:
            return BOTH
        model = field_at(from_json(row.record.line), ask.model_column) if row.item is not None else None
        weak, strong = model == ask.weak_model, model == ask.strong_model
        return Role(weak, strong) if model is not None and (weak or strong) else None

    # Between the passes

    def _decide(self, counts: Sums, answers: Sums, verdicts: Sums) -> dict[tuple[int, int], Suspect]:
        shown: Smallest[tuple[int, int, Suspect]] = Smallest(SUSPECTS)
        rules, total = self._ask.rules, self._found.total
        two_models = BOTH not in self._roles and len(self._roles) > 1
        for source, prompt, *columns in counts.select("SELECT * FROM t"):
            weak, strong = tallies(columns)
            verdict = rules.verdict(weak, strong)
            verdicts.add(source, prompt, (NUMBERS.index(verdict),))
            name = self._names[source]
            lines = (self._found.sources[name], total)
            for line in lines:
                line.prompts += 1
                line.verdicts[verdict] += 1
                line.undecided_by_errors += verdict is Verdict.UNDECIDED and bool(
                    weak.errors or strong.errors
                )
                line.errors_would_drop += rules.errors_would_drop(weak, strong)
                line.errors_may_matter += rules.errors_may_matter(weak, strong)
                line.because.update(rules.causes(weak, strong))
            if verdict is not Verdict.IMPOSSIBLE:
                continue
            key = mixed(prompt, source) - (1 << 63)
            ((most,),) = answers.select("SELECT COALESCE(MAX(n), 0) FROM t WHERE a = ?", (key,))
            why = list(
                suspicions(weak, strong, most_agree=most, looks_equal=int(columns[-1]), two_models=two_models)
            )
            if why:
                for line in lines:
                    line.suspects += 1
                    line.suspicions.update(why)
                suspect = Suspect(name, tuple(one.value for one in why), strong.n)
                shown.offer(mixed(prompt, source), (source, prompt, suspect))
        chosen = {(source, prompt): suspect for source, prompt, suspect in shown.values()}
        self._found.suspects = sorted(chosen.values(), key=lambda one: one.data_source)
        return chosen

    # Pass 2

    def _write(self, verdicts: Sums, suspects: dict[tuple[int, int], Suspect]) -> None:
        ask = self._ask
        files = [path for path, _ in ask.files]
        if ask.data is not None:
            for path, _ in ask.files:  # the suspects' samples; nothing is written of these files
                for row, _ in self._decided(path, ask.column, verdicts, set(), suspects):
                    del row
            files = [ask.data]
        seen: set[int] = set()
        column = "" if ask.data is not None else ask.column

        def kept(path: Path) -> Iterator[tuple[bytes, bool]]:
            for row, keep in self._decided(
                path, column, verdicts, seen, suspects if ask.data is None else {}
            ):
                if keep:
                    for line in (self._found.sources[row.data_source], self._found.total):
                        line.rows_kept += 1
                yield row.record.line, keep

        write(ask.out, files, kept)

    def _decided(
        self,
        path: Path,
        column: str,
        verdicts: Sums,
        seen: set[int],
        suspects: dict[tuple[int, int], Suspect],
    ) -> Iterator[tuple[Judged, bool]]:
        """Each row of a file, and whether it goes to the output."""
        ask = self._ask
        with closing(self._open(path, column)) as dump:
            for row in self._read(dump, scored=bool(column)):
                source = self._numbers.get(row.data_source)
                found = (
                    verdicts.get(source, row.prompt)
                    if source is not None and row.prompt is not None
                    else None
                )
                if found is None or source is None or row.prompt is None:
                    self._found.not_scored += not column
                    yield row, False
                    continue
                verdict = NUMBERS[int(found[0])]
                self._show(suspects.get((source, row.prompt)), row, path)
                keep = verdict is Verdict.KEPT or (verdict is Verdict.UNDECIDED and ask.keep_undecided)
                if keep and ask.once:
                    key = mixed(row.prompt, source)
                    keep = key not in seen
                    seen.add(key)
                yield row, keep
            if not column:
                self._same_grouping(path, dump)

    def _show(self, suspect: Suspect | None, row: Judged, path: Path) -> None:
        if suspect is None or suspect.line or row.item is None or not row.found.extracted:
            return
        if row.found.score is None or row.found.score >= self._ask.rules.pass_score:
            return
        suspect.file, suspect.line = path.name, row.record.number
        suspect.ground_truth = middle_cut(shown(row.item.gold()), 200)
        suspect.extracted = middle_cut(row.found.extracted, 200)

    # Files

    def _open(self, path: Path, column: str) -> ScoredDump:
        return ScoredDump(path, self._registry, column or "\0", self._ask.group_by)

    def _read(self, dump: ScoredDump, *, scored: bool = True) -> Iterator[Judged]:
        for row in dump.rows(scored=scored):
            self._rows += 1
            if self._rows % 1024 == 0:
                self._watch(Progress(self._rows, 0, *dump.progress))
            yield row

    def _same_grouping(self, path: Path, dump: ScoredDump) -> None:
        by = dump.grouped_by
        if by is None:
            return
        if self._found.grouped_by not in (None, by):
            raise Refused(
                f"{path}: its rows share prompts by {by}, those before by {self._found.grouped_by}: name what they share with "
                "--group-by"
            )
        self._found.grouped_by = by

    def _source(self, name: str) -> int:
        number = self._numbers.setdefault(name, len(self._numbers))
        if number == len(self._names):
            self._names.append(name)
        return number


def check(ask: Ask, roles: set[Role]) -> None:
    """Refused for rules that the files can't answer."""
    rules = ask.rules
    if rules.weak_max is None and rules.strong_min is None:
        raise Refused("give --weak-max, --strong-min or both: what is too easy, what is impossible")
    if not ask.files:
        raise Refused("name the scored dumps: files, --weak FILE, --strong FILE")
    inputs = [path for path, _ in ask.files] + ([ask.data] if ask.data else [])
    for path in inputs:
        if ask.out.exists() and path.exists() and ask.out.samefile(path):
            raise Refused(f"{path}: the output is an input")
    unnamed = any(role is None for _, role in ask.files)
    if unnamed and ask.model_column is None and roles:
        raise Refused(
            "some files have a role and some have none: name all with --weak and --strong, or give --model-column"
        )
    if ask.model_column is not None and not (ask.weak_model or ask.strong_model):
        raise Refused("--model-column needs --weak-model, --strong-model or both")
    if unnamed and ask.model_column is None:
        return
    if rules.weak_max is not None and not any(role.weak for role in roles):
        raise Refused("--weak-max needs samples of a weak model")
    if rules.strong_min is not None and not any(role.strong for role in roles):
        raise Refused("--strong-min needs samples of a strong model")


Kept = Callable[[Path], Iterator[tuple[bytes, bool]]]
"""Each row of a file as a JSON line, and whether it is kept."""


def write(out: Path, files: Sequence[Path], kept: Kept) -> None:
    """The kept rows of all files, in their order. The output appears whole or not at all."""
    kind = output_kind(out)
    if not out.parent.is_dir():
        raise Refused(f"{out.parent}: no such directory")
    if kind == "parquet":
        from reward_service import parquet

        if all(is_parquet(path) for path in files):
            parquet.select(files, out, lambda path: (keep for _, keep in kept(path)))
            return
    journal = out.with_name(out.name + ".partial")
    output = Output(journal, "zstd" if kind == "parquet" else kind, fresh=True)
    try:
        output.begin()
        for path in files:
            for line, keep in kept(path):
                if keep:
                    output.write(line + b"\n")
        if kind == "parquet":
            output.finish(None)
            parquet.convert(output.written, out)
            journal.unlink()
        else:
            output.finish(out)
    except BaseException:
        journal.unlink(missing_ok=True)
        raise
    finally:
        output.close()


def is_parquet(path: Path) -> bool:
    """By its first bytes."""
    try:
        with path.open("rb") as file:
            return kind_of(file.read(4)) == "parquet"
    except OSError as error:
        raise Refused(f"{path}: {error.strerror}") from None


def summary_json(found: Found, ask: Ask) -> bytes:
    """The summary, for programs."""
    return to_json(found.summary(ask), indent=2) + b"\n"
