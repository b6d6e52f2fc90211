"""Right and wrong answers of the handlers that compare short texts, from their ground truths alone."""

from __future__ import annotations

import re
from typing import Any

from reward_service.audit.kit import BARE_BOX, BOX, TAG, TAG_LINES, Answers, Form, Kit, distinct
from reward_service.audit.model import Subject
from reward_service.audit.numbers import number, other_numbers, written

PLAIN = re.compile(r"[A-Za-z][A-Za-z ]*[A-Za-z]")
NEGATIVE = frozenset({"no", "none", "not", "never", "unknown", "neither", "false"})


def accepted(gold: Any) -> list[str]:
    """The accepted answers of a ground truth: a text, a list, or an object around one."""
    if isinstance(gold, dict):
        gold = gold.get("target", gold.get("text"))
    texts = [gold] if isinstance(gold, str) else gold if isinstance(gold, list) else []
    return texts if all(isinstance(text, str) and text.strip() for text in texts) else []


def misspelt(text: str) -> str | None:
    """Without a letter in the middle of its longest word."""
    word = max(re.findall(r"[A-Za-z]{4,}", text), key=len, default=None)
    if word is None:
        return None
    at = text.index(word) + len(word) // 2
    return text[:at] + text[at + 1 :]


def short_answer(subject: Subject) -> Answers | None:
    texts = accepted(subject.ground_truth)
    if not texts:
        return None
    same = [("plain", texts[0]), *((f"accepted_{place}", text) for place, text in enumerate(texts[1:4], 2))]
    same += [("upper_case", texts[0].upper()), ("lower_case", texts[0].lower()), ("padded", f"  {texts[0]} ")]
    if subject.extra_info.get("case_sensitive"):
        same = same[:-3]
    wrong = [
        ("something_else", "Zanzibar"),
        ("two", f"{texts[0]}, Zanzibar"),
        ("several", f"Zanzibar and {texts[0]} and Quito"),
    ]
    typo = misspelt(texts[0])
    if typo is not None and typo.lower() not in {text.lower() for text in texts}:
        wrong.append(("letter_dropped", typo))
    forms = [TAG, TAG_LINES]
    if subject.handler == "exact":
        forms += [BARE_BOX] if any(sign in texts[0] for sign in "{}\\%#_$&^") else [BOX, BARE_BOX]
    return Answers(forms, same, distinct(wrong, texts))


def bbeh(subject: Subject) -> Answers | None:
    gold = subject.ground_truth
    if (
        not isinstance(gold, str)
        or not gold.strip()
        or len(gold) > 200
        or any(sign in gold for sign in "{}\\\n")
    ):
        return None
    prefix = "So it follows.\nThe answer is: "
    forms = [
        Form("the_answer_is", lambda answer: f"{prefix}{answer}"),
        Form("final_answer_is", lambda answer: f"So it follows.\nThe final answer is: {answer}."),
        Form("bold", lambda answer: f"{prefix}**{answer}**"),
        Form("boxed", lambda answer: f"So it follows.\nThe final answer is: \\boxed{{{answer}}}"),
        Form("box_alone", lambda answer: f"So it follows.\n\\boxed{{{answer}}}"),
        Form("boxed_text", lambda answer: f"{prefix}$\\boxed{{\\text{{{answer}}}}}$"),
        Form("quoted", lambda answer: f'{prefix}"{answer}"'),
        Form("explained", lambda answer: f"{prefix}{answer}\n\nThis follows from the above."),
    ]
    same = [("plain", gold), ("upper_case", gold.upper())]
    wrong = [("something_else", "zzqq")]
    parts = gold.split(", ")
    if len(parts) > 1:
        same.append(("no_blanks", ",".join(parts)))
        wrong += [("part_missing", ", ".join(parts[:-1])), ("part_more", f"{gold}, zzqq")]
    value = number(gold)
    if value is not None:
        wrong = [*other_numbers(value), *wrong]
        if "." not in gold and "," not in gold:
            same.append(("decimal", f"{written(value)}.0"))
    if re.fullmatch(r"\([A-Z]\)", gold):
        same.append(("bare_letter", gold[1]))
        wrong = [("next_letter", f"({chr(ord('A') + (ord(gold[1]) - 64) % 26)})"), *wrong]
    typo = misspelt(gold)
    if typo is not None:
        wrong.append(("letter_dropped", typo))
    if gold.lower() in ("yes", "no"):
        wrong.insert(0, ("opposite", "no" if gold.lower() == "yes" else "yes"))
    answers = Answers(forms, same, distinct(wrong, [gold]))
    return (
        answers
        if gold.lower() not in NEGATIVE
        else Answers(forms, same, distinct(wrong, [gold]), hedges=False)
    )


def gym(subject: Subject) -> Answers | None:
    gold = subject.ground_truth
    if not isinstance(gold, str) or not gold.strip() or "<answer>" in gold or "```" in gold:
        return None
    same = [("plain", gold), ("padded", f"  {gold}\n"), ("fenced", f"```\n{gold}\n```")]
    if "\n" not in gold:
        same += [("bold", f"**{gold}**"), ("quoted", f'"{gold}"'), ("boxed", f"\\boxed{{{gold}}}")]
    wrong = [("something_else", "zzqq qqzz"), ("twice", f"{gold} {gold}")]
    value = number(gold)
    if value is not None and value == value.to_integral_value():
        wrong += [("plus_one", written(value + 1)), ("minus_one", written(value - 1))]
    return Answers([TAG, TAG_LINES], same, distinct(wrong, [gold]))


def korbench(subject: Subject) -> Answers | None:
    gold = subject.ground_truth
    if not isinstance(gold, str) or not re.fullmatch(r"\[\[[^\[\]]+\]\]", gold.strip()):
        return None
    inner = gold.strip()[2:-2]
    forms = [
        Form("brackets", lambda answer: f"So it follows: [[{answer}]]"),
        Form("bold", lambda answer: f"So it follows.\n\n**[[{answer}]]**"),
    ]
    wrong = [("something_else", "zzqq")]
    value = number(inner)
    if value is not None:
        wrong = [*other_numbers(value), *wrong]
    return Answers(
        forms, [("plain", inner), ("padded", f" {inner} ")], distinct(wrong, [inner]), hedges=False
    )


KITS = (
    Kit(frozenset({"exact", "f1"}), short_answer),
    Kit(frozenset({"bbeh"}), bbeh),
    Kit(frozenset({"gym"}), gym),
    Kit(frozenset({"korbench"}), korbench),
)
