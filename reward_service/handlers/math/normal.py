r"""The dress of an answer, taken off without changing what it says.

What is decided here: which characters and macros mean the same. Look-alikes are only folded where a reader
sees the same thing: `−5`, `１５`, `½`, `∞`; not `①`, `Ⅹ` or the Cyrillic `х`. Invisible characters and text
direction marks go. What hides or strikes out (`\phantom`, `\cancel`, `\color`) is left in place, so that the
parser refuses it. Everything is linear.
"""

from __future__ import annotations

import re
import unicodedata

from reward_service.handlers._text import closing_brace
from reward_service.handlers.math.nodes import word_set

_SUPERSCRIPTS = dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁽⁾ⁿⁱᵏᵐˣʸ", "0123456789+-()nikmxy", strict=True))
_SUBSCRIPTS = dict(zip("₀₁₂₃₄₅₆₇₈₉₊₋ₙₖₘᵢⱼₓₐ", "0123456789+-nkmijxa", strict=True))

_CHARACTERS: dict[str, str | None] = {
    **dict.fromkeys("−‐‑‒–—﹣－", "-"),
    **dict.fromkeys("\u00a0\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000\t\n\r", " "),
    **dict.fromkeys("\u200b\u200c\u200d\u2060\ufeff\u00ad\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u2061\u2062\u2063\u2064\ufe0f", None),
    **dict.fromkeys("‘’′＇ʹ", "'"),
    **dict.fromkeys("“”″", '"'),
    "×": r"\times ", "⋅": r"\cdot ", "·": r"\cdot ", "∙": r"\cdot ", "•": r"\cdot ", "÷": r"\div ", "∗": "*",
    "⁄": "/", "∕": "/", "≤": r"\le ", "⩽": r"\le ", "≦": r"\le ", "≥": r"\ge ", "⩾": r"\ge ", "≧": r"\ge ",
    "≠": r"\ne ", "≈": r"\approx ", "≃": r"\approx ", "≅": r"\cong ", "≡": r"\equiv ", "∼": r"\sim ",
    "∞": r"\infty ", "±": r"\pm ", "∓": r"\mp ", "√": r"\sqrt ", "∛": r"\sqrt[3]", "∪": r"\cup ", "∩": r"\cap ",
    "∈": r"\in ", "∉": r"\notin ", "∅": r"\emptyset ", "∖": r"\setminus ", "⊂": r"\subset ", "⊆": r"\subseteq ",
    "∀": r"\forall ", "∃": r"\exists ", "→": r"\to ", "⇒": r"\Rightarrow ", "∠": r"\angle ", "△": r"\triangle ",
    "∣": "|", "｜": "|", "ℝ": r"\mathbb{R}", "ℤ": r"\mathbb{Z}", "ℕ": r"\mathbb{N}", "ℚ": r"\mathbb{Q}", "ℂ": r"\mathbb{C}",
    "°": r"^{\circ}", "º": r"^{\circ}", "˚": r"^{\circ}", "π": r"\pi ", "∫": r"\int ", "∑": r"\sum ", "∏": r"\prod ",
    "α": r"\alpha ", "β": r"\beta ", "γ": r"\gamma ", "δ": r"\delta ", "ε": r"\epsilon ", "θ": r"\theta ",
    "λ": r"\lambda ", "μ": r"\mu ", "µ": r"\mu ", "ν": r"\nu ", "ξ": r"\xi ", "ρ": r"\rho ", "σ": r"\sigma ",
    "τ": r"\tau ", "φ": r"\phi ", "ϕ": r"\phi ", "χ": r"\chi ", "ψ": r"\psi ", "ω": r"\omega ", "Δ": r"\Delta ",
    "Γ": r"\Gamma ", "Λ": r"\Lambda ", "Σ": r"\Sigma ", "Φ": r"\Phi ", "Ψ": r"\Psi ", "Θ": r"\Theta ",
    "⌊": r"\lfloor ", "⌋": r"\rfloor ", "⌈": r"\lceil ", "⌉": r"\rceil ", "⟨": r"\langle ", "⟩": r"\rangle ",
    "½": r"\frac{1}{2}", "⅓": r"\frac{1}{3}", "⅔": r"\frac{2}{3}", "¼": r"\frac{1}{4}", "¾": r"\frac{3}{4}",
    "⅕": r"\frac{1}{5}", "⅖": r"\frac{2}{5}", "⅗": r"\frac{3}{5}", "⅘": r"\frac{4}{5}", "⅙": r"\frac{1}{6}",
    "⅚": r"\frac{5}{6}", "⅛": r"\frac{1}{8}", "⅜": r"\frac{3}{8}", "⅝": r"\frac{5}{8}", "⅞": r"\frac{7}{8}",
    "。": ".", "、": ",", "，": ",", "；": ";", "：": ":", "€": "", "£": "", "₹": "",  "¥": "", "￥": "", "…": r"\ldots ", "Å": r"\text{angstrom}", "\u212b": r"\text{angstrom}", "Ω": r"\Omega ",
}  # fmt: skip
_TRANSLATE = str.maketrans(_CHARACTERS)
_SUPER = re.compile("[" + re.escape("".join(_SUPERSCRIPTS)) + "]+")
_SUB = re.compile("[" + re.escape("".join(_SUBSCRIPTS)) + "]+")


