"""Every instruction that can be checked: its arguments, and who checks it.

What is decided here: an instruction is checked only with all its arguments. The published checkers draw a missing one
at random, which makes the reward a lottery; here it makes the row malformed. Arguments that the instruction doesn't
have are ignored (rows carry those of their neighbours, as nulls).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from reward_service.handlers.instruction import ifbench, ifeval, train
from reward_service.handlers.instruction.library import library_check

MAX_TEXT = 20_000
MAX_COUNT = 1_000_000

Check = Callable[[str, Mapping[str, Any]], bool]


class Instruction(NamedTuple):
    """Arguments by name and kind, and the check of a response with them."""

    arguments: Mapping[str, str]
    check: Check


class BadArgument(ValueError):
    """An argument is missing or of no use; the message names it, without its value."""


def _kinds(text: str) -> dict[str, str]:
    return dict(pair.split("=") for pair in text.split())


_IFEVAL = {
    "keywords:existence": ("keywords=texts", ifeval.keywords),
    "keywords:frequency": ("keyword=text frequency=count relation=relation", ifeval.keyword_frequency),
    "keywords:forbidden_words": ("forbidden_words=texts", ifeval.forbidden_words),
    "keywords:letter_frequency": (
        "letter=letter let_frequency=count let_relation=relation",
        ifeval.letter_frequency,
    ),
    "language:response_language": ("language=text", ifeval.response_language),
    "length_constraints:number_sentences": ("num_sentences=count relation=relation", None),
    "length_constraints:number_paragraphs": ("num_paragraphs=count", None),
    "length_constraints:number_words": ("num_words=count relation=relation", None),
    "length_constraints:nth_paragraph_first_word": (
        "num_paragraphs=positive nth_paragraph=positive first_word=text",
        None,
    ),
    "detectable_content:number_placeholders": ("num_placeholders=count", ifeval.placeholders),
    "detectable_content:postscript": ("postscript_marker=text", ifeval.postscript),
    "detectable_format:number_bullet_lists": ("num_bullets=count", ifeval.bullets),
    "detectable_format:constrained_response": ("", None),
    "detectable_format:number_highlighted_sections": ("num_highlights=count", None),
    "detectable_format:multiple_sections": ("section_spliter=text num_sections=count", ifeval.sections),
    "detectable_format:json_format": ("", ifeval.json_format),
    "detectable_format:title": ("", ifeval.title),
    "combination:two_responses": ("", None),
    "combination:repeat_prompt": ("prompt_to_repeat=text", None),
    "startend:end_checker": ("end_phrase=text", None),
    "startend:quotation": ("", None),
    "change_case:capital_word_frequency": ("capital_frequency=count capital_relation=relation", None),
    "change_case:english_capital": ("", ifeval.english_capital),
    "change_case:english_lowercase": ("", ifeval.english_lowercase),
    "punctuation:no_comma": ("", None),
}

_FIVE = "keyword1=text keyword2=text keyword3=text keyword4=text keyword5=text"
_IFBENCH = {
    "count:word_count_range": ("min_words=count max_words=count", None),
    "count:unique_word_count": ("N=count", None),
    "count:conjunctions": ("small_n=count", None),
    "count:person_names": ("N=count", ifbench.person_names),
    "count:numbers": ("N=count", None),
    "count:punctuation": ("", None),
    "count:pronouns": ("N=count", ifbench.pronouns),
    "count:words_japanese": ("N=positive", None),
    "count:keywords_multiple": (_FIVE, ifbench.five_keywords),
    "ratio:stop_words": ("percentage=number", None),
    "ratio:sentence_type": ("", None),
    "ratio:sentence_balance": ("", None),
    "ratio:sentence_words": ("", ifbench.equal_sentences),
    "ratio:overlap": ("reference_text=text percentage=number", ifbench.overlap),
    "words:alphabet": ("", None),
    "words:vowel": ("", None),
    "words:consonants": ("", None),
    "words:palindrome": ("", None),
    "words:prime_lengths": ("", None),
    "words:start_verb": ("", ifbench.starts_with_verb),
    "words:repeats": ("small_n=count", None),
    "words:odd_even_syllables": ("", None),
    "words:last_first": ("", None),
    "words:paragraph_last_first": ("", None),
    "words:no_consecutive": ("", None),
    "words:keywords_specific_position": ("keyword=text n=positive m=positive", ifbench.keyword_at),
    "words:words_position": ("keyword=text", ifbench.second_words),
    "sentence:alliteration_increment": ("", None),
    "sentence:increment": ("small_n=count", None),
    "sentence:keyword": ("word=text N=positive", ifbench.keyword_in_sentence),
    "format:parentheses": ("", None),
    "format:quotes": ("", None),
    "format:options": ("options=text", None),
    "format:newline": ("", ifbench.words_on_lines),
    "format:emoji": ("", None),
    "format:line_indent": ("", ifbench.stairs),
    "format:quote_unquote": ("", ifbench.quotes_explained),
    "format:list": ("sep=text", None),
    "format:thesis": ("", None),
    "format:sub-bullets": ("", None),
    "format:no_bullets_bullets": ("", None),
    "format:title_case": ("", ifbench.title_case),
    "format:output_template": ("", None),
    "format:no_whitespace": ("", None),
    "custom:multiples": ("", None),
    "custom:mcq_count_length": ("", ifbench.multiple_choice),
    "custom:reverse_newline": ("", None),
    "custom:word_reverse": ("", None),
    "custom:character_reverse": ("", None),
    "custom:sentence_alphabet": ("", ifbench.alphabet_story),
    "custom:european_capitals_sort": ("", None),
    "custom:csv_city": ("", None),
    "custom:csv_special_character": ("", None),
    "custom:csv_quotes": ("", None),
    "custom:date_format_list": ("", None),
    "repeat:repeat_change": ("prompt_to_repeat=text", None),
    "repeat:repeat_simple": ("", None),
    "repeat:repeat_span": ("prompt_to_repeat=text n_start=count n_end=count", ifbench.span),
}

_IFTRAIN = {
    "copy:repeat_phrase": ("phrase=text small_n=positive", train.repeat_phrase),
    "copy:copy": ("prompt_to_repeat=text", train.copied),
    "copy:copying_simple": ("prompt_to_repeat=text", train.copied),
    "copy:copying_multiple": ("prompt_to_repeat=text N=positive", train.copied_often),
    "new:copy_span_idx": ("prompt_to_repeat=text n_start=count n_end=count", train.copied_span),
    "detectable_format:sentence_hyphens": ("", train.hyphens),
    "detectable_format:square_brackets": ("", train.square_brackets),
    "detectable_format:bigram_wrapping": ("", train.bigrams),
    "keywords:no_adjacent_consecutive": ("", train.no_adjacent),
    "keywords:word_once": ("keyword=text", train.word_once),
    "keywords:word_count_different_numbers": (
        "keyword=text frequency=count relation=relation",
        ifeval.keyword_frequency,
    ),
    "keywords:exclude_word_harder": ("keyword=text", train.word_excluded),
    "keywords:palindrome": ("", train.palindrome),
    "keywords:keyword_specific_position": ("keyword=text n=positive m=positive", train.keyword_at),
    "keywords:start_end": ("", train.start_end),
    "paragraphs:paragraphs": ("", train.paragraphs_by_stars),
    "paragraphs:paragraphs2": ("", train.paragraphs_by_lines),
    "first_word:first_word_sent": ("first_word=text", train.first_word_of_sentences),
    "first_word:first_word_answer": ("first_word=text", train.first_word),
    "last_word:last_word_sent": ("last_word=text", train.last_word_of_sentences),
    "last_word:last_word_answer": ("last_word=text", train.last_word),
    "punctuation:punctuation_dot": ("", train.no_dot),
    "punctuation:punctuation_exclamation": ("", train.no_exclamation),
    "count:lowercase_counting": ("N=count", train.few_lowercase),
    "count:counting_composition": ("n_sent=positive n_words=positive", train.composition),
    "count:count_unique": ("", train.unique),
    "count:count_increment_word": ("keyword1=text keyword2=text", train.once_and_twice),
    "letters:letter_counting": ("N=count relation=relation", train.letters),
    "letters:letter_counting2": (
        "letter=letter let_frequency=count let_relation=relation",
        ifeval.letter_frequency,
    ),
}

CATALOGUE: Mapping[str, Instruction] = {
    identifier: Instruction(_kinds(arguments), check or library_check(identifier))
    for identifier, (arguments, check) in {**_IFEVAL, **_IFBENCH, **_IFTRAIN}.items()
}
"""Identifier -> instruction: IFEval's 25, IFBench's 58, and the 29 that only its training set has."""


def complete(identifier: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments that the instruction has, all of them. `BadArgument` if one is missing or of no use."""
    found = {
        name: _read(kind, given.get(name), name) for name, kind in CATALOGUE[identifier].arguments.items()
    }
    if found.get("nth_paragraph", 0) > found.get("num_paragraphs", math.inf):
        raise BadArgument("nth_paragraph")
    return found


def _read(kind: str, value: Any, name: str) -> Any:
    if isinstance(value, list) and kind == "text" and len(value) == 1:
        value = value[0]
    match kind:
        case "count" | "positive":
            if isinstance(value, float) and value.is_integer():
                value = int(value)
            least = 1 if kind == "positive" else 0
            if type(value) is int and least <= value <= MAX_COUNT:
                return value
        case "number":
            if type(value) in {int, float} and 0 <= value <= MAX_COUNT:
                return value
        case "text" | "letter":
            if (
                isinstance(value, str)
                and value.strip()
                and len(value) <= (1 if kind == "letter" else MAX_TEXT)
            ):
                return value
        case "texts":
            if (
                isinstance(value, list)
                and 0 < len(value) <= 100
                and all(
                    isinstance(entry, str) and entry.strip() and len(entry) <= MAX_TEXT for entry in value
                )
            ):
                return value
        case "relation":
            if value in ("at least", "less than"):
                return value
    raise BadArgument(name)
