r"""SMILES: two strings are the same molecule if RDKit writes them the same way.

What is decided here: equality is that of canonical isomeric SMILES, so another atom order, Kekulé bonds and explicit
hydrogens are the same, and a missing or other stereo centre, double bond geometry, charge or salt is not. A string that
RDKit can't read, or that holds no atom (the empty string parses), is no molecule. RDKit is an extra: `Missing` where it
isn't installed (`_optional`). Its log is silenced, because it quotes what it reads.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from reward_service.handlers._optional import Missing, load

MAX_CHARS = 600
MAX_ATOMS = 400


@lru_cache(maxsize=1)
def _chem() -> Any:
    chem = load("rdkit.Chem", "science")
    load("rdkit.RDLogger", "science").DisableLog("rdApp.*")
    return chem


def warm_up() -> bool:
    """Load RDKit; False if it isn't there."""
    try:
        canonical("CCO")
    except Missing:
        return False
    return True


_SPELLED = (
    (r"\#", "#"),
    (r"\textbackslash", "\\"),
    (r"\backslash", "\\"),
    (r"\_", "_"),
    (r"\%", "%"),
    (r"\@", "@"),
)
_LEAD = re.compile(
    r"(?:(?:the |canonical |isomeric |final )*smiles(?: string| notation)?|answer)\s*(?:is|:|=)\s*",
    re.IGNORECASE,
)
_DRESS = re.compile(r"\\(?:text|texttt|mathrm|textrm|mathtt|verb|ce|textbf)\s*\{([^{}]*)\}")
_ALLOWED = re.compile(r"[A-Za-z0-9@+\-\[\]()=#$:/\\%.*~]+")


def undressed(text: str) -> str:
    """The string without text macros, code marks, math delimiters and "SMILES:"; a SMILES keeps its backslashes."""
    text = text.strip()
    for _ in range(4):
        before = text
        if (macro := _DRESS.fullmatch(text)) is not None:
            text = macro.group(1).strip()
        for mark in ("```", "`", "**", "$$", "$", '"', "'"):
            if len(text) > 2 * len(mark) and text.startswith(mark) and text.endswith(mark):
                text = text[len(mark) : -len(mark)].strip()
        text = text.removeprefix("smiles\n").strip()
        text = _LEAD.sub("", text, count=1) if _LEAD.match(text) else text
        if text == before:
            break
    for spelled, character in _SPELLED:
        text = text.replace(spelled, character)
    return text.removesuffix(".").strip()


@lru_cache(maxsize=4_096)
def canonical(text: str) -> str | None:
    """Canonical isomeric SMILES, or None for what is no molecule. Missing without RDKit."""
    chem = _chem()
    if not text or len(text) > MAX_CHARS or not _ALLOWED.fullmatch(text):
        return None
    molecule = chem.MolFromSmiles(text)
    if molecule is None or not 0 < molecule.GetNumAtoms() <= MAX_ATOMS:
        return None
    return str(chem.MolToSmiles(molecule))
