"""Runs pytest-style and unittest tests against stand-ins, in the trusted tester process.

What is decided here: when such tests have passed: at least one did, and none failed, broke, was skipped or was
expected to fail. It is a small runner of our own, so that the same verdict comes about in every image, without pytest's
start-up of half a second and without its plug-ins, conftest files and caches. Only tests that need more of pytest than
`pytest_names.py` has are run by pytest itself, where the image has it.
"""

from __future__ import annotations

import ast
import contextlib
import importlib
import importlib.util
import inspect
import io
import itertools
import os
import pathlib
import sys
import tempfile
import types
import unittest
from collections.abc import Callable, Iterator
from typing import Any

from pytest_names import CapSys, Fixture, Mark, MonkeyPatch, Param, Skipped, runner_modules
from remote import Gone, Link

MAX_TESTS = 5_000
FIXTURES = ("capsys", "monkeypatch", "request", "tmp_path")


def beyond_us(tree: ast.Module) -> bool:
    """Do the tests use more of pytest than `pytest_names.py` has?"""
    ours = runner_modules()["pytest"].__dict__
    fixtures = {"self", *FIXTURES}
    parameters: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "pytest":
            if node.attr not in ours:
                return True
        elif isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in (
            "pytest",
            "_pytest",
        ):
            if any(alias.name not in ours for alias in node.names):
                return True
        elif isinstance(node, ast.FunctionDef):
            marked = [ast.unparse(decorator) for decorator in node.decorator_list]
            if any("fixture" in text for text in marked):
                fixtures.add(node.name)
                parameters.update(argument.arg for argument in node.args.args)
            elif node.name.startswith("test"):
                named = {argument.arg for argument in node.args.args}
                parameters |= {name for name in named if not any(name in text for text in marked)}
    return bool(parameters & KNOWN_TO_PYTEST - fixtures)


KNOWN_TO_PYTEST = frozenset(
    (
        "caplog",
        "capfd",
        "capsysbinary",
        "capfdbinary",
        "tmp_path_factory",
        "tmpdir",
        "recwarn",
        "pytestconfig",
        "subtests",
    )
)


class Tally:
    """A plug-in of pytest that counts."""

    def __init__(self) -> None:
        self.passed = self.bad = 0

    def pytest_runtest_logreport(self, report: Any) -> None:
        """One phase of one test."""
        if report.outcome != "passed" or hasattr(report, "wasxfail"):
            self.bad += 1
        elif report.when == "call":
            self.passed += 1

    def pytest_collectreport(self, report: Any) -> None:
        """A module or class that could not be collected."""
        self.bad += report.outcome != "passed"


def run_pytest(source: str, link: Link) -> tuple[int, int, str] | None:
    """Run the tests by pytest itself. None where the image doesn't have it."""
    for name in [name for name in sys.modules if name.partition(".")[0] in ("pytest", "_pytest")]:
        del sys.modules[name]
    if importlib.util.find_spec("pytest") is None:
        sys.modules.update(runner_modules())
        return None
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    pytest = importlib.import_module("pytest")
    path = pathlib.Path(tempfile.mkdtemp()) / "test_by_pytest.py"
    path.write_text(source)
    tally = Tally()
    arguments = [
        "--noconftest",
        "-c",
        "/dev/null",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:terminal",
        "--maxfail=1",
        str(path),
    ]
    code = int(pytest.main(arguments, plugins=[tally]))
    if link.gone:
        raise Gone(link.gone)
    if code or tally.bad or not tally.passed:
        return (
            tally.passed,
            max(1, tally.bad),
            f"pytest: {tally.passed} passed, {tally.bad} failed or were skipped",
        )
    return tally.passed, 0, ""


class Case:
    """One test: what to call, with which values."""

    def __init__(
        self, function: Callable[..., Any], owner: type | None, values: dict[str, Any], marks: list[Mark]
    ) -> None:
        self.function = function
        self.owner = owner
        self.values = values
        self.marks = marks


