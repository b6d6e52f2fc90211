"""Which language a text is in, always alike.

What is decided here: `langdetect` as IFEval uses it, with its sampling seeded afresh for each text, so that a verdict
depends on nothing but the text. It looks at the first 10,000 characters; what is far beyond is cut before, because it
runs its clean-up over everything.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from reward_service.handlers._optional import load
from reward_service.handlers.instruction.library import EXTRA

MAX_CHARS = 1 << 15


@lru_cache(maxsize=1)
def _langdetect() -> Any:
    module = load("langdetect", EXTRA)
    module.DetectorFactory.seed = 0  # every detector starts its generator with it
    return module


@lru_cache(maxsize=32)
def language_of(text: str) -> str | None:
    """The code that langdetect gives the text (`en`, `zh-cn`), or None where it finds nothing to go by."""
    module = _langdetect()
    try:
        code: str = module.detect(text)
    except module.LangDetectException:
        return None
    return code


def detected(text: str) -> str | None:
    """`language_of` the part of a text that counts."""
    return language_of(text[:MAX_CHARS])


def warm_up() -> None:
    """Load the language profiles."""
    detected("Nothing but a sentence in English.")
