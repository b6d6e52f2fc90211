"""Runs pytest-style and unittest tests against stand-ins, in the trusted tester process.

What is decided here: when such tests have passed: at least one did, and none failed, broke, was skipped or was
expected to fail. The tests' `import pytest` gets the part of pytest's interface that tests of a function need
(raises, approx, fixtures, parametrize, marks, capsys, monkeypatch, tmp_path), so that the same verdict comes about in every
image, without pytest's start-up of half a second and without its plug-ins, conftest files and caches. What isn't
here raises AttributeError, and the test counts as broken, never as passed. Standard library only.
"""

from __future__ import annotations

import contextlib
import inspect
import io
import itertools
import math
import os
import pathlib
import re
import tempfile
import types
import unittest
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, NoReturn

from remote import Gone, Handle, Link

MAX_TESTS = 5_000


class Skipped(BaseException):
    """The tests chose not to run: that is no pass."""


class Outcome(Exception):
    """`pytest.fail`."""


class Raises:
    """`pytest.raises` as a context manager."""

    def __init__(self, kinds: Any, match: str | None) -> None:
        self._kinds = kinds
        self._match = match
        self.value: Any = None
        self.type: Any = None
        self.typename = ""

    def __enter__(self) -> Raises:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> bool:
        if kind is None:
            raise AssertionError("did not raise")
        if issubclass(kind, Gone) or not issubclass(kind, self._kinds):
            return False
        self.value, self.type, self.typename = error, kind, kind.__name__
        self.match(self._match)
        return True

    def match(self, pattern: str | None) -> bool:
        """Does the text match? AssertionError if not."""
        if pattern is not None and re.search(pattern, str(self.value)) is None:
            raise AssertionError("the exception's text does not match")
        return True


def raises(kinds: Any, *args: Any, match: str | None = None, **kwargs: Any) -> Any:
    """`pytest.raises`: a context manager, or a call that must raise."""
    context = Raises(kinds, match)
    if args:
        with context:
            args[0](*args[1:], **kwargs)
    return context


class Approx:
    """`pytest.approx`: numbers, and sequences, mappings and arrays of them."""

    __array_ufunc__ = None
    __array_priority__ = 100

    def __init__(
        self, expected: Any, rel: float | None = None, abs: float | None = None, nan_ok: bool = False
    ) -> None:
        self._expected = expected
        self._rel = rel
        self._abs = abs
        self._nan_ok = nan_ok

    def __eq__(self, got: object) -> bool:
        return self._equal(self._expected, got)

    def __ne__(self, got: object) -> bool:
        return not self == got

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return "approx(…)"

    def _equal(self, expected: Any, got: Any) -> bool:
        if type(got).__name__ == "ndarray" or type(expected).__name__ == "ndarray":
            expected, got = (x.tolist() if hasattr(x, "tolist") else x for x in (expected, got))
        if isinstance(expected, Mapping):
            return (
                isinstance(got, Mapping)
                and expected.keys() == got.keys()
                and all(self._equal(value, got[key]) for key, value in expected.items())
            )
        if isinstance(expected, Sequence) and not isinstance(expected, (str, bytes)):
            if not isinstance(got, Sequence) or isinstance(got, (str, bytes)) or len(expected) != len(got):
                return False
            return all(self._equal(a, b) for a, b in zip(expected, got, strict=True))
        if isinstance(expected, (set, frozenset)):
            raise TypeError("approx() takes no sets")
        return self._close(expected, got)

    def _close(self, expected: Any, got: Any) -> bool:
        numbers = (int, float, complex, Decimal)
        plain = hasattr(got, "item") and not isinstance(got, Handle)
        got = got.item() if plain else got
        if isinstance(expected, bool) or not isinstance(expected, numbers) or not isinstance(got, numbers):
            return bool(expected == got)
        if isinstance(got, bool):
            return False
        if isinstance(expected, complex) or isinstance(got, complex):
            expected, got = complex(expected), complex(got)
            distance, size = abs(expected - got), abs(expected)
        else:
            expected, got = float(expected), float(got)
            if math.isnan(expected):
                return self._nan_ok and math.isnan(got)
            if expected == got:
                return True
            if math.isinf(expected) or not math.isfinite(got):
                return False
            distance, size = abs(expected - got), abs(expected)
        if self._abs is not None and self._rel is None:
            return distance <= self._abs
        return distance <= max(
            (1e-6 if self._rel is None else self._rel) * size, 1e-12 if self._abs is None else self._abs
        )


