"""The trusted process that runs a task's tests against a policy's program in another process.

What is decided here: the verdict on assert-style tests, and where each name that the tests use comes from. In this
order: what the tests define themselves (the host has put helpers of the task in front of them); Python's built-ins; the
task's preamble; well-known modules and their names; and only then the program under test, whose names are stand-ins
(`remote.py`). So a program can't replace `abs`, a helper of the tests, or the test runner. A name that nothing trusted
defines, although only the entry point is the program's to define, is reported (`missing_helper`): such a row can't be
judged.

`program.framework`: `script` runs the tests as `python tests.py` would, and then whatever unittest or pytest-style
tests they define but didn't run; `check` calls `check(entry_point)` after that; `pytest` and `unittest` collect and
run (`testing.py`), and pass if at least one test passed and none failed, broke, was skipped or expected to fail.
Calls that a `check` of plain asserts is going to make are sent ahead in waves.
"""

from __future__ import annotations

import ast
import builtins
import copy
import importlib
import random
import socket
import sys
import types
import unittest
from typing import Any

import testing
import values
from frames import Broken, Channel
from pytest_names import runner_modules
from reading import SOLUTION_MODULES, Asserts, Names, agreeing, announce, evaluate, every_assert
from remote import CandidateError, Gone, Handle, Link, Unverifiable

TESTS = "tests.py"
WELL_KNOWN = {"np": "numpy", "pd": "pandas", "nx": "networkx", "sp": "sympy", "plt": "matplotlib.pyplot"}
NAMES_IN = {
    "typing": "List Dict Set Tuple Optional Union Any Callable Iterable Iterator Sequence Generator Deque",
    "collections": "deque defaultdict Counter OrderedDict namedtuple",
    "functools": "lru_cache cache reduce partial cmp_to_key wraps",
    "itertools": "accumulate combinations permutations product chain groupby islice count zip_longest pairwise",
    "heapq": "heappush heappop heapify heappushpop heapreplace nlargest nsmallest",
    "bisect": "bisect_left bisect_right insort insort_left insort_right",
    "math": "sqrt ceil floor gcd inf pi log log2 comb factorial isqrt isclose",
    "string": "ascii_lowercase ascii_uppercase ascii_letters digits",
    "unittest.mock": "patch Mock MagicMock",
    "copy": "deepcopy",
    "fractions": "Fraction",
    "decimal": "Decimal",
}
"""Names that tests use without importing them, as they could when test and solution were one script."""
ORIGIN = {name: module for module, names in NAMES_IN.items() for name in names.split()}
RUNNERS = ("pytest", "_pytest")
FAILED = "an assertion failed"
GOT = 1_000
"""Characters of a value that is told with a failed test."""


