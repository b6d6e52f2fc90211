r"""The data sources of the math handler, and where their answers stand.

What is decided here: which markers count beside a box. Guru's and verl's names are those of `RS/__init__.py`
(guru.md §2a, §2b); the rest are the names under which the same data is published.
"""

from __future__ import annotations

from reward_service.handlers.math.answer import MARKERS
from reward_service.registry import Source
from reward_service.types import Example

_GOLD = 'the answer as LaTeX or plain text: `"\\frac{1}{2}"`, `"34"`, `"(-\\infty, 2]"`; numbers and lists of them too'
_BOXED = Example("Half of them. The answer is $\\boxed{\\frac{1}{2}}$.", "\\frac{1}{2}")
_HASH = Example("Natalia sold 48/2 = 24 clips in May and 72 altogether.\n#### 72", "72")
_LINE = Example("Adding the two cases gives 113 in total.\nAnswer: 113", "113")

BOX_OR_LINE = frozenset(("box", "line"))


def _boxed(name: str, *aliases: str) -> Source:
    return Source(name, _GOLD, _BOXED, aliases)


SOURCES = (
    _boxed("math", "math_verify", "hendrycks_math"),
    _boxed("math__*"),
    _boxed("math*"),
    _boxed("math__math", "math500", "math_500"),
    _boxed("math__amc_repeated_4x", "amc", "amc23"),
    _boxed("math__deepscaler_preview", "deepscaler"),
    _boxed("math__merged_deduped_dapo_or1_dataset", "math__combined_54.4k"),
    _boxed("lighteval/math", "digitallearninggmbh/math-lighteval"),
    _boxed("numina_*", "numina_aops_forum", "numina_synthetic_math", "numina_amc_aime", "numina_synthetic_amc", "numina_cn_k12", "numina_olympiads"),
    _boxed("hiyouga/geometry3k", "geometry3k"),
    _boxed("orz", "orz_math"),
    _boxed("deepmath", "zwhe99/deepmath-103k"),
    _boxed("olympiadbench"),
    _boxed("minerva", "minerva_math"),
    Source("math__aime_repeated_8x", _GOLD, _BOXED, ("aime",)),
    Source("aime*", _GOLD, _LINE, ("aime2024", "aime2025")),
    Source("math_dapo", _GOLD, _LINE, ("dapo",)),
    Source("openai/gsm8k", _GOLD, _HASH, ("gsm8k",)),
)  # fmt: skip

_MARKERS = {"math__*": BOX_OR_LINE, "math__math": BOX_OR_LINE, "hiyouga/geometry3k": frozenset(("box",))}


def markers_for(source: str) -> frozenset[str]:
    """The markers that a routing entry accepts: a box always; `####` and answer lines where the data says so."""
    return _MARKERS.get(source, MARKERS)
