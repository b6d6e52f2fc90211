"""`reward-service doctor`: what on this machine and in these settings will go wrong, before it does.

What is decided here: every finding says what was seen, and one that isn't fine says what to do about it. `fail` is for what
the service can't do its work with (exit code 1), `warn` for what will hurt under load or later, `skip` for what is not in use.
Checks that ask something (Redis, the judge, an engine) do what the service does with it, and not only look whether it is there.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum

from reward_service.settings import Settings


class State(StrEnum):
    """How it is."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    SKIP = "skip"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check saw. advice: what to do, where something is to be done."""

    check: str
    state: State
    seen: str
    advice: str = ""


def ok(check: str, seen: str) -> Finding:
    """All is well."""
    return Finding(check, State.OK, seen)


def warn(check: str, seen: str, advice: str) -> Finding:
    """It works, but."""
    return Finding(check, State.WARN, seen, advice)


def bad(check: str, seen: str, advice: str) -> Finding:
    """It does not work."""
    return Finding(check, State.FAIL, seen, advice)


def skip(check: str, seen: str) -> Finding:
    """It isn't used."""
    return Finding(check, State.SKIP, seen)


Check = Callable[[Settings], list[Finding] | Awaitable[list[Finding]]]


async def examine(settings: Settings) -> list[Finding]:
    """Every check's findings. A check that breaks is a finding itself."""
    from reward_service.doctor import machine, parts

    found: list[Finding] = []
    for check in (*machine.CHECKS, *parts.CHECKS):
        try:
            seen = check(settings)
            found += seen if isinstance(seen, list) else await seen
        except Exception as error:
            name = check.__name__.replace("_", " ")
            found.append(bad(name, f"the check broke: {type(error).__name__}", "Report it with this output."))
    return found
