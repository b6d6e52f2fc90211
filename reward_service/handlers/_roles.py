"""Sentences that say who is what: the grammar of conclusions to knights-and-knaves puzzles.

What is decided here:
- What assigns a role: sentences of names, links and one role for each group of names (`A is a knight`,
  `A: knave, B: knight`, `A and B are knights`, `Knaves: A, B`, `{"A": "knave"}`, `all are knaves`), with neutral
  words around. Any other word makes a sentence a remark: it assigns nothing, but must not contradict the rest.
- What makes the whole ambiguous: two roles for one inhabitant, a hedge or negation in a sentence that names an
  inhabitant or a role, a retraction after it ("wait", "the opposite"), and a remark that contradicts it.
- Roles are those of the ground truth and their counterparts (mem-kk-logic renames them: saint and sinner, …).
One pass over the words; no pattern here can backtrack over more than a word.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import NamedTuple

from reward_service.handlers._logic import HEDGES
from reward_service.handlers._text import plain_characters, unwrap_macros

_PAIRS = (
    ("knight", "knave"),
    ("pioneer", "laggard"),
    ("saint", "sinner"),
    ("hero", "villain"),
    ("angel", "devil"),
    ("altruist", "egoist"),
    ("sage", "fool"),
)
_NEUTRAL_WORDS = (
    "a an the so therefore thus hence then and we have find conclude can determine deduce found get that this it "
    "follows final answer conclusion solution result results is are as must be been was both all each also finally "
    "only unique inhabitant inhabitants character characters person people role roles name following identity "
    "identities everyone everybody of them these assignment while whereas respectively based on above from by "
    "analysis reasoning our here"
)
_NEUTRAL = dict.fromkeys(_NEUTRAL_WORDS.split(), "")
_LINKS = frozenset(("is", "are", "was", "be", ":", "=", ">", "→", "|", "-", "as"))
_ALL = frozenset(("all", "everyone", "everybody"))
_RETRACTIONS = frozenset(
    ("wait", "actually", "correction", "opposite", "reverse", "reversed", "swap", "swapped", "wrong", "incorrect",
     "mistake", "mistaken", "scratch", "kidding", "versa", "alternatively", "false", "untrue")
)  # fmt: skip
_DOUBTS = HEDGES | _RETRACTIONS | frozenset("?≠¬~/")
_PRONOUNS = frozenset(("he", "she", "who", "they", "one", "which"))
_REASONS = frozenset(("because", "since", "given"))

_STOPS = frozenset("\n.;!")
_BOX = re.compile(r"\\f?boxed\s*\{")
_DRESS = str.maketrans(dict.fromkeys('*_`#$"{}[]\\', " "))
_TOKENS = re.compile(r"\(\d{1,3}\)|[^\W\d_](?:[\w'-]*\w)?|\d+|\n|[^\s\w]")


class AmbiguousError(ValueError):
    """The conclusion says two things, or takes back what it says."""


class _Word(NamedTuple):
    text: str
    kind: str


class Read(NamedTuple):
    """Roles by name; `strangers`: somebody who isn't in the puzzle was given one."""

    roles: dict[str, str]
    strangers: bool


def read_roles(segment: str, gold: Mapping[str, str]) -> Read:
    """Who is what, according to the segment; `gold` gives the names. AmbiguousError if it doesn't say one thing."""
    roles = _vocabulary(gold)
    lookup = _NEUTRAL | dict.fromkeys(roles, "R") | dict.fromkeys(gold, "N")
    found: dict[str, str] = {}
    checks: list[tuple[str, str]] = []
    strangers = False
    for words, explains in _sentences(segment, gold):
        kinds = _kinds(words, lookup)
        named, has_role = "N" in kinds, "R" in kinds
        if not named and not has_role:
            if found and not _RETRACTIONS.isdisjoint(words):
                raise AmbiguousError("the conclusion is taken back")
            continue
        if _doubtful(words, kinds):
            raise AmbiguousError("a hedge or a negation")
        if not has_role:
            continue
        sentence = _without_asides(list(map(_Word, words, kinds)))
        if any(word.kind == "W" and word.text.isalpha() for word in sentence) or explains:
            checks += _adjacent(sentence, roles)
            strangers = strangers or (not named and _stranger(sentence))
            continue
        claims = _claims(sentence, roles) if named else _of_all(sentence, gold, roles)
        if claims is None:
            raise AmbiguousError("names and roles that don't pair up")
        for name, role in claims:
            if found.setdefault(name, role) != role:
                raise AmbiguousError("two roles for one inhabitant")
    if any(name in found and found[name] != role for name, role in checks):
        raise AmbiguousError("an explanation contradicts the conclusion")
    return Read(found, strangers)


