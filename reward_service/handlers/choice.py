r"""Multiple choice: GPQA, SuperGPQA, MMLU-Pro and their like. The answer is one letter, A to Z.

What is decided here: where the answer stands, and which of several statements counts. How one statement is read is
decided in `_choice`. The rule is the one recommended in `reference/domains.md` §1.4, after running SuperGPQA's,
MMLU-Pro's and simple-evals' own extractors: their fall-backs (any letter in the text, a random letter) are what a policy
can earn from without an answer, so there is none here.
- The last box (or `<answer>` tag) after the thinking is the answer; without one, the last line that says "the answer is",
  "Answer:" or the like; without one, a last line that is nothing but an option, or "option C is correct" near the end.
- Later counts: wrong-then-right is right if words stand between the two, right-then-wrong is wrong. Two different letters
  side by side, a later line that contradicts the box, a denial or a hedge are an ambiguous answer. An empty box is no
  answer, and so is a last box that never closes.
- The text of exactly one option, where the options are in the row (`options`, `choices`) or in its question, is an answer.
guru: the published scorers (guru.md §2a): the first `Answer: X` (A to D) where the name has `no_box` in it; otherwise
the first of A…J that occurs anywhere in the last box, else in `Final Answer:…` or `The answer is:…`. Where they drew a
random letter, the score is 0. Sources that they never had are judged alike in both profiles.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from reward_service import narrate
from reward_service.handlers._choice import LETTERS, Kind, Options, Reading, read
from reward_service.handlers._choice_prose import last_line, statements
from reward_service.handlers._text import Span, boxes, final_part, tags
from reward_service.registry import Source, handler
from reward_service.types import Domain, Example, Item, Outcome, Profile, Reason, accept, malformed, reject

MAX_ANSWER = 4_000
"""Characters of a box: longer ones hold an essay."""
NEARBY = 240
"""Characters before an answer in which another one can stand side by side with it."""

_BOXED = "Copper is oxidised first, so the reading must fall.\n\n\\boxed{C}"
_LINE = "Copper is oxidised first, so the reading must fall.\n\nAnswer: C"
_OPTIONS = {"options": ["it rises", "it stays", "it falls", "it swings"]}
GOLD = 'the letter of the right option: `"C"`'


@handler(
    "choice",
    version="1",
    domain=Domain.SCIENCE,
    sources=[
        Source(
            "stem__gpqa*",
            GOLD,
            Example(f"{_LINE} \\boxed{{C}}", "C"),
            (
                "stem__gpqa",
                "stem__gpqa_diamond",
                "stem__gpqa_no_box",
                "stem__gpqa_diamond_no_box",
                "idavidrein/gpqa",
            ),
        ),
        Source("gpqa*", GOLD, Example(f"{_LINE} \\boxed{{C}}", "C")),
        Source("stem__supergpqa", GOLD, Example(_BOXED, "C"), ("m-a-p/supergpqa",)),
        Source(
            "stem__mmlu_pro",
            GOLD,
            Example("The reading must fall. The answer is (C).", "C"),
            ("mmlupro", "tiger-lab/mmlu-pro"),
        ),
        Source("stem__mmlu*", GOLD, Example(_LINE, "C"), ("stem__mmlu", "cais/mmlu")),
        Source("mmlu*", GOLD, Example(_LINE, "C")),
        Source(
            "choice",
            "the letter or the text of the right option",
            Example("\\boxed{\\text{it falls}}", "C", _OPTIONS),
            ("mcq", "multiple_choice", "multichoice"),
        ),
    ],
    reads=("options", "choices", "question"),
)
def plan(item: Item) -> Outcome:
    """One letter, in the last box or the last "answer is" line, equals the ground truth; nothing is guessed."""
    options = Options(item.extra_info)
    gold = _gold(item.ground_truth, options)
    if gold is None:
        return malformed(
            "the ground truth is the letter of an option (or its text, with the options in the row)"
        )
    trace = {"gold": gold, "options": sorted(options.texts)} if item.explain else {}
    if item.profile is Profile.GURU and "gpqa" in item.data_source:
        shown = _published(item.response, "no_box" in item.data_source)
        if shown is None:
            return reject(Reason.NO_ANSWER, trace=trace)
        return accept(shown, trace=trace) if shown == gold else reject(Reason.NOT_EQUAL, shown, trace=trace)
    found = _find(final_part(item.response), options)
    kind, letters = found.reading
    if narrate.listening():
        _tell(found, gold, options)
    if kind is Kind.ONE:
        if letters == gold:
            return accept(letters, flags=found.flags, trace=trace)
        return reject(Reason.NOT_EQUAL, letters, flags=found.flags, trace=trace)
    flags = (*found.flags, *(_WHY[kind][1] if "multiple_answers" not in found.flags else ()))
    return reject(_WHY[kind][0], found.shown or None, flags=flags, trace=trace)


_WHY: dict[Kind, tuple[Reason, tuple[str, ...]]] = {
    Kind.SEVERAL: (Reason.AMBIGUOUS_ANSWER, ("multiple_answers",)),
    Kind.HEDGED: (Reason.AMBIGUOUS_ANSWER, ()),
    Kind.DENIED: (Reason.AMBIGUOUS_ANSWER, ()),
    Kind.EMPTY: (Reason.NO_ANSWER, ()),
    Kind.OTHER: (Reason.MALFORMED_ANSWER, ()),
}


_SAYS: dict[Kind, str] = {
    Kind.SEVERAL: "the answer names several options, or stands beside another one: {}",
    Kind.HEDGED: "the answer is in doubt",
    Kind.DENIED: "the option is denied",
    Kind.EMPTY: 'no closed box or <answer>, no line "The answer is …", and the last line is no option',
    Kind.OTHER: "the answer is neither a letter nor the text of exactly one option",
}


def _tell(found: Found, gold: str, options: Options) -> None:
    """How the statement reads beside the ground truth, for whoever asks why."""
    kind, letters = found.reading
    texts = options.texts
    given = f"{letters} {texts.get(letters, '')}".strip() or kind.value
    narrate.forms(given, f"{gold} {texts.get(gold, '')}".strip(), "option")
    if kind is Kind.ONE:
        narrate.compared("letter", letters == gold)
    else:
        narrate.compared("letter", None, _SAYS[kind].format(", ".join(letters)))
        narrate.missing(_SAYS[kind].format(", ".join(letters)))


def _gold(value: Any, options: Options) -> str | None:
    if not isinstance(value, str) or not value.strip() or len(value) > MAX_ANSWER:
        return None
    label = _GOLD.match(value)
    bare = label is not None and label.end() == len(value)
    letter = "" if bare else options.find(value)
    if not letter and label is not None:
        letter = label.group(1).upper()
    return letter if len(letter) == 1 and (not options.in_row or options.has(letter)) else None


_GOLD = re.compile(r"\s*+\(?([A-Za-z])\)?(?:[.:)]?\s*+$|[.:)]\s)")

# ---------------------------------------------------------------- which statement counts


class Found(NamedTuple):
    """The statement that counts: how it reads, and what of it to show."""

    reading: Reading
    shown: str = ""
    flags: tuple[str, ...] = ()


NOTHING = Found(Reading(Kind.EMPTY))
_OPENING = re.compile(r"\\f?box(?:ed)?\s*+\{")


def _find(text: str, options: Options) -> Found:
    spans = boxes(text) if "box" in text else []
    if "</answer>" in text or "</Answer>" in text:
        spans = sorted((*spans, *tags(text, "answer")))
    opened = max(0, text.rfind("\\boxed"), text.rfind("\\fbox"))
    if _OPENING.match(text, opened) and not any(span.start <= opened < span.end for span in spans):
        return NOTHING  # the last box never closes
    if spans:
        return _judge_box(text, spans, options)
    denied: list[str] = []
    for said in statements(text, 0, options):
        if said.reading.kind is not Kind.DENIED:
            if narrate.listening():
                line_end = text.find("\n", said.said)
                narrate.found(
                    "the last statement of an answer",
                    text,
                    said.start,
                    line_end if line_end >= 0 else len(text),
                )
            beside = _beside(text, said.start, options)
            return _settle(said.reading, said.shown, beside, said.reading.letters in denied, ())
        denied.append(said.reading.letters)
    if denied:
        return Found(Reading(Kind.DENIED, denied[0]))
    end = last_line(text, options)
    if end is not None:
        narrate.found_text("the end of the response, which names an option", end.shown)
    return Found(end.reading, end.shown) if end is not None else NOTHING


def _judge_box(text: str, spans: list[Span], options: Options) -> Found:
    *earlier, span = spans
    narrate.found("the last box or <answer>", text, span.start, span.end)
    if len(span.content) > MAX_ANSWER:
        return Found(Reading(Kind.OTHER), flags=("oversized_answer",))
    reading, shown = read(span.content.strip(), options), span.content.strip()
    later = list(statements(text, span.end, options))
    if reading.kind is Kind.OTHER and later and later[0].reading.kind is Kind.ONE:
        return Found(later[0].reading, later[0].shown)
    if reading.kind is not Kind.ONE:
        return Found(reading, shown)
    letter = reading.letters
    before, after = text[max(0, span.start - 60) : span.start], text[span.end : span.end + 60]
    if _BEFORE.search(before) or _AFTER_DENIAL.match(after):
        return Found(Reading(Kind.DENIED, letter), shown)
    alternative = _AFTER.match(after)
    if alternative is not None and alternative.group(1) != letter:
        return Found(Reading(Kind.SEVERAL, letter + (alternative.group(1) or "")), shown)
    contradicted = any((one.reading.kind is Kind.DENIED) is (one.reading.letters == letter) for one in later)
    beside = _beside(text, span.start, options)
    if earlier and earlier[-1].end <= span.start and _side_by_side(text, earlier[-1].end, span.start):
        beside.append(read(earlier[-1].content[:MAX_ANSWER].strip(), options))
    flags = ("multiple_answers",) if any(one.content.strip() != shown for one in earlier) else ()
    return _settle(reading, shown, beside, contradicted, flags)


def _beside(text: str, start: int, options: Options) -> list[Reading]:
    """The statements in prose that stand side by side with the one that begins at `start`."""
    near = statements(text[:start], max(0, start - NEARBY), options)
    return [said.reading for said in near if _side_by_side(text, said.said, start)]


def _settle(
    reading: Reading, shown: str, beside: list[Reading], contradicted: bool, flags: tuple[str, ...]
) -> Found:
    """The statement stands unless another one, side by side with it or later, says something else."""
    others = [other for other in beside if other.kind in (Kind.ONE, Kind.SEVERAL)]
    if contradicted or any(other.letters != reading.letters for other in others):
        return Found(Reading(Kind.SEVERAL, reading.letters), shown, flags)
    return Found(reading, shown, flags)


_BEFORE = re.compile(
    r"(?:\b(?:not|never|neither|nor|cannot|except|unlike|than|instead\s+of|maybe|perhaps|possibly)|n['’]t)\b"
    r"(?:\s+(?:be|the|answer|option|choice|letter|necessarily|simply))*+[\s:$*_(\[{\\]*$",
    re.IGNORECASE,
)
_AFTER = re.compile(
    r"[\s$*)\]}\\,]*+(?:(?:or|and|/|&|\|)[\s$*(]*+(?:maybe|perhaps|possibly|also|even|option|choice)?[\s$*(]*+"
    r"(?:\\boxed\s*+\{)?([A-Z])(?![\w'])|\?)"
)
_AFTER_DENIAL = re.compile(
    r"[\s$*)\]}\\]*+(?:is|was|can|could|would)\s*+(?:not|n['’]t|never|wrong|incorrect|false)\b", re.IGNORECASE
)
_WORD = re.compile(r"[^\W\d_]+")
_GLUE_WORDS = (
    "and or nor also either both perhaps maybe possibly alternatively the my final correct answer answers option options "
    "choice choices is are boxed fbox text textbf mathrm mathbf"
)
_GLUE = frozenset(_GLUE_WORDS.split())


def _side_by_side(text: str, end: int, start: int) -> bool:
    """Do no words of their own stand between two statements? Single letters and "or" are none."""
    if start - end > NEARBY:
        return False
    return all(len(word) == 1 or word.lower() in _GLUE for word in _WORD.findall(text, end, start))


# ---------------------------------------------------------------- the published scorers

_PUBLISHED_ANSWER = re.compile(r"answer[ \t]*+:[ \t]*+\$?([A-D])", re.IGNORECASE)
_PUBLISHED_LINE = re.compile(r"(?:Final Answer|The answer is):([^\n]*+)\n")


def _published(response: str, answer_line: bool) -> str | None:
    if answer_line:
        match = _PUBLISHED_ANSWER.search(response)
        return match.group(1) if match is not None else None
    spans = boxes(response) if "box" in response else []
    if spans:
        said = spans[-1].content
    else:
        line = _PUBLISHED_LINE.search(response)
        if line is None:
            return None
        said = line.group(1)
    return next((letter for letter in LETTERS[:10] if letter in said), None)
