"""How a decision comes about, told by the code that makes it, while it makes it.

What is decided here: an explanation is a by-product of the scoring path and never a second opinion. Handlers, and what
they share, say at the place where it happens what was found, in which form it was read, which comparator said what and
which test got what. Unless the item asked to be explained, nobody listens and each call is one comparison with None, so
the narration can't change a score and costs next to nothing.

A process judges one item at a time, so there is one listener. What plan told is carried to judge inside the notes
(`explained`), because the two may run in different processes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from reward_service.questions import Ask
from reward_service.runs import Work
from reward_service.types import Outcome

TEXT = 2_000
"""Characters of any one text in an account."""
UNPACKED = 20_000
"""Characters of a ground truth that came compressed."""
LINES = 64
"""Entries of any one list in an account: what comes after is only counted."""
_CARRIED, _NOTES = "narrated", "notes"

EQUAL, NOT_EQUAL, CANT_SAY = "equal", "not equal", "can't say"


class Account:
    """What has been told about one item. `response`: as the handler sees it; spans are places in it."""

    def __init__(self, response: str, carried: Mapping[str, Any] | None = None) -> None:
        self.response = response
        self._part, self._offset = response, 0
        told = carried or {}
        self.part: list[int] | None = told.get("part")
        self.found: list[dict[str, Any]] = list(told.get("found", ()))
        self.forms: list[dict[str, Any]] = list(told.get("forms", ()))
        self.comparators: list[dict[str, Any]] = list(told.get("comparators", ()))
        self.checks: list[dict[str, Any]] = list(told.get("checks", ()))
        self.missing: str = told.get("missing", "")
        self.ground_truth: str = told.get("ground_truth", "")
        self.more: dict[str, int] = dict(told.get("more", {}))
        self.about = ""

    def plain(self) -> dict[str, Any]:
        """The account as plain data, what is empty left out."""
        names = ("part", "found", "forms", "comparators", "checks", "missing", "ground_truth", "more")
        return {name: value for name in names if (value := getattr(self, name))}

    def add(self, name: str, entry: dict[str, Any]) -> None:
        """One more entry of a list, if it has room."""
        entries: list[dict[str, Any]] = getattr(self, name)
        if len(entries) < LINES:
            entries.append(entry | {"about": self.about} if self.about else entry)
        else:
            self.more[name] = self.more.get(name, 0) + 1

    def place(self, text: str, start: int) -> int | None:
        """Where in the response the place `start` of `text` is, if `text` is the response or its part that counts."""
        if text is self._part:
            return self._offset + start
        return start if text is self.response else None

    def enter(self, part: str, offset: int) -> None:
        """From here on `part` is what is read; it stands at `offset` in the response."""
        self._part, self._offset = part, offset
        self.part = [offset, offset + len(part)]


_listener: Account | None = None


def part(response: str, text: str, offset: int) -> None:
    """`text`, at `offset` of `response`, is the part that counts."""
    if _listener is not None and response is _listener.response:
        _listener.enter(text, offset)


def found(rule: str, text: str, start: int, end: int) -> None:
    """`text[start:end]` holds the answer, by `rule` (words for people). Text that isn't the response's is ignored."""
    if _listener is not None:
        at = _listener.place(text, start)
        if at is not None:
            _listener.add("found", {"rule": rule, "start": at, "end": at + end - start})


def found_text(rule: str, answer: str) -> None:
    """`answer` was found by `rule`; where it stands is to be searched for."""
    if _listener is not None:
        _listener.add("found", {"rule": rule, "text": answer[:TEXT]})


def forms(answer: object, ground_truth: object, what: str = "") -> None:
    """The two sides as they are compared; `what` names the form."""
    if _listener is not None:
        _listener.add("forms", {"what": what, "answer": _text(answer), "ground_truth": _text(ground_truth)})


def compared(comparator: str, said: bool | None, note: str = "") -> None:
    """A comparator was asked: it said equal, not equal, or (None) that it can't say."""
    if _listener is not None:
        word = CANT_SAY if said is None else EQUAL if said else NOT_EQUAL
        _listener.add("comparators", {"comparator": comparator, "said": word, "note": note[:TEXT]})


def check(name: str, passed: bool, **told: object) -> None:
    """A test, cell or instruction, and what came of it: `expected`, `got`, `input`, `status`, `message`, `stderr`.

    What is None or empty is left out.
    """
    if _listener is not None:
        shown = {key: _text(value) for key, value in told.items() if value is not None and value != ""}
        _listener.add("checks", {"name": name, "passed": passed, **shown})


def missing(text: str) -> None:
    """What is not there that a right answer needs."""
    if _listener is not None:
        _listener.missing = text[:TEXT]


def unpacked(ground_truth: object) -> None:
    """The ground truth as the handler sees it, where it came compressed."""
    if _listener is not None:
        _listener.ground_truth = _text(ground_truth, UNPACKED)


def listening() -> bool:
    """Is this item explained? For what is costly to tell."""
    return _listener is not None


@contextmanager
def about(what: str) -> Iterator[None]:
    """What is told inside is about something beside the answer."""
    account = _listener
    if account is None:
        yield
        return
    before, account.about = account.about, what
    try:
        yield
    finally:
        account.about = before


def _text(value: object, most: int = TEXT) -> str:
    try:
        text = value if isinstance(value, str) else repr(value)
    except Exception:  # an integer too long to write, or a repr of somebody else's that fails
        return f"<{type(value).__name__} that can't be written>"
    return text if len(text) <= most else f"{text[:most]}… ({len(text):,} characters)"


# In the process that judges


def explained(
    response: str, notes: Any, decide: Callable[[Any], Outcome | Work | Ask]
) -> Outcome | Work | Ask:
    """The decision of `decide(notes)`, with the account of it: in the trace, or in the notes for the next step.

    notes: those that an earlier call of this put into work or a question; None for the first.
    """
    global _listener
    carried = None
    if type(notes) is dict and _CARRIED in notes:
        carried, notes = notes[_CARRIED], notes[_NOTES]
    account = Account(response, carried)
    _listener = account
    try:
        decision = decide(notes)
    finally:
        _listener = None
    told = account.plain()
    if isinstance(decision, Outcome):
        return replace(decision, trace={**decision.trace, _CARRIED: told}) if told else decision
    return replace(decision, notes={_CARRIED: told, _NOTES: decision.notes})


def with_account(outcome: Outcome, notes: Any) -> Outcome:
    """The outcome of an item that was to be explained and never got back to its handler, with what had been told."""
    if _CARRIED in outcome.trace or type(notes) is not dict or not notes.get(_CARRIED):
        return outcome
    return replace(outcome, trace={**outcome.trace, _CARRIED: notes[_CARRIED]})


def account_of(outcome: Outcome) -> Mapping[str, Any]:
    """What was told about an explained item; empty if nothing was."""
    told = outcome.trace.get(_CARRIED)
    return told if isinstance(told, Mapping) else {}


def rest_of(outcome: Outcome) -> dict[str, Any]:
    """What the handler put into the trace itself."""
    return {name: value for name, value in outcome.trace.items() if name != _CARRIED}