def _vocabulary(gold: Mapping[str, str]) -> dict[str, str]:
    """Every word for a role (also in the plural) -> the role."""
    words: dict[str, str] = {}
    used = set(gold.values())
    for role in used | {role for pair in _PAIRS if not used.isdisjoint(pair) for role in pair}:
        words |= {role: role, role + "s": role, role + "es": role}
    return words


def _sentences(segment: str, gold: Mapping[str, str]) -> Iterator[tuple[list[str], bool]]:
    """Sentences as lower-case words and signs; True with those parts that only give reasons."""
    plain = unwrap_macros(_BOX.sub(" ", plain_characters(segment))).casefold()
    for name in gold:
        if "-" in name:
            plain = plain.replace(name.replace("-", " "), name)
    sentence: list[str] = []
    explains = False
    for text in (*_TOKENS.findall(plain.translate(_DRESS)), "\n"):
        if text in _STOPS or text in _REASONS:
            if sentence:
                yield sentence, explains
            sentence = []
            explains = text in _REASONS
            continue
        sentence.append(text[:-2] if text.endswith("'s") and text[:-2] in gold else text)


def _doubtful(words: list[str], kinds: list[str]) -> bool:
    if _DOUBTS.isdisjoint(words) and not any("n't" in word for word in words):
        return False
    return any(
        kind != "N" and (word in _DOUBTS or word.endswith("n't"))
        for word, kind in zip(words, kinds, strict=True)
    )


def _kinds(words: list[str], lookup: Mapping[str, str]) -> list[str]:
    """N for a name, R for a role, "" for what is neutral, W for other words and signs."""
    kinds = [lookup.get(word, "W") for word in words]
    if lookup["a"] == "N":  # somebody is called A: `B is a knave` is not about A
        for at, (word, following) in enumerate(pairwise(kinds)):
            if words[at] == "a" and following == "R" and word == "N":
                kinds[at] = ""
    return kinds


def _without_asides(sentence: list[_Word]) -> list[_Word]:
    """The sentence without remarks that hold no name and no role: in brackets, or after a dash or comma at its end."""
    if sentence[-1].kind == "R" and not any(word.text == "(" for word in sentence):
        return sentence
    kept: list[_Word] = []
    opened: int | None = None
    for word in sentence:
        if word.text == "(":
            opened = len(kept)
        elif word.kind in ("N", "R"):
            opened = None
        elif word.text == ")" and opened is not None:
            del kept[opened:]
            opened = None
            continue
        kept.append(word)
    last = max(at for at, word in enumerate(kept) if word.kind in ("N", "R"))
    return kept[: last + 1] if kept[last + 1 : last + 2] and kept[last + 1].text in "-,(" else kept


def _claims(sentence: list[_Word], roles: Mapping[str, str]) -> list[tuple[str, str]] | None:
    """(name, role) pairs of a sentence of the grammar: names then role, or role then names. None otherwise."""
    pairs: list[tuple[str, str]] = []
    names: list[str] = []
    role: str | None = None
    marks = [word for word in sentence if word.kind in ("N", "R")]
    role_first = marks[0].kind == "R"
    for text, kind in marks:
        if kind == "N":
            names.append(text)
            if role is not None:
                pairs.append((text, role))
        elif not names and (role is not None or not role_first):
            return None
        else:
            if role_first:
                role = roles[text]
            else:
                pairs += [(name, roles[text]) for name in names]
            names = []
    return pairs if bool(names) == role_first else None


def _of_all(
    sentence: list[_Word], gold: Mapping[str, str], roles: Mapping[str, str]
) -> list[tuple[str, str]] | None:
    """ "All are knaves", "both are knights" (of two). Nothing for other sentences about roles alone."""
    texts = [word.text for word in sentence]
    named = [roles[word.text] for word in sentence if word.kind == "R"]
    quantified = not _ALL.isdisjoint(texts) or (len(gold) == 2 and "both" in texts)
    if not quantified or texts[-1] not in roles:
        return []
    return [(name, named[0]) for name in gold] if len(named) == 1 else None


def _adjacent(sentence: list[_Word], roles: Mapping[str, str]) -> list[tuple[str, str]]:
    """(name, role) pairs that stand beside each other, but for neutral words."""
    marks = [word for word in sentence if word.kind]
    return [
        (first.text, roles[second.text])
        for first, second in pairwise(marks)
        if first.kind == "N" and second.kind == "R"
    ]


def _stranger(sentence: list[_Word]) -> bool:
    """`Zed is a knight`, where no Zed lives in the puzzle."""
    words = [at for at, word in enumerate(sentence) if word.text.isalpha() and word.kind]
    if len(words) != 2 or sentence[words[1]].kind != "R" or sentence[words[0]].text in _PRONOUNS:
        return False
    return any(word.text in _LINKS for word in sentence[words[0] : words[1]])
