"""Values of the program's as the tests get them, in the trusted tester process.

What is decided here: everything that comes in is hostile, and becomes exact built-in types, arrays, tables, objects of
the task's own classes, or stand-ins. An object of the task's that came with a call and comes back unchanged is the
tests' own object again.
"""

from __future__ import annotations

import collections
from typing import TYPE_CHECKING, Any

import values
from arrays import ArrayDecoder

if TYPE_CHECKING:
    from remote import Link


def mirror(old: Any, new: Any) -> None:
    """Make a test's own mutable argument hold what the program left in it."""
    kind = type(old)
    if type(new) is not kind or old is new:
        return
    if kind is list:
        if len(old) == len(new):
            for at, (before, after) in enumerate(zip(old, new, strict=True)):
                if type(before) in _CONTAINERS and type(before) is type(after):
                    mirror(before, after)
                else:
                    old[at] = after
        else:
            old[:] = new
    elif kind is dict:
        for key in [key for key in old if key not in new]:
            del old[key]
        for key, after in new.items():
            before = old.get(key)
            if type(before) in _CONTAINERS and type(before) is type(after):
                mirror(before, after)
            else:
                old[key] = after
    elif kind is set:
        old.clear()
        old.update(new)
    elif kind is bytearray:
        old[:] = new
    elif kind.__name__ == "ndarray" and old.shape == new.shape and old.dtype == new.dtype:
        old[...] = new


_CONTAINERS = frozenset((list, dict, set, bytearray))


class Member:
    """A member of an Enum that the program defines: equal to another by class and name.

    asked: the tests got it by its name (`Color.RED`), so the program had no say in which one it is. Two that the
    program chose can't be compared: it could have one member for all.
    """

    __slots__ = ("_link", "asked", "name", "owner", "value")

    def __init__(self, link: Link, owner: str, name: str, value: Any) -> None:
        self._link = link
        self.owner = owner
        self.name = name
        self.value = value
        self.asked = False

    def __eq__(self, other: object) -> bool:
        if type(other) is not Member:
            return NotImplemented
        if not (self.asked or other.asked):
            self._link.refuse("the equality")
        return (self.owner, self.name) == (other.owner, other.name)

    def __hash__(self) -> int:
        return hash((self.owner, self.name))

    def __repr__(self) -> str:
        return f"{self.owner}.{self.name}"


class TestDecoder(ArrayDecoder):
    """The program's values, with arrays, tables, the task's own classes, and stand-ins for everything else.

    Objects that came with the call and come back as they were are the test's own objects again; changed ones
    are copies, unless changes are to be mirrored.
    """

    __test__ = False

    def __init__(self, link: Link, heap: Any, sent: values.Encoder | None, *, mirror: bool) -> None:
        self._link = link
        self._sent = sent if sent is not None and sent.heap else None
        self._mirror = mirror
        super().__init__(heap)

    def _read_heap(self, heap: Any) -> None:
        values.check_heap(heap)
        originals: list[Any] = self._sent.objects if self._sent is not None else []
        known = dict.fromkeys(range(len(heap))) if self._mirror else unchanged(heap, self._sent)
        for place, (name, _, identity) in enumerate(heap):
            if place in known and identity is not None and 0 <= identity < len(originals):
                self._objects.append(originals[identity])
            else:
                self._objects.append(self._blank(name))
        for place, (_, attributes, _) in enumerate(heap):
            if place in known and not self._mirror:
                continue
            item = self._objects[place]
            for name, value in attributes.items():
                if name.startswith("__") or callable(getattr(type(item), name, None)):
                    raise values.ValueRefused("an attribute that takes the place of a method")
                object.__setattr__(item, name, self._decode(value, 1))

    def _blank(self, name: str) -> Any:
        kind = self._link.task_classes.get(name)
        if kind is None:
            raise values.ValueRefused("no such class")
        return object.__new__(kind)

    def values_array(self, shape: list[int], items: list[Any]) -> Any:
        """A numpy array of strings or other plain values."""
        if any(self._link.is_handle(item) for item in items):
            raise values.ValueRefused("an array of objects")
        return super().values_array(shape, items)

    def handle(self, number: int, kind: str) -> Any:
        """A stand-in."""
        return self._link.handle(number)

    def extension(self, tag: str, payload: Any) -> Any:
        """A function of the test's own that comes back, a named tuple, a member of an Enum."""
        if tag == "cb":
            return self._link.callback(payload)
        if tag == "nt":
            name, fields, items = payload
            items = self._list(items, 1)
            if (
                not all(type(field) is str and field.isidentifier() for field in [name, *fields])
                or len(fields) > 100
            ):
                raise values.ValueRefused("a malformed named tuple")
            return collections.namedtuple(name, fields)(*items)
        if tag == "en":
            owner, name, value = payload
            if type(owner) is not str or type(name) is not str:
                raise values.ValueRefused("a malformed member")
            return Member(self._link, owner, name, self._decode(value, 1))
        return super().extension(tag, payload)


def unchanged(heap: list[Any], encoder: values.Encoder | None) -> set[int]:
    """The places in `heap` of objects that came with the call and, with all they lead to, are as they were."""
    if encoder is None:
        return set()
    sent = encoder.heap
    identities = [row[2] if row[2] is not None and 0 <= row[2] < len(sent) else None for row in heap]

    def normal(value: Any, found: list[int]) -> Any:
        if type(value) is list:
            return [normal(item, found) for item in value]
        if type(value) is dict:
            if value.keys() == {"o"} and type(value["o"]) is int and 0 <= value["o"] < len(heap):
                found.append(value["o"])
                identity = identities[value["o"]]
                return {"o": identity} if identity is not None else {"o": "new"}
            return {key: normal(item, found) for key, item in value.items()}
        return value

    users: dict[int, list[int]] = {}
    changed: list[int] = []
    for place, (name, attributes, _) in enumerate(heap):
        identity = identities[place]
        found: list[int] = []
        plain = normal(attributes, found)
        for other in found:
            users.setdefault(other, []).append(place)
        if (
            identity is None
            or sent[identity][0] != name
            or values.dumps(sent[identity][1]) != values.dumps(plain)
        ):
            changed.append(place)
    gone = set(changed)
    while changed:
        for user in users.get(changed.pop(), ()):
            if user not in gone:
                gone.add(user)
                changed.append(user)
    return set(range(len(heap))) - gone
