"""Items and outcomes as bytes, for whatever leaves the process: a shared cache, a queue, a store of results.

What is decided here: the format is JSON in short arrays, read back with every field checked, because a server
that others can write to is no place to unpickle from. What can't be read is `Corrupt`, never a guess. Numbers
keep every bit (Python writes the shortest text that reads back as the same float), and texts keep lone
surrogates (escaped). Chunks of batches are compressed: sixteen rollouts of one prompt share most of their bytes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import zstandard

from reward_service.engine.scorer import Row
from reward_service.types import NOTHING, REASONS, Outcome, Profile, Reason, Status

CHUNK_ITEMS = 64
CHUNK_BYTES = 1 << 20
MAX_CHUNK_BYTES = 1 << 30
"""What a chunk may unpack to: one row with its tests can be large, a bomb is larger."""
_COMPRESS_FROM = 2_048
_ZSTD = b"\x28\xb5\x2f\xfd"


class Corrupt(ValueError):
    """Bytes that are no record of ours."""


class Entry(NamedTuple):
    """One item of a batch: the sender's id, and the row."""

    id: str | int | None
    row: Row


class Packed(NamedTuple):
    """A chunk's rows as bytes."""

    items: int
    payload: bytes


class Judged(NamedTuple):
    """One item's result: the sender's id, and the outcome."""

    id: str | int | None
    outcome: Outcome