class Tests:
    """The tests of one module, and their fixtures."""

    def __init__(self, names: dict[str, Any]) -> None:
        self._names = names
        self._fixtures = {value.name: value for value in names.values() if type(value) is Fixture}
        self._shared: dict[str, Any] = {}
        self._endings: list[Iterator[Any]] = []

    def cases(self) -> Iterator[Case]:
        """Test functions and methods in their order, once for each set of parameters."""
        module_marks = self._names.get("pytestmark", [])
        module_marks = module_marks if isinstance(module_marks, list) else [module_marks]
        for name, value in list(self._names.items()):
            if name.startswith("test") and inspect.isfunction(value):
                yield from self._expand(value, None, module_marks)
            elif (
                name.startswith("Test")
                and inspect.isclass(value)
                and not issubclass(value, unittest.TestCase)
            ):
                if "__init__" in value.__dict__ or getattr(value, "__test__", True) is False:
                    continue
                for base in reversed(value.__mro__):
                    self._fixtures.update(
                        {item.name: item for item in base.__dict__.values() if type(item) is Fixture}
                    )
                found = {n: m for base in reversed(value.__mro__) for n, m in base.__dict__.items()}
                for method_name, method in found.items():
                    if isinstance(method, (staticmethod, classmethod)):
                        method = method.__func__
                    if method_name.startswith("test") and inspect.isfunction(method):
                        yield from self._expand(
                            method, value, [*module_marks, *value.__dict__.get("pytest_marks", [])]
                        )

    def _expand(self, function: Callable[..., Any], owner: type | None, outer: list[Mark]) -> Iterator[Case]:
        marks = [*outer, *function.__dict__.get("pytest_marks", [])]
        axes: list[list[tuple[dict[str, Any], list[Mark]]]] = []
        for mark in marks:
            if mark.name == "parametrize":
                axes.append(_axis(*mark.args[:2]))
        for name in self._needed(function):
            known = self._fixtures.get(name)
            if known is not None and known.params is not None:
                axes.append([({"request:" + name: value}, []) for value in known.params])
        for choice in itertools.product(*axes):
            values: dict[str, Any] = {}
            extra: list[Mark] = []
            for chosen, more in choice:
                values.update(chosen)
                extra += more
            yield Case(function, owner, values, marks + extra)

    def _needed(self, function: Callable[..., Any]) -> set[str]:
        pending = [p for p in inspect.signature(function).parameters if p != "self"]
        pending += [name for name, known in self._fixtures.items() if known.autouse]
        seen: set[str] = set()
        while pending:
            name = pending.pop()
            if name not in seen:
                seen.add(name)
                known = self._fixtures.get(name)
                if known is not None:
                    pending += [
                        p
                        for p in inspect.signature(known.function).parameters
                        if p not in ("self", "request")
                    ]
        return seen

    def run(self, case: Case) -> None:
        """Set up, call, tear down. Whatever it raises is the test's result."""
        for mark in case.marks:
            if mark.name in ("skip", "xfail") or (mark.name == "skipif" and mark.args and mark.args[0]):
                raise Skipped(mark.name)
        instance = case.owner() if case.owner is not None else None
        built: dict[str, Any] = {}
        endings: list[Iterator[Any]] = []
        undo: list[Callable[[], None]] = []
        capture = CapSys()
        try:
            with contextlib.redirect_stdout(capture.out), contextlib.redirect_stderr(capture.err):
                self._hook(instance, "setup_method", case.function)
                self._hook(None, "setup_function", case.function) if instance is None else None
                for name, known in self._fixtures.items():
                    if known.autouse:
                        self._build(name, case, instance, built, endings, undo, capture)
                parameters = list(inspect.signature(case.function).parameters)
                is_method = case.owner is not None and isinstance(
                    inspect.getattr_static(case.owner, case.function.__name__, None), types.FunctionType
                )
                if is_method:
                    parameters = parameters[1:]
                arguments = {
                    name: case.values[name]
                    if name in case.values
                    else self._build(name, case, instance, built, endings, undo, capture)
                    for name in parameters
                    if name in case.values
                    or inspect.signature(case.function).parameters[name].default is inspect.Parameter.empty
                }
                result = case.function(instance, **arguments) if is_method else case.function(**arguments)
                if inspect.isawaitable(result):
                    import asyncio

                    asyncio.run(_await(result))
                self._hook(instance, "teardown_method", case.function)
        finally:
            for ending in reversed(endings):
                next(ending, None)
            for step in reversed(undo):
                step()

    def _hook(self, instance: Any, name: str, function: Callable[..., Any]) -> None:
        hook = getattr(instance, name, None) if instance is not None else self._names.get(name)
        if hook is not None:
            hook(function) if inspect.signature(hook).parameters else hook()

    def _build(
        self, name: str, case: Case, instance: Any, built: dict[str, Any], endings: list[Iterator[Any]],
        undo: list[Callable[[], None]], capture: CapSys,
    ) -> Any:  # fmt: skip
        if name in built:
            return built[name]
        known = self._fixtures.get(name)
        if known is None:
            built[name] = self._built_in(name, undo, capture)
            return built[name]
        shared = known.scope != "function" and known.params is None
        if shared and name in self._shared:
            return self._shared[name]
        arguments: dict[str, Any] = {}
        for parameter in inspect.signature(known.function).parameters:
            if parameter == "self":
                arguments["self"] = instance
            elif parameter == "request":
                arguments["request"] = types.SimpleNamespace(param=case.values.get("request:" + name))
            else:
                arguments[parameter] = self._build(parameter, case, instance, built, endings, undo, capture)
        value = known.function(**arguments)
        if inspect.isgenerator(value):
            (self._endings if shared else endings).append(value)
            value = next(value)
        built[name] = value
        if shared:
            self._shared[name] = value
        return value

    def _built_in(self, name: str, undo: list[Callable[[], None]], capture: CapSys) -> Any:
        if name == "capsys":
            return capture
        if name == "monkeypatch":
            patch = MonkeyPatch()
            undo.append(patch.undo)
            return patch
        if name == "tmp_path":
            return pathlib.Path(tempfile.mkdtemp())
        raise LookupError(f"fixture {name!r} not found")