def ascii_math(text: str) -> str:
    """Unicode mathematics as LaTeX. Characters that stand for something else stay as they are."""
    if text.isascii():
        return text
    text = _SUPER.sub(lambda m: "^{" + "".join(_SUPERSCRIPTS[c] for c in m.group()) + "}", text)
    text = _SUB.sub(lambda m: "_{" + "".join(_SUBSCRIPTS[c] for c in m.group()) + "}", text)
    text = text.translate(_TRANSLATE)
    if text.isascii():
        return text
    return "".join(character if character.isascii() else _fold(character) for character in text)


def _fold(character: str) -> str:
    code = ord(character)
    if 0xFF01 <= code <= 0xFF5E:  # full-width ASCII
        return chr(code - 0xFEE0)
    if 0x1D400 <= code <= 0x1D7FF:  # mathematical letters and digits
        folded = unicodedata.normalize("NFKC", character)
        return folded if folded.isascii() else folded.translate(_TRANSLATE)
    if unicodedata.category(character) == "Nd":
        return str(unicodedata.decimal(character))
    return character


_DROP = (
    "left right middle bigl bigr bigm Bigl Bigr Bigm biggl biggr biggm Biggl Biggr big Big bigg Bigg displaystyle "
    "textstyle scriptstyle limits nolimits rm bf it cal mit left. right. null relax strut"
)
_SPACE = "quad qquad thinspace medspace enspace thickspace space newline linebreak hfill"
_RENAME = {
    "dfrac": "\\frac", "tfrac": "\\frac", "cfrac": "\\frac", "dbinom": "\\binom", "tbinom": "\\binom", "choose": "\\choose",
    "leq": "\\le ", "geq": "\\ge ", "leqslant": "\\le ", "geqslant": "\\ge ", "lt": "<", "gt": ">", "neq": "\\ne ",
    "leqq": "\\le ", "geqq": "\\ge ", "lbrace": "\\{", "rbrace": "\\}", "lbrack": "[", "rbrack": "]", "vert": "|",
    "Vert": "\\|", "mid": "|", "cupdot": "\\cup ", "sqcup": "\\cup ", "therefore": "", "blacksquare": "", "qed": "", "varnothing": "\\emptyset ", "degree": "^{\\circ}", "ang": "\\ang",
    "degrees": "^{\\circ}", "AA": "\\text{angstrom}", "textcirc": "\\circ ", "textdegree": "^{\\circ}", "colon": ":", "doteq": "=", "triangleq": "=", "backslash": "\\setminus ", "smallsetminus": "\\setminus ",
    "thickapprox": "\\approx ", "varepsilon": "\\epsilon ", "varphi": "\\phi ", "vartheta": "\\theta ", "varrho": "\\rho ",
    "operatorname*": "\\operatorname", "ast": "*", "slash": "/", "dots": "\\ldots ", "cdots": "\\ldots ", "dotsc": "\\ldots ", "dotsb": "\\ldots ",
    "exponentialE": " e ", "imaginaryI": " i ", "land": "\\land ", "wedge": "\\land ", "lor": "\\lor ", "vee": "\\lor ",
}  # fmt: skip
_MACROS: dict[str, str] = {
    **dict.fromkeys(_DROP.split(), ""),
    **dict.fromkeys(_SPACE.split(), " "),
    **_RENAME,
}
_MACRO = re.compile(r"\\(?:([A-Za-z]+\*?)|(.))", re.DOTALL)
_LEFT_DOT = re.compile(r"\\(?:left|right)\s*\.")
_WRAPPERS = word_set(
    "mathbf mathit mathsf mathtt mathnormal boldsymbol bm mathcal mathfrak mathscr textbf textit emph underline "
    "ensuremath boxed fbox textrm textsf texttt textup textnormal mathrm mbox hbox mathop mathord pmb"
)
_KEEP_AS_TEXT = word_set(
    "textbf textit emph textrm textsf texttt textup textnormal mathrm mbox hbox underline"
)
_WRAPPER = re.compile(r"\\(" + "|".join(sorted(_WRAPPERS, key=len, reverse=True)) + r")\s*\{")
_HTML = re.compile(r"<\s*(/?)\s*(sup|sub)\s*>", re.IGNORECASE)
_MARKS = {"!": "", ",": " ", ";": " ", ":": " ", ">": " ", " ": " ", "/": "", "$": "", "%": "%", "#": "#", "&": "&", "-": "", "\n": " "}  # fmt: skip
_SPACES = re.compile(r"[ \t\r\n]+")


