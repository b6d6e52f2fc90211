"""What tests see of a policy's program: stand-ins whose every use is a request to the program's process.

What is decided here: what a test may do with an object that the program made. Plain data arrives as plain data.
Anything else stays in the program's process, and its stand-in answers only what doesn't tell the program what is
expected: attributes, calls, length, iteration, text, items. `==`, order, arithmetic and hashing would hand the
expected value over, or leave the verdict to the program: they are refused, noted as `unverifiable_eq`, and the tests
have failed whatever they do about it. Exceptions arrive by their built-in name, or as a class that the tests imported
from the solution; those that mean something to a test runner (SystemExit, AssertionError, skips) never do.
Arguments are changed in place only if the call returned None, or if the task says so.

The frames are described in `candidate.py`. Everything that comes in is hostile.
"""

from __future__ import annotations

import builtins
import io
import random
import sys
import types
import weakref
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import values
from frames import Broken, Channel
from returned import Member, TestDecoder, mirror

NEUTRAL = frozenset(
    (
        "AssertionError",
        "StopIteration",
        "StopAsyncIteration",
        "GeneratorExit",
        "SystemExit",
        "KeyboardInterrupt",
    )
)
MAX_PULL = 64
WAVE_BYTES = 1 << 20
MAX_ITEMS = 1_000_000


class CandidateError(Exception):
    """The program raised what has no meaning outside of it."""


class Unverifiable(TypeError):
    """A test would let the program decide whether two things are equal."""


class Gone(BaseException):
    """The program's process ended, or broke the protocol: no test can go on."""


