"""The instructions that only the training set of IFBench uses (IFTrain).

What is decided here: their verdicts, by the published descriptions and checks of IFEvalG in open-instruct, written
anew. `keywords:palindrome` counts a word of one letter, `copy:repeat_phrase` wants exactly one other word in the last
repetition and at most one in each before it, and words are NLTK's tokens, punctuation among them, where the published
check has them so: the prompts were made with these checks in mind.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from reward_service.handlers.instruction.ifeval import occurrences, related
from reward_service.handlers.instruction.library import cut_sentences, words

Arguments = Mapping[str, Any]


def repeat_phrase(text: str, arguments: Arguments) -> bool:
    """The phrase is repeated so many times, with one word changed."""
    phrase = arguments["phrase"].split()
    found = [repetition.split() for repetition in _from_to(text, phrase[0] + " ", " " + phrase[-1])]
    if not found or len(found) != arguments["small_n"]:
        return False
    if any(len(repetition) != len(phrase) for repetition in found):
        return False
    changed = [sum(a != b for a, b in zip(repetition, phrase, strict=True)) for repetition in found]
    return bool(max(changed) <= 1 and changed[-1] == 1)


def _from_to(text: str, first: str, last: str) -> list[str]:
    """The shortest pieces of each line that begin with `first` and end with `last`, from left to right."""
    found: list[str] = []
    for line in text.split("\n"):
        at = 0
        while (start := line.find(first, at)) >= 0 and (end := line.find(last, start + len(first))) >= 0:
            at = end + len(last)
            found.append(line[start:at])
    return found


def copied(text: str, arguments: Arguments) -> bool:
    """The request and nothing else, letter case aside."""
    return bool(text.strip().lower() == arguments["prompt_to_repeat"].strip().lower())


def copied_often(text: str, arguments: Arguments) -> bool:
    """The request so many times, with six asterisks between."""
    request = arguments["prompt_to_repeat"].strip().lower()
    copies = text.split("******")
    return len(copies) == arguments["N"] and all(copy.strip().lower() == request for copy in copies)


def copied_span(text: str, arguments: Arguments) -> bool:
    """The characters from one index to the other."""
    wanted = arguments["prompt_to_repeat"][arguments["n_start"] : arguments["n_end"]]
    return bool(text.strip().lower() == wanted.strip().lower())


def hyphens(text: str, _: Arguments) -> bool:
    """Sentences are joined by hyphens without spaces."""
    pieces = text.split("-")
    wanted = cut_sentences(text.replace("-", " "))
    return all(piece.strip() == piece == sentence for piece, sentence in zip(pieces, wanted, strict=False))


def no_adjacent(text: str, _: Arguments) -> bool:
    """No two adjacent words begin with consecutive letters."""
    firsts = [word[0].lower() for word in text.split()]
    if len(firsts) > 1 and any(len(first) != 1 for first in firsts):
        return False
    return all(ord(b) - ord(a) != 1 for a, b in pairwise(firsts))


def square_brackets(text: str, _: Arguments) -> bool:
    """Every word is in square brackets."""
    return all(word.startswith("[") and word.endswith("]") for word in text.split())


def word_once(text: str, arguments: Arguments) -> bool:
    """The keyword occurs once."""
    return occurrences(text, arguments["keyword"]) == 1


def word_excluded(text: str, arguments: Arguments) -> bool:
    """The keyword never stands between two spaces."""
    return f" {arguments['keyword'].strip()} " not in text


def two_paragraphs(text: str, separator: str) -> bool:
    """Two paragraphs; an empty one is overlooked at the ends only."""
    pieces = [piece.strip() for piece in text.split(separator)]
    count = len(pieces)
    for place, piece in enumerate(pieces):
        if not piece:
            if place not in {0, len(pieces) - 1}:
                return False
            count -= 1
    return count == 2


def paragraphs_by_stars(text: str, _: Arguments) -> bool:
    """Two paragraphs with `***` between."""
    return two_paragraphs(text, "***")


def paragraphs_by_lines(text: str, _: Arguments) -> bool:
    """Two paragraphs with an empty line between."""
    return two_paragraphs(text, "\n\n")


def first_word_of_sentences(text: str, arguments: Arguments) -> bool:
    """Each sentence begins with the word."""
    wanted = arguments["first_word"].strip().lower()
    return all(sentence.split()[:1] == [wanted] for sentence in map(str.lower, cut_sentences(text)))


def first_word(text: str, arguments: Arguments) -> bool:
    """The response begins with the word."""
    return [word.lower() for word in text.split(maxsplit=1)[:1]] == [arguments["first_word"].strip().lower()]


_PUNCTUATION = re.compile(r"[^\w\s]")


def _bare(word: str) -> str:
    return _PUNCTUATION.sub("", word).lower()


def last_word_of_sentences(text: str, arguments: Arguments) -> bool:
    """Each sentence ends with the word, punctuation aside."""
    wanted = arguments["last_word"].strip().lower()
    return all(
        [_bare(word) for word in sentence.split()[-1:]] == [wanted] for sentence in cut_sentences(text)
    )


def last_word(text: str, arguments: Arguments) -> bool:
    """The response ends with the word, punctuation aside."""
    return [_bare(word) for word in text.split()[-1:]] == [arguments["last_word"].strip().lower()]


def bigrams(text: str, _: Arguments) -> bool:
    """Every two words are in double angular brackets."""
    found = text.split()
    return all(a.startswith("<<") and b.endswith(">>") for a, b in zip(found[::2], found[1::2], strict=False))


def no_dot(text: str, _: Arguments) -> bool:
    """No full stop anywhere."""
    return "." not in text


def no_exclamation(text: str, _: Arguments) -> bool:
    """No exclamation mark anywhere."""
    return "!" not in text


def few_lowercase(text: str, arguments: Arguments) -> bool:
    """At most so many words in lower case."""
    return bool(len(re.findall(r"\b[a-z]++\b", text)) <= arguments["N"])


def letters(text: str, arguments: Arguments) -> bool:
    """Less than, or at least, so many letters of the English alphabet."""
    count = sum(character.isascii() and character.isalpha() for character in text)
    return related(count, arguments["relation"], arguments["N"])


def composition(text: str, arguments: Arguments) -> bool:
    """Three paragraphs with so many sentences, of so many words each."""
    pieces = text.split("***")
    if len(pieces) > 5:
        return False
    for piece in pieces:
        found = cut_sentences(piece.strip())
        if len(found) != arguments["n_sent"]:
            return False
        if any(len(words(sentence)) != arguments["n_words"] for sentence in found):
            return False
    return len(pieces) == 3


def unique(text: str, _: Arguments) -> bool:
    """No token occurs twice."""
    found = words(text)
    return len(found) == len(set(found))


def once_and_twice(text: str, arguments: Arguments) -> bool:
    """One keyword once, another one twice."""
    return occurrences(text, arguments["keyword1"]) == 1 and occurrences(text, arguments["keyword2"]) == 2


def palindrome(text: str, _: Arguments) -> bool:
    """Some word reads the same backwards."""
    return any(word == word[::-1] for word in text.split())


def start_end(text: str, _: Arguments) -> bool:
    """The first token is the last one too."""
    found = words(text)
    return len(found) > 1 and found[0].lower() == found[-1].lower()


def keyword_at(text: str, arguments: Arguments) -> bool:
    """The keyword is the m-th token of the n-th sentence."""
    found = cut_sentences(text)
    if len(found) < arguments["n"]:
        return False
    tokens = words(found[arguments["n"] - 1])
    return len(tokens) >= arguments["m"] and bool(tokens[arguments["m"] - 1] == arguments["keyword"].strip())
