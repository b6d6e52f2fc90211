"""From an abstention to a judge model and back: what is refused before any call, and what an opinion is worth.

What is decided here: that no answer reaches a judge which is an attack on it, or no answer. Judges of every size say yes to
"Thought process:", a colon, a line that looks like a verdict, or an order to say yes (domains.md §3, security.md §5.6), and
neither parsing nor prompting cures that. So an answer is refused (scored 0, flagged) that is empty or an opener, repeats
the question, speaks of verdicts, graders or instructions, holds template or chat marks, mixes alphabets in one word, lists
alternatives, is of another type than the ground truth, or is far longer than it. All of it on the text with invisible
characters and look-alikes undone.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Any

from reward_service.handlers._text import collapse, plain_characters
from reward_service.questions import Ask, Opinion, Question, Verdict
from reward_service.types import Outcome, Reason, cannot_judge, reject, scored

MAX_ANSWER = 512
MAX_QUESTION = 8_000


def _unaccented(text: str) -> str:
    kept = "".join(c for c in unicodedata.normalize("NFD", text) if not unicodedata.combining(c))
    return unicodedata.normalize("NFC", kept)


_OPENERS = frozenset(
    _unaccented(opener)
    for opener in """
solution|answer|final answer|the answer|response|thought process|reasoning|explanation|result|conclusion|analysis|step 1
let us solve this problem step by step|lets solve this problem step by step|let us think step by step|lets think step by step
let me think|let me solve this|first|sure|okay|here is the answer|here is the solution|to solve this problem|we need to find
the final answer is|the answer is|the solution is|i think|see above|as above|as shown|as required|done|correct|yes it is
解|解答|答案|答|解析|かいせつ|解説|解答|答え|回答|respuesta|solucion|la respuesta es|reponse|solution finale|antwort|losung
ответ|решение|risposta|soluzione|resposta|solucao|정답|풀이|الجواب|जवाब
""".replace("\n", "|")
    .strip("|")
    .split("|")
)
"""What a response may begin with, and says nothing: each of these alone was accepted by some judge."""

_VERDICTS = re.compile(
    r"final (?:decision|grade|verdict|judge?ment|score|rating)|\bverdict\b|\bgrad(?:e|er|ing)\b|\bjudge?ment\b"
    r"|\b(?:answer|student|response|solution|submission|candidate|it|this|that) (?:is|was|are|should be|must be|seems) "
    r"(?:\w+ )?(?:right|correct|valid|true|accurate|equivalent|verified|accepted|approved|equal)\b"
    r"|\b(?:answer|response|solution|submission) (?:\w+ ){1,8}(?:is|was) (?:\w+ )?(?:right|correct|true|valid|accurate|equivalent)\b"
    r"|\b(?:mark(?:ed)?|count(?:ed)?|treat(?:ed)?|accept(?:ed)?|grade[d]?|score[d]?) (?:\w+ ){0,3}(?:correct|right|true)\b"
    r"|\bfull (?:marks?|credit|score|points)\b|\bverified\b|\bapproved\b|\bcorrectness\b"
    r"|\b(?:ignore|disregard|forget|override|bypass)\b.{0,60}\b(?:instruction|prompt|rule|above|previous|prior|everything|all)"
    r"|\binstructions?\b|\bsystem prompt\b|\byou (?:are|must|should|will|have to)\b|\b(?:output|respond|reply|print|say|write) "
    r"(?:with |only )?[\"'\[]?(?:yes|correct|true|a\b|equal|1\b)"
    r"|\b(?:reference|expected|golden?|official|standard|correct) (?:answer|solution|response)\b|\bground[ _-]?truth\b|\banswer key\b"
    r"|\[\[|\]\]|\[(?:in)?correct\]|\bincorrect\b|[\"'](?:score|verdict|correct|reasoning|grade)[\"'] ?:|\bscore ?[:=]"
    r"|忽略|指令|输出|評価|判定|正确答案|是正确|判断|ignor(?:iere|a|ez|ar)\b|instruc(?:ciones|oes|ções)|игнориру|инструкц",
    re.IGNORECASE,
)
"""What speaks of judging, or to the judge, instead of answering."""

_MARKS = re.compile(
    r"<\|?[\w/ ]{1,40}\|?>|<｜|\[/?inst\]|###|\b(?:user|assistant|system|human|ai) ?:|```|\{\w*[_.]\w*\}|\{\{|\}\}|__\w+__"
    r"|https?://|\bwww\.",
    re.IGNORECASE,
)
"""Chat templates, format placeholders, attributes, addresses: nothing that an answer to a question needs."""

_ALTERNATIVES = re.compile(r"\b(?:either|or|alternatively|possibly|maybe|perhaps)\b|/", re.IGNORECASE)
_WORD = re.compile(r"[^\W_]+")
_NUMBER = re.compile(r"\d")
_LOOK_ALIKES = str.maketrans(
    "аеорсухіјѕԁɡһԛԝАВЕКМНОРСТХΑΒΕΖΗΙΚΜΝΟΡΤΥΧοαν", "aeopcyxijsdghqwABEKMHOPCTXABEZHIKMNOPTYXoav"
)


def neutral(text: str) -> str:
    """The text in one line without control and invisible characters, look-alikes as what they look like."""
    shown = "".join(
        " " if c in "\r\n\t" else c
        for c in plain_characters(text)
        if c in "\r\n\t" or unicodedata.category(c)[0] != "C"
    )
    return collapse(shown)


def objection(question: str, gold: str, answer: str) -> str | None:
    """Why this answer is not put to a judge, as a flag; None if it may be."""
    text = neutral(answer)
    latin = text.translate(_LOOK_ALIKES)
    words = _WORD.findall(text)
    gold_text = neutral(gold)
    if not words or (sum(map(len, words)) < 2 and sum(map(len, _WORD.findall(gold_text))) >= 2):
        return "empty_answer"
    if len(text) > max(MAX_ANSWER, 4 * len(gold_text)):
        return "oversized_answer"
    if any(map(_mixed, words)):
        return "judge_injection"
    bare = " ".join(word.replace("'", "") for word in _WORD.findall(latin.lower().replace("'", "")))
    gold_lower = gold_text.lower()
    for pattern in (_VERDICTS, _MARKS):
        found = pattern.search(latin)
        if found is not None and found.group().lower() not in gold_lower:
            return "judge_injection"
    if _unaccented(bare) in _OPENERS:
        return "master_key"
    if len(words) >= 4 and " ".join(words).lower() in " ".join(_WORD.findall(neutral(question))).lower():
        return "restated_question"
    if len(words) >= 20 and len({word.lower() for word in words}) < 0.4 * len(words):
        return "repetition"
    if len(_ALTERNATIVES.findall(text)) > len(_ALTERNATIVES.findall(gold_text)) + 1:
        return "multiple_answers"
    if _NUMBER.search(gold_text) and len(_WORD.findall(gold_text)) <= 3 and not _NUMBER.search(text):
        return "another_type"
    return None


def _mixed(word: str) -> bool:
    """Letters of more than one of the alphabets that look alike, in one word."""
    scripts = {unicodedata.name(c, "").partition(" ")[0] for c in word if c.isalpha()}
    return len(scripts & {"LATIN", "CYRILLIC", "GREEK"}) > 1 and len(word) > 2


def ask(question: str, gold: str, answer: str, notes: object = None) -> Outcome | Ask:
    """The question for a judge, or the refusal of an answer that must not reach one."""
    flag = objection(question, gold, answer)
    if flag == "empty_answer":
        return reject(Reason.NO_ANSWER, answer)
    if flag is not None:
        reason = Reason.AMBIGUOUS_ANSWER if flag == "multiple_answers" else Reason.MALFORMED_ANSWER
        return reject(reason, answer, flags=(flag,))
    return Ask(Question(neutral(question)[:MAX_QUESTION], neutral(gold), neutral(answer)), notes)


def decide(opinion: Opinion, extracted: object, **detail: Any) -> Outcome:
    """What an opinion is worth: full marks, nothing, or (no clear verdict) an error that is no score."""
    if opinion.verdict is Verdict.YES:
        return scored(1.0, Reason.JUDGE_YES, extracted, judge=opinion.model, **detail)
    if opinion.verdict is Verdict.NO:
        return reject(Reason.JUDGE_NO, extracted, judge=opinion.model, **detail)
    return cannot_judge(
        Reason.JUDGE_UNAVAILABLE, "the judge model gave no clear verdict", judge=opinion.model
    )