class Verdict(Exception):
    """The tests are decided before they have run to their end."""

    def __init__(self, status: str, message: str, *flags: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.flags = flags


def run(connection: socket.socket, verdict: socket.socket, program: dict[str, Any]) -> None:
    """Run the tests of `program` and write one verdict frame. Never raises for anything the program does."""
    sys.setrecursionlimit(20_000)  # the task's own helpers recurse over long lists
    # Tests that draw at random draw the same each time, and what the program can't guess.
    random.seed(program["tests"])
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(random.getrandbits(32))
    result = judge(Channel(connection), program)
    Channel(verdict).send(result)


def judge(channel: Channel, program: dict[str, Any]) -> dict[str, Any]:
    """The verdict: {"status", "message", "flags", "passed", "failed"}; after a failed test, what came back last as "got"."""
    link: Link | None = None
    passed = failed = 0
    try:
        suite = Suite(channel, program)
        link = suite.link
        passed, failed, problem = suite.run()
        status, message = ("ok", "") if not failed and not problem else ("tests_failed", problem)
        if suite.exited:
            status, message = "tests_failed", "the tests ended with an exit code"
        if status == "ok" and not link.uses:
            raise Verdict("runtime_error", "the tests call nothing of the program's", "tests_call_nothing")
    except Verdict as known:
        return {
            "status": known.status, "message": known.message, "flags": list(known.flags), "passed": passed,
            "failed": failed,
        }  # fmt: skip
    except Gone as gone:
        status, message = "runtime_error", str(gone)
    except MemoryError:
        status, message = "runtime_error", "the tests ran out of memory"
    except RecursionError:
        status, message = "tests_failed", "the tests nested too deeply"
    flags: list[str] = []
    if link is not None:
        flags = sorted(link.flags)
        if link.gone:
            status, message = "runtime_error", link.gone
            if "protocol_violation" not in link.flags:
                flags.append("exit_before_tests")
        elif "unverifiable_eq" in link.flags and status == "ok":
            status, message = "tests_failed", "a test lets the program decide whether two things are equal"
    verdict = {
        "status": status,
        "message": message[:2_000],
        "flags": flags,
        "passed": passed,
        "failed": failed,
    }
    if link is not None and link.last is not ... and message.startswith(FAILED):
        got = values.dumps(link.last)
        if len(got) <= GOT:
            verdict["got"] = got
    return verdict


class Suite:
    """One program's tests, with their names resolved."""

    def __init__(self, channel: Channel, program: dict[str, Any]) -> None:
        self._program = program
        self._options = program.get("options") or {}
        self.exited = False
        self._ran_main = False
        try:
            tree = ast.parse(program["tests"])
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            raise Verdict(
                "runtime_error", f"the tests don't parse: {type(error).__name__}", "malformed_tests"
            ) from None
        self._tree = tree
        self._entries = [part.strip() for part in program.get("entry_point", "").split(",") if part.strip()]
        roots = {entry.partition(".")[0].partition("(")[0] for entry in self._entries}
        self.module = types.ModuleType(
            "__main__" if program["framework"] in ("script", "check") else "test_solution"
        )
        self.module.__file__ = TESTS
        sys.modules[self.module.__name__] = self.module
        sys.argv = [TESTS]
        names = self.module.__dict__
        sys.modules.update(runner_modules())
        self._trust(program.get("preamble", ""), names, "the preamble")
        # Classes of the preamble travel by value, wherever they are used.
        task_classes = {
            name: value
            for name, value in names.items()
            if isinstance(value, type) and value.__module__ == self.module.__name__ and name not in roots
        }
        self.link = Link(channel, task_classes, bool(self._options.get("in_place")))
        used = Names(tree)
        self._known = self._wait()
        self._bind(names, used, roots)

    def _trust(self, source: str, names: dict[str, Any], what: str) -> None:
        try:
            exec(compile(source, "preamble.py", "exec", dont_inherit=True), names)
        except Exception as error:
            raise Verdict(
                "runtime_error", f"{what} fails: {type(error).__name__}", "malformed_tests"
            ) from None

    def _wait(self) -> dict[str, str]:
        """The names that the program defines. Verdict if it doesn't load."""
        try:
            text = self.link._channel.receive_text()
            frame = values.parse(text) if text is not None else None
        except (Broken, values.ValueRefused):
            frame = None
        if type(frame) is not dict:
            raise Verdict("runtime_error", "the program ended while it was loaded", "exit_before_tests")
        if frame.get("failed") in ("compile_error", "runtime_error"):
            raise Verdict(frame["failed"], str(frame.get("message", ""))[:2_000])
        names = frame.get("names")
        if type(names) is not dict:
            raise Verdict("runtime_error", "the program broke the protocol", "protocol_violation")
        return {name: kind for name, kind in names.items() if type(kind) is str}

    def _bind(self, names: dict[str, Any], used: Names, roots: set[str]) -> None:
        solution = types.ModuleType("solution")
        self._solution = solution
        for alias in SOLUTION_MODULES:
            sys.modules[alias] = solution
        wanted = roots | used.from_solution
        for name in wanted:
            self._stand_in(name, solution.__dict__, required=name in roots)
        for name in roots:
            names[name] = solution.__dict__[name]
        exported = set(solution.__dict__)
        for name in used.attributes:
            if name not in solution.__dict__:
                self._stand_in(name, solution.__dict__)
        missing = [
            name
            for name in used.free
            if name not in names and not hasattr(builtins, name) and name not in solution.__dict__
        ]
        if missing:
            self._help(missing, names)
        still = [name for name in missing if name not in names]
        for name in still:
            if roots and not used.star and not self._options.get("open_names"):
                raise Verdict("runtime_error", f"nothing trusted defines {name}", "missing_helper")
            if name in self._known:
                self._stand_in(name, solution.__dict__)
                names[name] = solution.__dict__[name]
            elif not roots and not used.star:
                raise Verdict("compile_error", f"the program does not define {name!r}")
        # What `from solution import *` brings: nothing that could take the place of a trusted name.
        exported.update(name for name in still if name in solution.__dict__)
        solution.__all__ = sorted(name for name in exported if not name.startswith("__"))  # type: ignore[attr-defined]

    def _stand_in(self, name: str, into: dict[str, Any], required: bool = False) -> None:
        kind = self._known.get(name, "")
        if not kind and self._known.get("Solution") == "c" and required:
            kind = "f"  # a method of the only class; the program's process finds it
        if not kind:
            if required:
                raise Verdict("compile_error", f"the program does not define {name!r}")
            return
        if kind.startswith("e"):
            into[name] = self.link.exception_class(name, kind[1:])
        elif kind == "v":
            into[name] = self.link.operate("value", {"p": name})
        else:
            into[name] = Handle(self.link, {"p": name})

    def _help(self, missing: list[str], names: dict[str, Any]) -> None:
        for name in missing:
            if name in names:
                continue
            module = WELL_KNOWN.get(name, name)
            try:
                if name in WELL_KNOWN or name in sys.stdlib_module_names or name in RUNNERS:
                    names[name] = importlib.import_module(module)
                elif name in ORIGIN:
                    names[name] = getattr(importlib.import_module(ORIGIN[name]), name)
            except ImportError:
                continue

    # Running ------------------------------------------------------------------------------------------------

    def run(self) -> tuple[int, int, str]:
        """How many tests passed and failed, and what went wrong."""
        framework = self._program["framework"]
        names = self.module.__dict__
        unittest.main = self._unittest_main  # type: ignore[assignment,misc]
        if framework in ("script", "check"):
            return self._script(names, framework)
        self.module.__dict__["__name__"] = "test_solution"
        if framework == "pytest" and testing.beyond_us(self._tree):
            found = testing.run_pytest(self._program["tests"], self.link)
            if found is not None:
                return found
        try:
            exec(compile(self._tree, TESTS, "exec", dont_inherit=True), names)
        except (Gone, Verdict):
            raise
        except BaseException as error:
            return 0, 1, f"the tests don't import: {describe(error)}"
        return testing.run_collected(names, self.link)

    def _script(self, names: dict[str, Any], framework: str) -> tuple[int, int, str]:
        tree = self._tree
        asserts = Asserts(tree, self._entries)
        if asserts.calls:
            self.link.expect(self._entries[0] if self._entries else "", asserts.calls, self._program["tests"])
        else:
            tree = announce(tree, self._entries)
            names["__expect__"] = self._expect
        helpers = {name for name in self._options.get("helpers") or () if self._known.get(name) == "f"}
        if helpers:
            tree = agreeing(tree, helpers)
            names["__agreeing__"] = self._agreeing
        tally = [0, 0]
        if self._options.get("every_assert"):
            tree = every_assert(tree)
            names["__tally__"] = Tally(tally)
        try:
            exec(compile(tree, TESTS, "exec", dont_inherit=True), names)
            if framework == "check":
                for entry in self._entries:
                    names["check"](evaluate(entry, names))
        except (Gone, Verdict):
            raise
        except SystemExit as exit_:
            self.exited = exit_.code not in (None, 0) and not self._ran_main
        except BaseException as error:
            line = line_of(error)
            return asserts.before(line), max(1, asserts.total - asserts.before(line)), describe(error)
        if self._ran_main:
            return self._counts
        if not asserts.executed and testing.has_tests(names):
            return testing.run_collected(names, self.link)
        if any(tally):
            return tally[0], tally[1], "" if not tally[1] else f"{tally[1]} of {sum(tally)} assertions failed"
        return max(1, asserts.total), 0, ""

    def _expect(self, inputs: Any) -> None:
        """The tests are about to call the entry on each of these argument lists."""
        if (
            type(inputs) is list
            and 3 <= len(inputs) <= 20_000
            and all(type(item) in (list, tuple) for item in inputs)
        ):
            try:
                self.link.expect(
                    self._entries[0], [(tuple(item), {}) for item in inputs], self._program["tests"]
                )
            except values.ValueRefused:
                return

    def _agreeing(self, name: str, function: Any) -> Any:
        """A helper of the task that the program defines again: it has to do the same there, as far as tests use it."""

        def both(*args: Any, **kwargs: Any) -> Any:
            theirs = self.link.call({"p": name}, copy.deepcopy(args), copy.deepcopy(kwargs))
            ours = function(*args, **kwargs)
            if not values.plain_equal(ours, theirs, 1e-6):
                raise AssertionError(f"the program changed {name}")
            return ours

        return both

    def _unittest_main(self, *args: Any, **kwargs: Any) -> None:
        self._ran_main = True
        self._counts = testing.run_unittest(self.module.__dict__, self.link)
        raise SystemExit(1 if self._counts[1] else 0)


class Tally:
    """Counts assertions one by one, for tasks that pay for each."""

    def __init__(self, counts: list[int]) -> None:
        self._counts = counts

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> bool:
        if kind is not None and not issubclass(kind, Exception):
            return False
        self._counts[kind is not None] += 1
        return True


def describe(error: BaseException) -> str:
    """A failed test for people: never a value that was expected."""
    line = line_of(error)
    where = f" (line {line} of the tests)" if line else ""
    if isinstance(error, AssertionError):
        return f"{FAILED}{where}"
    if isinstance(error, Unverifiable):
        return f"{error}{where}"
    if isinstance(error, CandidateError):
        # The text may quote a test's input; the name of the class is enough.
        return f"{str(error).partition(':')[0][:80]}{where}"
    return f"{type(error).__name__}{where}"


def line_of(error: BaseException) -> int:
    """The deepest line of the tests in an exception's trace."""
    line = 0
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == TESTS:
            line = trace.tb_lineno
        trace = trace.tb_next
    return line
