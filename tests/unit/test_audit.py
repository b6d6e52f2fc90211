"""The auditor itself: that it finds what is wrong with a broken verifier, and nothing with a right one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from reward_service.audit import accepted, catalogue, cheats, kits_tables, learned, numbers, subjects
from reward_service.audit.model import Demand, Hooks, Probe, Subject
from reward_service.audit.run import Audit, Report
from reward_service.commands.audit_report import command
from reward_service.registry import Registry, Source, handler, load
from reward_service.types import (
    Domain,
    Example,
    Item,
    Outcome,
    Profile,
    Reason,
    accept,
    cannot_judge,
    malformed,
    reject,
)
from reward_service.wire import result
from tests import audit_data
from tests.accuracy import DATA


class Direct:
    """A judge that calls handlers in this process. change: what to make of an outcome, to break things."""

    def __init__(
        self, registry: Registry, change: Callable[[Outcome, int], Outcome] = lambda o, _: o
    ) -> None:
        self._registry = registry
        self._change = change
        self._calls = 0

    async def score(self, items: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
        self._calls += 1
        return [result(self._outcome(item), place, None) for place, item in enumerate(items)]

    def _outcome(self, fields: Mapping[str, Any]) -> Outcome:
        route = self._registry.route(fields["data_source"])
        assert route is not None
        given = {"question": fields.get("prompt"), **(fields.get("extra_info") or {})}
        extra = {name: given[name] for name in route.handler.reads if given.get(name) is not None}
        profile = Profile(fields["profile"])
        item = Item(
            route.data_source,
            fields["response"],
            fields.get("ground_truth"),
            extra,
            profile,
            route.source.name,
        )
        outcome = route.handler.plan(item)
        if not isinstance(outcome, Outcome):  # a program, or a question to a judge model
            outcome = cannot_judge(Reason.SANDBOX_UNAVAILABLE, "there is none here")
        return self._change(outcome, self._calls)


def audited(rows: Sequence[Subject], judge: Direct, known: accepted.Accepted | None = None) -> Report:
    return asyncio.run(Audit(judge, accepted=known).run(rows))


def row(data_source: str, gold: Any, **more: Any) -> Subject:
    found = subjects.from_line(
        1, json.dumps({"data_source": data_source, "ground_truth": gold, **more}).encode(), load()
    )
    assert isinstance(found, Subject), found
    return found


ROWS = [
    ("logic__graph", "owl"),
    ("logic__graph", "beaver"),
    ("simulation__arcagi1", [[1, 0, 2], [0, 2, 1]]),
    ("logic__zebra_puzzle", {"header": ["House", "Name", "Drink"], "rows": [["1", "Ann", "tea"], ["2", "Bob", "rum"]]}),
    ("logic__ordering_puzzle", ["owl", "crow", "hawk"]),
    ("logic__knights_knaves", "Zoe is a knave, and Oliver is a knight."),
    ("math", "1234"),
    ("math", "-\\frac{3}{4}"),
    ("math", "0.25"),
    ("math", "\\{1, 2, 3\\}"),
    ("math", "(3,4]"),
    ("math", "x^2+2x"),
    ("stem__supergpqa", "C"),
    ("table__hitab", "1204.5"),
    ("table__wtq", "New South Wales"),
    ("table__wtq", "Paris|Rome|Oslo"),
    ("table__finqa", "yes"),
    ("table__tatqa", "no"),
    ("table__structured", "a,b\n1,x\n2,y"),
    ("searchr1_nq", {"target": ["Danube", "Danube River"]}),
    ("bbeh__x", "(C)"),
    ("bbeh__x", "17"),
    ("simulation__codeio", '"output": {"a": 1, "b": [2.5, "x"]}'),
    ("stem__chem_smiles", "CC(=O)O"),
    ("stem__theoremqa", "2.5"),
]  # fmt: skip


@pytest.mark.parametrize(("data_source", "gold"), ROWS)
def test_no_violation_where_the_handler_is_right(data_source: str, gold: Any) -> None:
    subject = row(data_source, gold)
    made = catalogue.probes(subject)
    assert sum(probe.demand is Demand.ACCEPT for probe in made) >= 5
    assert sum(probe.demand is Demand.REJECT for probe in made) >= 40
    report = audited([subject], Direct(load()))
    assert shown(report) == []


def test_every_handler_of_ours_has_a_kit_or_says_that_it_has_none() -> None:
    known = {name for kit in catalogue.KITS for name in kit.handlers}
    builtin = {
        name for name, one in load().handlers.items() if one.plan.__module__.startswith("reward_service.")
    }
    assert known | catalogue.WITHOUT_A_KIT == builtin
    assert not known & catalogue.WITHOUT_A_KIT


@pytest.mark.parametrize("subject", list(subjects.from_examples(load())), ids=lambda s: s.source)
def test_every_example_yields_right_and_wrong_answers(subject: Subject) -> None:
    made = catalogue.probes(subject)
    responses = [(probe.response, repr(probe.ground_truth), probe.profile) for probe in made]
    assert len(set(responses)) == len(responses)
    assert {probe.demand for probe in made} == {Demand.ACCEPT, Demand.REJECT}
    assert all(probe.name.count(".") == 1 for probe in made)
    json.dumps([probe.fields() for probe in made])


def test_the_handlers_examples_have_no_violation() -> None:
    report = audited(list(subjects.from_examples(load())), Direct(load()))
    assert {source.handler for source in report.sources.values()} == set(load().handlers)
    assert report.judged > 10_000
    assert shown(report) == []


@pytest.mark.skipif(not DATA.exists(), reason="../shared/data is not here")
def test_the_ground_truths_of_real_data_sets_have_no_violation() -> None:
    """A few rows of each; `reward-service audit` on the whole of `python -m tests.audit_data` takes minutes."""
    lines = enumerate((json.dumps(row).encode() for row in audit_data.rows([])), 1)
    found = [subjects.from_line(number, line, load()) for number, line in lines]
    rows = subjects.drawn([one for one in found if isinstance(one, Subject)], 4, seed=3)
    report = audited(rows, Direct(load()))
    assert len(report.sources) > 20
    assert shown(report) == []


def shown(report: Report) -> list[tuple[str, str, str, str]]:
    return [
        (key.source, key.name, found.smallest.problem, found.smallest.probe.response[-200:])
        for key, found in report.violations.items()
    ]


# A verifier that is broken in one way is found out


def broken(change: Callable[[Item], Outcome | None]) -> Registry:
    """A registry with one handler: the last word in `<answer>` is the ground truth, but for what `change` says."""
    made = Registry()

    @handler("words", version="1", domain=Domain.LOGIC, sources=[Source("words", "a word", Example("<answer>owl</answer>", "owl"))], into=made)  # fmt: skip
    def plan(item: Item) -> Outcome:
        """The word in the last `<answer>` is the ground truth."""
        if not isinstance(item.ground_truth, str):
            return malformed("the ground truth is a word")
        changed = change(item)
        if changed is not None:
            return changed
        final = item.response.rpartition("</think>")[2]
        answer = final.rpartition("<answer>")[2].partition("</answer>")
        if not answer[1] or final.lstrip().startswith("<think>"):
            return reject(Reason.NO_ANSWER)
        return (
            accept(answer[0])
            if answer[0].strip() == item.ground_truth
            else reject(Reason.NOT_EQUAL, answer[0])
        )

    return made


def words(gold: Any, registry: Registry) -> Subject:
    found = subjects.from_line(7, json.dumps({"data_source": "words", "ground_truth": gold, "prompt": "Which bird?"}).encode(), registry)  # fmt: skip
    assert isinstance(found, Subject)
    return found


def names(report: Report) -> set[str]:
    return {key.name for key in report.violations}


def test_a_plug_in_without_a_flaw_has_no_violation() -> None:
    registry = broken(lambda _: None)
    report = audited([words("beaver", registry), words("crow", registry)], Direct(registry))
    assert not report.violations
    assert report.sources["words"].rows == 2
    assert report.sources["words"].probes[Demand.ACCEPT] >= 10
    assert report.sources["words"].probes[Demand.INVARIANT] > 0


FLAWS: list[tuple[str, Callable[[Item], Outcome | None], set[str]]] = [
    ("pays the empty response", lambda item: accept("") if not item.response.strip() else None, {"nothing.empty"}),
    ("pays a refusal", lambda item: accept("") if "sorry" in item.response else None, {"nothing.refusal"}),
    ("looks into the thinking", lambda item: accept("") if item.ground_truth in item.response.partition("</think>")[0] and "<think>" in item.response else None, {"thinking.only_in_thinking", "thinking.thinking_then_refusal", "thinking.thinking_open"}),
    ("takes the ground truth anywhere", lambda item: accept("") if item.ground_truth in item.response else None, {"order.right_then_wrong", "miss.more"}),
    ("refuses thinking", lambda item: reject() if "<think>" in item.response else None, {"around.thinking_before"}),
    ("refuses an end token", lambda item: reject() if "<|im_end|>" in item.response else None, {"around.end_of_turn"}),
    ("pays the prompt", lambda item: accept("") if item.response == "Which bird?" else None, {"echo.prompt"}),
    ("is talked into it", lambda item: accept("") if "Disregard" in item.response else None, {"talk.command", "talk.command_tagged"}),
    ("blames the row", lambda item: malformed("it is long") if len(item.response) > 90 else None, {"invariant.error"}),
]  # fmt: skip


@pytest.mark.parametrize(("flaw", "expected"), [(flaw, expected) for _, flaw, expected in FLAWS], ids=[f[0] for f in FLAWS])  # fmt: skip
def test_a_flaw_is_found(flaw: Callable[[Item], Outcome | None], expected: set[str]) -> None:
    registry = broken(flaw)
    report = audited([words("beaver", registry)], Direct(registry))
    assert expected <= names(report)


def test_the_smallest_example_is_kept() -> None:
    registry = broken(lambda item: accept("") if "sorry" in item.response else None)
    report = audited([words("a long ground truth", registry), words("owl", registry), words("beaver", registry)], Direct(registry))  # fmt: skip
    (found,) = [found for key, found in report.violations.items() if key.name == "nothing.refusal"]
    assert found.count == 3
    assert found.smallest.probe.subject.ground_truth == "owl"
    assert found.smallest.problem == "score 1, equal"


def test_verdicts_that_change_are_found() -> None:
    """Every second call says otherwise of a wrong answer, whoever is beside it."""
    registry = broken(lambda _: None)

    def flips(outcome: Outcome, call: int) -> Outcome:
        return replace(outcome, reason=Reason.NO_ANSWER) if call % 2 and not outcome.correct else outcome

    report = audited([words("beaver", registry)], Direct(registry, flips))
    assert names(report) == {"invariant.determinism"}


class FirstDiffers(Direct):
    """Says otherwise of the first item of each call that has several."""

    async def score(self, items: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
        results = list(await super().score(items))
        if len(results) > 1:
            results[0] = {**results[0], "flags": ["first"]}
        return results


def test_neighbours_that_decide_are_found() -> None:
    registry = broken(lambda _: None)
    report = audited([words("beaver", registry)], FirstDiffers(registry))
    assert names(report) == {"invariant.neighbours"}


def test_scores_out_of_range_and_contradictions_are_found() -> None:
    registry = broken(lambda _: None)
    wild = audited([words("beaver", registry)], Direct(registry, lambda o, _: replace(o, score=1.5)))
    assert names(wild) == {"invariant.range"}
    wild = audited(
        [words("beaver", registry)], Direct(registry, lambda o, _: replace(o, correct=not o.correct))
    )
    assert names(wild) == {"invariant.correct"}


def test_what_is_not_judged_is_no_violation_and_a_malformed_row_is_no_use() -> None:
    registry = broken(lambda _: None)

    def gone(outcome: Outcome, _: int) -> Outcome:
        return replace(outcome, status="error", score=None, correct=None, reason=Reason.SANDBOX_UNAVAILABLE)

    report = audited([words("beaver", registry)], Direct(registry, gone))
    assert (report.judged, dict(report.violations)) == (0, {})
    assert report.sources["words"].not_judged["sandbox_unavailable"] > 40
    report = audited([words(3, registry)], Direct(registry))
    assert (report.sources["words"].unusable, dict(report.violations)) == ([7], {})


# What handlers offer


def test_hooks_are_put_and_held_against_the_handler() -> None:
    def right(gold: Any, extra: Mapping[str, Any]) -> Iterator[str]:
        yield f"<answer>{gold}</answer>"
        yield f"It is {gold}."

    def wrong(gold: Any, extra: Mapping[str, Any]) -> list[str]:
        return [f"<answer>{gold}{gold}</answer>", f"Not so: <answer>{gold}</answer>"]

    registry = broken(lambda _: None)
    subject = replace(words("owl", registry), hooks=Hooks(right, wrong), template=None)
    report = audited([subject], Direct(registry))
    assert names(report) == {"own.dress_2", "own.miss_2"}


@pytest.mark.parametrize(
    ("response", "gold", "expected"),
    [
        ("It is <answer>odd</answer>", "odd", f"It is <answer>{learned.SLOT}</answer>"),
        ("odd or even? <answer>odd</answer>", "odd", f"… or even? <answer>{learned.SLOT}</answer>"),
        ("<answer>[1, 2]</answer>", [1, 2], f"<answer>{learned.SLOT}</answer>"),
        ("12", 12, learned.SLOT),
        ("A grid", {"clues": 3}, None),
        ("It is odd, as was to be shown by the long argument above.", "odd", None),
    ],
)
def test_a_template_is_learnt_from_an_example(response: str, gold: Any, expected: str | None) -> None:
    assert learned.template(Example(response, gold)) == expected


# The parts


@pytest.mark.parametrize(
    ("text", "expected"),
    [("12", "12"), ("-1,234.50", "-1234.50"), (0.25, "0.25"), ("−3", "-3"), ("1e5", None), ("12%", None), (True, None), ("1,23", None), ("", None)],
)  # fmt: skip
def test_numbers(text: Any, expected: str | None) -> None:
    value = numbers.number(text)
    assert (None if value is None else numbers.written(value)) == expected


@pytest.mark.parametrize("text", ["0", "1", "12", "-7", "0.25", "1000.5", "998"])
def test_other_numbers_are_other_numbers(text: str) -> None:
    value = numbers.number(text)
    assert value is not None
    assert all(numbers.number(other) not in (value, None) for _, other in numbers.other_numbers(value))
    assert all(
        numbers.number(same.replace("\\text{", "").replace("{,}", ",").rstrip("}").strip()) == value
        for _, same in numbers.same_number(value)
    )


TABLES = [
    "| a | b |\n|---|---|\n| 1 | x |\n| 2 | y |",
    'a,b\n"1,5",x\n2,y',
    "a\tb\n1\tx",
    '[{"a": "1", "b": "x"}]',
]


@pytest.mark.parametrize("text", TABLES)
def test_tables_survive_being_written_again(text: str) -> None:
    read = kits_tables.read_table(text)
    assert read is not None
    assert kits_tables.read_table(kits_tables.write_table(*read)) == read


@pytest.mark.parametrize(
    ("gold", "extra", "expected"),
    [
        ('{"functional": "def check(candidate):\\n    assert candidate(1) == 2\\n\\ncheck(add)"}', {}, cheats.Entry("add")),
        ('{"functional": "def check(candidate): …\\n\\ncheck(Solution().twice)"}', {}, cheats.Entry("twice", "Solution")),
        ({"test_list": ["assert add(1, 2) == 3"]}, {}, cheats.Entry("add")),
        ({"fn_name": "add", "inputs": [[1]], "outputs": [2]}, {}, cheats.Entry("add")),
        ({"inputs": ["1"], "outputs": ["2"]}, {}, cheats.Entry("")),
        ([{"input": "1", "output": "2", "testtype": "stdin"}], {}, cheats.Entry("")),
        ({"test": "def check(candidate): …", "entry_point": "add"}, {}, cheats.Entry("add")),
        ("no tests", {}, None),
    ],
)  # fmt: skip
def test_what_the_tests_call(gold: Any, extra: dict[str, Any], expected: cheats.Entry | None) -> None:
    assert cheats.entry_of(row("codegen__x", gold, extra_info=extra)) == expected


@pytest.mark.parametrize("entry", [cheats.Entry("f"), cheats.Entry("f", "Solution"), cheats.Entry("")])
def test_cheats_are_programs(entry: cheats.Entry) -> None:
    made = list(cheats.programs(entry))
    assert len({name for name, _ in made}) == len(made) > 10
    for name, source in made:
        compile(source, name, "exec")


def test_the_line_that_gets_it_again_says_the_same() -> None:
    response = "It's\n\t<answer>\u202e$x\\</answer>"
    subject = row("math", "12", prompt="What is it?", extra_info={"answer_format": "x"})
    line = command(Probe(subject, "a.b", Demand.ACCEPT, response))
    assert line is not None and "\n" not in line
    asked = ["bash", "-c", f"printf '%s\\0' {line}"]
    import subprocess

    spoken = subprocess.run(asked, capture_output=True, check=True).stdout.decode().split("\0")
    assert spoken[spoken.index("--response") + 1] == response
    assert spoken[spoken.index("--ground-truth") + 1] == '"12"'
    assert json.loads(spoken[spoken.index("--extra-info") + 1])["question"] == "What is it?"
    assert line.startswith("reward-service explain ")
    assert command(Probe(subject, "a.b", Demand.ACCEPT, "x" * 5_000)) is None


# Argued violations


def test_argued_violations_are_counted_apart_and_unused_entries_are_told(tmp_path: Path) -> None:
    file = tmp_path / "accepted.toml"
    file.write_text(
        '[[accepted]]\nviolation = "nothing.ref*"\ndata_source = "words"\nground_truth = "beaver"\nreason = "it is polite"\n'
        '[[accepted]]\nviolation = "talk.call"\nreason = "was there once"\n'
    )
    known = accepted.read(file)
    registry = broken(lambda item: accept("") if "sorry" in item.response else None)
    report = audited([words("beaver", registry), words("owl", registry)], Direct(registry), known)
    assert {key.name: count for key, count in report.argued.items()} == {"nothing.refusal": 1}
    assert [found.count for key, found in report.violations.items() if key.name == "nothing.refusal"] == [1]
    assert [entry.violation for entry in known.unused()] == ["talk.call"]


@pytest.mark.parametrize(
    "text",
    [
        "accepted = 3",
        "[[accepted]]\nviolation = 'a.b'",
        "[[accepted]]\nviolation = 'a.b'\nreason = ''",
        "[[accepted]]\nviolation = 'a.b'\nreason = 'long enough'\nwhy = 'x'",
        "not toml",
        "other = 1",
    ],
)
def test_a_file_of_argued_violations_needs_reasons(text: str, tmp_path: Path) -> None:
    file = tmp_path / "accepted.toml"
    file.write_text(text)
    with pytest.raises(accepted.BadAccepted):
        accepted.read(file)


# Rows


def test_rows_of_trainers_are_read() -> None:
    line = {
        "data_source": "codegen__x",
        "prompt": [{"role": "user", "content": "Add."}],
        "reward_model": json.dumps({"ground_truth": "{}"}),
        "extra_info": json.dumps({"canonical_solution": "def add(a, b):\n    return a + b"}),
        "response": "ignored",
    }
    found = subjects.from_line(3, json.dumps(line).encode(), load())
    assert isinstance(found, Subject)
    assert (found.question, found.ground_truth, found.number) == ("Add.", "{}", 3)
    assert found.reference is not None and "return a + b" in found.reference
    assert isinstance(subjects.from_line(1, b'{"ground_truth": 1}', load()), str)
    assert isinstance(subjects.from_line(1, b'{"data_source": "zzqq", "ground_truth": 1}', load()), str)
    assert isinstance(subjects.from_line(1, b"[1]", load()), str)


def test_rows_are_drawn_by_the_seed_and_audited_once() -> None:
    many = [replace(row("math", str(number)), number=number) for number in range(50)]
    assert len(list(subjects.once([*many, *many]))) == 50
    first, second = subjects.drawn(many, 5, 1), subjects.drawn(many, 5, 1)
    assert [s.number for s in first] == [s.number for s in second]
    assert len(first) == 5
    assert [s.number for s in first] != [s.number for s in subjects.drawn(many, 5, 2)]
