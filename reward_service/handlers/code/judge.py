"""Code: the response's program passes the row's tests.

What is decided here: what is run, and when it is enough.
- The program is chosen by one rule (`_program.py`), the tests are read as data (`gold.py`).
- Expected values stay here. Inputs and arguments go to the sandbox, outputs and values come back and are compared in
  this process (`_compare_output.py`, `_values.plain_equal`). Test code runs in the sandbox's trusted tester process.
- Tests go out in waves of 1, 4, 16, … and end with the first that fails; `extra_info.scoring: "fraction"` runs all of
  them and scores the share that passed. `detail` always has the share so far.
- Returned values: exact, but an expected float allows 1e-6 (`extra_info.float_tolerance`), a tuple is a list, keys of
  expected objects are text as in JSON, and `wrapped` outputs (see `gold.py`) are read the same way in all tests.
- Which names the program has to define, and where all others come from, is decided in `tests_source.py`.
guru: the blocks of the response are joined, as published; yes and no in any letter case.
"""

from __future__ import annotations

import ast
import hashlib
import random
import re
from collections.abc import Mapping, Sequence
from typing import Any

from reward_service import narrate
from reward_service.handlers._compare_output import CHECKERS
from reward_service.handlers._program import Program as Chosen
from reward_service.handlers._program import canonical, extract, parse, undefined
from reward_service.handlers._values import (
    Decoder,
    Opaque,
    ValueRefused,
    as_json,
    encode,
    plain_equal,
)
from reward_service.handlers._values import parse as parse_value
from reward_service.handlers.code import tests_source
from reward_service.handlers.code.gold import BadGold, Calls, Script, Stdio, read
from reward_service.handlers.code.sources import READS, SOURCES
from reward_service.registry import handler
from reward_service.runs import Program, Run, RunLimits, RunResult, RunStatus, Style, Work
from reward_service.types import (
    Domain,
    Item,
    Limits,
    Outcome,
    Profile,
    Reason,
    malformed,
    reject,
    scored,
)

MAX_WAVE = 256
TOLERANCE = 1e-6
REASONS = {
    RunStatus.TESTS_FAILED: Reason.TESTS_FAILED,
    RunStatus.COMPILE_ERROR: Reason.COMPILE_ERROR,
    RunStatus.RUNTIME_ERROR: Reason.RUNTIME_ERROR,
    RunStatus.TIME_LIMIT: Reason.TIME_LIMIT,
    RunStatus.MEMORY_LIMIT: Reason.MEMORY_LIMIT,
    RunStatus.OUTPUT_LIMIT: Reason.OUTPUT_LIMIT,
}
BAD_ROW = ("missing_helper", "malformed_tests", "tests_call_nothing")
"""Flags of the tester that accuse the row, not the response."""


def judge(item: Item, notes: Any, results: Sequence[RunResult]) -> Outcome | Work:
    """Decide on the results of a wave, or ask for the next one."""
    if notes["kind"] == "tests":
        return _judge_tests(item, notes, results[0])
    return _judge_wave(item, notes, results)


@handler(
    "code",
    version="1",
    domain=Domain.CODE,
    sources=SOURCES,
    reads=READS,
    limits=Limits(cpu_seconds=10.0, wall_seconds=60.0, memory_bytes=1 << 30),
    judge=judge,
)
def plan(item: Item) -> Outcome | Work:
    """The last program in the response that defines what the tests call passes all tests, run in a sandbox."""
    extra = item.extra_info
    try:
        gold = read(item.ground_truth, extra)
    except BadGold as error:
        return malformed(str(error))
    scoring = extra.get("scoring", "binary")
    if scoring not in ("binary", "fraction"):
        return malformed('extra_info.scoring is "binary" or "fraction"')
    if extra.get("checker") not in (None, *CHECKERS):
        return malformed(f"extra_info.checker is one of {', '.join(sorted(CHECKERS))}")
    language = None
    if isinstance(extra.get("language"), str):
        language = canonical(extra["language"])
        if language is None:
            return malformed("extra_info.language is a language that no sandbox here runs")
    if isinstance(gold, Stdio):
        chosen = _choose(item, language, ())
        return _plan_stdio(item, gold, chosen) if chosen else _no_program(item)
    if language not in (None, "python"):
        return malformed("tests that call functions are Python's")
    if isinstance(gold, Calls):
        chosen = _choose(item, "python", (gold.name,)) or None
        if chosen is not None and not chosen.fits:
            chosen = _choose(item, "python", (f"Solution.{gold.name}",))
        return _plan_calls(item, gold, chosen) if chosen else _no_program(item)
    return _plan_tests(item, gold)


