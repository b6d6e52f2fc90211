"""The values of an audit: what is audited, what is put to the handler, what has to come of it, and what did.

What is decided here: a transformation is a name, a demand and a generator. The name of a probe is
`family.variant` (`miss.sign_flip`), the same for every handler that the family fits, so that a violation can be argued
by name and counted under a label that no row can create.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple

from reward_service.registry import Writes
from reward_service.types import Profile


class Demand(StrEnum):
    """What has to come of a probe."""

    ACCEPT = "must_accept"
    REJECT = "must_reject"
    INVARIANT = "invariant"


@dataclass(frozen=True, slots=True, eq=False)
class Subject:
    """One row to audit: everything of an item but a response. Compared by identity.

    number: its line, or its place. handler and source: where its data source is routed. reference: a response that is
    known to be right, if the row has one. template, hooks: see `learned`.
    """

    number: int
    data_source: str
    source: str
    handler: str
    ground_truth: Any
    extra_info: Mapping[str, Any]
    prompt: Any = None
    reference: str | None = None
    template: str | None = None
    hooks: Hooks | None = None

    @property
    def question(self) -> str:
        """The prompt as text, or what stands in its place; "" for none."""
        if isinstance(self.prompt, str):
            return self.prompt
        if isinstance(self.prompt, list):
            texts = [turn.get("content") for turn in self.prompt if isinstance(turn, dict)]
            return "\n".join(text for text in texts if isinstance(text, str))
        question = self.extra_info.get("question")
        return question if isinstance(question, str) else ""

    @property
    def size(self) -> int:
        """Characters of the row, for finding the smallest one."""
        return len(json.dumps([self.ground_truth, dict(self.extra_info)], default=str)) + len(self.question)


class Hooks(NamedTuple):
    """What a handler offers of its own (see `registry.handler`)."""

    dress: Writes | None
    near_misses: Writes | None


class _Same:
    def __repr__(self) -> str:
        return "the row's"


SAME: Any = _Same()


@dataclass(frozen=True, slots=True)
class Probe:
    """One response, and what has to come of it.

    ground_truth: another way to write the row's, or the row's. nothing: there is no answer in it, so that it earns
    exactly 0 even where wrong answers may earn something, in both profiles.
    """

    subject: Subject
    name: str
    demand: Demand
    response: str
    ground_truth: Any = SAME
    nothing: bool = False
    profile: Profile = Profile.STRICT

    def fields(self) -> dict[str, Any]:
        """The item as it is sent."""
        subject = self.subject
        gold = subject.ground_truth if self.ground_truth is SAME else self.ground_truth
        found = {
            "data_source": subject.data_source,
            "response": self.response,
            "ground_truth": gold,
            "extra_info": dict(subject.extra_info) or None,
            "prompt": subject.prompt,
            "profile": self.profile.value,
        }
        return {name: value for name, value in found.items() if value is not None}


Variants = Iterator[tuple[str, str]]
"""Names of variants, each with an answer or a whole response."""


@dataclass(frozen=True, slots=True)
class Transformation:
    """A family of probes. handlers: those that it fits, or nothing for all; make: variant and response from a subject."""

    family: str
    demand: Demand
    make: Callable[[Subject], Variants]
    handlers: frozenset[str] = frozenset()
    but_not: frozenset[str] = frozenset()
    nothing: bool = False

    def probes(self, subject: Subject) -> Iterator[Probe]:
        """The probes of one row."""
        if (self.handlers and subject.handler not in self.handlers) or subject.handler in self.but_not:
            return
        for variant, response in self.make(subject):
            yield Probe(subject, f"{self.family}.{variant}", self.demand, response, nothing=self.nothing)


@dataclass(frozen=True, slots=True)
class Violation:
    """A probe whose demand was not met. problem: what came instead, in a few words; result: as the service said it."""

    probe: Probe
    problem: str
    result: Mapping[str, Any] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Characters of the example: of the response first, then of the row."""
        return len(self.probe.response) * 1_000 + self.probe.subject.size
