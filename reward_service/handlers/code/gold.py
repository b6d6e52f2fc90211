"""What a row's ground truth asks for: tests of one of three kinds.

What is decided here: how the shapes that code data sets use are read, all as data.
- Guru (guru.md §2c): {"inputs", "outputs"}, {"functional"}, {"pytest"}, {"solution_file"}; JSON text or an object.
- APPS, TACO: {"inputs", "outputs", "fn_name"}: calls. Where every expected output is a list of one, the value may be
  meant to be in it (their own rule); objects with integers as keys have lost them to JSON, and get them back.
- LiveCodeBench: [{"input", "output", "testtype"}], `public_test_cases` and `private_test_cases`, the latter also in
  compressed form: base64(zlib(pickle(JSON text))), of which only a pickle of one string is read, without unpickling.
- PrimeIntellect: {"test_cases": [{"type", "fn_name", "input", "output"}]}; codecontests: {"public_tests": {"input",
  "output"}, "private_tests", "generated_tests"}; codeforces: {"official_tests": [{"input", "output"}]}.
- HumanEval: {"test", "entry_point"}; MBPP: {"test_list", "test_setup_code", "test_imports"}, or a list of asserts.
"""

from __future__ import annotations

import base64
import binascii
import json
import zlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

MAX_TESTS = 2_000
MAX_PRIVATE = 256 << 20
"""Bytes of LiveCodeBench's private tests, unpacked."""


class BadGold(ValueError):
    """The ground truth is of no known shape; the message never quotes it."""