def _choose(item: Item, language: str | None, names: tuple[str, ...]) -> Chosen | None:
    if item.profile is Profile.GURU:
        chosen = _published(item.response, language)
        rule = "all blocks with a language after </think>, joined (the published rule)"
    else:
        chosen = extract(item.response, language, names)
        rule = "the last fenced program that defines what the tests need"
    if chosen is not None:
        narrate.found_text(rule, chosen.source)
    return chosen


_PUBLISHED_OPENING = re.compile(r"```(\w+)\n")


def _published(response: str, language: str | None) -> Chosen | None:
    """Reasoning360's rule: all blocks with a language after the first `</think>`, joined."""
    _, closed, rest = response.partition("</think>")
    text = (rest if closed else response)[-(1 << 18) :]
    tags: list[str] = []
    bodies: list[str] = []
    at = 0
    while opening := _PUBLISHED_OPENING.search(text, at):
        end = text.find("\n```", opening.end())
        if end < 0:
            break
        tags.append(opening.group(1))
        bodies.append(text[opening.end() : end])
        at = end + 4
    if not bodies:
        return None
    return Chosen("\n".join(bodies), language or canonical(tags[-1]) or "python", True)


def _no_program(item: Item) -> Outcome:
    narrate.missing("no complete fenced block (```…```) of the asked language that holds a program")
    return reject(Reason.NO_ANSWER, message="no complete fenced block of the asked language")


def _limits(extra: Mapping[str, Any], runs: int = 1) -> RunLimits:
    """What the row's program may use: `time_limit` CPU seconds a test, and half of that on average over all of them."""
    seconds, memory = extra.get("time_limit"), extra.get("memory_limit_mb")
    limits: dict[str, Any] = {}
    if isinstance(seconds, int | float) and not isinstance(seconds, bool) and seconds > 0:
        limits["cpu_seconds"] = min(60.0, max(0.5, float(seconds)))
    if isinstance(memory, int | float) and not isinstance(memory, bool) and memory > 0:
        limits["memory_bytes"] = int(min(4096, max(64, memory))) << 20
    each = limits.get("cpu_seconds", RunLimits().cpu_seconds)
    limits["total_cpu_seconds"] = min(600.0, max(60.0, each * (runs + 1) / 2))
    return RunLimits(**limits)


# stdin and stdout, and calls: waves ---------------------------------------------------------------------------------


def _plan_stdio(item: Item, gold: Stdio, chosen: Chosen) -> Work:
    checker = "guru" if item.profile is Profile.GURU else "lines"
    notes = {
        "kind": "stdio",
        "checker": item.extra_info.get("checker") or checker,
        "inputs": list(gold.inputs),
        "outputs": list(gold.outputs),
        "order": list(range(len(gold.inputs))),
    }
    program = Program(
        chosen.language, chosen.source, Style.STDIO, limits=_limits(item.extra_info, len(gold.inputs))
    )
    return _first_wave(item, notes, program)


def _plan_calls(item: Item, gold: Calls, chosen: Chosen) -> Outcome | Work:
    extra = item.extra_info
    tolerance = extra.get("float_tolerance", TOLERANCE)
    if not isinstance(tolerance, int | float) or isinstance(tolerance, bool) or not 0 <= tolerance <= 1:
        return malformed("extra_info.float_tolerance is a number from 0 to 1")
    try:
        inputs = [{"a": [encode(argument) for argument in arguments]} for arguments in gold.inputs]
    except ValueRefused as error:
        return malformed(f"a test's arguments are too large: {error}")
    order = list(range(len(inputs)))
    # Which call is which test must not be known to the program; the order can't be guessed and is always the same.
    seed = hashlib.sha256(
        f"{gold.name}\0{gold.inputs!r}\0{gold.outputs!r}".encode("utf-8", "replace")
    ).digest()
    random.Random(seed).shuffle(order)  # noqa: S311
    notes = {
        "kind": "calls",
        "tolerance": float(tolerance),
        "in_place": bool(extra.get("in_place")),
        "readings": ["as it is", "in a list"] if gold.wrapped else ["as it is"],
        "inputs": inputs,
        "outputs": list(gold.outputs),
        "order": order,
    }
    program = Program(
        "python", chosen.source, Style.FUNCTION, _preamble(extra), gold.name, limits=_limits(extra, len(inputs)),
        options=_conveniences(chosen, True),
    )  # fmt: skip
    return _first_wave(item, notes, program)


