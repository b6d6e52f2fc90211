"""Violations that were looked at and are meant to be: a file of them, each with a reason.

What is decided here: an entry names a violation (a final `*` is a pattern) and can be narrowed to a data source and to one
ground truth. It has to give a reason. Entries that match nothing any more are told, so that the file can't rot.
"""

from __future__ import annotations

import json
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from reward_service.audit.model import Violation


class BadAccepted(ValueError):
    """The file can't be used; the message says where."""


class Entry(BaseModel):
    """One argued violation."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    violation: str = Field(min_length=3)
    reason: str = Field(min_length=8)
    data_source: str | None = None
    ground_truth: Any = None

    def fits(self, violation: Violation) -> bool:
        """Is this the violation that the entry argues?"""
        probe = violation.probe
        name = self.violation
        named = probe.name.startswith(name[:-1]) if name.endswith("*") else probe.name == name
        source = self.data_source in (None, probe.subject.source, probe.subject.data_source)
        gold = self.ground_truth
        return named and source and (gold is None or _same(gold, probe.subject.ground_truth))


def _same(one: Any, other: Any) -> bool:
    return json.dumps(one, sort_keys=True, default=str) == json.dumps(other, sort_keys=True, default=str)


@dataclass(slots=True)
class Accepted:
    """The entries of a file, and how many violations each has argued."""

    entries: tuple[Entry, ...] = ()
    used: dict[int, int] = field(default_factory=dict)

    def argues(self, violation: Violation) -> bool:
        """Is the violation argued? Counts it if so."""
        for place, entry in enumerate(self.entries):
            if entry.fits(violation):
                self.used[place] = self.used.get(place, 0) + 1
                return True
        return False

    def unused(self) -> list[Entry]:
        """The entries that argued nothing."""
        return [entry for place, entry in enumerate(self.entries) if place not in self.used]


def read(path: Path) -> Accepted:
    """The file's entries. BadAccepted if it isn't TOML, or an entry lacks its reason."""
    try:
        found = tomllib.loads(path.read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadAccepted(f"{path}: {error}") from None
    entries = found.get("accepted", [])
    if set(found) - {"accepted"} or not isinstance(entries, list):
        raise BadAccepted(f"{path}: a list of [[accepted]] tables, and nothing else")
    made = []
    for number, entry in enumerate(entries, 1):
        try:
            made.append(Entry.model_validate(entry))
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            raise BadAccepted(
                f"{path}: entry {number}, {'.'.join(map(str, first['loc']))}: {first['msg']}"
            ) from None
    return Accepted(tuple(made))
