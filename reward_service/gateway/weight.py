"""How many values a JSON text holds, said before it is parsed.

What is decided here: bytes alone don't bound what JSON costs. Thirty megabytes of `[[],[],…]` became 1.2 GB of objects and
eleven seconds in which the event loop answered nobody; the same bytes as one long string cost nothing. So separators outside of
strings are counted first, objects apart (each costs as much as ten numbers), and only where there could be too many: a few
scans by `bytes.count` clear everything else.
"""

from __future__ import annotations

import re
from itertools import islice
from typing import NamedTuple

from reward_service.errors import TooLarge


class Most(NamedTuple):
    """Values, and how many of them may be objects."""

    values: int
    objects: int


BODY = Most(2_000_000, 250_000)
"""A JSON body: a thousand rows with a dozen full ARC grids each fit, or with two hundred objects."""
LINE = Most(500_000, 100_000)
"""A line of NDJSON, which is one item."""


class Counter(NamedTuple):
    """Finds characters outside of strings. before: what comes before the first; each: one, with all up to the next."""

    before: re.Pattern[bytes]
    each: re.Pattern[bytes]

    def more(self, text: bytes, most: int) -> bool:
        """Are there more than that many? Stops counting there."""
        start = self.before.match(text)
        found = self.each.finditer(text, start.end() if start else 0)
        return sum(1 for _ in islice(found, most + 1)) > most


def _outside_strings(characters: bytes) -> Counter:
    rest = rb'(?:[^"%s]*+"[^"\\]*+(?:\\.[^"\\]*+)*+")*+' % characters
    return Counter(re.compile(rest, re.DOTALL), re.compile(rb"[%s]%s" % (characters, rest), re.DOTALL))


_SEPARATORS = _outside_strings(rb",\[{")
_OBJECTS = _outside_strings(rb"{")


def check_values(text: bytes, most: Most) -> None:
    """TooLarge if the JSON text holds more values or objects than that. Of text that is no JSON nothing is said."""
    if len(text) <= min(most) or text.lstrip()[:1] not in (b"[", b"{"):
        return
    braces = text.count(b"{")
    if braces > most.objects and _OBJECTS.more(text, most.objects):
        raise TooLarge(f"more than {most.objects:,} JSON objects: send fewer items at a time")
    separators = braces + text.count(b",") + text.count(b"[")
    if separators > most.values and _SEPARATORS.more(text, most.values):
        raise TooLarge(f"more than {most.values:,} JSON values: send fewer items at a time")
