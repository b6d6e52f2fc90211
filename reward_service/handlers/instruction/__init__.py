"""Does a response follow the instructions of its row? IFEval, and IFBench's test and training instructions.

What is decided here: what is judged, and what counts. Full marks need every instruction (the benchmarks' prompt-level
score); `detail.followed` says which were. `strict` judges the text after the thinking part; with `instruction_mode:
"loose"` in extra_info, an instruction also counts when it holds for one of the eight texts that the benchmarks make by
dropping the first or last line and the asterisks. The verdict on an instruction is the published one (`catalogue.py`,
`ifeval.py`, `ifbench.py`, `train.py`), reached without chance: arguments are complete or the row is an error.

Following an instruction to the letter without answering is the known way to cheat here, and rules see only its plain
forms. The strict profile pays nothing for a response without a letter or digit, one that says next to nothing over and
over (unless the request is to repeat), or one that is hardly more than the required keywords; the flag is
`constraint_only`. Relevance proper is for a judge model. The guru profile is the published rule: the text after the
first `</think>`, and nothing else is asked.

Responses are cut off at MAX_CHARS: a longer one is rejected unread.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from reward_service import narrate
from reward_service.handlers._optional import Missing, missing
from reward_service.handlers._text import TAIL, final_part
from reward_service.handlers.instruction import language, library
from reward_service.handlers.instruction.catalogue import CATALOGUE
from reward_service.handlers.instruction.rows import Asked, BadRow, asked
from reward_service.registry import Source, handler
from reward_service.types import (
    Domain,
    Example,
    Item,
    Limits,
    Outcome,
    Profile,
    Reason,
    accept,
    cannot_judge,
    malformed,
    reject,
)

MAX_CHARS = 60_000
TAGGED = "words:start_verb"

_RIVERS = (
    "Rivers gather rain from the hills and carry it slowly to the sea. People settle near them for water and food "
    "and trade. Every flood renews the soil of the fields along the banks."
)
_SOURCES = [
    Source(
        "ood__ifeval",
        "a list of arguments, one object per entry of `instruction_id_list`: `[{\"num_words\": 30, \"relation\": \"at least\"}]`",
        Example(
            _RIVERS,
            [{"num_words": 30, "relation": "at least"}, {}],
            {"instruction_id_list": ["length_constraints:number_words", "punctuation:no_comma"]},
        ),
        ("ifeval", "google/ifeval", "if_eval", "instruction_following_eval"),
    ),
    Source(
        "ood__ifbench",
        "`[{\"instruction_id\": […], \"kwargs\": […]}]`, JSON or Python literal",
        Example(
            _RIVERS,
            "[{'instruction_id': ['count:word_count_range', 'punctuation:punctuation_exclamation'], "
            "'kwargs': [{'min_words': 20.0, 'max_words': 50.0}, None]}]",
        ),
        ("ifbench", "ifbench_test", "ifbench_train", "iftrain", "allenai/ifbench_test", "allenai/if_multi_constraints_upto5"),
    ),
]  # fmt: skip


@handler(
    "instruction",
    version="2",
    domain=Domain.INSTRUCTION,
    sources=_SOURCES,
    reads=("instruction_id_list", "kwargs", "instruction_mode", "question"),
    limits=Limits(cpu_seconds=6.0),
)
def plan(item: Item) -> Outcome:
    """Every instruction of the row is followed, by the published checks."""
    published = item.profile is Profile.GURU
    mode = item.extra_info.get("instruction_mode", "strict")
    if mode not in ("strict", "loose"):
        return cannot_judge(Reason.MALFORMED_ITEM, "instruction_mode is strict or loose")
    try:
        instructions = asked(
            item.ground_truth, item.extra_info, first_only=published and item.source == "ood__ifbench"
        )
    except BadRow as error:
        return malformed(str(error))
    try:
        if any(one.identifier == TAGGED for one in instructions) and not library.has_tagger():
            return malformed(
                f"{TAGGED} needs NLTK's averaged_perceptron_tagger_eng, which this service lacks"
            )
        return _judge(item, instructions, published=published, loose=mode == "loose")
    except Missing as error:
        return missing(error)


def _judge(item: Item, instructions: Sequence[Asked], *, published: bool, loose: bool) -> Outcome:
    text = _published_part(item) if published else _final_text(item.response)
    trace = {"instructions": [one.identifier for one in instructions]} if item.explain else {}
    if len(text) > MAX_CHARS:
        return reject(Reason.CONSTRAINT_VIOLATED, flags=("oversized_answer",), trace=trace)
    if not text.strip() or not (published or any(character.isalnum() for character in text)):
        return reject(Reason.NO_ANSWER, trace=trace)
    texts = _loose(text) if loose else [text]
    followed = [any(_follows(one, version) for version in texts) for one in instructions]
    if narrate.listening():
        for one, kept in zip(instructions, followed, strict=True):
            narrate.check(one.identifier, kept, input=dict(one.arguments) or None)
    if not all(followed):
        return reject(Reason.CONSTRAINT_VIOLATED, trace=trace, followed=followed)
    if not published and _says_nothing(text, instructions, item.extra_info.get("question")):
        return reject(
            Reason.CONSTRAINT_VIOLATED,
            flags=("constraint_only",),
            trace=trace,
            followed=followed,
            message="the instructions are followed, and nothing is said",
        )
    return accept(None, trace=trace, followed=followed)


def _follows(one: Asked, text: str) -> bool:
    if not text.strip():
        return False
    try:
        return CATALOGUE[one.identifier].check(text, one.arguments)
    except (RecursionError, MemoryError, Missing):
        raise
    except Exception:  # a published checker that stumbles over a text, its arguments being in order
        return False


def _final_text(response: str) -> str:
    """The part after the thinking and the blank space behind it; all of it where `final_part` would only give its end."""
    part = final_part(response)
    if "</think" in response:
        part = part.lstrip()
    return part if len(part) < TAIL else response


def _published_part(item: Item) -> str:
    parts = item.response.split("</think>", 1 if item.source == "ood__ifbench" else -1)
    return parts[1] if len(parts) > 1 else parts[0]


def _loose(text: str) -> list[str]:
    lines = text.split("\n")
    texts = [text, *("\n".join(part).strip() for part in (lines[1:], lines[:-1], lines[1:-1]))]
    return list(dict.fromkeys(version for one in texts for version in (one, one.replace("*", ""))))


_WORD = re.compile(r"\w+")
_REQUIRED_NAMES = "keywords keyword keyword1 keyword2 keyword3 keyword4 keyword5 word first_word last_word"
_REQUIRED = frozenset(_REQUIRED_NAMES.split())


def _says_nothing(text: str, instructions: Sequence[Asked], question: Any) -> bool:
    """Is the response filler, or next to nothing but the words that it has to contain?"""
    said = _WORD.findall(text.casefold())
    distinct = set(said)
    asks_to_repeat = isinstance(question, str) and "repeat" in question.lower()
    if len(said) >= 20 and len(distinct) <= 3 and not asks_to_repeat:
        return True
    required = {
        word
        for one in instructions
        for name, value in one.arguments.items()
        if name in _REQUIRED
        for text in (value if isinstance(value, list) else [value])
        for word in _WORD.findall(text.casefold())
    }
    return len(required) > 1 and len(distinct - required) < 2 and required <= distinct


def warm_up() -> None:
    """Load the libraries, where they are installed; called in the zygote before children are forked."""
    try:
        library.warm_up()
        language.warm_up()
    except Missing:
        pass
