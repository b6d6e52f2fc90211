r"""Short answers that are right when they are the same text: QA sources, and any source that a user names `exact__…`.

What is decided here: one answer, compared with each accepted one, all or nothing.
- `searchR1_*` (guru.md §2b): ground truth `{"target": [...]}`, answer in the last `<answer>`. Same text is
  SQuAD's exact match in its strict form (`_qa`): what the published form destroys (the sign of a number,
  `C++`, an answer of articles only) is kept. A box is read as well; a line of prose is not, because the
  prompt asks for the tags.
- `exact__…`: the text in the last `<answer>`, box or "the answer is" line is, once undressed, the ground
  truth, letter for letter; white space counts as one space, and letter case only with
  `extra_info.case_sensitive`.

The guru profile of `searchR1_*` is verl's scorer: the last `<answer>` of the whole response, SQuAD's normal
form, a quarter of the reward when there are more than ten tags; but two answers of which nothing is left are
not equal.
"""

from __future__ import annotations

from reward_service import narrate
from reward_service.handlers._either import one_answer
from reward_service.handlers._logic import published_answer
from reward_service.handlers._qa import (
    MAX_ANSWER,
    GoldError,
    alternatives,
    find_answer,
    published_form,
    same_text,
    words,
)
from reward_service.handlers._text import collapse, plain_characters
from reward_service.registry import Source, handler
from reward_service.types import (
    Domain,
    Example,
    Item,
    Outcome,
    Profile,
    Reason,
    accept,
    malformed,
    reject,
    scored,
)

SEARCH_R1 = ("nq", "triviaqa", "popqa", "hotpotqa", "2wikimultihopqa", "musique", "bamboogle")
"""The seven sets of Search-R1, as they are named behind `searchR1_`."""

_MANY_TAGS = 10
_TARGETS = 'the accepted answers: `{"target": ["Paris"]}`, a list of them, or one string'


def _search_r1(name: str) -> Source:
    example = Example(
        "<think>Two hops.</think> <answer> The Danube </answer>", {"target": ["Danube", "Danube River"]}
    )
    return Source(f"searchr1_{name}", _TARGETS, example, (name,))


@handler(
    "exact",
    version="2",
    domain=Domain.SCIENCE,
    reads=("case_sensitive",),
    sources=[
        *map(_search_r1, SEARCH_R1),
        Source("searchr1_*", _TARGETS, Example("<answer>the Danube</answer>", {"target": "Danube"})),
        Source(
            "exact__*",
            "the text, or a list of accepted texts",
            Example("The final answer is \\boxed{\\text{New South Wales}}.", "New South Wales"),
            ("exact", "exact_match"),
        ),
    ],
)
@one_answer
def plan(item: Item) -> Outcome:
    """The last answer is the same text as one of the accepted answers."""
    searched = item.source.startswith("searchr1_")
    try:
        golds = alternatives(item.ground_truth, parse=searched)
    except GoldError as error:
        return malformed(f"the ground truth is not a text or a list of texts: {error}")
    trace = (
        {"gold": golds[:20], "comparator": "squad, strict" if searched else "text"} if item.explain else {}
    )
    if searched and item.profile is Profile.GURU:
        return _published(item.response, golds)

    found = find_answer(item.response, lines=not searched)
    if found is None:
        return reject(Reason.NO_ANSWER, trace=trace)
    if len(found.text) > 2 * MAX_ANSWER:
        return reject(Reason.MALFORMED_ANSWER, flags=(*found.flags, "oversized_answer"), trace=trace)
    answers = found.readings()
    if not answers:
        return reject(Reason.NO_ANSWER, flags=found.flags, trace=trace)
    exactly = item.extra_info.get("case_sensitive") is True
    for gold in golds[:4] if narrate.listening() else ():
        same = same_text(answers[0], gold) if searched else _identical(answers[0], gold, exactly)
        narrate.forms(" ".join(words(answers[0])), " ".join(words(gold)), "words")
        narrate.compared("squad, strict" if searched else "text", same)
    if any(
        same_text(answer, gold) if searched else _identical(answer, gold, exactly)
        for answer in answers
        for gold in golds
    ):
        return accept(answers[0], flags=found.flags, trace=trace)
    return reject(Reason.NOT_EQUAL, answers[0], flags=found.flags, trace=trace)


def _identical(answer: str, gold: str, exactly: bool) -> bool:
    left, right = (collapse(plain_characters(text)).removesuffix(".") for text in (answer, gold))
    return bool(left) and (left == right if exactly else left.casefold() == right.casefold())


def _published(response: str, golds: list[str]) -> Outcome:
    answer = published_answer(response, over_lines=True)
    if answer is None:
        return reject(Reason.NO_ANSWER)
    form = published_form(answer)
    if not form or all(published_form(gold) != form for gold in golds):
        return reject(Reason.NOT_EQUAL if form else Reason.NO_ANSWER, answer)
    if max(response.count("<answer>"), response.count("</answer>")) > _MANY_TAGS:
        return scored(0.25, Reason.PARTIALLY_EQUAL, answer, flags=("multiple_answers",))
    return accept(answer)
