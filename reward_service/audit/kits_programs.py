"""Right and wrong answers of the handlers around programs: predicted outputs, JSON answers, SQL.

Programs themselves are in `cheats`: there the right answer is a reference, and the wrong ones are tricks.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from itertools import islice
from typing import Any

from reward_service.audit.kit import Answers, Form, Kit, distinct
from reward_service.audit.model import Subject

MAX_VALUE = 20_000


def fence(language: str) -> Form:
    """A fenced block of that language."""
    return Form(f"{language}_fence", lambda answer: f"So it follows.\n```{language}\n{answer}\n```")


# Predicted outputs


def crux(subject: Subject) -> Answers | None:
    extra = subject.extra_info
    code, given, output = extra.get("code"), extra.get("input"), extra.get("output")
    if subject.source != "simulation__cruxeval-o" or not isinstance(code, str) or not isinstance(given, str):
        return None
    name = re.search(r"^def (\w+)\(", code, re.MULTILINE)
    text = output if isinstance(output, str) else subject.ground_truth
    value = literal(text)
    if name is None or value is None:
        return None
    call = f"{name[1]}({given})"
    same = [
        ("plain", f"assert {call} == {text}"),
        ("sides_exchanged", f"assert {text} == {call}"),
        ("brackets", f"assert ({call} == {text})"),
        ("comment", f"assert {call} == {text}  # by hand"),
        ("function_again", f"{code}\nassert {call} == {text}"),
    ]
    changed = next(changes(value[0]), None)
    wrong = [
        ("tautology", f"assert {call} == {call}"),
        ("true", "assert True"),
        ("pass", "pass"),
        ("bare_call", call),
        ("own_function", f"def {name[1]}(*a, **k):\n    return 98765\nassert {call} == 98765"),
        ("equals_all", f"class E:\n    def __eq__(self, o):\n        return True\nassert {call} == E()"),
        ("comment_only", f"# assert {call} == {text}"),
        ("not_equal", f"assert {call} != 98765"),
        ("or_true", f"assert {call} == 98765 or True"),
    ]
    if changed is not None:
        wrong = [("value", f"assert {call} == {changed!r}"), *wrong]
        wrong.append(("caught", f"try:\n    assert {call} == {changed!r}\nexcept AssertionError:\n    pass"))
        wrong.append(("two_values", f"assert {call} == {text} or {call} == {changed!r}"))
    forms = [fence("python"), fence("py"), Form("alone", lambda answer: answer)]
    return Answers(forms, same, distinct(wrong), hedges=False)


def literal(text: Any) -> tuple[Any] | None:
    """The value of a Python literal of moderate size, in a tuple of its own; None if it is none."""
    if not isinstance(text, str) or len(text) > MAX_VALUE:
        return None
    try:
        return (ast.literal_eval(text),)
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
        return None


# JSON answers


def changes(value: Any) -> Iterator[Any]:
    """The value with one leaf changed, for each of its leaves."""
    if isinstance(value, bool):
        yield not value
    elif isinstance(value, int):
        yield value + 1
    elif isinstance(value, float):
        yield value + 1.5
    elif isinstance(value, str):
        yield f"{value}q"
    elif value is None:
        yield 98765
    elif isinstance(value, list):
        for place, entry in enumerate(value[:20]):
            for changed in changes(entry):
                yield [*value[:place], changed, *value[place + 1 :]]
        yield [*value, 98765]
    elif isinstance(value, dict):
        for key, entry in list(value.items())[:20]:
            for changed in changes(entry):
                yield {**value, key: changed}
    elif isinstance(value, tuple):
        yield from map(tuple, changes(list(value)))


def wrapped(gold: Any) -> dict[str, Any] | None:
    """CodeI/O's ground truth as an object: it may be an object without its outer braces."""
    read = gold
    if isinstance(gold, str):
        text = gold.strip()
        try:
            read = json.loads(text if text.startswith("{") else f"{{{text}}}")
        except ValueError:
            return None
    return read if isinstance(read, dict) and len(read) == 1 and set(read) <= {"output", "input"} else None


def json_output(subject: Subject) -> Answers | None:
    read = wrapped(subject.ground_truth)
    if read is None:
        return None
    ((key, value),) = read.items()
    text = json.dumps(read)
    same = [
        ("plain", text),
        ("indented", json.dumps(read, indent=1)),
        ("no_ascii", json.dumps(read, ensure_ascii=False)),
    ]
    if isinstance(value, dict) and len(value) > 1:
        same.append(("keys_reordered", json.dumps({key: dict(reversed(value.items()))})))
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**12:
        same.append(("whole_as_decimal", f'{{"{key}": {value}.0}}'))
    wrong = [
        ("other_key", json.dumps({"zzqq": value})),
        ("list_of_two", json.dumps({key: [value, "zzqq"]})),
        ("placeholder", f'{{"{key}": <your {key}>}}'),
    ]
    if value is not None:
        wrong.append(("null", json.dumps({key: None})))
    if key == "output":  # another input may lead to the same output
        changed = enumerate(islice(changes(value), 4))
        wrong = [(f"leaf_{place}", json.dumps({key: other})) for place, other in changed] + wrong
    elif isinstance(value, dict) and value:
        wrong.insert(
            0, ("other_names", json.dumps({key: {f"zz_{name}": entry for name, entry in value.items()}}))
        )
        wrong = [pair for pair in wrong if pair[0] != "null"]
    forms = [
        fence("json"),
        Form("boxed", lambda answer: f"So it follows.\n\\boxed{{{answer}}}"),
        Form("in_prose", lambda answer: f"So it follows: {answer}"),
        Form("words_after", lambda answer: f"```json\n{answer}\n```\nThat is what comes out."),
    ]
    return Answers(forms, same, distinct(wrong, [text]), hedges=False)


# SQL


def sql(subject: Subject) -> Answers | None:
    gold = subject.ground_truth
    if isinstance(gold, str):
        try:
            gold = json.loads(gold)
        except ValueError:
            gold = {"query": gold}
    query = gold.get("query") if isinstance(gold, dict) else None
    if not isinstance(query, str) or not query.strip():
        return None
    query = query.strip().rstrip(";")
    words = query.lower()
    ordered = "order by" in words or bool(subject.extra_info.get("ordered"))
    same = [
        ("plain", query),
        ("semicolon", f"{query};"),
        ("comment", f"-- as asked\n{query}"),
        ("lines", query.replace(" FROM ", "\nFROM ")),
    ]
    wrong = [("nothing", "SELECT 1 WHERE 0"), ("constant", "SELECT 'zzqq'"), ("not_sql", "zzqq")]
    if not ordered and "limit" not in words:
        same.append(("subquery", f"WITH found AS ({query}) SELECT * FROM found"))  # noqa: S608 - a probe
        wrong += [("rows_twice", f"{query} UNION ALL {query}"), ("no_rows", f"{query} LIMIT 0")]
    wrong += [
        ("changes_data", "DELETE FROM sqlite_master"),
        ("two_queries", f"SELECT 'zzqq'; {query}"),
        ("loads_code", "SELECT load_extension('zzqq')"),
    ]
    forms = [fence("sql"), Form("answer_tag", lambda answer: f"<answer>{answer}</answer>")]
    return Answers(forms, same, distinct(wrong, [query]), hedges=False)


KITS = (
    Kit(frozenset({"crux"}), crux),
    Kit(frozenset({"json_output"}), json_output),
    Kit(frozenset({"sql"}), sql),
)
