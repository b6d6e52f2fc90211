"""Random pairs through the math handler: `python -m tests.load.math_fuzz --pairs 100000 --seed 1`.

Answers are made from soup (random tokens), from grammar (random expressions), and by mutation of either;
ground truths likewise. It fails on an exception, on an item over the CPU limit, and on a verdict that depends
on who is asked first (cache, order). Prints the verdicts, the slowest items and the resident size.
"""

from __future__ import annotations

import argparse
import random
import resource
import sys
import time
import traceback
from collections import Counter

from reward_service.handlers.math import plan, warm_up
from reward_service.types import Item, Status

LIMIT_SECONDS = 1.0

_TOKENS = (
    r"\frac \dfrac \sqrt \sqrt[3] \left( \right) \left[ \right] \{ \} { } ( ) [ ] | ^ _ + - * / = < > \le \ge \ne \approx \in \cup "
    r"\cap \setminus \infty \pi e i x y z n k f g A B \alpha \theta \sin \cos \tan \log \ln \log_2 \text{cm} \text{or} \text{and} "
    r"\text{is} \text{not} \mathbb{R} \emptyset \pm \mp \cdot \times \div % \% ! ' , ; : . & \\ \begin{pmatrix} \end{pmatrix} "
    r"\sum_{k=1}^{n} \int_0^1 \lim_{x\to0} \binom{5}{2} \lfloor \rfloor \lceil \rceil \overline{AB} \vec{v} ^\circ ^{\circ} \ldots "
    r"\boxed{ \quad \, \! ~ $ 0 1 2 3 7 10 12 42 100 1,234 0.5 .25 3.14159 1e5 1E400 999999999999 9^9^9 sqrt pi and or for all "
    "where sin cos km \u2212 \u221e \u00b2 \u00bd \u03c0 \u2264 \u200b \u202e \u0661 \uff11"
)
TOKENS = _TOKENS.split(" ")
NAMES = "xyznkab"
RESPONSES = (
    "\\boxed{%s}",
    "The answer is $\\boxed{%s}$.",
    "Answer: %s",
    "#### %s",
    "%s",
    "<think>\\boxed{1}</think> \\boxed{%s}",
    "\\boxed{%s} or \\boxed{2}",
)


def soup(random_: random.Random) -> str:
    """Tokens in a row."""
    return random_.choice(("", " ")).join(random_.choices(TOKENS, k=random_.randint(1, 25)))


def expression(random_: random.Random, depth: int = 3) -> str:
    """A well-formed expression."""
    kind = random_.random()
    if depth == 0 or kind < 0.2:
        return random_.choice(
            (str(random_.randint(-20, 400)), random_.choice(NAMES), "\\pi", "0.25", "\\sqrt{2}", "e")
        )
    one, two = expression(random_, depth - 1), expression(random_, depth - 1)
    return random_.choice(
        (
            f"{one}+{two}", f"{one}-({two})", f"({one})({two})", f"\\frac{{{one}}}{{{two}}}", f"({one})^{{{two}}}", f"\\sqrt{{{one}}}",
            f"\\sin({one})", f"\\ln({one})", f"|{one}|", f"({one}, {two})", f"[{one}, {two})", f"\\{{{one}, {two}\\}}", f"{one}, {two}",
            f"x = {one}", f"{one} < x \\le {two}", f"{one} \\pm {two}", f"({one})!", f"\\log_{{{one}}}({two})", f"f(x) = {one}",
            f"\\begin{{pmatrix}} {one} \\\\ {two} \\end{{pmatrix}}", f"{one} \\text{{ cm}}", f"{one}\\%", f"({one}, {two}) \\cup ({two}, \\infty)",
            f"\\lfloor {one} \\rfloor", f"{one} = {two}", f"\\binom{{{one}}}{{{two}}}", f"{one} : {two}",
        )
    )  # fmt: skip


def mutated(random_: random.Random, text: str) -> str:
    """A few characters taken out, doubled, swapped or put in."""
    for _ in range(random_.randint(1, 4)):
        at = random_.randrange(len(text) + 1)
        action = random_.random()
        if action < 0.3:
            text = text[:at] + text[at + random_.randint(1, 3) :]
        elif action < 0.5:
            text = text[:at] + text[at : at + 5] * 2 + text[at + 5 :]
        else:
            text = text[:at] + random_.choice(TOKENS) + text[at:]
    return text


def sample(random_: random.Random) -> str:
    """One text of any of the kinds, sometimes very long."""
    kind = random_.random()
    if kind < 0.3:
        return soup(random_)
    text = expression(random_)
    if kind < 0.65:
        text = mutated(random_, text)
    if kind > 0.995:
        text = text * random_.randint(10, 200)
    return text


def item(random_: random.Random) -> Item:
    """A ground truth with an answer: a related one in half of the cases."""
    gold = sample(random_)
    answer = (
        gold
        if random_.random() < 0.2
        else mutated(random_, gold)
        if random_.random() < 0.4
        else sample(random_)
    )
    extra = {"extraction": "anywhere"} if random_.random() < 0.15 else {}
    return Item("math", random_.choice(RESPONSES) % answer, gold or "0", extra, source="math")


def main() -> int:
    """Exit 1 if anything failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    warm_up()
    random_ = random.Random(arguments.seed)
    verdicts: Counter[str] = Counter()
    slowest: list[tuple[float, str, str]] = []
    failures = 0
    for index in range(arguments.pairs):
        case = item(random_)
        start = time.process_time()
        try:
            outcome = plan(case)
        except Exception:
            failures += 1
            print(f"pair {index}: gold {case.ground_truth!r} response {case.response!r}")
            traceback.print_exc()
            continue
        spent = time.process_time() - start
        verdicts[outcome.reason if outcome.status is Status.SCORED else f"error {outcome.reason}"] += 1
        if spent > LIMIT_SECONDS or (index % 50 == 0 and plan(case) != outcome):
            failures += 1
            print(
                f"pair {index}: {spent:.2f} s or a changed verdict: {case.ground_truth!r} {case.response!r}"
            )
        if spent > 0.01:
            slowest = sorted([*slowest, (spent, case.ground_truth, case.response)], reverse=True)[:8]
    print(dict(verdicts))
    for spent, gold, response in slowest:
        print(f"{1e3 * spent:7.1f} ms  {gold[:100]!r}  {response[:100]!r}")
    print(f"{failures} failures; {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
