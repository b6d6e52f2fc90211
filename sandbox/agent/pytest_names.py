"""What the tests get for `import pytest`, in the trusted tester process.

What is decided here: the part of pytest's interface that tests of a function need: raises, approx, fixtures, parametrize,
marks, capsys, monkeypatch. What isn't here raises AttributeError, and the test counts as broken, never as passed.
Standard library only.
"""

from __future__ import annotations

import contextlib
import inspect
import io
import math
import os
import re
import types
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, NoReturn

from remote import Gone, Handle


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
