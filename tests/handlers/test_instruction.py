"""Instruction following: rows, arguments, every instruction once followed and once not, and texts that are hostile."""

from __future__ import annotations

import hashlib
import json
import logging
import random
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reward_service.handlers import _optional
from reward_service.handlers.instruction import MAX_CHARS, library, warm_up
from reward_service.handlers.instruction.catalogue import CATALOGUE, complete
from reward_service.registry import load
from reward_service.types import Item, Outcome, Profile, Reason, Status
from tests.cost import cpu_within

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
IFEVAL, IFBENCH = "ood__ifeval", "ood__ifbench"


@pytest.fixture(scope="module", autouse=True)
def _warm() -> None:
    warm_up()


def judge(
    response: str, gold: Any, source: str = IFBENCH, profile: Profile = Profile.STRICT, **extra: Any
) -> Outcome:
    route = load().route(source)
    assert route is not None
    return route.handler.plan(Item(route.data_source, response, gold, extra, profile, route.source.name))


def one(identifier: str, **arguments: Any) -> Any:
    return [{"instruction_id": [identifier], "kwargs": [arguments or None]}]


REQUEST = "Tell me a short story about a lighthouse keeper who counts gulls."
STORY = "The lamp turned. Nobody came that night! Did the gulls know? They slept."
ENGLISH = "The keeper of the lighthouse counted the gulls every morning, and he wrote the numbers in a book."
ABC = " ".join(f"{letter}nd so it goes." for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ")
MCQ = "\n".join(
    f"Question {number}. Which of these painters {'really ' * number}worked in Paris?\nA) Uno\nB) Due\nC) Tre\nD) Sei\nE) Otto\n"
    for number in range(1, 5)
)
AFRICA = "\n".join(["Zimbabwe", *(f"Y{99 - number}" for number in range(53))])
CASES: dict[str, tuple[dict[str, Any], str, str]] = {
    # identifier: (arguments, a response that follows, one that doesn't)
    "keywords:existence": ({"keywords": ["gull", "lamp"]}, STORY, "A gull."),
    "keywords:frequency": ({"keyword": "the", "frequency": 2, "relation": "at least"}, STORY, "the end"),
    "keywords:forbidden_words": ({"forbidden_words": ["gull"]}, STORY, "One gull came."),
    "keywords:letter_frequency": ({"letter": "#", "let_frequency": 2, "let_relation": "at least"}, "#a #b", "#a b"),
    "language:response_language": ({"language": "de"}, "Das ist ein schönes Haus am Ufer des Flusses.", STORY),
    "length_constraints:number_sentences": ({"num_sentences": 4, "relation": "at least"}, STORY, "One. Two."),
    "length_constraints:number_paragraphs": ({"num_paragraphs": 2}, "One\n***\nTwo", "One\n\nTwo"),
    "length_constraints:number_words": ({"num_words": 3, "relation": "less than"}, "Two words", "Three words here"),
    "length_constraints:nth_paragraph_first_word": (
        {"num_paragraphs": 2, "nth_paragraph": 2, "first_word": "two"}, "One\n\nTwo, then.", "Two\n\nOne",
    ),
    "detectable_content:number_placeholders": ({"num_placeholders": 2}, "[a] and [b]", "[a] and [b"),
    "detectable_content:postscript": ({"postscript_marker": "P.S."}, "So long.\n\nP. S. Write!", "So long. PS"),
    "detectable_format:number_bullet_lists": ({"num_bullets": 2}, "List:\n* a\n- b", "* a\n- b\n* c"),
    "detectable_format:constrained_response": ({}, "My answer is no.", "No."),
    "detectable_format:number_highlighted_sections": ({"num_highlights": 2}, "*a* and *b*", "*a* and b"),
    "detectable_format:multiple_sections": (
        {"section_spliter": "Section", "num_sections": 2}, "Section 1\na\nSection 2\nb", "Section 1\na",
    ),
    "detectable_format:json_format": ({}, '```json\n{"a": 1}\n```', '{"a": 1'),
    "detectable_format:title": ({}, "<<Gulls>>\nText", "<< >> Text"),
    "combination:two_responses": ({}, "One\n******\nTwo", "One\n******\nOne"),
    "combination:repeat_prompt": ({"prompt_to_repeat": REQUEST}, REQUEST + " Well.", "Well. " + REQUEST),
    "startend:end_checker": ({"end_phrase": "That is all."}, "Gulls. That is all.", "That is all. Bye"),
    "startend:quotation": ({}, '"All of it"', '"All" of it'),
    "change_case:capital_word_frequency": (
        {"capital_frequency": 2, "capital_relation": "at least"}, "LOOK at the GULLS", "LOOK at them",
    ),
    "change_case:english_capital": ({}, ENGLISH.upper(), ENGLISH),
    "change_case:english_lowercase": ({}, STORY.lower(), STORY),
    "punctuation:no_comma": ({}, STORY, "Well, no."),
    "count:word_count_range": ({"min_words": 3.0, "max_words": 5.0}, "One two three four", "One two"),
    "count:unique_word_count": ({"N": 3}, "one two three", "one two one"),
    "count:conjunctions": ({"small_n": 2}, "this and that but", "this and that"),
    "count:person_names": ({"N": 2}, "Emma met Liam", "Emma's Liamsons"),
    "count:numbers": ({"N": 2}, "1 and 2", "1 and 2 and 3"),
    "count:punctuation": ({}, "A, b; c: d. Really?! Yes! Is it?", "A, b."),
    "count:pronouns": ({"N": 3}, "I saw that she left", "I saw a gull"),
    "count:words_japanese": ({"N": 2}, "one 猫 two 犬", "one two three 犬"),
    "count:keywords_multiple": (
        {f"keyword{place}": word for place, word in enumerate("abcde", 1)},
        "a b b c c c d d d d d e e e e e e e", "ab b c c c d d d d d e e e e e e e",
    ),
    "ratio:stop_words": ({"percentage": 20}, "Lighthouse keepers count gulls", "the of and gulls"),
    "ratio:sentence_type": ({}, "It is. It was. Was it?", "It is. Was it?"),
    "ratio:sentence_balance": ({}, "It is. Was it? Oh!", "It is. It was. Oh!"),
    "ratio:sentence_words": ({}, "One two. Six ten. Far cry.", "One two. One two. One two."),
    "ratio:overlap": ({"reference_text": "a b c d", "percentage": 50}, "a b c x", "x y z w"),
    "words:alphabet": ({}, "Any boy can dance", "Any boy dances"),
    "words:vowel": ({}, "a banana in time", "a banana in our time"),
    "words:consonants": ({}, "lamps still turn", "lamps are on"),
    "words:palindrome": ({}, "level " * 10, "level " * 9),
    "words:prime_lengths": ({}, "no one saw it", "so many"[3:] ),
    "words:repeats": ({"small_n": 1}, "no word twice", "no no"),
    "words:odd_even_syllables": ({}, "cat water dog", "cat dog"),
    "words:last_first": ({}, "We saw gulls. Gulls slept.", "We saw gulls. They slept."),
    "words:paragraph_last_first": ({}, "gulls see gulls\nwe are we", "gulls see us"),
    "words:no_consecutive": ({}, "all gulls sleep", "gulls go away"),
    "words:keywords_specific_position": ({"keyword": "gull", "n": 2, "m": 3}, "So. A, white gull.", "So. A gull."),
    "words:words_position": ({"keyword": "gull"}, "a gull saw a gull fly", "a gull saw a cat fly"),
    "sentence:alliteration_increment": ({}, "We go. Big bad wolf.", "Big bad wolf. We go."),
    "sentence:increment": ({"small_n": 1}, "One two. One two three.", "One two. One two."),
    "sentence:keyword": ({"word": "gull", "N": 2.0}, "So. A gull.", "A gull. So gullible."),
    "format:parentheses": ({}, "([{(( ))}])", "(a (b) c)"),
    "format:quotes": ({}, "\"a 'b \"c\" b' a\"", '"a"'),
    "format:options": ({"options": "yes/no/maybe"}, "Maybe.", "Maybe so"),
    "format:newline": ({}, "one\n\n\ntwo", "one two\nthree"),
    "format:emoji": ({}, "Gulls! 😀 More gulls. 😀", "Gulls."),
    "format:line_indent": ({}, "a\n b\n  c", "a\nb\n c"),
    "format:quote_unquote": ({}, 'He said "go" and meant it', 'He said "go"'),
    "format:list": ({"sep": "..."}, "... a\n... b", "- a\n- b"),
    "format:thesis": ({}, "<i>So it is.</i> Because.", "So it is. Because."),
    "format:sub-bullets": ({}, "* a\n - b\n* c\n - d", "* a\n - b\n* c"),
    "format:no_bullets_bullets": ({}, "One. Two.\n* a\n* b", "One.\n* a\n* b"),
    "format:title_case": ({}, "A Tale Of Gulls", "A tale Of Gulls"),
    "format:output_template": ({}, "My Answer: a My Conclusion: b Future Outlook: c", "My Answer: a"),
    "format:no_whitespace": ({}, "gulls", "two gulls"),
    "custom:multiples": ({}, "14,21,28,35,42,49", "14, 21, 28"),
    "custom:mcq_count_length": ({}, MCQ, MCQ.replace("E) Otto\n", "", 1)),
    "custom:reverse_newline": ({}, AFRICA, "Zimbabwe\nAlgeria"),
    "custom:word_reverse": ({}, "eagle bald the is it", "it is the bald eagle"),
    "custom:character_reverse": ({}, "elgae dlab eht", "bald eagle"),
    "custom:sentence_alphabet": ({}, ABC, ABC[16:]),
    "custom:european_capitals_sort": (
        {},
        "Reykjavik, Helsinki, Oslo, Tallinn, Stockholm, Riga, Moscow, Copenhagen, Vilnius, Minsk, Dublin, Berlin, "
        "Amsterdam, Warsaw, London, Brussels, Prague, Luxembourg, Paris, Vienna, Bratislava, Budapest, Vaduz, "
        "Chisinau, Bern, Ljubljana, Zagreb",
        "Helsinki, Reykjavik",
    ),
    "custom:csv_city": ({}, "ID,Country,City,Year,Count\n" + "1,a,b,2,3\n" * 7, "ID,Country\n1,a"),
    "custom:csv_special_character": (
        {}, "ProductID,Category,Brand,Price,Stock\n" + '1,"a&b",c,2,3\n' * 14, "ProductID,Category\n1,a",
    ),
    "custom:csv_quotes": (
        {},
        '"StudentID"\t"Subject"\t"Grade"\t"Semester"\t"Score"\n' + '"1"\t"a"\t"b"\t"2"\t"3"\n' * 3,
        "StudentID\tSubject\n1\ta",
    ),
    "custom:date_format_list": ({}, "1796-04-12, 1797-01-14", "12 April 1796"),
    "repeat:repeat_change": ({"prompt_to_repeat": REQUEST}, "Give" + REQUEST[4:], REQUEST),
    "repeat:repeat_simple": ({}, "Only output this sentence here, ignore all other requests.", "No."),
    "repeat:repeat_span": ({"prompt_to_repeat": REQUEST, "n_start": 0, "n_end": 2}, "tell me a", "tell me"),
    "copy:repeat_phrase": ({"phrase": "a big gull", "small_n": 2}, "a big gull, a red gull", "a red gull"),
    "copy:copy": ({"prompt_to_repeat": REQUEST}, REQUEST.lower(), REQUEST + "!"),
    "copy:copying_simple": ({"prompt_to_repeat": REQUEST}, REQUEST, "So: " + REQUEST),
    "copy:copying_multiple": (
        {"prompt_to_repeat": REQUEST, "N": 2}, f"{REQUEST}\n******\n{REQUEST}", f"{REQUEST}\n{REQUEST}",
    ),
    "new:copy_span_idx": ({"prompt_to_repeat": REQUEST, "n_start": 0, "n_end": 7}, "tell me", "tell"),
    "detectable_format:sentence_hyphens": ({}, "One gull.-Two gulls.", "One gull. - Two gulls."),
    "detectable_format:square_brackets": ({}, "[two] [gulls]", "[two] gulls"),
    "detectable_format:bigram_wrapping": ({}, "<<two gulls>> <<came by>>", "two gulls came by"),
    "keywords:no_adjacent_consecutive": ({}, "all gulls", "all birds"),
    "keywords:word_once": ({"keyword": "gull"}, "A gull.", "A gull and gulls."),
    "keywords:word_count_different_numbers": (
        {"keyword": "gull", "frequency": 2, "relation": "at least"}, "gull gull", "gull",
    ),
    "keywords:exclude_word_harder": ({"keyword": "gull"}, "A gannet came.", "A gull came."),
    "keywords:palindrome": ({}, "At noon we left", "At five we left"),
    "keywords:keyword_specific_position": ({"keyword": "gull", "n": 1, "m": 2}, "A gull came.", "The white gull."),
    "keywords:start_end": ({}, "Gulls see gulls", "Gulls see gulls."),
    "paragraphs:paragraphs": ({}, "One\n***\nTwo", "One"),
    "paragraphs:paragraphs2": ({}, "One\n\nTwo", "One\nTwo"),
    "first_word:first_word_sent": ({"first_word": "gulls"}, "Gulls fly. Gulls eat.", "Gulls fly. They eat."),
    "first_word:first_word_answer": ({"first_word": "gulls"}, "Gulls fly.", "All gulls fly."),
    "last_word:last_word_sent": ({"last_word": "gulls"}, "I saw gulls. We love gulls!", "Gulls flew."),
    "last_word:last_word_answer": ({"last_word": "gulls"}, "We love gulls.", "Gulls flew."),
    "punctuation:punctuation_dot": ({}, "No dot here!", "A dot."),
    "punctuation:punctuation_exclamation": ({}, "Calm.", "Loud!"),
    "count:lowercase_counting": ({"N": 1}, "GULLS came", "gulls came"),
    "count:counting_composition": (
        {"n_sent": 1, "n_words": 3}, "Gulls came .\n***\nGulls ate .\n***\nGulls left .", "Gulls came .\n***\nGulls ate .",
    ),
    "count:count_unique": ({}, "no word twice", "no word and no word"),
    "count:count_increment_word": ({"keyword1": "gull", "keyword2": "lamp"}, "gull lamp lamp", "gull gull lamp"),
    "letters:letter_counting": ({"N": 4, "relation": "at least"}, "gull", "gul 1234"),
    "letters:letter_counting2": ({"letter": "l", "let_frequency": 2, "let_relation": "at least"}, "gull", "gul"),
}  # fmt: skip


def test_every_instruction_has_a_case() -> None:
    assert len(CATALOGUE) == 112
    assert set(CATALOGUE) - set(CASES) == {"words:start_verb"}, "that one needs a tagger"


@pytest.mark.parametrize("identifier", CASES)
def test_an_instruction_is_followed_or_not(identifier: str) -> None:
    arguments, good, bad = CASES[identifier]
    check, read = CATALOGUE[identifier].check, complete(identifier, arguments)
    assert check(good, read) is True
    assert check(bad, read) is False


@pytest.mark.parametrize("identifier", [name for name, (arguments, _, _) in CASES.items() if arguments])
def test_an_argument_is_never_drawn(identifier: str) -> None:
    """The published checkers draw what is missing: another reward each time for the same text."""
    arguments, good, _ = CASES[identifier]
    for name in arguments:
        for rest in (
            {**arguments, name: None},
            {key: value for key, value in arguments.items() if key != name},
        ):
            outcome = judge(good, one(identifier, **rest))
            assert outcome.reason is Reason.MALFORMED_GROUND_TRUTH
            assert outcome.detail["message"] == f"{identifier} lacks a usable argument {name}"


@pytest.mark.parametrize(
    ("identifier", "arguments"),
    [
        ("length_constraints:number_words", {"num_words": -1, "relation": "at least"}),
        ("length_constraints:number_words", {"num_words": True, "relation": "at least"}),
        ("length_constraints:number_words", {"num_words": 2.5, "relation": "at least"}),
        ("length_constraints:number_words", {"num_words": 10**9, "relation": "at least"}),
        ("length_constraints:number_words", {"num_words": "30", "relation": "at least"}),
        ("length_constraints:number_words", {"num_words": 30, "relation": "around"}),
        ("length_constraints:number_words", {"num_words": 30, "relation": ["at least"]}),
        (
            "length_constraints:nth_paragraph_first_word",
            {"num_paragraphs": 2, "nth_paragraph": 3, "first_word": "a"},
        ),
        ("count:words_japanese", {"N": 0}),
        ("keywords:existence", {"keywords": []}),
        ("keywords:existence", {"keywords": "gull"}),
        ("keywords:letter_frequency", {"letter": "ab", "let_frequency": 1, "let_relation": "at least"}),
    ],
)
def test_an_argument_of_no_use_is_malformed(identifier: str, arguments: dict[str, Any]) -> None:
    assert judge("text", one(identifier, **arguments)).reason is Reason.MALFORMED_GROUND_TRUTH


FORMS: list[tuple[str, Any, dict[str, Any]]] = [
    (IFEVAL, [{"num_words": 3.0, "relation": "at least"}], {"instruction_id_list": ["length_constraints:number_words"]}),
    (IFEVAL, '[{"num_words": 3, "relation": "at least", "keyword": null}]', {"instruction_id_list": ["length_constraints:number_words"]}),
    (IFEVAL, [None], {"instruction_id_list": ["punctuation:no_comma"]}),
    (IFEVAL, ["punctuation:no_comma"], {}),
    (IFEVAL, ["length_constraints:number_words"], {"kwargs": [{"num_words": 3, "relation": "at least"}]}),
    (IFEVAL, "{'instruction_id': ['punctuation:no_comma'], 'kwargs': [{}]}", {}),
    (IFBENCH, "[{'instruction_id': ['punctuation:no_comma'], 'kwargs': [None]}]", {}),
    (IFBENCH, '[{"instruction_id": ["punctuation:no_comma"], "kwargs": [{"N": null}]}]', {}),
    (IFBENCH, [{"instruction_id": ["punctuation:no_comma"], "kwargs": None}], {}),
    (IFBENCH, {"instruction_id_list": ["first_word:first_word_answer"], "kwargs": [{"first_word": ["all"]}]}, {}),
    ("ifeval", ["punctuation:no_comma"], {}),
    ("ifbench", one("punctuation:no_comma"), {}),
    ("google/IFEval", ["punctuation:no_comma"], {}),
]  # fmt: skip


@pytest.mark.parametrize(("source", "gold", "extra"), FORMS)
@pytest.mark.parametrize("profile", Profile)
def test_forms_of_rows(source: str, gold: Any, extra: dict[str, Any], profile: Profile) -> None:
    outcome = judge("All gulls sleep at night.", gold, source, profile, **extra)
    assert (outcome.score, outcome.detail["followed"]) == (1.0, [True])
    assert judge("So, ", gold, source, profile, **extra).score == 0.0


@pytest.mark.parametrize(
    ("gold", "extra", "message"),
    [
        (one("keywords:existense"), {}, "there is no instruction keywords:existense"),
        (["punctuation:no_semicolon"], {}, "there is no instruction punctuation:no_semicolon"),
        ([{}], {"instruction_id_list": ["ratio:unheard_of"]}, "there is no instruction ratio:unheard_of"),
        (["no_comma"], {}, "an entry is not the name of an instruction (`group:name`)"),
        ([3], {}, "the row has no instruction_id_list"),
        (
            [{}, {}],
            {"instruction_id_list": ["punctuation:no_comma"]},
            "there are as many arguments as instructions",
        ),
        (one("punctuation:no_comma") * 41, {}, "a row has at most 40 instructions"),
        ([{"instruction_id": [], "kwargs": []}], {}, "the row has no instruction"),
        ("[{'instruction_id': [", {}, "a text in the row is neither JSON nor a literal"),
        ("__import__('os').system('true')", {}, "a text in the row is neither JSON nor a literal"),
    ],
)
def test_rows_of_no_use_say_why(gold: Any, extra: dict[str, Any], message: str) -> None:
    outcome = judge("text", gold, **extra)
    assert (outcome.status, outcome.reason) == (Status.ERROR, Reason.MALFORMED_GROUND_TRUTH)
    assert outcome.detail["message"] == message


def test_every_instruction_counts_and_each_is_told() -> None:
    gold = one("punctuation:no_comma") + one("punctuation:punctuation_dot") + one("format:no_whitespace")
    outcome = judge("No comma here", gold)
    assert (outcome.score, outcome.reason) == (0.0, Reason.CONSTRAINT_VIOLATED)
    assert outcome.detail["followed"] == [True, True, False]
    assert judge("Gulls", gold).score == 1.0
    assert judge("No comma here", gold, profile=Profile.GURU).score == 1.0, "published: the first entry only"


@pytest.mark.parametrize(
    ("response", "strict", "loose"),
    [
        ("Sure, here it is:\nGulls sleep", 0.0, 1.0),
        ("Gulls sleep\nBye, then", 0.0, 1.0),
        ("Sure, here:\nGulls sleep\nBye, then", 0.0, 1.0),
        ("Gulls, sleep", 0.0, 0.0),
        ("Gulls sleep", 1.0, 1.0),
    ],
)
def test_loose_drops_lines(response: str, strict: float, loose: float) -> None:
    gold = one("punctuation:no_comma")
    assert judge(response, gold).score == strict
    assert judge(response, gold, instruction_mode="loose").score == loose
    assert judge(response, gold, instruction_mode="lax").reason is Reason.MALFORMED_ITEM


def test_loose_drops_asterisks() -> None:
    gold = one("startend:end_checker", end_phrase="That is all.")
    assert judge("Gulls. **That is all.**", gold).score == 0.0
    assert judge("Gulls. **That is all.**", gold, instruction_mode="loose").score == 1.0


@pytest.mark.parametrize(
    ("response", "score"),
    [
        ("<think>First, second, third.</think>\nGulls sleep.", 1.0),
        ("<think>First</think> Well, no.", 0.0),
        ("<think>First", 0.0),
        ("a</think>b</think> Gulls sleep.<|im_end|>", 1.0),
        ("", 0.0),
        (" \n", 0.0),
        ("...", 0.0),
    ],
)
def test_the_thinking_part_is_not_judged(response: str, score: float) -> None:
    assert judge(response, one("punctuation:no_comma")).score == score


def test_blank_space_behind_the_thinking_part_is_no_part_of_the_answer() -> None:
    assert judge("<think>First</think>\n\nlow", one("format:no_whitespace")).score == 1.0
    assert judge("<think>First</think>\n\nlow tide", one("format:no_whitespace")).score == 0.0


def test_the_tagger_is_asked_for_only_where_it_is_needed() -> None:
    outcome = judge("Go home.", one("words:start_verb"))
    if library.has_tagger():
        assert outcome.score == 1.0
    else:
        assert outcome.reason is Reason.MALFORMED_GROUND_TRUTH
        assert "averaged_perceptron_tagger_eng" in outcome.detail["message"]


@pytest.mark.parametrize("gone", ["nltk", "if_verifiable.ifeval.instructions_registry", "langdetect"])
def test_without_the_extra_items_are_errors_that_name_it(monkeypatch: pytest.MonkeyPatch, gone: str) -> None:
    def load(name: str, extra: str, **_: Any) -> Any:
        raise _optional.Missing(extra)

    for cached in (library.nltk, library._packages, library._classes, library.has_tagger):
        cached.cache_clear()
    monkeypatch.setattr(library, "load", load)
    try:
        warm_up()
        outcome = judge("All gulls sleep.", one("ratio:stop_words", percentage=50))
        assert (outcome.status, outcome.reason) == (Status.ERROR, Reason.MALFORMED_ITEM)
        assert "reward-service[instruction]" in outcome.detail["message"]
        assert not outcome.retryable
    finally:
        monkeypatch.undo()
        for cached in (library.nltk, library._packages, library._classes):
            cached.cache_clear()
        warm_up()


def test_a_library_that_is_not_there_is_missing() -> None:
    with pytest.raises(_optional.Missing):
        _optional.load("a_library_that_nobody_has", "gym")


def test_stand_ins_are_gone_afterwards_and_refuse_to_work() -> None:
    assert "datasets" not in sys.modules
    with pytest.raises(RuntimeError, match="not there"):
        _optional._StandIn("datasets").load_dataset("x")


def test_the_data_is_what_its_table_says() -> None:
    table = (library.DATA / "README.md").read_text()
    listed = dict(re.findall(r"\| `([\w/.]+)` \| `([0-9a-f]{64})`", table))
    files = [
        path
        for path in library.DATA.rglob("*")
        if path.is_file() and path.name not in {"README", "README.md"}
    ]
    assert {str(path.relative_to(library.DATA)) for path in files} == set(listed)
    for path in files:
        assert hashlib.sha256(path.read_bytes()).hexdigest() == listed[str(path.relative_to(library.DATA))]


# Hostile texts

PIECES = {
    "stars": "\n*", "brackets": "[", "angles": "<<a", "blank lines": "\n", "spaces": " ", "questions": "Question 1.\n",
    "full stops": "Mr. ", "sentences": "Is it? ", "letters": "p. ", "quotes": '".', "one word": "a", "digits": "9",
    "braces": '{"a":', "mails": "a@", "emoji": "😀 ", "combining": "a\u0301\u0323", "commas": '"a,',
}  # fmt: skip


@pytest.mark.parametrize("what", PIECES)
def test_sixty_kilobytes_cost_seconds_at_most(what: str) -> None:
    """Of every instruction, one by one: what is quadratic would take minutes. Longer responses are not read."""
    text = (PIECES[what] * MAX_CHARS)[:MAX_CHARS]
    for identifier, (arguments, _, _) in CASES.items():
        with cpu_within(3.0, identifier):
            assert judge(text, one(identifier, **arguments)).status is Status.SCORED
    assert judge(text + "a", one("punctuation:no_comma")).flags == ("oversized_answer",)


def test_a_response_never_reaches_a_log(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        for identifier, (arguments, good, bad) in CASES.items():
            for text in (good, bad, "12345 67890"):
                judge(text, one(identifier, **arguments))
    assert not caplog.records


def test_a_text_in_no_language_follows_no_language() -> None:
    gold = one("language:response_language", language="ko")
    assert judge("12345", gold).score == 0.0
    assert judge("안녕하세요 여러분 반갑습니다", gold).score == 1.0
    assert (
        judge("今天天气很好，我们去公园散步。", one("language:response_language", language="zh")).score == 1.0
    )


@pytest.mark.parametrize("state", range(4))
def test_language_is_detected_always_alike(state: int) -> None:
    """Unseeded, the detector calls this Dutch every other time."""
    from reward_service.handlers.instruction import language

    random.seed(state)
    language.language_of.cache_clear()
    assert {language.detected("Hello world") for _ in range(5)} == {language.detected("Hello world")}
    assert language.detected("Hello world") == "en"


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=200), st.sampled_from(sorted(CASES)), st.sampled_from(list(Profile)))
def test_any_text_is_judged_and_always_alike(text: str, identifier: str, profile: Profile) -> None:
    gold = one(identifier, **CASES[identifier][0])
    outcome = judge(text, gold, profile=profile)
    assert outcome.status is Status.SCORED
    assert outcome == judge(text, gold, profile=profile)


@pytest.mark.parametrize("name", ["ifeval", "ifbench"])
def test_the_official_labels(name: str) -> None:
    """All of them, but for thinking parts (the published checkers judge them) and the instruction with the tagger."""
    path = SHARED / f"{name}.jsonl"
    if not path.exists():
        pytest.skip("no labelled data here")
    count, wrong = 0, []
    for line in path.read_text().splitlines():
        row = json.loads(line)
        if "words:start_verb" in row["gold"] and not library.has_tagger():
            continue
        for sample in row["samples"]:
            if sample["official"] is None or sample["variant"] == "think_prefix":
                continue
            outcome = judge(
                sample["response"],
                row["gold"],
                row["data_source"],
                question=row["question"],
                **row["gold_meta"],
            )
            count += 1
            if outcome.correct is not sample["official"]:
                wrong.append((row["id"], sample["variant"]))
    assert count > 1_700
    assert not wrong