def _macro(match: re.Match[str]) -> str:
    name = match.group(1)
    if name is not None:
        known = _MACROS.get(name)
        return match.group() if known is None else known
    mark = match.group(2)
    return _MARKS.get(mark, match.group())


def _unwrap(text: str) -> str:
    r"""`\mathbf{x}` as `x`, `\textbf{…}` and its like as `\text{…}`; a few levels."""
    for _ in range(4):
        match = _WRAPPER.search(text)
        if match is None:
            break
        pieces: list[str] = []
        at = 0
        while match is not None:
            end = closing_brace(text, match.end() - 1)
            if end is None:
                break
            inner = text[match.end() : end]
            opening = "\\text{" if match.group(1) in _KEEP_AS_TEXT else "{"
            if match.group(1) in ("boxed", "fbox"):
                pieces += (text[at : match.start()], " ", inner, " ")
            else:
                pieces += (text[at : match.start()], opening, inner, "}")
            at = end + 1
            match = _WRAPPER.search(text, at)
        pieces.append(text[at:])
        text = "".join(pieces)
    return text


def undress(text: str) -> str:
    r"""The answer without delimiters, spacing macros, sizes and styles; macros under one name.

    `$\left(\dfrac12,\,3\right)$.` becomes `(\frac12, 3)`.
    """
    text = ascii_math(text)
    if "\\not" in text:
        text = _NEGATED.sub(lambda m: _NEGATIONS[m.group(1)], text)
    if "quad" in text:
        text = _QUAD_ASSIGNMENT.sub(", ", text)
    if ",\\!" in text:
        text = _THIN_COMMA.sub(",", text)
    if "\\" in text:
        if "\x0c" in text or "\\left" in text or "\\right" in text:
            text = _LEFT_DOT.sub("", text)
        text = _unwrap(text)
        text = (
            text.replace("\\\\", "\x00")
            .replace("\\[", " ")
            .replace("\\]", " ")
            .replace("\\(", " ")
            .replace("\\)", " ")
        )
        text = _MACRO.sub(_macro, text).replace("\x00", "\\\\")
    if "$" in text:
        text = text.replace("$", " ")
    if "~" in text:
        text = text.replace("~", " ")
    if "*" in text:
        text = text.replace("**", "^") if not text.startswith("**") else text.replace("**", "")
    if "<" in text:
        text = _HTML.sub(
            lambda m: "}" if m.group(1) else ("^{" if m.group(2).lower() == "sup" else "_{"), text
        )
    text = _SPACES.sub(" ", text).strip()
    while text and text[-1] in ".,;:\\ ":
        if text.endswith(("\\ldots", "..")):
            break
        text = text[:-1]
    return text


_QUAD_ASSIGNMENT = re.compile(r"(?<![,;} ]) *\\q?quad *(?=\\?[A-Za-z]+(?:_\{?[A-Za-z0-9]+\}?)? *=)")
_NEGATIONS = {"=": "\\ne ", "\\in": "\\notin "}
_NEGATED = re.compile(r"\\not *(=|\\in(?![a-z]))")
_THIN_COMMA = re.compile(r",\\! *(?=\d)")
_SHORT_GROUP = re.compile(r"([_^])\{([A-Za-z0-9])\}(?![A-Za-z0-9])")
_LOOSE_SPACE = re.compile(r"(?<![A-Za-z0-9.,]) | (?![A-Za-z0-9.,])")


def key(text: str) -> str:
    """Undressed text without the spaces that separate nothing: equal keys are the same answer, written the same."""
    return _SHORT_GROUP.sub(r"\1\2", _LOOSE_SPACE.sub("", text))


_ESCAPES = re.compile(
    r"\x0c(?=rac|loor)|\t(?=ext|imes|an\b|heta|frac|au\b|o\b)|\x08(?=inom|egin|ar\b|eta|igg?\b)|\r(?=ight|ho\b)|\x07(?=lpha|pprox)"
)
_LETTERS = {"\x0c": "\\f", "\t": "\\t", "\x08": "\\b", "\r": "\\r", "\x07": "\\a"}
_GLUED = re.compile(r"(\\q?quad)(?=[A-Za-z])")
_DOUBLED = re.compile(r"\\\\(?=[A-Za-z]{2})")


def repaired(gold: str) -> str:
    r"""A ground truth whose backslashes were eaten or doubled on the way through JSON: `\x0crac`, `\\frac`."""
    if "\\\\" in gold and "\\begin" not in gold:
        gold = _DOUBLED.sub(lambda _: "\\", gold)
    if "quad" in gold:
        gold = _GLUED.sub(r"\1 ", gold)
    return _ESCAPES.sub(lambda m: _LETTERS[m.group()], gold)
