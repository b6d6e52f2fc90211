"""What the pool and its children say to each other: length-prefixed frames of plain data.

What is decided here: the wire between the supervisor and a child. Frames are pickled because no other codec
carries every JSON value (integers of any size) at that speed; both ends refuse any pickle that names a class
or a function, so that nothing but built-in values can come out, whoever wrote the bytes.
"""

from __future__ import annotations

import io
import math
import pickle
import struct
from collections.abc import Mapping
from typing import Any, NamedTuple, NoReturn

from reward_service.types import NOTHING, Outcome, Profile, Reason, Status

HEADER = struct.Struct(">I")
PROGRESS = struct.Struct("<qd")
"""A child's slot in the shared page: (index of the item it is on or -1, monotonic time it started)."""
SLOT_BYTES = 64
IDLE = -1


class Task(NamedTuple):
    """One item on its way to a child: plain data only, so that it can be framed as it is."""

    handler: str
    data_source: str
    source: str
    response: str
    ground_truth: Any
    extra_info: dict[str, Any]
    profile: str = Profile.STRICT.value
    explain: bool = False


Verdict = tuple[int, tuple[Any, ...], float, float]
"""One judged item on its way back: its place in the chunk, outcome, start time, CPU seconds."""


class _PlainUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> NoReturn:
        raise pickle.UnpicklingError(f"{module}.{name} is not plain data")


def pack(value: Any) -> bytes:
    """A frame for a plain value (built-in types only)."""
    body = pickle.dumps(value, protocol=5)
    return HEADER.pack(len(body)) + body


def unpack(body: bytes) -> Any:
    """The plain value of a frame's body. pickle.UnpicklingError if it names any class."""
    return _PlainUnpickler(io.BytesIO(body)).load()


def outcome_to_plain(outcome: Outcome) -> tuple[Any, ...]:
    """An outcome as built-in values."""
    return (
        outcome.status.value,
        outcome.reason.value,
        outcome.score,
        outcome.correct,
        outcome.extracted,
        outcome.flags,
        plain(outcome.detail) if outcome.detail else None,
        plain(outcome.trace) if outcome.trace else None,
    )


def plain(value: Any, depth: int = 8) -> Any:
    """The value as JSON can carry it: exact built-in types, finite floats, whatever else as text."""
    if value is None or type(value) in (str, int, bool):
        return value
    if type(value) is float:
        return value if math.isfinite(value) else str(value)
    if depth and isinstance(value, Mapping):
        return {str(key): plain(entry, depth - 1) for key, entry in value.items()}
    if depth and isinstance(value, list | tuple | set | frozenset):
        return [plain(entry, depth - 1) for entry in value]
    return str(value)


_STATUS = {status.value: status for status in Status}
_REASON = {reason.value: reason for reason in Reason}


def outcome_from_plain(
    plain: tuple[Any, ...], handler: str, version: str, queue_ms: float, verify_ms: float
) -> Outcome:
    """The outcome that `outcome_to_plain` made, with what only the engine knows."""
    status, reason, score, correct, extracted, flags, detail, trace = plain
    return Outcome(
        _STATUS[status],
        _REASON[reason],
        score,
        correct,
        extracted,
        flags,
        detail or NOTHING,
        trace or NOTHING,
        handler,
        version,
        queue_ms,
        verify_ms,
    )
