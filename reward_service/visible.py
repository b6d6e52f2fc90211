"""Text that whoever reads it can only read.

What is decided here: characters that would move, colour, reorder or hide text are written as JSON escapes, in terminals and
on pages alike. A response may hold escape sequences, or bidirectional controls, for whoever looks at it.
"""

from __future__ import annotations

import re

_UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)


def clean(text: str) -> str:
    """The text with every such character as `\\uXXXX`; line feeds and tabs stay."""
    return _UNPRINTABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
