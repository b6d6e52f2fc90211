r"""Tokens of an undressed answer.

What is decided here: which letters are a word, a function, a unit or a product of symbols. In LaTeX `xy` is a
product and `\text{xy}` a word; models write both in plain letters, so short runs are products unless they are
a known function or word, and long runs are words.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from reward_service.handlers._text import closing_brace
from reward_service.handlers.math.nodes import MAX_DIGITS, MAX_TOKENS, BudgetError, ParseError, word_set
from reward_service.handlers.math.units import DEGREES, KNOWN, PERCENT, SYMBOLS, of_letter


class Token(NamedTuple):
    """kind: num, sym, fn, cmd, text, sep, op, end. `spaced`: white space stood before it."""

    kind: str
    text: str
    spaced: bool = False


END = Token("end", "")

_SAME_NAME = (
    "sin cos tan cot sec csc sinh cosh tanh coth arcsin arccos arctan arccot arcsec arccsc arsinh arcosh artanh ln log lg exp "
    "sqrt cbrt gcd lcm max min sgn det Re Im arg erf erfc Gamma floor ceil abs binom choose deg dim"
)
FUNCTIONS = {
    **{name: name for name in _SAME_NAME.split()},
    "asin": "arcsin", "acos": "arccos", "atan": "arctan", "arctg": "arctan", "tg": "tan", "ctg": "cot", "cosec": "csc",
    "arcsinh": "arsinh", "arccosh": "arcosh", "arctanh": "artanh", "asinh": "arsinh", "acosh": "arcosh", "atanh": "artanh",
}  # fmt: skip
_PLAIN_CONSTANTS = {
    "pi": "pi",
    "infty": "inf",
    "infinity": "inf",
    "oo": "inf",
    "inf": "inf",
    "Infinity": "inf",
}
_PLAIN_GREEK = word_set("alpha beta gamma delta epsilon theta lambda mu rho sigma phi omega")
_UNIT_WORDS = SYMBOLS | PERCENT | DEGREES | {name for name in KNOWN if len(name) > 2}
_WORDS = word_set(
    "yes no not odd even and or is are in it its we so by at on be an this that was the of to none all any for if where true false day days only year years set nan a.m p.m am pm"
)
GREEK = word_set(
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi rho sigma tau upsilon phi chi psi omega "
    "Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega ell hbar aleph nabla partial imath jmath eth mho"
)
_SYMBOL_MACROS = {"ell": "l", "imath": "i", "jmath": "j"}
_COMMANDS = word_set(
    "frac sqrt binom cdot times div pm mp le ge ne approx cong equiv sim cup cap setminus in notin infty emptyset "
    "circ prime lfloor rfloor lceil rceil langle rangle lvert rvert lVert rVert overline bar vec hat tilde widehat overrightarrow "
    "mathbb bmod mod pmod begin end ldots to rightarrow Rightarrow iff implies sum prod int lim iint iiint oint angle "
    "triangle forall exists land lor lnot neg mathrm operatorname choose subset subseteq cupdot stackrel underset overset ang frown cot pi "
    "square parallel perp Longrightarrow Leftrightarrow cdotp dot bigcup bigcap"
)

_TOKEN = re.compile(
    r"(?P<space> +)"
    r"|(?P<thousands>(?<![\d.])\d{1,3}(?:\{,\}\d{3}|,\d{3})+(?!\d)(?:\.\d+)?)"
    r"|(?P<number>\d+(?:\.\d+)?|\.\d+)"
    r"|\\(?P<command>[A-Za-z]+\*?)"
    r"|(?P<row>\\\\)"
    r"|\\(?P<escape>.)"
    r"|(?P<letters>[A-Za-z]+)"
    r"|(?P<compare><=|>=|!=|==|->|=>|≠)"
    r"|(?P<op>.)",
    re.DOTALL,
)


def tokenize(text: str, *, thousands: bool = True) -> list[Token]:
    """Tokens with an end mark. BudgetError for too many tokens or digits, ParseError for an open brace.

    thousands: read `1,234` as a number at the top level; inside brackets it is two items anyway.
    """
    out: list[Token] = []
    _scan(text, out, thousands)
    out.append(END)
    return out


def _scan(text: str, out: list[Token], thousands: bool) -> None:
    at, size = 0, len(text)
    spaced = False
    depth = 0
    while at < size:
        match = _TOKEN.match(text, at)
        if match is None:
            raise ParseError("unreadable")
        if len(out) > MAX_TOKENS:
            raise BudgetError("tokens")
        kind, piece = match.lastgroup, match.group()
        at = match.end()
        if kind == "space":
            spaced = True
            continue
        if kind == "thousands":
            if "{" not in piece and (not thousands or depth > 0):
                end = match.start() + len(piece.partition(",")[0])
                piece, at = text[match.start() : end], end
            else:
                piece = piece.replace("{,}", "").replace(",", "")
            kind = "number"
        if kind == "number":
            if len(piece) > MAX_DIGITS:
                raise BudgetError("digits")
            out.append(Token("num", piece, spaced))
        elif kind == "command":
            at = _command(match.group("command"), text, at, out, spaced)
        elif kind == "letters":
            _letters(piece, out, spaced, text, at)
        elif kind == "escape":
            out.append(Token("op", "\\" + match.group("escape"), spaced))
        elif kind == "row":
            out.append(Token("op", "\\\\", spaced))
        elif piece == "!=" and out and out[-1].kind == "num" and not spaced:  # 4!=24
            out.append(Token("op", "!", False))
            out.append(Token("op", "=", False))
        else:
            if piece in "([":
                depth += 1
            elif piece in ")]":
                depth -= 1
            out.append(Token("op", piece, spaced))
        spaced = False


def _command(name: str, text: str, at: int, out: list[Token], spaced: bool) -> int:
    if name in ("text", "mathrm", "operatorname", "mbox", "textbf", "operatorname*"):
        while at < len(text) and text[at] == " ":
            at += 1
        if at < len(text) and text[at] == "{":
            end = closing_brace(text, at)
            if end is None:
                raise ParseError("open brace")
            _text(text[at + 1 : end], out, spaced)
            return end + 1
        raise ParseError("bare text macro")
    if name == "pi":
        out.append(Token("const", "pi", spaced))
    elif name in FUNCTIONS and name != "binom":
        out.append(Token("fn", FUNCTIONS[name], spaced))
    elif name in GREEK:
        out.append(Token("sym", _SYMBOL_MACROS.get(name, name), spaced))
    elif name in _COMMANDS:
        out.append(Token("cmd", name, spaced))
    else:
        raise ParseError("unknown macro")
    return at


_TEXT_PIECE = re.compile(r"[A-Za-z]+(?:['-][A-Za-z]+)*\.?|\d+(?:\.\d+)?|\\[A-Za-z]+|\s+|.", re.DOTALL)


def _text(content: str, out: list[Token], spaced: bool) -> None:
    r"""`\text{…}`: words stay words whatever they spell; numbers and single letters are what they are."""
    if "\\" in content or "$" in content or "{" in content:
        _scan(content.replace("$", " "), out, False)
        return
    words: list[str] = []

    def flush() -> None:
        if words:
            _phrase(" ".join(words), out)
            words.clear()

    pieces = [piece for piece in _TEXT_PIECE.findall(content) if not piece.isspace()]
    alone = sum(piece[0].isalnum() for piece in pieces) == 1
    for piece in pieces:
        if len(out) > MAX_TOKENS:
            raise BudgetError("tokens")
        if piece[0].isalpha():
            behind = bool(out) and (out[-1].kind == "num" or out[-1].text in ("}", ")"))
            if alone and len(piece) == 1 and not (behind and of_letter(piece) is not None):
                out.append(Token("sym", piece, True))
            elif alone and piece in FUNCTIONS:
                out.append(Token("fn", FUNCTIONS[piece], True))
            else:
                words.append(piece)
        elif piece[0].isdigit():
            flush()
            if len(piece) > MAX_DIGITS:
                raise BudgetError("digits")
            out.append(Token("num", piece, True))
        else:
            flush()
            out.append(Token("op", piece, True))
    flush()


def _phrase(words: str, out: list[Token]) -> None:
    lower = words.lower().rstrip(".")
    if lower in ("and", "or", "as well as", "and also"):
        out.append(Token("sep", "or" if lower == "or" else "and", True))
        return
    for word in ("and ", "or "):
        if lower.startswith(word):
            out.append(Token("sep", word.strip(), True))
            _phrase(words[len(word) :], out)
            return
    for word in (" and", " or"):
        if lower.endswith(word):
            _phrase(words[: -len(word)], out)
            out.append(Token("sep", word.strip(), True))
            return
    for word in (" and ", " or "):
        head, found, tail = words.partition(word)
        if found:
            _phrase(head, out)
            out.append(Token("sep", word.strip(), True))
            _phrase(tail, out)
            return
    if out and out[-1].kind == "text":
        out[-1] = Token("text", f"{out[-1].text} {words}", out[-1].spaced)
    else:
        out.append(Token("text", words, True))


def _letters(run: str, out: list[Token], spaced: bool, text: str, at: int) -> None:
    if run in FUNCTIONS:
        out.append(Token("fn", FUNCTIONS[run], spaced))
    elif run in _PLAIN_CONSTANTS:
        out.append(Token("const", _PLAIN_CONSTANTS[run], spaced))
    elif len(run) == 1:
        after = out[-1] if out else END
        if after.kind == "num" and run in ("e", "E") and not spaced and _exponent(text, at):
            out.append(Token("op", "e", False))
        elif after.kind == "text" and spaced and not _math_follows(text, at):
            _phrase(run, out)
        else:
            out.append(Token("sym", run, spaced))
    elif run in _PLAIN_GREEK:
        out.append(Token("sym", run, spaced))
    elif (
        run.startswith(("or", "and"))
        and out
        and (out[-1].kind == "num" or out[-1].text in (")", "]"))
        and run[-1].isupper()
    ):
        word = "or" if run.startswith("or") else "and"
        _phrase(word, out)
        _letters(run[len(word) :], out, False, text, at)
    elif out and out[-1].kind in ("num", "text") and (run in _UNIT_WORDS or out[-1].kind == "text"):
        _phrase(run, out)
    elif len(run) >= 4 or run in _WORDS or (run.lower() in _WORDS and not run.isupper()):
        for name in ("sqrt", "sin", "cos", "tan", "log", "ln", "pi"):
            if run.endswith(name) and len(run) - len(name) == 1:  # `xsin`, `2isqrt`
                out.append(Token("sym", run[0], spaced))
                _letters(name, out, False, text, at)
                return
        _phrase(run, out)
    elif run in ("st", "nd", "rd", "th") and out and out[-1].kind == "num":
        out.append(Token("text", run, spaced))
    elif run.startswith("pi") or run.endswith("pi"):
        rest = run[2:] if run.startswith("pi") else run[:-2]
        names = [("const", "pi"), *(("sym", c) for c in rest)]
        if not run.startswith("pi"):
            names = [*names[1:], names[0]]
        for index, (kind, name) in enumerate(names):
            out.append(Token(kind, name, spaced and index == 0))
    else:
        for index, letter in enumerate(run):
            out.append(Token("sym", letter, spaced and index == 0))


_EXPONENT = re.compile(r"[+-]?\d+(?![\d.])")


def _exponent(text: str, at: int) -> bool:
    return _EXPONENT.match(text, at) is not None


def _math_follows(text: str, at: int) -> bool:
    rest = text[at : at + 2].lstrip()
    return bool(rest) and rest[0] in "=+-*/^<>_(|"
