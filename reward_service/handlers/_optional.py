"""Libraries that are extras, and libraries that declare more than their scorers use.

What is decided here: how a handler gets at a library that may not be installed. It is imported when it is first
needed (`warm_up` in the zygote), never with the registry, so a missing extra breaks no other handler: its items are
`error/malformed_item` with the name of the extra, which is not retried and never a 0. While a library is imported,
stand-ins take the place of modules that it only needs for making or fetching data sets.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any, NoReturn

from reward_service.types import Outcome, Reason, cannot_judge


class Missing(Exception):
    """The extra that holds the library is not installed."""

    def __init__(self, extra: str) -> None:
        super().__init__(extra)
        self.extra = extra


def missing(error: Missing) -> Outcome:
    """The outcome of an item whose handler lacks its library."""
    return cannot_judge(
        Reason.MALFORMED_ITEM,
        f"this service can't judge the data source: install it as reward-service[{error.extra}]",
    )


class _StandIn(ModuleType):
    """A module whose every name is a function that refuses to be called."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)

        def refuse(*arguments: Any, **named: Any) -> NoReturn:
            raise RuntimeError(f"{self.__name__}.{name} is not there")

        return refuse


def load(name: str, extra: str, *, without: Sequence[str] = ()) -> ModuleType:
    """The module `name`, imported with stand-ins for the modules in `without`. `Missing` if it isn't installed."""
    if (loaded := sys.modules.get(name)) is not None:
        return loaded
    stand_ins = {absent: _StandIn(absent) for absent in without if absent not in sys.modules}
    sys.modules.update(stand_ins)
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise Missing(extra) from error
    finally:
        for absent in stand_ins:
            sys.modules.pop(absent, None)
