r"""The instructions of IFBench whose checkers in `if-verifiable` are not used as they are.

What is decided here: the verdicts of IFBench's own repository, which has moved on since the library took its copy:
sentences and words are NLTK's, keywords and names are whole words, trigrams are of words and not of characters, the span
to be repeated includes its last word, and many more words are pronouns. The benchmark's stored labels follow the newer
rules (`tests/handlers/disagreements/instruction.md`). Some others are written anew because the published code is
quadratic in blank lines, or raises on a text of nothing but quotes.
"""

from __future__ import annotations

import re
import string
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from reward_service.handlers.instruction.library import nltk, sentences, words

Arguments = Mapping[str, Any]

_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)
_NAMES = (
    "Emma Liam Sophia Jackson Olivia Noah Ava Lucas Isabella Mason Mia Ethan Charlotte Alexander Amelia Benjamin Harper "
    "Leo Zoe Daniel Chloe Samuel Lily Matthew Grace Owen Abigail Gabriel Ella Jacob Scarlett Nathan Victoria Elijah Layla "
    "Nicholas Audrey David Hannah Christopher Penelope Thomas Nora Andrew Aria Joseph Claire Ryan Stella Jonathan"
)
NAMES = frozenset(_NAMES.split())
_PRONOUNS = (
    "i me we us you he him she her it they them my mine our ours your yours his hers its their theirs myself ourselves "
    "yourself yourselves himself herself itself themselves this that these those who whom whose which what whoever "
    "whomever whatever whichever anybody anyone anything everybody everyone everything nobody nothing somebody someone "
    "something each either neither both all some any none"
)
PRONOUNS = frozenset(_PRONOUNS.split())


def _spoken(text: str) -> list[str]:
    """NLTK's tokens that hold a letter or digit, in lower case."""
    return [token.lower() for token in words(text) if any(map(str.isalnum, token))]


def _whole(word: str) -> re.Pattern[str]:
    return re.compile(rf"\b{re.escape(word.strip())}\b", re.IGNORECASE)


def person_names(text: str, arguments: Arguments) -> bool:
    """At least so many of the fifty names."""
    return bool(len(NAMES.intersection(re.findall(r"\w+", text))) >= arguments["N"])


def pronouns(text: str, arguments: Arguments) -> bool:
    """At least so many pronouns."""
    return bool(sum(word in PRONOUNS for word in words(text.replace("/", " ").lower())) >= arguments["N"])


def overlap(text: str, arguments: Arguments) -> bool:
    """So many percent of the distinct word trigrams, give or take 2, are in the reference text."""
    mine, theirs = (
        set(zip(tokens, tokens[1:], tokens[2:], strict=False))
        for tokens in (words(text), words(arguments["reference_text"]))
    )
    return bool(mine) and abs(100 * len(mine & theirs) / len(mine) - arguments["percentage"]) <= 2


def keyword_in_sentence(text: str, arguments: Arguments) -> bool:
    """The n-th sentence has the keyword as a whole word."""
    found = sentences(text)
    return len(found) >= arguments["N"] and bool(_whole(arguments["word"]).search(found[arguments["N"] - 1]))


def five_keywords(text: str, arguments: Arguments) -> bool:
    """The five keywords occur 1, 2, 3, 5 and 7 times, as whole words."""
    return all(
        len(_whole(arguments[f"keyword{place}"]).findall(text)) == count
        for place, count in enumerate((1, 2, 3, 5, 7), 1)
    )


def keyword_at(text: str, arguments: Arguments) -> bool:
    """The keyword is the m-th word of the n-th sentence."""
    found = sentences(text)
    if len(found) < arguments["n"]:
        return False
    spoken = _spoken(found[arguments["n"] - 1])
    return bool(
        len(spoken) >= arguments["m"] and spoken[arguments["m"] - 1] == arguments["keyword"].strip().lower()
    )


def second_words(text: str, arguments: Arguments) -> bool:
    """The second and the last word but one are the keyword."""
    spoken = _spoken(text)
    return len(spoken) > 1 and spoken[1] == spoken[-2] == arguments["keyword"].strip().lower()


def span(text: str, arguments: Arguments) -> bool:
    """The words from one index to the other, both included, letter case aside."""
    wanted = arguments["prompt_to_repeat"].split()[arguments["n_start"] : arguments["n_end"] + 1]
    return text.strip().lower() == " ".join(wanted).lower()


def alphabet_story(text: str, _: Arguments) -> bool:
    """26 sentences that begin with a, b, c, …"""
    found = sentences(text)
    firsts = [sentence.lstrip(string.punctuation + string.whitespace)[:1].lower() for sentence in found]
    return firsts == list(string.ascii_lowercase)


def title_case(text: str, _: Arguments) -> bool:
    """No word begins in lower case, but for mixed ones like `iPhone`."""
    for word in words(text):
        if (
            word[0].isalpha()
            and word[0].islower()
            and (len(word) == 1 or word[1:].islower() or word[1:].isupper())
        ):
            return False
    return True


def quotes_explained(text: str, _: Arguments) -> bool:
    """No two quotes touch, and the text doesn't end with one."""
    text = "".join(text.replace("'\"'", "").split())
    bare = text.strip(string.digits + string.punctuation.replace('"', ""))
    return '""' not in text and not bare.endswith('"')


def equal_sentences(text: str, _: Arguments) -> bool:
    """Three sentences of equal length, and no word twice."""
    found = sentences(text)
    said = " ".join(found).lower().translate(_NO_PUNCTUATION).split()
    return len(found) == 3 and len({len(one.strip()) for one in found}) == 1 and len(said) == len(set(said))


def words_on_lines(text: str, _: Arguments) -> bool:
    """Each word is on a line of its own."""
    text = text.translate(_NO_PUNCTUATION).strip()
    return sum(line != "" for line in text.split("\n")) == len(text.split())


def stairs(text: str, _: Arguments) -> bool:
    """Each line is indented more than the one before it.

    The published check takes lines out of the list that it walks, so of several blank lines in a row every other one
    stays, and ends the stairs.
    """
    lines: list[str] = []
    blank = False
    for line in text.split("\n"):
        blank = not blank and not line.strip()
        if not blank:
            lines.append(line)
    indents = [len(line) - len(line.lstrip(" ")) for line in lines]
    return all(first < second for first, second in pairwise(indents))


_QUESTION = re.compile(r"(?<!\n)\n*+Question \d++[.|):;]?\s*+|Question \d++[.|):;]?\s*+")
_OPTION = re.compile(r"[A-Ea-e][.|)]\s*\w")


def multiple_choice(text: str, _: Arguments) -> bool:
    """Four questions with five options each, each question longer than the one before."""
    questions = [part.strip() for part in _QUESTION.split(text) if part.strip()]
    if len(questions) != 4 or not text.startswith("Question"):
        return False
    lengths: list[int] = []
    for question in questions:
        lines = [line.strip() for line in question.split("\n")]
        options = [place for place, line in enumerate(lines) if _OPTION.match(line)]
        if len(options) != 5:
            return False
        lengths.append(len(" ".join(lines[: options[0]]).strip()))
    return all(first < second for first, second in pairwise(lengths))


def starts_with_verb(text: str, _: Arguments) -> bool:
    """The first word is tagged as a verb, in the context of the words around it."""
    tokens = words(text)
    return bool(tokens) and "VB" in nltk().pos_tag(list(tokens))[0][1]
