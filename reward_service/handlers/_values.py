"""Python values that travel between processes which don't trust each other, as tagged JSON.

What is decided here: what a value may be that came out of a policy's program. It arrives as text, is parsed under
caps (bytes, nodes, depth, digits, colliding keys) and becomes exact built-in types, or `Opaque` for what isn't plain
data. Nothing here runs code that the other side chose: no pickle, no `==`, `hash` or method on anything but exact
built-in types. Values are compared by `plain_equal`, never by `==` on a whole.

None, booleans, finite floats, strings, lists and integers below 2**53 are themselves. All else is an object with one
key, its tag: {"i": hex} integer, {"f": "nan"} float, {"t": […]} tuple, {"s": […]} set, {"fs": […]} frozenset,
{"d": [[key, value], …]} dict, {"b": base64} bytes, {"ba": base64} bytearray, {"c": [re, im]} complex,
{"r": [start, stop, step]} range, {"fr": [n, d]} Fraction, {"de": text} Decimal, {"dt"|"da"|"ti": ISO text} datetime,
date, time, {"td": [days, seconds, microseconds]}, {"nd": [dtype, shape, base64]} and {"no": [shape, […]]} arrays of
numbers and of values, {"df": [columns, index, rows]} DataFrame, {"se": [name, index, values]} Series,
{"o": n} the nth object of the frame's heap, {"h": [n, kind]} a handle on an object that stayed behind.
Objects of the task's own classes (ListNode, TreeNode) lie in a flat heap, so that long lists nest nothing:
[[class, {attribute: value}, id or null], …].

This file is also the sandbox's `values.py` (standard library only). Encoding runs in the untrusted process as well.
"""

from __future__ import annotations

import base64
import binascii
import collections
import datetime
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any, NoReturn

MAX_TEXT = 8 << 20
MAX_NODES = 400_000
MAX_DEPTH = 60
MAX_HEX_DIGITS = 200_000
MAX_DECIMAL_DIGITS = 4_300
MAX_COLLISIONS = 500
"""Keys of one dict or set that may share their hash with another: more make it quadratic."""

_EXACT = 1 << 53


class ValueRefused(ValueError):
    """The value is too large, too deep, malformed, or can't travel."""


class Opaque:
    """Something that is not plain data and stayed in its process. Equal to nothing, not even to itself."""

    __slots__ = ("kind", "number")

    def __init__(self, number: int, kind: str) -> None:
        self.number = number
        self.kind = kind

    def __eq__(self, other: object) -> bool:
        return False

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<{self.kind} object that is not plain data>"


