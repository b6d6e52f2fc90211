"""What the pool and its children say to each other: length-prefixed frames of plain data.

What is decided here: the wire between the supervisor and a child. Frames are pickled because no other codec
carries every JSON value (integers of any size) at that speed; both ends refuse any pickle that names a class
or a function, so that nothing but built-in values can come out, whoever wrote the bytes.
"""

from __future__ import annotations

import io
import math
import pickle
import pickletools
import struct
from collections.abc import Mapping
from typing import Any, NamedTuple, NoReturn

from reward_service.questions import Ask, Opinion, Question, Verdict
from reward_service.registry import Decision
from reward_service.runs import Program, Run, RunLimits, RunResult, RunStatus, Style, Work
from reward_service.types import NOTHING, Outcome, Profile, Reason, Status

HEADER = struct.Struct(">I")
PROGRESS = struct.Struct("<qd")
"""A child's slot in the shared page: (index of the item it is on or -1, monotonic time it started)."""
SLOT_BYTES = 64
IDLE = -1
MAX_INT_BITS = 4096


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
    step: tuple[Any, list[tuple[Any, ...]]] | None = None
    """None to plan; to judge: the handler's notes and the results (`answer_to_plain`)."""


Judged = tuple[int, tuple[Any, ...], float, float]
"""One item on its way back: its place in the chunk, decision, start time, CPU seconds."""


class _PlainUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> NoReturn:
        raise pickle.UnpicklingError(f"{module}.{name} is not plain data")


def pack(value: Any) -> bytes:
    """A frame for a plain value (built-in types only)."""
    body = pickle.dumps(value, protocol=5)
    return HEADER.pack(len(body)) + body


def unpack(body: bytes) -> Any:
    """The plain value of a body that one of our processes packed. pickle.UnpicklingError if it names any class."""
    return _PlainUnpickler(io.BytesIO(body)).load()


_PUTS = ("PUT", "BINPUT", "LONG_BINPUT")


def unpack_foreign(body: bytes) -> Any:
    """As `unpack`, for bytes that none of our processes wrote. UnpicklingError or ValueError for all that is wrong.

    The unpickler makes its memo as long as the largest place that is named: eight bytes can ask for 32 GiB.
    """
    for opcode, argument, _ in pickletools.genops(body):
        if opcode.name in _PUTS and isinstance(argument, int) and argument > len(body):
            raise pickle.UnpicklingError("a place in the memo beyond the pickle's own length")
    return unpack(body)


def decision_to_plain(decision: Decision) -> tuple[Any, ...]:
    """An outcome, work or question as built-in values."""
    if isinstance(decision, Work):
        return (WORK, *work_to_plain(decision))
    if isinstance(decision, Ask):
        asked = decision.question
        return (ASK, asked.question, asked.ground_truth, asked.answer, decision.notes)
    outcome = decision
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
    if value is None or type(value) in (str, bool):
        return value
    if type(value) is int:
        # Readers of JSON, Python's own among them, refuse longer ones, and with them the whole reply.
        return value if value.bit_length() <= MAX_INT_BITS else f"<integer of {value.bit_length()} bits>"
    if type(value) is float:
        return value if math.isfinite(value) else str(value)
    if depth and isinstance(value, Mapping):
        return {str(key): plain(entry, depth - 1) for key, entry in value.items()}
    if depth and isinstance(value, list | tuple | set | frozenset):
        return [plain(entry, depth - 1) for entry in value]
    try:
        return str(value)
    except Exception:
        return f"<{type(value).__name__}>"


WORK, ASK, OPINION = "work", "ask", "opinion"


def work_to_plain(work: Work) -> tuple[Any, ...]:
    """Work as built-in values."""
    p, limits = work.program, work.program.limits
    program = (
        p.language, p.source, p.style.value, p.preamble, p.entry_point, p.tests, p.framework, dict(p.files),
        tuple(getattr(limits, name) for name in RunLimits.__slots__), dict(p.options),
    )  # fmt: skip
    return program, [(run.stdin, run.arguments) for run in work.runs], work.notes, work.stop_early


def work_from_plain(plain: tuple[Any, ...]) -> Work:
    """The work that `work_to_plain` was given."""
    (language, source, style, preamble, entry_point, tests, framework, files, limits, options), *rest = plain
    program = Program(
        language, source, Style(style), preamble, entry_point, tests, framework, files, RunLimits(*limits), options
    )  # fmt: skip
    runs, notes, stop_early = rest
    return Work(program, tuple(Run(*run) for run in runs), notes, stop_early)


def result_to_plain(result: RunResult) -> tuple[Any, ...]:
    """A run result as built-in values."""
    return (result.status.value, *(getattr(result, name) for name in RunResult.__slots__[1:]))


def result_from_plain(plain: tuple[Any, ...]) -> RunResult:
    """The result that `result_to_plain` was given."""
    return RunResult(RunStatus(plain[0]), *plain[1:])


def answer_to_plain(answer: RunResult | Opinion) -> tuple[Any, ...]:
    """A run result or an opinion as built-in values."""
    if isinstance(answer, Opinion):
        return (OPINION, answer.verdict.value, answer.model, answer.passes, answer.cached)
    return result_to_plain(answer)


def answer_from_plain(plain: tuple[Any, ...]) -> RunResult | Opinion:
    """What `answer_to_plain` was given."""
    if plain[0] == OPINION:
        return Opinion(Verdict(plain[1]), *plain[2:])
    return result_from_plain(plain)


_STATUS = {status.value: status for status in Status}
_REASON = {reason.value: reason for reason in Reason}


def decision_from_plain(
    plain: tuple[Any, ...], handler: str, version: str, queue_ms: float, verify_ms: float
) -> Decision:
    """What `decision_to_plain` was given; an outcome with what only the engine knows."""
    if plain[0] == WORK:
        return work_from_plain(plain[1:])
    if plain[0] == ASK:
        return Ask(Question(*plain[1:4]), plain[4])
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