class Stdio(NamedTuple):
    """Texts for standard input, and what is to be printed."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


class Calls(NamedTuple):
    """Argument lists, and what is to be returned. wrapped: each output may be a list around the value."""

    name: str
    inputs: tuple[list[Any], ...]
    outputs: tuple[Any, ...]
    wrapped: bool = False


class Script(NamedTuple):
    """Test source. framework: `script`, `check`, `pytest`, `unittest` (see `runs.Program`)."""

    source: str
    framework: str = "script"
    entry_point: str = ""


Gold = Stdio | Calls | Script


def read(value: Any, extra: Mapping[str, Any]) -> Gold:
    """The tests of a row. BadGold if there are none."""
    if isinstance(value, str):
        value = _json(value)
    if isinstance(value, list | tuple):
        return _from_list(list(value), extra)
    if not isinstance(value, dict):
        raise BadGold("the ground truth is a JSON object or a list of tests")
    for key in ("input_output", "verification_info", "ground_truth"):
        if isinstance(value.get(key), str | dict):
            inner = value[key]
            return read(_json(inner) if isinstance(inner, str) else inner, {**extra, **_names(value)})
    return _from_object(value, extra)


def _names(value: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value[key] for key in ("fn_name", "entry_point") if isinstance(value.get(key), str)}


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        # MBPP's asserts also come as bare source.
        if "assert" in text:
            return [text]
        raise BadGold("the ground truth is not JSON") from None


def _from_object(value: dict[str, Any], extra: Mapping[str, Any]) -> Gold:
    for key, framework in (("functional", "script"), ("pytest", "pytest"), ("solution_file", "script")):
        if isinstance(value.get(key), str) and value[key].strip():
            return Script(value[key], framework, _text(value.get("entry_point")))
    if isinstance(value.get("test"), str):
        entry = _text(value.get("entry_point")) or _text(extra.get("entry_point"))
        called = "\ncheck(" in value["test"]
        return Script(value["test"], "script" if called or not entry else "check", entry)
    if "test_list" in value or "asserts" in value:
        asserts = [
            *_strings(value.get("test_list") or value.get("asserts")),
            *_strings(value.get("challenge_test_list")),
        ]
        setup = "\n".join([*_strings(value.get("test_imports")), _text(value.get("test_setup_code"))])
        return _asserts(asserts, setup)
    if "inputs" in value and "outputs" in value:
        name = _text(value.get("fn_name")) or _text(extra.get("fn_name"))
        return _pairs(value["inputs"], value["outputs"], name)
    if isinstance(value.get("test_cases"), list):
        return _from_list(value["test_cases"], {**extra, **_names(value)})
    if "public_test_cases" in value or "private_test_cases" in value:
        return _livecodebench(value, extra)
    parts = [value.get(key) for key in ("public_tests", "private_tests", "generated_tests")]
    if any(isinstance(part, dict) for part in parts):
        known = [part for part in parts if isinstance(part, dict)]
        inputs = [text for part in known for text in _list(part.get("input"))]
        outputs = [text for part in known for text in _list(part.get("output"))]
        return _pairs(inputs, outputs, "")
    if isinstance(value.get("official_tests"), list):
        return _from_list(value["official_tests"], extra)
    raise BadGold("the ground truth has none of the known shapes of tests")


def _from_list(cases: list[Any], extra: Mapping[str, Any]) -> Gold:
    if not cases:
        raise BadGold("there are no tests")
    if all(isinstance(case, str) for case in cases):
        return _asserts(cases, "")
    if not all(isinstance(case, dict) and "input" in case and "output" in case for case in cases):
        raise BadGold("a test is an object with input and output")
    kinds = {str(case.get("testtype") or case.get("type") or "") for case in cases}
    calls = bool(kinds & {"functional", "function_call"})
    name = next((case["fn_name"] for case in cases if isinstance(case.get("fn_name"), str)), "") or _text(
        extra.get("fn_name")
    )
    if calls and not name:
        raise BadGold("tests of a function need its name (fn_name)")
    return _pairs(
        [case["input"] for case in cases], [case["output"] for case in cases], name if calls else ""
    )


def _livecodebench(value: dict[str, Any], extra: Mapping[str, Any]) -> Gold:
    cases: list[Any] = []
    for key in ("public_test_cases", "private_test_cases"):
        part = value.get(key) or []
        if isinstance(part, str):
            try:
                part = json.loads(part)
            except (ValueError, RecursionError):
                part = json.loads(unpack_tests(part))
        cases += _list(part)
    metadata = value.get("metadata") or {}
    if isinstance(metadata, str):
        metadata = _json(metadata)
    name = _text(metadata.get("func_name")) if isinstance(metadata, dict) else ""
    return _from_list(cases, {**extra, "fn_name": name or extra.get("fn_name")})


def unpack_tests(text: str) -> str:
    """The JSON text in base64(zlib(pickle(text))). BadGold for anything else."""
    try:
        machine = zlib.decompressobj()
        body = machine.decompress(base64.b64decode(text, validate=True), MAX_PRIVATE)
    except (binascii.Error, zlib.error, ValueError) as error:
        raise BadGold(f"the compressed tests can't be read: {type(error).__name__}") from None
    if machine.unconsumed_tail or not machine.eof:
        raise BadGold("the compressed tests are cut off or too large")
    return pickled_text(body)


_LENGTHS = {
    0x58: 4,
    0x8C: 1,
    0x8D: 8,
}  # BINUNICODE, SHORT_BINUNICODE, BINUNICODE8: bytes of the length that follows


def pickled_text(body: bytes) -> str:
    """The string in a pickle of exactly one string. BadGold for any other pickle: nothing is executed to find out."""
    at = 2 if body[:1] == b"\x80" else 0  # PROTO
    if body[at : at + 1] == b"\x95":  # FRAME
        at += 9
    width = _LENGTHS.get(body[at]) if at < len(body) else None
    if width is None:
        raise BadGold("the compressed tests are no text")
    start = at + 1 + width
    end = start + int.from_bytes(body[at + 1 : start], "little")
    if end > len(body) or body[end:] not in (b".", b"\x94.", b"q\x00."):  # MEMOIZE or BINPUT, STOP
        raise BadGold("the compressed tests hold more than a text")
    try:
        return body[start:end].decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        raise BadGold("the compressed tests are no text") from None


def _asserts(asserts: Sequence[str], setup: str) -> Script:
    if not asserts:
        raise BadGold("there are no tests")
    return Script("\n".join([setup, *asserts]).strip("\n"), "script")


def _pairs(inputs: Any, outputs: Any, name: str) -> Gold:
    if isinstance(inputs, str) and isinstance(outputs, str):
        inputs, outputs = [inputs], [outputs]
    inputs, outputs = _list(inputs), _list(outputs)
    if not inputs or len(inputs) != len(outputs):
        raise BadGold("there are as many outputs as inputs, and at least one")
    inputs, outputs = inputs[:MAX_TESTS], outputs[:MAX_TESTS]
    if not name:
        return Stdio(tuple(map(_stdio_text, inputs)), tuple(map(_stdio_text, outputs)))
    if all(isinstance(value, str) for value in [*inputs, *outputs]) and (
        calls := _json_lines(inputs, outputs)
    ):
        return Calls(name, *calls)
    arguments = tuple(_arguments(value) for value in inputs)
    wrapped = all(isinstance(value, list) and len(value) == 1 for value in outputs)
    return Calls(name, arguments, tuple(outputs), wrapped)


def _json_lines(
    inputs: list[str], outputs: list[str]
) -> tuple[tuple[list[Any], ...], tuple[Any, ...]] | None:
    """LiveCodeBench's form: one JSON value per line for each argument, and one for the result."""
    try:
        return (
            tuple([json.loads(line) for line in text.split("\n") if line.strip()] for text in inputs),
            tuple(json.loads(text) for text in outputs),
        )
    except (ValueError, RecursionError):
        return None


def _arguments(value: Any) -> list[Any]:
    arguments = list(value) if isinstance(value, list | tuple) else [value]
    return [_integer_keys(argument) for argument in arguments]


def _integer_keys(value: Any) -> Any:
    """An object of APPS whose keys were integers before JSON made text of them."""
    if isinstance(value, dict) and value and all(isinstance(k, str) and _is_integer(k) for k in value):
        return {int(key): item for key, item in value.items()}
    return value


def _is_integer(text: str) -> bool:
    return text.removeprefix("-").isdecimal() and text.isascii() and len(text) < 20 and str(int(text)) == text


def _stdio_text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(line, str | int | float) for line in value):
        return "\n".join(map(str, value))  # APPS has some texts as lists of lines
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    raise BadGold("a test's input and output are texts")


def _text(value: Any) -> str:
    return value.strip() if isinstance(value, str) else ""


def _strings(value: Any) -> list[str]:
    return [item for item in _list(value) if isinstance(item, str)]


def _list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else []