async def _await(result: Any) -> Any:
    return await result


def _axis(names: Any, rows: Any) -> list[tuple[dict[str, Any], list[Mark]]]:
    keys = [name.strip() for name in names.split(",")] if isinstance(names, str) else list(names)
    axis = []
    for row in rows:
        marks: list[Mark] = []
        if isinstance(row, Param):
            marks, row = row.marks, row.values if len(keys) > 1 else row.values[0]
        values = tuple(row) if len(keys) > 1 else (row,)
        if len(values) != len(keys):
            raise ValueError("parametrize: as many values as names are needed")
        axis.append((dict(zip(keys, values, strict=True)), marks))
    return axis


def has_tests(names: dict[str, Any]) -> bool:
    """Is there anything that pytest would collect?"""
    return next(Tests(names).cases(), None) is not None or any(
        inspect.isclass(value)
        and issubclass(value, unittest.TestCase)
        and value.__module__ == names["__name__"]
        for value in names.values()
    )


def run_collected(names: dict[str, Any], link: Link) -> tuple[int, int, str]:
    """Run everything that pytest would collect: (passed, failed, what went wrong). Stops at the first failure."""
    tests = Tests(names)
    passed = 0
    try:
        cases = list(itertools.islice(tests.cases(), MAX_TESTS))
    except Exception as error:
        return 0, 1, f"the tests can't be collected: {type(error).__name__}"
    for number, case in enumerate(cases):
        try:
            tests.run(case)
        except Gone:
            raise
        except Skipped:
            return passed, len(cases) - number, f"test {number + 1} of {len(cases)} was skipped"
        except BaseException:
            return passed, len(cases) - number, f"test {number + 1} of {len(cases)} failed"
        passed += 1
    more, failed, problem = run_unittest(names, link)
    if not passed and not more and not failed:
        return 0, 1, "there are no tests"
    return passed + more, failed, problem


class Result(unittest.TestResult):
    """Counts, and lets the end of the program's process end the tests."""

    def addError(self, test: Any, err: Any) -> None:
        """A test broke."""
        if issubclass(err[0], Gone):
            raise err[1]
        super().addError(test, err)


def run_unittest(names: dict[str, Any], link: Link) -> tuple[int, int, str]:
    """Run the TestCase classes among `names`: (passed, failed, what went wrong). Stops at the first failure."""
    loader = unittest.TestLoader()
    suite = unittest.TestSuite()
    seen: dict[type[unittest.TestCase], None] = {}
    for value in names.values():
        if (
            inspect.isclass(value)
            and issubclass(value, unittest.TestCase)
            and value.__module__ == names["__name__"]
        ):
            seen[value] = None
    for case in seen:
        suite.addTests(loader.loadTestsFromTestCase(case))
    count = suite.countTestCases()
    result = Result()
    result.failfast = True
    with contextlib.redirect_stdout(io.StringIO()):
        suite.run(result)
    bad = len(result.failures) + len(result.errors) + len(result.skipped)
    bad += len(result.expectedFailures) + len(result.unexpectedSuccesses)
    if bad:
        return (
            result.testsRun - bad,
            count - result.testsRun + bad,
            f"{bad} of {count} tests failed or were skipped",
        )
    return result.testsRun, 0, ""