def _first_wave(item: Item, notes: dict[str, Any], program: Program) -> Work:
    fraction = item.extra_info.get("scoring") == "fraction"
    notes |= {"at": 0, "wave": 1, "passed": 0, "fraction": fraction, "flags": [], "program": _plain(program)}
    return _next_wave(notes, program)


def _next_wave(notes: dict[str, Any], program: Program) -> Work:
    places = notes["order"][notes["at"] : notes["at"] + notes["wave"]]
    if notes["kind"] == "stdio":
        runs = tuple(Run(stdin=notes["inputs"][place]) for place in places)
    else:
        runs = tuple(Run(arguments=notes["inputs"][place]) for place in places)
    return Work(program, runs, notes, stop_early=not notes["fraction"])


def _judge_wave(item: Item, notes: dict[str, Any], results: Sequence[RunResult]) -> Outcome | Work:
    total = len(notes["order"])
    flags = list(notes["flags"])
    worst: Reason | None = None
    trace: dict[str, Any] = {}
    failed_at = None
    for offset, result in enumerate(results):
        place = notes["order"][notes["at"] + offset]
        flags += [flag for flag in result.flags if flag not in flags]
        if result.status is not RunStatus.OK:
            reason: Reason | None = REASONS[result.status]
        elif _right(notes, place, result):
            reason = None
        else:
            reason = Reason.TESTS_FAILED
        if narrate.listening():
            _tell(notes, place, result, reason)
        if reason is None:
            notes["passed"] += 1
            continue
        worst = worst or reason
        failed_at = place if failed_at is None else failed_at
        if item.explain and not trace:
            trace = _trace(notes, place, result)
        if not notes["fraction"]:
            break
        if reason is Reason.COMPILE_ERROR:
            break
    for place in notes["order"][notes["at"] : notes["at"] + len(results)]:
        notes["inputs"][place] = notes["outputs"][place] = (
            None  # some rows' tests are megabytes, and notes travel
        )
    notes["at"] += len(results)
    notes["flags"] = flags
    if notes.get("worst"):
        worst = Reason(notes["worst"])
        failed_at = notes["failed_at"]
        trace = notes["trace"]
    over = bool(worst) and (not notes["fraction"] or worst is Reason.COMPILE_ERROR)
    if not over and notes["at"] < total and results:
        if worst:
            notes |= {"worst": worst.value, "failed_at": failed_at, "trace": trace}
        notes["wave"] = min(MAX_WAVE, notes["wave"] * 4)
        return _next_wave(notes, _program(notes["program"]))
    detail = {"passed": notes["passed"], "tests": total, "fraction": notes["passed"] / total}
    if failed_at is not None:
        detail["failed_test"] = failed_at
    source = notes["program"]["source"]
    if notes["passed"] == total:
        return scored(1.0, Reason.TESTS_PASSED, source, flags=flags, **detail)
    score = notes["passed"] / total if notes["fraction"] else 0.0
    return scored(score, worst or Reason.TESTS_FAILED, source, flags=flags, trace=trace, **detail)


def _right(notes: dict[str, Any], place: int, result: RunResult) -> bool:
    expected = notes["outputs"][place]
    if notes["kind"] == "stdio":
        return CHECKERS[notes["checker"]](notes["inputs"][place], expected, result.stdout)
    got = _returned(notes, result)
    fitting = [
        reading
        for reading in notes["readings"]
        if _equal(expected if reading == "as it is" else expected[0], got, notes["tolerance"])
    ]
    if fitting:
        notes["readings"] = fitting  # the outputs of one row are all meant the same way
    return bool(fitting)