class Param:
    """`pytest.param`: values with marks."""

    def __init__(self, *values: Any, marks: Any = (), id: str | None = None) -> None:
        self.values = values
        self.marks = list(marks) if isinstance(marks, (list, tuple)) else [marks]


class Mark:
    """One mark, applied to a test function or class."""

    def __init__(self, name: str, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None) -> None:
        self.name = name
        self.args = args
        self.kwargs = kwargs or {}

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if len(args) == 1 and not kwargs and (inspect.isfunction(args[0]) or inspect.isclass(args[0])):
            target = args[0]
            target.pytest_marks = [*target.__dict__.get("pytest_marks", []), self]
            return target
        return Mark(self.name, args, kwargs)


class Marks:
    """`pytest.mark`: any name is a mark."""

    def __getattr__(self, name: str) -> Mark:
        return Mark(name)


class Fixture:
    """A fixture function, and how it is to be set up."""

    def __init__(
        self, function: Callable[..., Any], scope: str, params: Any, autouse: bool, name: str | None
    ) -> None:
        self.function = function
        self.scope = scope
        self.params = list(params) if params is not None else None
        self.autouse = autouse
        self.name = name or function.__name__


def fixture(
    function: Any = None, *, scope: str = "function", params: Any = None, autouse: bool = False, name: str | None = None,
    ids: Any = None,
) -> Any:  # fmt: skip
    """`pytest.fixture`, with and without arguments."""

    def wrap(f: Callable[..., Any]) -> Fixture:
        return Fixture(f, scope, params, autouse, name)

    return wrap(function) if function is not None else wrap


def skip(reason: str = "", **_: Any) -> NoReturn:
    """`pytest.skip`."""
    raise Skipped(reason)


def fail(reason: str = "", **_: Any) -> NoReturn:
    """`pytest.fail`."""
    raise AssertionError(reason)


def importorskip(name: str, *_: Any, **__: Any) -> Any:
    """`pytest.importorskip`."""
    try:
        return __import__(name)
    except ImportError:
        raise Skipped(name) from None


@contextlib.contextmanager
def warns(kinds: Any = Warning, *_: Any, match: str | None = None) -> Iterator[list[Any]]:
    """`pytest.warns` for warnings of the tests' own process."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield caught
    if not any(
        issubclass(w.category, kinds) and (match is None or re.search(match, str(w.message))) for w in caught
    ):
        raise AssertionError("no such warning")


class CapSys:
    """`capsys`: what was printed by tests and program since the last look."""

    Result = types.SimpleNamespace

    def __init__(self) -> None:
        self.out, self.err = io.StringIO(), io.StringIO()

    def readouterr(self) -> Any:
        """The text so far, as `.out` and `.err`, or as a pair."""
        from collections import namedtuple

        found = namedtuple("CaptureResult", "out err")(self.out.getvalue(), self.err.getvalue())
        for stream in (self.out, self.err):
            stream.seek(0)
            stream.truncate()
        return found


class MonkeyPatch:
    """`monkeypatch` for objects, items and environment of the tests' own process."""

    def __init__(self) -> None:
        self._undo: list[Callable[[], None]] = []

    def setattr(self, target: Any, name: Any, value: Any = None, raising: bool = True) -> None:
        """Set an attribute until the test is over."""
        old = getattr(target, name)
        setattr(target, name, value)
        self._undo.append(lambda: setattr(target, name, old))

    def setitem(self, mapping: Any, key: Any, value: Any) -> None:
        """Set an item until the test is over."""
        had, old = key in mapping, mapping.get(key)
        mapping[key] = value
        self._undo.append(lambda: mapping.__setitem__(key, old) if had else mapping.pop(key, None))

    def setenv(self, name: str, value: str) -> None:
        """Set an environment variable until the test is over."""
        self.setitem(os.environ, name, value)

    def undo(self) -> None:
        """Put everything back."""
        while self._undo:
            self._undo.pop()()


def runner_modules() -> dict[str, types.ModuleType]:
    """The module that the tests get for `import pytest`."""
    module = types.ModuleType("pytest")
    module.__dict__.update(
        raises=raises, approx=Approx, param=Param, mark=Marks(), fixture=fixture, skip=skip, fail=fail, warns=warns,
        importorskip=importorskip, MonkeyPatch=MonkeyPatch, main=lambda *_, **__: 0,
    )  # fmt: skip
    return {"pytest": module}


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
