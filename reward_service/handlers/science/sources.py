r"""The data sources of the science handler, and which rule each of them follows.

What is decided here: names. `stem_web` is Guru's (guru.md §2a), under which WebInstruct-verified goes too; `nemotron_stem` is
Reasoning360's later branch. A row says `answer_type: smiles` where its ground truth is a molecule.
"""

from __future__ import annotations

from reward_service.registry import Source
from reward_service.types import Example, Item

_GOLD = 'the answer as text or LaTeX: `"$8,645.09"`, `"3.2 m/s"`, `"H_2SO_4"`, `"2H2 + O2 -> 2H2O"`, `"\\\\frac{mv^2}{2}"`; numbers and lists too'
_OPEN = Example(
    "Energy is conserved, so v = 9.80 m/s.\n\nThe final answer is $\\boxed{35.3\\ \\text{km/h}}$.",
    "9.80 m/s",
    {"question": "How fast does the stone hit the ground?"},
)
_MONEY = Example("Compounding monthly gives \\boxed{\\$12{,}415.30}.", "$12,415.30", {"answer_type": "Float"})
_SCIBENCH = Example(
    "With $E = hf$ the frequency follows: $\\boxed{6.1 \\times 10^{2}\\ \\mathrm{THz}}$.",
    "6.05",
    {"unit": "$10^{14} \\mathrm{~Hz}$"},
)
_THEOREMQA = Example("Each term is at most the next.\nThe answer is 2.46", 2.5, {"answer_type": "float"})
_SMILES = Example("Ethanoic acid, so \\boxed{OC(C)=O}", "CC(=O)O")

SOURCES = (
    Source("stem__web", _GOLD, _MONEY, ("stem_web", "webinstruct", "webinstruct_verified", "tiger-lab/webinstruct-verified")),
    Source("stem__web*", _GOLD, _OPEN),
    Source("stem_web*", _GOLD, _OPEN),
    Source("science", _GOLD, _OPEN, ("stem",)),
    Source("science__*", _GOLD, _OPEN),
    Source("nemotron_stem", _GOLD, _OPEN, ("stem__nemotron_stem", "stem__nemotron")),
    Source("nemotron_stem*", _GOLD, _OPEN),
    Source("stem__scibench", "a number; its unit (with a power of ten, perhaps) comes in `unit`", _SCIBENCH, ("scibench", "xw27/scibench")),
    Source(
        "stem__theoremqa", 'a number, a list of numbers, true or false, or an option: `"(b)"`', _THEOREMQA, ("theoremqa", "tiger-lab/theoremqa")
    ),
    Source("stem__chem_smiles", "a SMILES string", _SMILES, ("chem_smiles", "smiles")),
)  # fmt: skip

_KINDS = {"stem__scibench": "scibench", "stem__theoremqa": "theoremqa", "stem__chem_smiles": "smiles"}


def kind_of(item: Item) -> str:
    """`scibench`, `theoremqa`, `smiles`, or `open`."""
    kind = _KINDS.get(item.source, "open")
    answer_type = item.extra_info.get("answer_type")
    if kind == "open" and isinstance(answer_type, str) and answer_type.strip().lower() == "smiles":
        return "smiles"
    return kind
