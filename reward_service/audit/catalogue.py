"""Every transformation there is, and the probes that they make of a row.

What is decided here: one response is one probe. Where two transformations come to the same text, the first name stays; where
one demands a 1 and another a 0 for it (a ground truth whose plain wrong answer happens to be right), neither is put.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from reward_service.audit import (
    cheats,
    everywhere,
    kits_logic,
    kits_math,
    kits_programs,
    kits_science,
    kits_tables,
    kits_words,
    learned,
)
from reward_service.audit.kit import Kit, transformations
from reward_service.audit.model import Demand, Probe, Subject, Transformation

KITS = (
    *kits_logic.KITS,
    *kits_math.KITS,
    *kits_science.KITS,
    *kits_words.KITS,
    *kits_tables.KITS,
    *kits_programs.KITS,
)
WITHOUT_A_KIT = frozenset({"code", "instruction", "composite", "livebench"})
"""Our handlers whose right answers can't be written from the ground truth: only references and examples are."""


@lru_cache(maxsize=256)
def kit_of(handler: str) -> Kit | None:
    """The kit of a handler; one that is learnt from its examples where there is none."""
    known = next((kit for kit in KITS if handler in kit.handlers), None)
    if known is not None or handler in WITHOUT_A_KIT:
        return known
    return learned.kit(frozenset({handler}))


@lru_cache(maxsize=256)
def transformations_of(handler: str) -> tuple[Transformation, ...]:
    """What fits a handler."""
    kit = kit_of(handler)
    own = transformations(kit) if kit is not None else ()
    return (*own, *cheats.TRANSFORMATIONS, *learned.hooked(), *everywhere.general(kit_of))


def base_of(subject: Subject) -> str | None:
    """The usual right response to a row, if one is known."""
    kit = kit_of(subject.handler)
    answers = kit.of(subject) if kit is not None else None
    return answers.right if answers is not None else subject.reference


def probes(subject: Subject) -> list[Probe]:
    """Every probe of a row, each response once."""
    made: list[Probe] = []
    for transformation in transformations_of(subject.handler):
        made += transformation.probes(subject)
    right = {probe.response for probe in made if probe.demand is Demand.ACCEPT}
    wrong = {probe.response for probe in made if probe.demand is Demand.REJECT}
    both = right & wrong
    found: dict[str, Probe] = {}
    for probe in made:
        if probe.response not in both:
            found.setdefault(probe.response, probe)
    return [*found.values(), *_beside(subject)]


def _beside(subject: Subject) -> Iterator[Probe]:
    yield from everywhere.round_trips(subject, base_of(subject))
    yield from everywhere.other_profile(subject)
