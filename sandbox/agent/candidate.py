"""The process that holds a policy's program: imports it, and answers calls.

What is decided here: nothing about right or wrong. This process is the program's own: it never sees an expected
value, a test's source or a verdict, and whatever it sends is hostile to its readers. It decides what is plain data
(`values.py`); all else stays here and is known outside by a number. Each call goes to a fresh `Solution()` where
the task's class is `Solution`. The program isn't `__main__` here, so that a demonstration under
`if __name__ == "__main__"` doesn't run.

`serve`: function style, arguments in, values out, one at a time, over the agent's channel.
`serve_tester`: assert style; requests of the tester, see `remote.py` for the other end:
  first     {"ready": true, "names": {name: "c" class | "e" + built-in base: exception class | "f" callable | "v" value}}, or {"failed": …}
  request   {"calls": [{"t": target, "a": […], "k": {…}, "o": heap, "m": 1 to report changed arguments}, …], "free": […]}
            {"op": operation, "t": target, "a": […], "free": […]}
  target    {"p": "name"} or {"h": number}
  reply     per call or operation {"v": value, "o": heap, "m": {"a": […], "k": {…}}, "s": printed, "c": 1 if it was
            a coroutine's}, or {"e": [classes], "x": message, "s": printed}
  call-back {"cb": number, "a": […], "k": {…}, "o": heap}, answered by {"v": value, "o": heap} or {"e": …, "x": …}
"""

from __future__ import annotations

import asyncio
import builtins
import enum
import importlib
import importlib.util
import inspect
import io
import operator
import random
import socket
import sys
import threading
import types
from collections.abc import Callable
from typing import Any

import values
from arrays import ArrayDecoder
from frames import Broken, Channel
from pytest_names import runner_modules

MODULE = "solution"
PRINTED = 1 << 16
"""Characters printed during one call that the tester gets to see."""
MESSAGE = 2_000