def _returned(notes: dict[str, Any], result: RunResult) -> Any:
    try:
        frame = parse_value(result.value or "")
        if type(frame) is not dict:
            return Opaque(0, "malformed")
        decoder = Decoder(frame.get("o"))
        got = decoder.decode(frame.get("v"))
        if got is None and notes["in_place"] and type(frame.get("m")) is list and frame["m"]:
            return decoder.decode(frame["m"][0])
        return got
    except ValueRefused:
        return Opaque(0, "refused")


def _equal(expected: Any, got: Any, tolerance: float) -> bool:
    return plain_equal(expected, got, tolerance) or (
        _has_object(expected) and plain_equal(expected, as_json(got), tolerance)
    )


def _has_object(value: Any) -> bool:
    pending = [value]
    while pending:
        top = pending.pop()
        if isinstance(top, dict):
            return True
        if isinstance(top, list):
            pending.extend(top)
    return False


SHOWN_PASSED = 8
"""Tests that passed and are told of all the same."""


def _tell(notes: dict[str, Any], place: int, result: RunResult, reason: Reason | None) -> None:
    """One test, for whoever asks why."""
    if reason is None and notes["passed"] >= SHOWN_PASSED:
        return
    given, expected, got = notes["inputs"][place], notes["outputs"][place], result.stdout or "(nothing)"
    if notes["kind"] == "calls":
        given, expected = _arguments(given), repr(expected)
        got = repr(_returned(notes, result)) if result.status is RunStatus.OK else ""
    narrate.check(
        f"test {place + 1}", reason is None, status=result.status.value, input=given, expected=expected or "(nothing)",
        got=got, message=result.message, stderr=result.stderr, cpu_seconds=f"{result.cpu_seconds:.3f}",
    )  # fmt: skip


def _arguments(given: Any) -> str:
    try:
        return ", ".join(repr(Decoder().decode(value)) for value in given["a"])
    except ValueRefused:
        return "arguments that are too large to show"


def _trace(notes: dict[str, Any], place: int, result: RunResult) -> dict[str, Any]:
    return {
        "test": place,
        "input": notes["inputs"][place],
        "expected": notes["outputs"][place],
        "stdout": result.stdout[-2_000:],
        "value": (result.value or "")[:2_000],
        "message": result.message,
        "stderr": result.stderr,
    }


# Test code ----------------------------------------------------------------------------------------------------------


def _plan_tests(item: Item, gold: Script) -> Outcome | Work:
    extra = item.extra_info
    preamble = _preamble(extra)
    needs = tests_source.analyse(gold.source, preamble, extra, gold.entry_point)
    if needs is None:
        return malformed("the test code does not parse")
    chosen = _choose(item, "python", needs.roots)
    if chosen is None:
        return _no_program(item)
    options: dict[str, Any] = _conveniences(
        chosen, "Solution" in {root.partition(".")[0] for root in needs.roots}
    )
    if needs.helpers:
        options["helpers"] = sorted(tests_source.defined(needs.helpers))
    if extra.get("in_place"):
        options["in_place"] = True
    fraction = extra.get("scoring") == "fraction"
    if fraction:
        options["every_assert"] = True
    program = Program(
        "python", chosen.source, Style.ASSERT, preamble, needs.entry_point,
        "\n\n".join(part for part in (needs.helpers, gold.source) if part), gold.framework,
        limits=_limits(extra), options=options,
    )  # fmt: skip
    notes = {"kind": "tests", "source": chosen.source, "fraction": fraction, "total": 0}
    if item.explain:
        notes |= {"tests": program.tests, "framework": program.framework}
    return Work(program, (Run(),), notes)


def _judge_tests(item: Item, notes: dict[str, Any], result: RunResult) -> Outcome:
    bad = next((flag for flag in result.flags if flag in BAD_ROW), None)
    if bad is not None:
        return malformed(f"the row's tests can't be used ({bad}): {result.message[:200]}")
    passed, tests = _counts(result)
    share = passed / tests if tests else float(result.status is RunStatus.OK)
    trace = {"message": result.message, "stderr": result.stderr} if item.explain else {}
    if narrate.listening():
        _tell_tests(notes, result, passed, tests)
    detail: dict[str, Any] = {"passed": passed, "tests": tests, "fraction": share}
    if result.status is RunStatus.OK:
        return scored(1.0, Reason.TESTS_PASSED, notes["source"], flags=result.flags, trace=trace, **detail)
    if result.message and result.status in (RunStatus.COMPILE_ERROR, RunStatus.TESTS_FAILED):
        detail["message"] = result.message[:500]
    score = share if notes["fraction"] and result.status is RunStatus.TESTS_FAILED and share < 1 else 0.0
    return scored(score, REASONS[result.status], notes["source"], flags=result.flags, trace=trace, **detail)


