"""The instructions of a row.

What is decided here: which shapes a row may have. IFEval's rows have a list of arguments as ground truth and the
instructions in `instruction_id_list`; IFBench's have `[{"instruction_id": […], "kwargs": […]}]`, as JSON or as a Python
literal; others have the identifiers as ground truth and the arguments in `kwargs`. The guru profile takes the first
entry of IFBench's list, as published.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from reward_service.handlers._literal import LiteralError, parse_literal
from reward_service.handlers.instruction.catalogue import CATALOGUE, BadArgument, complete

MAX_INSTRUCTIONS = 40
_IDENTIFIERS = ("instruction_id", "instruction_id_list", "instruction_ids")
_SHAPE = re.compile(r"[a-z_-]{2,40}:[a-z0-9_-]{2,60}")


class Asked(NamedTuple):
    """One instruction of a row, with all its arguments."""

    identifier: str
    arguments: Mapping[str, Any]


class BadRow(ValueError):
    """The row's instructions can't be used; the message says why without quoting an argument."""


def asked(gold: Any, extra: Mapping[str, Any], *, first_only: bool = False) -> list[Asked]:
    """The row's instructions in order. `BadRow` if there are none, one is unknown, or an argument is missing."""
    found: list[Asked] = []
    for identifiers, arguments in _entries(_plain(gold), extra, first_only):
        if len(identifiers) != len(arguments):
            raise BadRow("there are as many arguments as instructions")
        found += [_one(*pair) for pair in zip(identifiers, arguments, strict=True)]
    if not found:
        raise BadRow("the row has no instruction")
    if len(found) > MAX_INSTRUCTIONS:
        raise BadRow(f"a row has at most {MAX_INSTRUCTIONS} instructions")
    return found


def _entries(gold: Any, extra: Mapping[str, Any], first_only: bool) -> list[tuple[list[Any], list[Any]]]:
    """Pairs of identifiers and arguments, in the order of the row."""
    if isinstance(gold, dict):
        gold = [gold]
    if not isinstance(gold, list) or not gold:
        raise BadRow("the ground truth is a list of instructions or of their arguments")
    if all(isinstance(entry, dict) and any(name in entry for name in _IDENTIFIERS) for entry in gold):
        return [_entry(entry) for entry in (gold[:1] if first_only else gold)]
    if all(isinstance(entry, str) for entry in gold):
        return [(gold, _arguments(extra.get("kwargs"), len(gold)))]
    identifiers = _plain(extra.get("instruction_id_list"))
    if not isinstance(identifiers, list):
        raise BadRow("the row has no instruction_id_list")
    return [(identifiers, _arguments(gold, len(identifiers)))]


def _entry(entry: Mapping[str, Any]) -> tuple[list[Any], list[Any]]:
    identifiers = next(entry[name] for name in _IDENTIFIERS if name in entry)
    if isinstance(identifiers, str):
        identifiers = [identifiers]
    if not isinstance(identifiers, list):
        raise BadRow("instruction_id is a list")
    return identifiers, _arguments(entry.get("kwargs"), len(identifiers))


def _arguments(value: Any, count: int) -> list[Any]:
    value = _plain(value)
    if value is None:
        return [None] * count
    if isinstance(value, dict) and count == 1:
        return [value]
    if not isinstance(value, list):
        raise BadRow("kwargs is a list")
    return value


def _plain(value: Any) -> Any:
    if not isinstance(value, str):
        return list(value) if isinstance(value, Sequence) else value
    try:
        return parse_literal(value)
    except LiteralError:
        raise BadRow("a text in the row is neither JSON nor a literal") from None


def _one(identifier: Any, arguments: Any) -> Asked:
    if not isinstance(identifier, str) or _SHAPE.fullmatch(identifier) is None:
        raise BadRow("an entry is not the name of an instruction (`group:name`)")
    if identifier not in CATALOGUE:
        raise BadRow(f"there is no instruction {identifier}")
    if arguments is not None and not isinstance(arguments, dict):
        raise BadRow(f"the arguments of {identifier} are not an object")
    given = {name: value for name, value in (arguments or {}).items() if value is not None}
    try:
        return Asked(identifier, complete(identifier, given))
    except BadArgument as error:
        raise BadRow(f"{identifier} lacks a usable argument {error}") from None