class Link:
    """The tester's end of the channel, with what the other side knows and what this side keeps."""

    def __init__(self, channel: Channel, task_classes: dict[str, type], in_place: bool) -> None:
        self._channel = channel
        self.task_classes = task_classes
        self.in_place = in_place
        self.flags: set[str] = set()
        self.uses = 0
        self.gone = ""
        self.last: Any = ...
        """The last value that the program returned, as it came; `...` after an exception, or if it is not known."""
        self.exceptions: dict[str, type[BaseException]] = {}
        self._handles: weakref.WeakValueDictionary[int, Handle] = weakref.WeakValueDictionary()
        self._freed: list[int] = []
        self._callbacks: list[Callable[..., Any]] = []
        self._planned: list[str] = []
        self._ready: dict[str, list[Any]] = {}
        self._underway: list[str] = []
        self._entry = ""
        self._target: dict[str, Any] | None = None

    # Requests -----------------------------------------------------------------------------------------------

    def call(self, target: dict[str, Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call something of the program's."""
        self.uses += 1
        encoder = self._encoder()
        frame = {
            "t": target,
            "a": [encoder.encode(arg) for arg in args],
            "k": {name: encoder.encode(value) for name, value in kwargs.items()},
        }
        if self._planned or self._ready:
            reply = self._ahead(frame)
            if reply is not None:
                return self._result(reply, None, (), {})
        if encoder.heap:
            frame["o"] = encoder.heap
        frame["m"] = 2 if self.in_place else 1
        self._send({"calls": [frame]})
        return self._result(self._reply(), encoder, args, kwargs)

    def operate(self, operation: str, target: dict[str, Any], *args: Any) -> Any:
        """One of the operations of `candidate.py`."""
        return self._result(self._operation(operation, target, *args), None, (), {})

    def pull(self, target: dict[str, Any], count: int) -> tuple[list[Any], bool]:
        """Up to `count` items of an iterator, and whether that was all."""
        reply = self._operation("next", target, count)
        items = self._result(reply, None, (), {})
        if type(items) is not list or len(items) > count:
            self._break("an iterator's items are no list")
        return items, reply.get("end") is True or not items

    def _operation(self, operation: str, target: dict[str, Any], *args: Any) -> Any:
        self.uses += 1
        encoder = self._encoder()
        frame = {"op": operation, "t": target, "a": [encoder.encode(arg) for arg in args], "o": encoder.heap}
        self._send(frame)
        return self._reply()

    def _send(self, frame: dict[str, Any]) -> None:
        self._drain()
        if self._freed:
            frame["free"] = self._freed
            self._freed = []
        try:
            self._channel.send(frame)
        except Broken as error:
            if "too large" in str(error):
                raise ValueError("the arguments are too large") from None
            self._end(str(error))

    def _reply(self) -> dict[str, Any]:
        while True:
            try:
                text = self._channel.receive_text()
            except Broken as error:
                self._end(str(error))
            if text is None:
                self._end("the program ended during a call")
            try:
                reply = values.parse(text)
            except values.ValueRefused as error:
                self._break(str(error))
            if type(reply) is not dict:
                self._break("a reply is no object")
            printed = reply.get("s")
            if type(printed) is str:
                sys.stdout.write(printed)
            if "cb" not in reply:
                return reply
            self._call_back(reply)

    def _break(self, why: str) -> NoReturn:
        self.flags.add("protocol_violation")
        self._end(why)

    def _end(self, why: str) -> NoReturn:
        self.gone = self.gone or why
        raise Gone(why)

    # Calls that are known before they are made --------------------------------------------------------------

    def expect(self, entry: str, calls: list[tuple[tuple[Any, ...], dict[str, Any]]], seed: str) -> None:
        """Calls of `entry` that the tests are going to make: sent ahead, in waves, each in random order."""
        self._entry = entry
        self._drain()
        planned = [
            values.dumps([values.encode(list(args)), {name: values.encode(v) for name, v in kwargs.items()}])
            for args, kwargs in calls
        ]
        shuffler = random.Random(seed)
        waves = []
        start, size = 0, 8
        while start < len(planned):
            wave = planned[start : start + size]
            shuffler.shuffle(wave)
            waves += wave
            start += size
            size *= 4
        self._planned, self._ready, self._wave = waves, {}, 8

    def _ahead(self, frame: dict[str, Any]) -> Any:
        """The reply to a call that was planned, else None."""
        key = values.dumps([frame["a"], frame["k"]])
        target = frame["t"]
        if self._target is None and (
            target.get("p") == self._entry or ("h" in target and "." in self._entry)
        ):
            self._target = target
        if target != self._target:
            return None
        while True:
            found = self._ready.get(key)
            if found:
                return found.pop(0)
            if self._underway:
                self._ready.setdefault(self._underway.pop(0), []).append(self._reply())
                continue
            if key not in self._planned:
                return None
            count = size = 0
            while count < min(self._wave, len(self._planned)) and size < WAVE_BYTES:
                size += len(self._planned[count])
                count += 1
            wave, self._planned = self._planned[:count], self._planned[count:]
            self._wave *= 4
            parts = [values.parse(text) for text in wave]
            self._send({"calls": [{"t": target, "a": args, "k": kwargs} for args, kwargs in parts]})
            self._underway = wave

    def _drain(self) -> None:
        """Take in replies that are still on their way: the program can't read while it writes."""
        while self._underway:
            self._ready.setdefault(self._underway.pop(0), []).append(self._reply())

    # Values -------------------------------------------------------------------------------------------------

    def _encoder(self) -> values.Encoder:
        return values.Encoder(self._by_value, self._outgoing)

    def _by_value(self, kind: type) -> str | None:
        name = kind.__name__
        return name if self.task_classes.get(name) is kind else None

    def _outgoing(self, value: Any) -> Any:
        if type(value) is Handle:
            target = target_of(value)
            return {"h": [target["h"], ""]} if "h" in target else {"p": target["p"]}
        if type(value) is Member:
            return {"en": [value.owner, value.name]}
        module = getattr(value, "__module__", None)
        name = getattr(value, "__name__", None)
        if isinstance(value, (type, types.BuiltinFunctionType)) and module in (
            "builtins",
            "math",
            "_operator",
        ):
            return {"n": [module, name]}
        if isinstance(value, type):
            raise TypeError(f"the class {name} can't be passed to the program")
        if callable(value):
            self._callbacks.append(value)
            return {"cb": len(self._callbacks) - 1}
        if isinstance(value, io.StringIO):
            return {"io": value.getvalue()}
        if isinstance(value, Iterator):
            items = []
            for item in value:
                items.append(item)
                if len(items) > values.MAX_NODES:
                    raise values.ValueRefused("an iterator that is too long to be passed")
            return {"it": [values.encode(item) for item in items]}
        raise TypeError(f"an object of {type(value).__name__} can't be passed to the program")

    def _result(
        self,
        reply: dict[str, Any],
        sent: values.Encoder | None,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        self.last = ... if "e" in reply or reply.get("o") else reply.get("v")
        if "e" in reply:
            raise self._exception(reply)
        changed = reply.get("m")
        try:
            decoder = TestDecoder(self, reply.get("o"), sent, mirror=changed is not None)
            value = decoder.decode(reply.get("v"))
            if changed is not None and sent is not None and (value is None or self.in_place):
                self._mirror(decoder, changed, args, kwargs)
        except values.ValueRefused as error:
            self.flags.add("unreadable_value")
            raise CandidateError(f"a value that can't be read: {error}") from None
        return finished(value) if reply.get("c") == 1 else value

    def _exception(self, reply: dict[str, Any]) -> BaseException:
        names = reply["e"]
        text = reply.get("x")
        text = text[:2_000] if type(text) is str else ""
        if type(names) is not list or any(type(name) is not str for name in names):
            self._break("a malformed exception")
        for name in names:
            kind: Any = self.exceptions.get(name)
            if kind is None and name not in NEUTRAL:
                kind = getattr(builtins, name, None)
                if not (isinstance(kind, type) and issubclass(kind, Exception)):
                    kind = None
            if name in NEUTRAL:
                break
            if kind is not None and name in self.exceptions:
                return self._custom(kind, text, reply)
            if kind is not None and kind is not Exception:
                try:
                    args = values.Decoder().decode(reply.get("a", [text]))
                    return kind(*args) if type(args) is list else kind(text)
                except (values.ValueRefused, TypeError, ValueError):
                    return kind.__new__(kind, text)
        if "Exception" in names and not NEUTRAL.intersection(names) and names[0] == "Exception":
            return Exception(text)
        return CandidateError(f"{names[0] if names else 'Exception'}: {text}"[:2_000])

    def _custom(self, kind: type[BaseException], text: str, reply: dict[str, Any]) -> BaseException:
        """An exception of a class that the tests know, with its text, arguments and plain attributes."""
        error = kind.__new__(kind)
        decoder = values.Decoder()
        try:
            args = decoder.decode(reply.get("a", [text]))
            error.args = tuple(args) if type(args) is list else (text,)
            own = reply.get("d")
            for name, value in own.items() if type(own) is dict else ():
                if name.isidentifier() and not name.startswith("_") and not hasattr(kind, name):
                    setattr(error, name, decoder.decode(value))
        except values.ValueRefused:
            pass
        error.said__ = text  # type: ignore[attr-defined]
        return error

    def exception_class(self, name: str, base: str) -> type[BaseException]:
        """A class here for an exception class of the program's that the tests know by name."""
        if name not in self.exceptions:
            known: Any = getattr(builtins, base, None)
            if base in NEUTRAL or not (isinstance(known, type) and issubclass(known, Exception)):
                known = CandidateError
            self.exceptions[name] = type(name, (known,), {"__module__": "solution", "__str__": _said})
        return self.exceptions[name]

    def handle(self, number: int) -> Handle:
        """The stand-in with this number; the same object as long as anybody has it."""
        found = self._handles.get(number)
        if found is None:
            found = Handle(self, {"h": number})
            self._handles[number] = found
            if number in self._freed:
                self._freed.remove(number)
        return found

    def is_handle(self, value: object) -> bool:
        """Is it a stand-in?"""
        return type(value) is Handle

    def freed(self, number: int) -> None:
        """A stand-in is gone: so may be its object."""
        self._freed.append(number)

    def refuse(self, what: str) -> NoReturn:
        """The program must not decide this."""
        self.flags.add("unverifiable_eq")
        raise Unverifiable(f"{what} of an object that the program made can't be verified")

    def callback(self, number: Any) -> Callable[..., Any]:
        """The test's own function that was passed before."""
        if type(number) is not int or not 0 <= number < len(self._callbacks):
            raise values.ValueRefused("no such function")
        return self._callbacks[number]

    def _call_back(self, frame: dict[str, Any]) -> None:
        answer: dict[str, Any]
        try:
            function = self.callback(frame["cb"])
            decoder = TestDecoder(self, frame.get("o"), None, mirror=False)
            args, kwargs = frame.get("a"), frame.get("k")
            if type(args) is not list or type(kwargs) is not dict:
                raise values.ValueRefused("malformed arguments")
            result = function(
                *[decoder.decode(arg) for arg in args],
                **{name: decoder.decode(v) for name, v in kwargs.items()},
            )
            encoder = self._encoder()
            answer = {"v": encoder.encode(result), "o": encoder.heap}
        except (Gone, Unverifiable, SystemExit):
            raise
        except Exception as error:
            name = next(
                (kind.__name__ for kind in type(error).__mro__ if kind.__module__ == "builtins"), "Exception"
            )
            answer = {"e": name, "x": str(error)[:2_000]}
        try:
            self._channel.send(answer)
        except Broken as error:
            self._end(str(error))

    def _mirror(
        self, decoder: TestDecoder, changed: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        if type(changed) is not dict:
            raise values.ValueRefused("malformed arguments")
        new_args, new_kwargs = changed.get("a"), changed.get("k")
        if type(new_args) is not list or type(new_kwargs) is not dict or len(new_args) != len(args):
            raise values.ValueRefused("malformed arguments")
        for old, new in zip(args, new_args, strict=True):
            mirror(old, decoder.decode(new))
        for name, old in kwargs.items():
            if name in new_kwargs:
                mirror(old, decoder.decode(new_kwargs[name]))


def _said(error: Any) -> str:
    return str(getattr(error, "said__", ""))


async def finished(value: Any) -> Any:
    """A coroutine for tests that await what the program has already done."""
    return value


def target_of(handle: Handle) -> dict[str, Any]:
    """What requests about this stand-in are about."""
    target: dict[str, Any] = object.__getattribute__(handle, "_target")
    return target


def _link(handle: Handle) -> Link:
    link: Link = object.__getattribute__(handle, "_link")
    return link


def _ask(operation: str, kind: type | None = None) -> Callable[..., Any]:
    def method(self: Handle, *args: Any) -> Any:
        found = _link(self).operate(operation, target_of(self), *args)
        if kind is not None and type(found) is not kind:
            raise CandidateError(f"{operation} gave no {kind.__name__}")
        return found

    return method


def _refused(what: str) -> Callable[..., NoReturn]:
    def method(self: Handle, *args: Any) -> NoReturn:
        _link(self).refuse(what)

    return method


class Handle:
    """Stands in for something of the program's: a name it defines, or an object that isn't plain data."""

    __slots__ = ("__weakref__", "_link", "_made_here", "_target")

    def __init__(self, link: Link, target: dict[str, Any]) -> None:
        object.__setattr__(self, "_link", link)
        object.__setattr__(self, "_target", target)
        object.__setattr__(self, "_made_here", False)

    def __getattribute__(self, name: str) -> Any:
        if name.startswith("__") and name.endswith("__"):
            if name in ("__name__", "__qualname__"):
                return target_of(self).get("p", "object")
            return object.__getattribute__(self, name)
        target = target_of(self)
        found = _link(self).operate("get", target, name)
        if type(found) is Member and target.get("p") == found.owner:
            if name != found.name:
                _link(self).refuse("a member under another name")
            found.asked = True
        return found

    def __setattr__(self, name: str, value: Any) -> None:
        _link(self).operate("set", target_of(self), name, value)

    def __delattr__(self, name: str) -> None:
        _link(self).operate("del", target_of(self), name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        target = target_of(self)
        made = _link(self).call(target, args, kwargs)
        # By the name that the tests gave it, it is a class: what the program made of it doesn't count.
        if type(made) is Handle and target.get("p", "")[:1].isupper():
            object.__setattr__(made, "_made_here", True)
        return made

    def __iter__(self) -> Iterator[Any]:
        iterator = _link(self).operate("iter", target_of(self))
        return Items(iterator) if type(iterator) is Handle else iter(iterator)

    def __next__(self) -> Any:
        items, _ = _link(self).pull(target_of(self), 1)
        if not items:
            raise StopIteration
        return items[0]

    def __contains__(self, item: Any) -> bool:
        # What the tests made themselves is under test; a returned object must not say that it holds the answer.
        if object.__getattribute__(self, "_made_here"):
            found: bool = _ask("in", bool)(self, item)
            return found
        for count, other in enumerate(self):
            if other is item or other == item:
                return True
            if count > MAX_ITEMS:
                break
        return False

    def __del__(self) -> None:
        target = target_of(self)
        if "h" in target:
            _link(self).freed(target["h"])

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        _link(self).refuse("a copy")

    def __instancecheck__(self, value: object) -> bool:
        return type(value) is Handle and _ask("isinstance", bool)(self, value)

    def __subclasscheck__(self, value: object) -> bool:
        return type(value) is Handle and _ask("issubclass", bool)(self, value)

    __len__ = _ask("len", int)
    __bool__ = _ask("bool", bool)
    __str__ = _ask("str", str)
    __repr__ = _ask("repr", str)
    __format__ = _ask("format", str)
    __int__ = _ask("int", int)
    __float__ = _ask("float", float)
    __getitem__ = _ask("item")
    __setitem__ = _ask("setitem")
    __delitem__ = _ask("delitem")
    __enter__ = _ask("enter")
    __hash__ = _refused("the hash")  # type: ignore[assignment]

    def __exit__(self, *_: object) -> None:
        _link(self).operate("exit", target_of(self))


for _name in [
    "eq",
    "ne",
    "lt",
    "le",
    "gt",
    "ge",
    "add",
    "radd",
    "sub",
    "rsub",
    "mul",
    "rmul",
    "truediv",
    "rtruediv",
    "floordiv",
    "rfloordiv",
    "mod",
    "rmod",
    "pow",
    "rpow",
    "matmul",
    "rmatmul",
    "and",
    "rand",
    "or",
    "ror",
    "xor",
    "rxor",
    "lshift",
    "rlshift",
    "rshift",
    "rrshift",
    "neg",
    "pos",
    "abs",
    "invert",
    "round",
    "divmod",
    "rdivmod",
    "iadd",
    "isub",
    "imul",
    "index",
    "complex",
    "trunc",
    "floor",
    "ceil",
]:
    setattr(Handle, f"__{_name}__", _refused(f"__{_name}__"))


class Items:
    """The items of an iterator of the program's, fetched a few at a time."""

    def __init__(self, iterator: Handle) -> None:
        self._iterator = iterator
        self._items: list[Any] = []
        self._size = 1
        self._ended = False

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        if not self._items:
            if self._ended:
                raise StopIteration
            items, self._ended = _link(self._iterator).pull(target_of(self._iterator), self._size)
            self._items = items[::-1]
            self._size = min(self._size * 2, MAX_PULL)
            if not items:
                raise StopIteration
        return self._items.pop()