_LINE = re.compile(r"\(line (\d+) of the tests\)")


def _tell_tests(notes: Mapping[str, Any], result: RunResult, passed: int, tests: int) -> None:
    """What the test code came to, for whoever asks why: the assertion that failed, split at its `==`."""
    told: dict[str, str] = {}
    source = notes.get("tests", "")
    if not notes["fraction"] and notes.get("framework") in (
        "script",
        "check",
    ):  # they end with the first failure
        told["got"] = _got(result)
    line = _LINE.search(result.message)
    at = int(line.group(1)) if line is not None else 0
    for node in ast.walk(parse(source) or ast.Module([], [])) if at else ():
        if isinstance(node, ast.Assert) and node.lineno <= at <= (node.end_lineno or 0):
            told["input"] = ast.unparse(node.test)
            if isinstance(node.test, ast.Compare) and isinstance(node.test.ops[0], ast.Eq):
                told["input"] = ast.unparse(node.test.left)
                told["expected"] = ast.unparse(node.test.comparators[0])
    name = f"the tests ({passed} of {tests} passed)" if tests else "the tests"
    narrate.check(
        name, result.status is RunStatus.OK, status=result.status.value, message=result.message,
        stderr=result.stderr, cpu_seconds=f"{result.cpu_seconds:.3f}", **told,
    )  # fmt: skip


def _got(result: RunResult) -> str:
    """The value that came back last before a test failed; "" if it isn't known."""
    try:
        frame = parse_value(result.value or "")
        got = frame.get("got") if type(frame) is dict else None
        return repr(Decoder().decode(parse_value(got))) if isinstance(got, str) else ""
    except ValueRefused:
        return ""


def _counts(result: RunResult) -> tuple[int, int]:
    """How many tests passed, and of how many: the tester's counts, which come as JSON in `value`."""
    try:
        counts = parse_value(result.value or "")
    except ValueRefused:
        return 0, 0
    passed, failed = (counts.get(name) if type(counts) is dict else None for name in ("passed", "failed"))
    if not isinstance(passed, int) or not isinstance(failed, int) or passed < 0 or failed < 0:
        return 0, 0
    return passed, passed + failed


# Programs as notes --------------------------------------------------------------------------------------------------


def _preamble(extra: Mapping[str, Any]) -> str:
    prefix = extra.get("prefix")
    given = (tests_source.with_bodies(prefix) or prefix) if isinstance(prefix, str) else ""
    parts = [tests_source.imports(extra), given]
    return "\n".join(part for part in parts if part.strip())


def _conveniences(chosen: Chosen, granted: bool) -> dict[str, Any]:
    """Names that LeetCode, APPS and LiveCodeBench have imported for every solution, as far as this one uses them."""
    tree = parse(chosen.source) if granted else None
    found = tests_source.conveniences(sorted(undefined(tree))) if tree is not None else {}
    return {"imports": found} if found else {}


def _plain(program: Program) -> dict[str, Any]:
    limits = program.limits
    return {
        "language": program.language,
        "source": program.source,
        "style": program.style.value,
        "preamble": program.preamble,
        "entry_point": program.entry_point,
        "options": dict(program.options),
        "cpu_seconds": limits.cpu_seconds,
        "total_cpu_seconds": limits.total_cpu_seconds,
        "memory_bytes": limits.memory_bytes,
    }


def _program(plain: dict[str, Any]) -> Program:
    limits = RunLimits(
        cpu_seconds=plain["cpu_seconds"],
        total_cpu_seconds=plain["total_cpu_seconds"],
        memory_bytes=plain["memory_bytes"],
    )
    return Program(
        plain["language"], plain["source"], Style(plain["style"]), plain["preamble"], plain["entry_point"],
        limits=limits, options=plain["options"],
    )  # fmt: skip