def _dump(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode("ascii")


def _load(data: bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise Corrupt(f"not JSON: {type(error).__name__}") from None


def _check(value: Any, *types: type) -> Any:
    if type(value) not in types:
        raise Corrupt(
            f"a {type(value).__name__} where {' or '.join(kind.__name__ for kind in types)} belongs"
        )
    return value


# Rows


def entry_to_json(entry: Entry) -> bytes:
    """One item as JSON. ValueError, TypeError or RecursionError for what JSON can't say."""
    row = entry.row
    plain = [
        entry.id,
        row.data_source,
        row.domain,
        row.response,
        row.ground_truth,
        row.ground_truth_ref,
        row.prompt,
        None if row.extra_info is None else dict(row.extra_info),
        row.profile.value,
        row.explain,
    ]
    if row.run or row.group:  # at the end, and only where there is one: another version may know no runs
        plain += [row.run, row.group]
    return _dump(plain)


_PROFILES = {profile.value: profile for profile in Profile}
_TEXT = (str, type(None))
_ID = (str, int, type(None))


def _entry(plain: Any) -> Entry:
    if type(plain) is not list or len(plain) not in (10, 12):
        raise Corrupt("an item of another shape")
    item_id, source, domain, response, gold, reference, prompt, extra, profile, explain = plain[:10]
    run, group = plain[10:] or ("", "")
    if (
        type(item_id) not in _ID
        or type(source) not in _TEXT
        or type(domain) not in _TEXT
        or type(response) is not str
        or type(reference) not in _TEXT
        or type(extra) not in (dict, type(None))
        or profile not in _PROFILES
        or type(explain) is not bool
        or type(run) is not str
        or type(group) is not str
    ):
        raise Corrupt("an item with a field of another type")
    row = Row(
        source, response, gold, reference, prompt, extra, domain, _PROFILES[profile], explain, run, group
    )
    return Entry(item_id, row)


def cut(
    entries: Iterable[bytes], items: int = CHUNK_ITEMS, size: int = CHUNK_BYTES, *, compress: bool = True
) -> Iterator[Packed]:
    """Encoded entries as chunks of at most `items` entries and about `size` bytes; at least one entry in each."""
    held: list[bytes] = []
    weight = 0
    for entry in entries:
        if held and (len(held) >= items or weight + len(entry) > size):
            yield Packed(len(held), pack(b"[" + b",".join(held) + b"]", compress=compress))
            held, weight = [], 0
        held.append(entry)
        weight += len(entry) + 1
    if held:
        yield Packed(len(held), pack(b"[" + b",".join(held) + b"]", compress=compress))


def pack(data: bytes, *, compress: bool = True) -> bytes:
    """JSON bytes, compressed where that pays."""
    if not compress or len(data) < _COMPRESS_FROM:
        return data
    return zstandard.ZstdCompressor(level=1).compress(data)


def unpack(data: bytes) -> bytes:
    """What `pack` was given. Corrupt for what it did not make, or is larger than MAX_CHUNK_BYTES."""
    if data[:4] != _ZSTD:
        return data
    try:
        size = zstandard.frame_content_size(data)
        if not 0 <= size <= MAX_CHUNK_BYTES:
            raise Corrupt(f"a chunk that unpacks to {size} bytes")
        return zstandard.ZstdDecompressor().decompress(data)
    except zstandard.ZstdError as error:
        raise Corrupt(f"damaged: {error}") from None


def entries_of(payload: bytes) -> list[Entry]:
    """The entries of a chunk. Corrupt if it is none."""
    return [_entry(plain) for plain in _check(_load(unpack(payload)), list)]


# Outcomes


TIMINGS = tuple(name for name in Outcome.__slots__ if name.endswith("_ms"))
"""By name on the wire, and only those that are not 0: another version may know others."""


def outcome_to_plain(outcome: Outcome) -> list[Any]:
    """An outcome as JSON values."""
    plain: list[Any] = [
        outcome.status.value,
        outcome.reason.value,
        outcome.score,
        outcome.correct,
        outcome.extracted,
        outcome.flags,
        outcome.detail if type(outcome.detail) is dict else dict(outcome.detail),
        outcome.handler,
        outcome.version,
        outcome.cached,
        {name: round(spent, 3) for name in TIMINGS if (spent := getattr(outcome, name))},
    ]
    if outcome.trace:
        plain.append(dict(outcome.trace))
    return plain


_STATUS = {status.value: status for status in Status}
_REASON = {reason.value: reason for reason in Reason}
_NUMBER = (float, int)


def outcome_from_plain(plain: Any) -> Outcome:
    """The outcome that `outcome_to_plain` was given. Corrupt for anything that can't have been one."""
    if type(plain) is not list or not 11 <= len(plain) <= 12:
        raise Corrupt("an outcome of another shape")
    status_name, reason_name, score, correct, extracted, flags, detail = plain[:7]
    handler, version, cached, timings = plain[7:11]
    trace = plain[11] if len(plain) == 12 else None
    try:
        status, reason = _STATUS[status_name], _REASON[reason_name]
    except (KeyError, TypeError):
        raise Corrupt("an unknown status or reason") from None
    if REASONS[reason][0] is not status:
        raise Corrupt(f"{reason} beside {status}")
    if status is Status.SCORED:
        if type(score) not in _NUMBER or not 0.0 <= score <= 1.0 or type(correct) is not bool:
            raise Corrupt("a score outside of [0, 1]")
        score = float(score)
    elif score is not None or correct is not None:
        raise Corrupt("an error with a score")
    if (
        type(extracted) not in _TEXT
        or type(flags) is not list
        or not all(type(flag) is str for flag in flags)
        or type(detail) is not dict
        or type(handler) is not str
        or type(version) is not str
        or type(timings) is not dict
        or not all(type(spent) in _NUMBER for spent in timings.values())
        or type(cached) is not bool
        or type(trace) not in (dict, type(None))
    ):
        raise Corrupt("an outcome with a field of another type")
    known = {name: spent for name, spent in timings.items() if name in TIMINGS}
    return Outcome(
        status, reason, score, correct, extracted, tuple(flags), detail or NOTHING, trace or NOTHING, handler, version,
        cached=cached, **known,
    )  # fmt: skip


def outcome_to_json(outcome: Outcome) -> bytes:
    """One outcome as bytes."""
    return _dump(outcome_to_plain(outcome))


def outcome_from_json(data: bytes) -> Outcome:
    """The outcome that `outcome_to_json` was given. Corrupt for anything else."""
    return outcome_from_plain(_load(data))


def results_to_json(first: int, results: Sequence[Judged]) -> bytes:
    """A chunk's results; `first` is the place in the batch of the first of them."""
    return pack(_dump([first, [[item_id, *outcome_to_plain(outcome)] for item_id, outcome in results]]))


def results_from_json(data: bytes) -> tuple[int, list[Judged]]:
    """What `results_to_json` was given. Corrupt for anything else."""
    plain = _check(_load(unpack(data)), list)
    if len(plain) != 2:
        raise Corrupt("results of another shape")
    first, rows = _check(plain[0], int), _check(plain[1], list)
    judged = []
    for row in rows:
        if type(row) is not list or not row or type(row[0]) not in _ID:
            raise Corrupt("a result of another shape")
        judged.append(Judged(row[0], outcome_from_plain(row[1:])))
    return first, judged


def value_to_json(value: object) -> bytes:
    """A ground truth as bytes."""
    return pack(_dump(value))


def value_from_json(data: bytes) -> Any:
    """What `value_to_json` was given. Corrupt for anything else."""
    return _load(unpack(data))


def mapping_to_json(mapping: Mapping[str, Any]) -> bytes:
    """A small object as bytes."""
    return _dump(dict(mapping))


def mapping_from_json(data: bytes) -> dict[str, Any]:
    """What `mapping_to_json` was given. Corrupt for anything else."""
    return dict(_check(_load(data), dict))