class Record:
    """An object of one of the task's classes where the class itself isn't loaded: its name and attributes."""

    __slots__ = ("attributes", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self.attributes: dict[str, Any] = {}


def _no_handle(value: object) -> Any:
    return {"h": [0, type(value).__name__[:80]]}


class Encoder:
    """Values into tagged JSON values. `encode` fills `heap`, which belongs into the same frame, from `objects`.

    by_value: the name under which objects of a class travel with their attributes, or None. handle: the tagged
    value for anything that is not plain data. identify: the id under which the other side knows an object.
    """

    def __init__(
        self,
        by_value: Callable[[type], str | None] = lambda _: None,
        handle: Callable[[object], Any] = _no_handle,
        identify: Callable[[object], int | None] = lambda _: None,
    ) -> None:
        self.heap: list[list[Any]] = []
        self._by_value = by_value
        self._handle = handle
        self._identify = identify
        self._places: dict[int, int] = {}
        self.objects: list[Any] = []  # also keeps them alive while their ids are in use
        self._nodes = 0
        self._exporting = False

    def encode(self, value: Any) -> Any:
        """The tagged value. ValueRefused beyond the caps."""
        encoded = self._encode(value, 0)
        if not self._exporting and self.objects:
            self._exporting = True
            try:
                self._export()
            finally:
                self._exporting = False
        return encoded

    def _export(self) -> None:
        while len(self.heap) < len(self.objects):
            item = self.objects[len(self.heap)]
            row: list[Any] = [self._by_value(type(item)), {}, self._identify(item)]
            self.heap.append(row)
            row[1] = {name: self._encode(value, 1) for name, value in attributes(item).items()}

    def _encode(self, value: Any, depth: int) -> Any:
        kind = type(value)
        if kind is int:
            return value if -_EXACT <= value <= _EXACT else self._big(value)
        if kind is str or kind is bool or value is None:
            return value
        if kind is float:
            return value if math.isfinite(value) else {"f": repr(value)}
        if depth > MAX_DEPTH:
            raise ValueRefused(f"nested deeper than {MAX_DEPTH}")
        if kind is list:
            return self._items(value, depth)
        plain = _ENCODE.get(kind)
        if plain is not None:
            return plain(self, value, depth)
        return self._other(value, kind, depth)

    def _items(self, values: Sequence[Any], depth: int) -> list[Any]:
        self._nodes += len(values) + 1
        if self._nodes > MAX_NODES:
            raise ValueRefused(f"more than {MAX_NODES} values")
        kinds = set(map(type, values))
        if kinds <= _THEMSELVES and (
            int not in kinds or all(type(v) is not int or -_EXACT <= v <= _EXACT for v in values)
        ):
            return list(values)
        depth += 1
        return [self._encode(value, depth) for value in values]

    def _big(self, value: int) -> Any:
        if value.bit_length() > 4 * MAX_HEX_DIGITS:
            raise ValueRefused(f"an integer of more than {MAX_HEX_DIGITS} hexadecimal digits")
        return {"i": hex(value)}

    def _pairs(self, value: Mapping[Any, Any], depth: int) -> Any:
        self._nodes += 2 * len(value) + 1
        if self._nodes > MAX_NODES:
            raise ValueRefused(f"more than {MAX_NODES} values")
        depth += 1
        pairs: Iterable[tuple[Any, Any]] = dict.items(value)  # type: ignore[arg-type]
        return {"d": [[self._encode(k, depth), self._encode(v, depth)] for k, v in pairs]}

    def _other(self, value: Any, kind: type, depth: int) -> Any:
        if kind.__module__.partition(".")[0] in ("numpy", "pandas"):
            found = self._scientific(value, kind, depth)
            if found is not None:
                return found
        name = self._by_value(kind)
        if name is not None:
            place = self._places.get(id(value))
            if place is None:
                self._nodes += 1
                if self._nodes > MAX_NODES:
                    raise ValueRefused(f"more than {MAX_NODES} values")
                place = self._places[id(value)] = len(self.objects)
                self.objects.append(value)
            return {"o": place}
        for base in kind.__mro__[1:]:  # honest subclasses decay: Counter, IntEnum, named tuples, float64
            if base is int:
                return self._encode(int.__int__(value), depth)
            if base is str:
                return str.__str__(value)
            if base is float:
                return self._encode(float.__float__(value), depth)
            if base is dict:
                return self._pairs(value, depth)
            if base is list:
                return self._items(list.copy(value), depth)
            if base in _ENCODE:
                return _ENCODE[base](self, value, depth)
        if isinstance(value, _KEY_VIEWS):
            return {"s": self._items(list(value), depth)}
        if isinstance(value, collections.deque):
            return self._items(list(value), depth)
        return self._handle(value)

    def _scientific(self, value: Any, kind: type, depth: int) -> Any:
        """numpy scalars and arrays, DataFrames and Series; None for their other classes."""
        name = kind.__name__
        if name in ("ndarray", "matrix"):
            if value.dtype.kind in "biufc" and value.dtype.itemsize <= 16:
                self._nodes += value.size
                if self._nodes > MAX_NODES:
                    raise ValueRefused(f"more than {MAX_NODES} values")
                data = value.astype(value.dtype.newbyteorder("<"), copy=False).tobytes()
                return {
                    "nd": [value.dtype.str.lstrip("=|<>"), list(value.shape), base64.b64encode(data).decode()]
                }
            return {"no": [list(value.shape), self._items(value.ravel().tolist(), depth)]}
        if name == "DataFrame":
            rows = [list(row) for row in value.astype(object).itertuples(index=False, name=None)]
            return {
                "df": [
                    self._items(list(value.columns), depth),
                    self._items(list(value.index), depth),
                    self._items(rows, depth),
                ]
            }
        if name == "Series" or name.endswith("Index"):
            index = list(value.index) if name == "Series" else list(range(len(value)))
            return {
                "se": [
                    self._encode(value.name, depth + 1),
                    self._items(index, depth),
                    self._items(list(value), depth),
                ]
            }
        if name == "Timestamp":
            return {"dt": value.to_pydatetime().isoformat()}
        if name in ("NaTType", "NAType"):
            return None
        item = getattr(value, "item", None)
        if item is not None and getattr(value, "shape", None) == () and not isinstance(value, (str, bytes)):
            plain = item()
            return None if type(plain).__module__.startswith("numpy") else self._encode(plain, depth + 1)
        return None


_THEMSELVES = frozenset((int, str, bool, type(None)))
_KEY_VIEWS = (type(dict[int, int]().keys()),)


def _bytes(tag: str) -> Callable[[Encoder, Any, int], Any]:
    def encode(_: Encoder, value: Any, __: int) -> Any:
        if len(value) > MAX_TEXT // 2:
            raise ValueRefused("too many bytes")
        return {tag: base64.b64encode(bytes(value)).decode()}

    return encode


_ENCODE: dict[type, Callable[[Encoder, Any, int], Any]] = {
    tuple: lambda e, v, d: {"t": e._items(tuple.__getitem__(v, slice(None)), d)},
    set: lambda e, v, d: {"s": e._items(list(set.__iter__(v)), d)},
    frozenset: lambda e, v, d: {"fs": e._items(list(frozenset.__iter__(v)), d)},
    dict: lambda e, v, d: e._pairs(v, d),
    bytes: _bytes("b"),
    bytearray: _bytes("ba"),
    complex: lambda e, v, d: {"c": [e._encode(v.real, d), e._encode(v.imag, d)]},
    range: lambda e, v, d: {"r": [e._encode(n, d) for n in (v.start, v.stop, v.step)]},
    Fraction: lambda e, v, d: {"fr": [e._encode(v.numerator, d), e._encode(v.denominator, d)]},
    Decimal: lambda e, v, d: {"de": str(v)},
    datetime.datetime: lambda e, v, d: {"dt": v.isoformat()},
    datetime.date: lambda e, v, d: {"da": v.isoformat()},
    datetime.time: lambda e, v, d: {"ti": v.isoformat()},
    datetime.timedelta: lambda e, v, d: {"td": [v.days, v.seconds, v.microseconds]},
}


def attributes(item: Any) -> dict[str, Any]:
    """The instance attributes of an object, those in slots too."""
    found = {
        name: getattr(item, name)
        for base in type(item).__mro__
        for name in _slots(base)
        if name not in ("__dict__", "__weakref__") and hasattr(item, name)
    }
    found.update(getattr(item, "__dict__", {}))
    return found


def _slots(base: type) -> Iterable[str]:
    slots = base.__dict__.get("__slots__", ())
    return (slots,) if isinstance(slots, str) else tuple(slots)


def encode(value: Any) -> Any:
    """A plain value as a tagged JSON value; what isn't plain becomes a handle on nothing."""
    return Encoder().encode(value)


class Decoder:
    """Tagged JSON values into exact built-in types. Subclasses decide what arrays, objects and handles become."""

    def __init__(self, heap: Any = None) -> None:
        self._nodes = 0
        self._objects: list[Any] = []
        if heap:
            self._read_heap(heap)

    def decode(self, value: Any) -> Any:
        """The value. ValueRefused if it is malformed or beyond the caps."""
        return self._decode(value, 0)

    def array(self, kind: str, shape: list[int], data: bytes) -> Any:
        """An array of numbers: here nested lists of Python's numbers."""
        return _nest(_numbers(kind, data), shape)

    def values_array(self, shape: list[int], items: list[Any]) -> Any:
        """An array of any values: here nested lists."""
        return _nest(items, shape)

    def frame(self, columns: list[Any], index: list[Any], rows: list[Any]) -> Any:
        """A DataFrame: here its rows as dicts."""
        return [dict(zip(columns, row, strict=True)) for row in rows]

    def series(self, name: Any, index: list[Any], values: list[Any]) -> Any:
        """A Series: here its values."""
        return values

    def handle(self, number: int, kind: str) -> Any:
        """A handle on an object that stayed in its process."""
        return Opaque(number, kind)

    def blank(self, name: str) -> Any:
        """A new object of the class with this name, without attributes."""
        return Record(name)

    def fill(self, item: Any, values: dict[str, Any], identity: int | None) -> None:
        """Give an object its attributes."""
        item.attributes = values

    def extension(self, tag: str, payload: Any) -> Any:
        """The value of a tag that this module doesn't know."""
        raise ValueRefused("an unknown tag")

    def _read_heap(self, heap: Any) -> None:
        check_heap(heap)
        self._objects = [self.blank(row[0]) for row in heap]
        for item, (_, values, identity) in zip(self._objects, heap, strict=True):
            self.fill(item, {name: self._decode(value, 1) for name, value in values.items()}, identity)

    def _decode(self, value: Any, depth: int) -> Any:
        kind = type(value)
        if kind is list:
            return self._list(value, depth)
        if kind is not dict:
            return value  # JSON's own scalars; `parse` has checked them
        if len(value) != 1:
            raise ValueRefused("a tagged value has one key")
        ((tag, payload),) = value.items()
        if tag == "t":
            return tuple(self._list(payload, depth))
        if tag == "d":
            return self._dict(payload, depth)
        if tag == "s" or tag == "fs":
            items = self._list(payload, depth)
            check_keys(items)
            try:
                return set(items) if tag == "s" else frozenset(items)
            except TypeError:
                raise ValueRefused("a set of what has no hash") from None
        if tag == "o":
            if type(payload) is not int or not 0 <= payload < len(self._objects):
                raise ValueRefused("no such object")
            return self._objects[payload]
        try:
            return self._rarer(tag, payload, depth)
        except ValueRefused:
            raise
        except (
            TypeError, ValueError, LookupError, ArithmeticError, AttributeError, binascii.Error
        ) as error:  # fmt: skip
            raise ValueRefused(f"a malformed value: {type(error).__name__}") from None

    def _rarer(self, tag: str, payload: Any, depth: int) -> Any:
        if tag == "i":
            return _integer(payload)
        if tag == "f":
            return {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}[
                _text(payload, ("nan", "inf", "-inf"))
            ]
        if tag == "b":
            return base64.b64decode(payload, validate=True)
        if tag == "ba":
            return bytearray(base64.b64decode(payload, validate=True))
        if tag == "h":
            number, kind = payload
            if type(number) is not int or type(kind) is not str:
                raise ValueRefused("a malformed handle")
            return self.handle(number, kind[:80])
        if tag == "c":
            real, imaginary = self._list(payload, depth)
            return complex(_float(real), _float(imaginary))
        if tag == "r":
            return range(*map(_index, self._list(payload, depth)))
        if tag == "fr":
            parts = [_index(self._decode(part, depth)) for part in self._list(payload, depth)]
            if any(part.bit_length() > MAX_DECIMAL_DIGITS * 4 for part in parts):
                raise ValueRefused("a fraction of too many digits")  # reducing it is quadratic
            return Fraction(*parts)
        if tag == "de":
            return Decimal(_text(payload, limit=MAX_DECIMAL_DIGITS))
        if tag == "dt":
            return datetime.datetime.fromisoformat(_text(payload, limit=80))
        if tag == "da":
            return datetime.date.fromisoformat(_text(payload, limit=80))
        if tag == "ti":
            return datetime.time.fromisoformat(_text(payload, limit=80))
        if tag == "td":
            days, seconds, microseconds = map(_index, payload)
            return datetime.timedelta(days, seconds, microseconds)
        if tag == "nd":
            kind, shape, data = payload
            _text(kind, limit=4)
            raw = base64.b64decode(data, validate=True)
            width = int(kind[1:])
            if kind[0] not in "biufc" or width not in (1, 2, 4, 8, 16):
                raise ValueRefused("an array of what isn't a number")
            self._count(_size(shape) + _size([length or 1 for length in shape]))
            if len(raw) != _size(shape) * width:
                raise ValueRefused("a malformed array")
            return self.array(kind, shape, raw)
        if tag == "no":
            shape, items = payload
            items = self._list(items, depth)
            self._count(_size([length or 1 for length in shape]))
            if len(items) != _size(shape):
                raise ValueRefused("a malformed array")
            return self.values_array(shape, items)
        if tag == "df":
            columns, index, rows = (self._list(part, depth) for part in payload)
            check_keys(columns)
            check_keys(index)
            if any(type(row) is not list or len(row) != len(columns) for row in rows) or len(rows) != len(
                index
            ):
                raise ValueRefused("a malformed table")
            return self.frame(columns, index, rows)
        if tag == "se":
            name = self._decode(payload[0], depth + 1)
            index, values = (self._list(part, depth) for part in payload[1:])
            check_keys(index)
            if len(index) != len(values):
                raise ValueRefused("a malformed series")
            return self.series(name, index, values)
        return self.extension(tag, payload)

    def _count(self, nodes: int) -> None:
        self._nodes += nodes
        if self._nodes > MAX_NODES:
            raise ValueRefused(f"more than {MAX_NODES} values")

    def _list(self, value: Any, depth: int) -> list[Any]:
        if type(value) is not list:
            raise ValueRefused("a malformed value")
        self._count(len(value) + 1)
        if depth >= MAX_DEPTH:
            raise ValueRefused(f"nested deeper than {MAX_DEPTH}")
        if set(map(type, value)) <= _JSON_SCALARS:
            return value
        depth += 1
        return [self._decode(item, depth) for item in value]

    def _dict(self, payload: Any, depth: int) -> dict[Any, Any]:
        if type(payload) is not list:
            raise ValueRefused("a malformed value")
        self._count(2 * len(payload) + 1)
        if depth >= MAX_DEPTH:
            raise ValueRefused(f"nested deeper than {MAX_DEPTH}")
        depth += 1
        keys: list[Any] = []
        values: list[Any] = []
        for pair in payload:
            if type(pair) is not list or len(pair) != 2:
                raise ValueRefused("a malformed dict")
            keys.append(self._decode(pair[0], depth))
            values.append(self._decode(pair[1], depth))
        check_keys(keys)
        try:
            return dict(zip(keys, values, strict=True))
        except TypeError:
            raise ValueRefused("a dict with a key that has no hash") from None


_JSON_SCALARS = frozenset((int, float, str, bool, type(None)))


def check_heap(heap: Any) -> None:
    """ValueRefused if it isn't a heap of objects."""
    if type(heap) is not list or len(heap) > MAX_NODES:
        raise ValueRefused("a malformed heap")
    for row in heap:
        if not (type(row) is list and len(row) == 3 and type(row[0]) is str and type(row[1]) is dict):
            raise ValueRefused("a malformed object")
        if row[2] is not None and type(row[2]) is not int:
            raise ValueRefused("a malformed object")


def check_keys(keys: list[Any]) -> None:
    """ValueRefused if so many keys share their hash that a dict of them would be quadratic."""
    if len(keys) > MAX_COLLISIONS and set(map(type, keys)) != {str}:
        try:
            hashes = {
                hash(key) for key in keys
            }  # the same hash is the same integer: no collision among these
        except TypeError:
            raise ValueRefused("a key that has no hash") from None
        if len(keys) - len(hashes) > MAX_COLLISIONS:
            raise ValueRefused("keys that share their hashes")


def _integer(payload: Any) -> int:
    text = _text(payload, limit=MAX_HEX_DIGITS + 3)
    if not text.lstrip("-").startswith("0x"):
        raise ValueRefused("a malformed integer")
    return int(text, 16)


def _text(payload: Any, allowed: Sequence[str] | None = None, limit: int = 80) -> str:
    if type(payload) is not str or len(payload) > limit or (allowed is not None and payload not in allowed):
        raise ValueRefused("a malformed value")
    return payload


def _float(value: Any) -> float:
    if type(value) not in (int, float):
        raise ValueRefused("a malformed number")
    return float(value)


def _index(value: Any) -> int:
    if type(value) is not int:
        raise ValueRefused("a malformed number")
    return value


def _size(shape: Any) -> int:
    if type(shape) is not list or len(shape) > 32:
        raise ValueRefused("a malformed shape")
    size = 1
    for length in shape:
        if type(length) is not int or not 0 <= length <= MAX_TEXT:
            raise ValueRefused("a malformed shape")
        size = min(size * length, MAX_TEXT)
    return size


def _numbers(kind: str, data: bytes) -> list[Any]:
    import array

    code = {
        "b1": "B", "i1": "b", "i2": "h", "i4": "i", "i8": "q", "u1": "B", "u2": "H", "u4": "I", "u8": "Q",
        "f4": "f", "f8": "d", "c8": "f", "c16": "d",
    }.get(kind)  # fmt: skip
    if code is None:
        raise ValueRefused("an array of an unknown kind of number")
    numbers = array.array(code, data).tolist()
    if kind == "b1":
        return [number != 0 for number in numbers]
    if kind[0] == "c":
        return [complex(re, im) for re, im in zip(numbers[::2], numbers[1::2], strict=True)]
    return numbers


def _nest(items: list[Any], shape: list[int]) -> Any:
    if not shape:
        return items[0]
    for at in range(len(shape) - 1, 0, -1):
        rows = math.prod(shape[:at])
        items = [items[row * shape[at] : (row + 1) * shape[at]] for row in range(rows)]
    return items


def _refuse_number(text: str) -> NoReturn:
    raise ValueRefused(f"{text[:20]} is no JSON number")


def _parse_float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueRefused("a float out of range")
    return value


# Python's own limit of 4,300 digits guards integers.
_JSON = json.JSONDecoder(parse_float=_parse_float, parse_constant=_refuse_number)


def parse(text: str) -> Any:
    """JSON under the caps of a frame. ValueRefused otherwise."""
    if len(text) > MAX_TEXT:
        raise ValueRefused(f"a frame of more than {MAX_TEXT} characters")
    try:
        return _JSON.decode(text)
    except ValueRefused:
        raise
    except (ValueError, RecursionError) as error:
        raise ValueRefused(f"not JSON: {type(error).__name__}") from None


def dumps(value: Any) -> str:
    """JSON text, ASCII, in one line."""
    return json.dumps(value, separators=(",", ":"))


def as_json(value: Any) -> Any:
    """A decoded value as it would look after being stored as JSON: tuples are lists, keys of dicts are text."""
    kind = type(value)
    if kind is dict:
        keys = [_json_key(key) for key in value]
        if len(set(keys)) == len(keys):
            return {key: as_json(item) for key, item in zip(keys, value.values(), strict=True)}
        return value
    return [as_json(item) for item in value] if kind is list or kind is tuple else value


def _json_key(key: Any) -> Any:
    if key is None or type(key) is bool:
        return {None: "null", True: "true", False: "false"}[key]
    if type(key) is int and key.bit_length() < 4 * MAX_DECIMAL_DIGITS // 2:
        return str(key)
    return repr(key) if type(key) is float else key


def plain_equal(expected: Any, got: Any, tolerance: float = 0.0, *, sequences_alike: bool = True) -> bool:
    """Is a decoded value what was expected? Iterative, and `==` is only used between exact scalar types.

    Numbers: equal in value; a float where one is expected may differ by `tolerance`, absolute or relative. A
    boolean only equals a boolean; nan equals nan. A list equals a tuple (unless `sequences_alike` is False), a set
    a frozenset. Dicts: the same keys with equal values; sets: the same elements, without tolerance. Objects of the
    task's classes: the same attributes, shared and cyclic ones too. `Opaque` equals nothing.
    """
    pending = [(expected, got)]
    seen: set[tuple[int, int]] = set()
    while pending:
        a, b = pending.pop()
        kind, other = type(a), type(b)
        if kind is list or kind is tuple:
            if other is not list and other is not tuple:
                return False
            if (other is not kind and not sequences_alike) or len(a) != len(b):
                return False
            pending.extend(zip(a, b, strict=True))
        elif kind is dict:
            if other is not dict or len(a) != len(b):
                return False
            for key, value in a.items():
                if key not in b:
                    return False
                pending.append((value, b[key]))
        elif kind is Record:
            if other is not Record or a.name != b.name or a.attributes.keys() != b.attributes.keys():
                return False
            if (id(a), id(b)) not in seen:
                seen.add((id(a), id(b)))
                pending.extend((value, b.attributes[name]) for name, value in a.attributes.items())
        elif not _scalars_equal(a, b, kind, other, tolerance):
            return False
    return True


_NUMBERS = (int, float, complex, Fraction, Decimal)
_SCALARS = frozenset(
    (
        str,
        bytes,
        bytearray,
        range,
        type(None),
        datetime.datetime,
        datetime.date,
        datetime.time,
        datetime.timedelta,
    )
)


def _scalars_equal(a: Any, b: Any, kind: type, other: type, tolerance: float) -> bool:
    if kind in (set, frozenset):
        return other in (set, frozenset) and len(a) == len(b) and all(item in b for item in a)
    if kind in _NUMBERS:
        if other not in _NUMBERS:
            return False
        if kind is float or (other is float and kind is not int):
            return close(float(a), b, tolerance) if other in (int, float) else bool(a == b)
        return bool(a == b)
    if kind is bool:
        return other is bool and bool(a == b)
    return kind in _SCALARS and other is kind and bool(a == b)


def close(expected: float, got: float, tolerance: float) -> bool:
    """Equal, both nan, or both finite and within `tolerance`, absolute or relative to what was expected."""
    try:
        got = float(got)
    except OverflowError:
        return False
    if expected == got or (math.isnan(expected) and math.isnan(got)):
        return True
    return (
        math.isfinite(expected)
        and math.isfinite(got)
        and abs(expected - got) <= tolerance * max(1.0, abs(expected))
    )