class Failed(Exception):
    """The program can't be used: `kind` is compile_error or runtime_error."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message[:MESSAGE]


class Printed(io.TextIOBase):
    """Standard output of a program that answers calls: kept up to a cap, for tests that look at it."""

    encoding = "utf-8"

    def __init__(self) -> None:
        self.buffer = PrintedBytes(self)
        self._pieces: list[str] = []
        self._size = 0

    def writable(self) -> bool:
        """It is for writing."""
        return True

    def write(self, text: str) -> int:
        """Keep the text while there is room."""
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        if self._size < PRINTED:
            self._pieces.append(text[: PRINTED - self._size])
            self._size += len(text)
        return len(text)

    def take(self) -> str:
        """What was written since the last time."""
        if not self._size:
            return ""
        text = "".join(self._pieces)
        self._pieces.clear()
        self._size = 0
        return text


class PrintedBytes(io.RawIOBase):
    """What `sys.stdout.buffer` is to such a program."""

    def __init__(self, text: Printed) -> None:
        self._text = text

    def writable(self) -> bool:
        """It is for writing."""
        return True

    def write(self, data: Any) -> int:
        """Keep the bytes as text."""
        return self._text.write(bytes(data).decode("utf-8", "replace"))


class Unbound:
    """A method looked up on its class: called without an instance, it is called on a new one."""

    __slots__ = ("function", "owner")

    def __init__(self, owner: type, function: Callable[..., Any]) -> None:
        self.owner = owner
        self.function = function

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if args and isinstance(args[0], self.owner):
            return self.function(*args, **kwargs)
        return self.function(self.owner(), *args, **kwargs)


class Space:
    """The program's namespace, its objects that are known outside, and calls into it."""

    def __init__(self, program: dict[str, Any]) -> None:
        self._kept: dict[int, Any] = {}
        self._numbers: dict[int, int] = {}
        self._next = 1
        self._sent: list[Any] = []
        self.callback: Callable[[int, tuple[Any, ...], dict[str, Any]], Any] | None = None
        random.seed(0)  # the state of the process that this one was forked from is also the tester's
        self.printed = Printed()
        sys.stdout = self.printed  # type: ignore[assignment]
        self.names = self._load(program)
        self.entry = program.get("entry_point", "")

    def _load(self, program: dict[str, Any]) -> dict[str, Any]:
        module = types.ModuleType(MODULE)
        sys.modules[MODULE] = module
        names = module.__dict__
        options = program.get("options") or {}
        if "pytest" in program["source"] and importlib.util.find_spec("pytest") is None:
            sys.modules.update(runner_modules())  # a program may bring tests of its own, which nobody runs
        for name, origin in (options.get("imports") or {}).items():
            found = importlib.import_module(origin)
            names[name] = getattr(found, name) if hasattr(found, name) else found
        entries = {
            part.partition(".")[0].partition("(")[0].strip()
            for part in program.get("entry_point", "").split(",")
        }
        for text, place in ((program.get("preamble", ""), "preamble.py"), (program["source"], "solution.py")):
            try:
                code = compile(text, place, "exec", dont_inherit=True)
            except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
                line = getattr(error, "lineno", None)
                where = f" (line {line})" if line else ""
                raise Failed(
                    "compile_error", f"{type(error).__name__}: {getattr(error, 'msg', error)}{where}"
                ) from None
            try:
                exec(code, names)
            except BaseException as error:
                raise Failed("runtime_error", f"{type(error).__name__} on import: {text_of(error)}") from None
            if place == "preamble.py":
                self._task_classes = {
                    name
                    for name, value in names.items()
                    if isinstance(value, type) and value.__module__ == MODULE and name not in entries
                }
                self._preamble = {name: names[name] for name in self._task_classes}
        return names

    def named(self, path: str) -> Any:
        """What `f`, `Solution.f` or `Solution().f` means. Failed if the program doesn't define it."""
        value: Any = None
        for at, part in enumerate(path.strip().split(".")):
            name = part.removesuffix("()").strip()
            if at == 0:
                if name in self.names:
                    value = self.names[name]
                else:
                    solution = self.names.get("Solution")
                    if not isinstance(solution, type) or not hasattr(solution, name):
                        raise Failed("compile_error", f"the program does not define {name!r}")
                    value = self.member(solution, name)
            else:
                if not hasattr(value, name):
                    raise Failed("compile_error", f"the program does not define {path!r}")
                value = self.member(value, name)
            if part.endswith("()"):
                value = value()
        return value

    def member(self, value: Any, name: str) -> Any:
        """An attribute; a plain method of a class also works without an instance."""
        found = getattr(value, name)
        if isinstance(value, type) and isinstance(found, types.FunctionType):
            first = next(iter(inspect.signature(found).parameters), "")
            if first == "self" and not isinstance(inspect.getattr_static(value, name), staticmethod):
                return Unbound(value, found)
        return found

    # Values out ---------------------------------------------------------------------------------------------

    def encoder(self, identify: bool) -> values.Encoder:
        """An encoder that keeps what isn't plain data here, under a number."""
        places = {id(item): place for place, item in enumerate(self._sent)} if identify else {}
        made = TesterEncoder if self.callback else values.Encoder
        return made(self._by_value, self._keep, lambda item: places.get(id(item)) if places else None)

    def _by_value(self, kind: type) -> str | None:
        name = kind.__name__
        return name if name in self._task_classes and kind.__module__ == MODULE else None

    def _keep(self, value: object) -> Any:
        number = self._numbers.get(id(value))
        if number is None:
            number = self._next
            self._next += 1
            self._numbers[id(value)] = number
            self._kept[number] = value
        return {"h": [number, type(value).__name__[:80]]}

    def free(self, numbers: list[int]) -> None:
        """Forget objects that nobody outside knows any more."""
        for number in numbers:
            value = self._kept.pop(number, None)
            self._numbers.pop(id(value), None)

    # Values in ----------------------------------------------------------------------------------------------

    def decode(self, frame: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
        """The arguments of a call."""
        decoder = ProgramDecoder(self, frame.get("o"))
        self._sent = decoder.objects
        args = [decoder.decode(value) for value in frame.get("a", ())]
        return args, {name: decoder.decode(value) for name, value in frame.get("k", {}).items()}

    def task_class(self, name: str) -> Any:
        """The program's own version of a class of the task, else the task's."""
        found = self.names.get(name)
        return found if isinstance(found, type) else self._preamble[name]

    def kept(self, number: int) -> Any:
        """The object with this number."""
        return self._kept[number]

    def target(self, target: dict[str, Any]) -> Any:
        """What a request is about."""
        return self._kept[target["h"]] if "h" in target else self.named(target["p"])


class TesterEncoder(values.Encoder):
    """Values for a tester: named tuples keep their names, and members of an Enum that isn't plain data have one."""

    def _other(self, value: Any, kind: type, depth: int) -> Any:
        fields = getattr(kind, "_fields", None)
        if isinstance(value, tuple) and type(fields) is tuple and kind.__bases__ == (tuple,):
            return {"nt": [kind.__name__, list(fields), self._items(list(value), depth)]}
        if isinstance(value, enum.Enum) and not isinstance(value, (int, str)):
            return {"en": [kind.__name__, value.name, self._encode(value.value, depth + 1)]}
        return super()._other(value, kind, depth)


class ProgramDecoder(ArrayDecoder):
    """Values from outside, with the program's own classes, call-backs and kept objects."""

    def __init__(self, space: Space, heap: Any) -> None:
        self._space = space
        super().__init__(heap)

    @property
    def objects(self) -> list[Any]:
        """The objects of the heap, in its order."""
        return self._objects

    def blank(self, name: str) -> Any:
        """A new object of the task's class."""
        kind = self._space.task_class(name)
        return kind.__new__(kind)

    def fill(self, item: Any, values: dict[str, Any], identity: int | None) -> None:
        """Set the attributes."""
        for name, value in values.items():
            object.__setattr__(item, name, value)

    def handle(self, number: int, kind: str) -> Any:
        """An object that had stayed here."""
        return self._space.kept(number)

    def extension(self, tag: str, payload: Any) -> Any:
        """Call-backs, names, iterators."""
        if tag == "cb":
            return call_back(self._space, payload)
        if tag == "n":
            module, name = payload
            return getattr(importlib.import_module(module), name)
        if tag == "p":
            return self._space.named(payload)
        if tag == "en":
            return getattr(self._space.names[payload[0]], payload[1])
        if tag == "it":
            return iter([self.decode(item) for item in payload])
        if tag == "io":
            return io.StringIO(payload)
        return super().extension(tag, payload)


def call_back(space: Space, number: int) -> Callable[..., Any]:
    """A function of the tests, as the program sees it."""

    def function(*args: Any, **kwargs: Any) -> Any:
        assert space.callback is not None
        return space.callback(number, args, kwargs)

    return function


def text_of(error: BaseException) -> str:
    """What an exception says, whatever its class does."""
    try:
        return str(error)[:MESSAGE]
    except BaseException:
        return ""


def raised(error: BaseException) -> dict[str, Any]:
    """An exception as the tester gets it: the names of its classes, most derived first, and its text."""
    names = [kind.__name__ for kind in type(error).__mro__ if kind is not object]
    reply: dict[str, Any] = {"e": names[:20], "x": text_of(error)}
    try:
        if all(type(arg) in (str, int, float, bool, type(None)) for arg in error.args):
            reply["a"] = values.encode(list(error.args))
        own = {
            name: item
            for name, item in vars(error).items()
            if type(item) in (str, int, float, bool, list, dict)
        }
        if own and len(own) <= 20:
            reply["d"] = {name: values.encode(item) for name, item in own.items()}
    except BaseException:
        pass
    return reply


def serve(connection: socket.socket, program: dict[str, Any]) -> None:
    """Function style: load the program, then answer the agent's calls until it closes the channel."""
    channel = Channel(connection)
    try:
        space = Space(program)
        space.named(space.entry)
    except Failed as failed:
        channel.send({"failed": failed.kind, "message": failed.message})
        return
    except BaseException as error:
        channel.send({"failed": "runtime_error", "message": f"{type(error).__name__}: {text_of(error)}"})
        return
    channel.send({"ready": True})
    while (frame := channel.receive()) is not None:
        reply: dict[str, Any] = {"call": frame["call"]}
        try:
            arguments = frame["arguments"]
            args, kwargs = space.decode(arguments)
            result = space.named(space.entry)(*args, **kwargs)
            if inspect.isgenerator(result):
                result = list(result)
            elif inspect.iscoroutine(result):
                result = asyncio.run(result)
            encoder = space.encoder(identify=False)
            value: dict[str, Any] = {"v": encoder.encode(result)}
            if result is None and args:
                value["m"] = [encoder.encode(arg) for arg in args]
            if encoder.heap:
                value["o"] = encoder.heap
            reply["value"] = value
            text = values.dumps(reply)
            if len(text) > values.MAX_TEXT:
                raise values.ValueRefused("the returned value is too large")
        except BaseException as error:
            text = values.dumps(
                {"call": frame["call"], "raised": type(error).__name__[:80], "message": text_of(error)}
            )
        space.printed.take()
        channel.send_text(text)


OPERATIONS: dict[str, Callable[..., Any]] = {
    "value": lambda value: value,
    "len": len,
    "iter": iter,
    "str": str,
    "repr": repr,
    "bool": bool,
    "set": setattr,
    "del": delattr,
    "item": operator.getitem,
    "setitem": operator.setitem,
    "delitem": operator.delitem,
    "in": operator.contains,
    "enter": lambda value: type(value).__enter__(value),
    "exit": lambda value: type(value).__exit__(value, None, None, None),
    "isinstance": lambda kind, value: isinstance(value, kind),
    "issubclass": lambda kind, value: issubclass(value, kind),
    "format": format,
    "int": int,
    "float": float,
    "dir": dir,
}


class Server:
    """Assert style: one request after the other; call-backs into the tests in between."""

    def __init__(self, channel: Channel, space: Space) -> None:
        self._channel = channel
        self._space = space
        self._lock = threading.RLock()
        self._late: dict[int, BaseException] = {}
        space.callback = self._call_back

    def run(self) -> None:
        """Answer until the tester closes the channel."""
        while (frame := self._channel.receive()) is not None:
            self._answer(frame)

    def _answer(self, frame: dict[str, Any]) -> None:
        if frame.get("free"):
            self._space.free(frame["free"])
        if "calls" in frame:
            for call in frame["calls"]:
                self._reply(lambda call=call: self._call(call))
        else:
            self._reply(lambda: self._operate(frame))

    def _reply(self, work: Callable[[], dict[str, Any]]) -> None:
        try:
            reply = work()
            text = values.dumps(reply)
            if len(text) > values.MAX_TEXT:
                raise values.ValueRefused("the value is too large")
        except Broken:
            raise
        except BaseException as error:
            reply = raised(error)
            text = ""
        printed = self._space.printed.take()
        if printed:
            reply["s"] = printed
            text = ""
        self._channel.send_text(text or values.dumps(reply))

    def _call(self, call: dict[str, Any]) -> dict[str, Any]:
        function = self._space.target(call["t"])
        args, kwargs = self._space.decode(call)
        sent = self._space._sent
        result = function(*args, **kwargs)
        self._space._sent = sent
        reply: dict[str, Any] = {}
        if inspect.iscoroutine(result):
            reply["c"] = 1
            result = asyncio.run(result)
        encoder = self._space.encoder(identify=True)
        reply["v"] = encoder.encode(result)
        if call.get("m") and (result is None or call["m"] == 2) and (args or kwargs):
            reply["m"] = {
                "a": [encoder.encode(arg) for arg in args],
                "k": {name: encoder.encode(value) for name, value in kwargs.items()},
            }
        if encoder.heap:
            reply["o"] = encoder.heap
        return reply

    def _operate(self, frame: dict[str, Any]) -> dict[str, Any]:
        operation = frame["op"]
        args, _ = self._space.decode(frame)
        value = self._space.target(frame["t"])
        encoder = self._space.encoder(identify=False)
        if operation == "next":
            items, ended = self._pull(value, args[0])
            result: Any = {"v": encoder.encode(items), "end": ended}
        elif operation == "get":
            result = {"v": encoder.encode(self._space.member(value, args[0]))}
        else:
            result = {"v": encoder.encode(OPERATIONS[operation](value, *args))}
        if encoder.heap:
            result["o"] = encoder.heap
        return result

    def _pull(self, iterator: Any, count: int) -> tuple[list[Any], bool]:
        """Up to `count` further items, and whether that was all. What it raises after some items comes next time."""
        late = self._late.pop(id(iterator), None)
        if late is not None:
            raise late
        items: list[Any] = []
        try:
            while len(items) < count:
                items.append(next(iterator))
        except StopIteration:
            return items, True
        except BaseException as error:
            if not items:
                raise
            self._late[id(iterator)] = error
        return items, False

    def _call_back(self, number: int, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        with self._lock:
            sent = self._space._sent
            encoder = self._space.encoder(identify=False)
            self._channel.send(
                {
                    "cb": number,
                    "a": [encoder.encode(arg) for arg in args],
                    "k": {name: encoder.encode(value) for name, value in kwargs.items()},
                    "o": encoder.heap,
                }
            )
            while (frame := self._channel.receive()) is not None:
                if "calls" in frame or "op" in frame:  # the test's function uses the program in turn
                    self._answer(frame)
                    continue
                if "e" in frame:
                    kind = getattr(builtins, frame["e"], Exception)
                    raise kind(frame["x"])
                decoder = ProgramDecoder(self._space, frame.get("o"))
                self._space._sent = sent
                return decoder.decode(frame["v"])
            raise Broken("the tester is gone")


def kind_of(value: object) -> str:
    """The letter that tells the tester what a name stands for."""
    if isinstance(value, type):
        if issubclass(value, BaseException):
            return "e" + next(kind.__name__ for kind in value.__mro__ if kind.__module__ == "builtins")
        return "c"
    return "f" if callable(value) else "v"


def serve_tester(connection: socket.socket, program: dict[str, Any]) -> None:
    """Assert style: load the program, then answer the tester until it closes the channel."""
    channel = Channel(connection)
    try:
        space = Space(program)
    except Failed as failed:
        channel.send({"failed": failed.kind, "message": failed.message})
        return
    except BaseException as error:
        channel.send({"failed": "runtime_error", "message": f"{type(error).__name__}: {text_of(error)}"})
        return
    names = {
        name: kind_of(value) for name, value in list(space.names.items())[:5_000] if not name.startswith("__")
    }
    channel.send({"ready": True, "names": names})
    try:
        Server(channel, space).run()
    except Broken:
        return
