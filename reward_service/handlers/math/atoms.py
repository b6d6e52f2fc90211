r"""Primaries of the grammar: numbers, names, functions.

What is decided here: what one token begins. `f(x)` is a call for the letters that name functions, a product
for the others; `\\sin 2x` takes its argument without brackets up to a sum; `0.3\\overline{6}` repeats;
`2\\frac12` is a mixed number.
"""

from __future__ import annotations

from fractions import Fraction

from reward_service.handlers.math.nodes import (
    MAX_DEPTH,
    BudgetError,
    Node,
    Number,
    ParseError,
    number,
    word_set,
)
from reward_service.handlers.math.reader import Reader
from reward_service.handlers.math.tokens import END, FUNCTIONS, Token

_DIVIDE = frozenset(("/", "\\div"))
_TRIG = word_set("sin cos tan cot sec csc sinh cosh tanh coth ln log lg arcsin arccos arctan")
_FUNCTION_LETTERS = frozenset("fghFGHPQpqTWSVuvyxw")
"""Letters that, right before a bracket, may be the name of a function."""


class Atoms(Reader):
    """Numbers, names and functions."""

    __slots__ = ()

    def command(self, name: str) -> Node:
        """What a macro begins (`brackets.py`)."""
        raise NotImplementedError

    def bracket(self, text: str) -> Node:
        """What a bracket begins (`brackets.py`)."""
        raise NotImplementedError

    def primary(self) -> Node:
        token = self.take()
        kind, text = token.kind, token.text
        if kind == "num":
            return self.literal(text)
        if kind == "sym":
            return self.symbol(text)
        if kind == "const":
            return Node("const", (), text)
        if kind == "fn":
            return self.function(text)
        if kind == "op":
            return self.bracket(text)
        if kind == "cmd":
            return self.command(text)
        raise ParseError("no expression")

    def literal(self, text: str) -> Node:
        whole, dot, decimals = text.partition(".")
        # A repeating decimal: 0.3\overline{6}
        if self.word() == "\\overline" or (
            not dot and self.word() == "." and self.word(1) in ("\\overline", "\\dot")
        ):
            self.accept(".")
            self.take()
            digits = self.raw_group()
            if not digits.isdigit() or len(decimals) + len(digits) > 40:
                raise ParseError("repeating decimal")
            base = Fraction(int((whole or "0") + decimals), 10 ** len(decimals))
            tail = Fraction(int(digits), (10 ** len(digits) - 1) * 10 ** len(decimals))
            return Node("num", (), Number(base + tail))
        if self.word() == "." and self.peek(1) is END:
            self.take()
        value = Fraction(int((whole or "0") + decimals), 10 ** len(decimals))
        places = len(decimals) if dot else None
        significant = len((whole + decimals).lstrip("0"))
        if self.word() == "e" and self.peek().kind == "op":
            self.take()
            sign = -1 if self.accept("-") else 1
            self.accept("+")
            shift = sign * int(self.take().text)
            if abs(shift) > 4_000:
                raise BudgetError("exponent")
            value *= Fraction(10) ** shift
            return Node("num", (), Number(value, (places or 0) - shift, significant))
        if not dot and self.word() == "\\frac" and self.peek(1).kind in ("op", "num"):
            mark = self.at
            part = self.primary()
            if (
                part.op == "div"
                and all(x.op == "num" and x.data.places is None for x in part.args)
                and part.args[1].data.value
            ):
                return Node("mixed", (Node("num", (), Number(value)), part))
            self.at = mark
        if (
            not dot
            and self.peek().kind == "num"
            and self.peek().spaced
            and self.word(1) == "/"
            and self.peek(2).kind == "num"
        ):
            above, below = self.take().text, ""
            self.take()
            below = self.take().text
            if above.isdigit() and below.isdigit() and int(below):
                part = Node("div", (Node("num", (), Number(Fraction(int(above)))), Node("num", (), Number(Fraction(int(below))))))  # fmt: skip
                return Node("mixed", (Node("num", (), Number(value)), part))
            raise ParseError("two numbers")
        return Node("num", (), Number(value, places, significant))

    def symbol(self, name: str) -> Node:
        while self.word() in ("'", "\\prime"):
            self.take()
            name += "'"
        if self.word() == "_":
            self.take()
            name = f"{name}_{self.raw_group()}"
        if self.word() == "^" and self.word(1) == "{" and self.word(2) == "-" and self.peek(3).text == "1" and self.word(4) == "}" and self.word(5) == "(":  # fmt: skip
            self.at += 5
            name += "^-1"
        if name == "i":
            return Node("const", (), "i")
        if name == "e":
            return Node("const", (), "e")
        if self.word() == "(" and name.rstrip("'")[0] in _FUNCTION_LETTERS and not self.peek().spaced:
            mark = self.at
            self.take()
            inside = self.parts((")",))
            self.expect(")")
            arguments = inside.args if inside.op == "list" else (inside,)
            if name[0] in "fghFGH" or all(a.op in ("sym", "num") for a in arguments) or len(name) > 1:
                return Node("call", arguments, name)
            self.at = mark
        if name[0].isupper() and self.word() == "(" and not self.peek().spaced:
            mark = self.at
            self.take()
            inside = self.parts((")",))
            self.expect(")")
            if inside.op in ("sym", "num", "list"):
                return Node("call", inside.args if inside.op == "list" else (inside,), name)
            self.at = mark
        return Node("sym", (), name)

    def function(self, name: str) -> Node:
        base: Node | None = None
        power: Node | None = None
        primes = False
        while (word := self.word()) in ("_", "^", "'"):
            self.take()
            if word == "_":
                base = self.index()
            elif word == "^":
                power = self.index()
            else:
                primes = True
        if primes:
            raise ParseError("derivative")
        inverse = (
            power is not None
            and power.op == "neg"
            and power.args[0].op == "num"
            and power.args[0].data.value == 1
        )
        if name == "sqrt":
            return self.root()
        if name == "cbrt":
            return Node("root", (self.argument(name), number(3)))
        arguments = self.arguments(name)
        if name in ("binom", "choose"):
            if len(arguments) != 2:
                raise ParseError("binomial")
            return Node("binom", arguments)
        if name == "abs":
            return Node("abs", arguments)
        if name in ("floor", "ceil"):
            return Node(name, arguments)
        if name in ("log", "lg", "ln"):
            if len(arguments) != 1:
                raise ParseError("logarithm")
            if name == "lg" and base is None:
                base = number(10)
            node = Node("log", (arguments[0],) if base is None else (arguments[0], base), name)
        elif name in ("gcd", "lcm", "max", "min"):
            return Node("fn", arguments, name)
        else:
            if len(arguments) != 1 or base is not None:
                raise ParseError("arguments")
            if inverse and "arc" + name in FUNCTIONS.values():
                return Node("fn", arguments, "arc" + name)
            node = Node("fn", arguments, name)
        if power is not None:
            if inverse:
                raise ParseError("inverse")
            return Node("pow", (node, power))
        return node

    def index(self) -> Node:
        if self.accept("{"):
            node = self.sum()
            self.expect("}")
            return node
        if self.accept("-"):
            return Node("neg", (self.index(),))
        token = self.take()
        if token.kind == "num":
            return (
                Node("num", (), Number(Fraction(int(token.text))))
                if token.text.isdigit()
                else self.literal(token.text)
            )
        if token.kind in ("sym", "const"):
            return Node("const" if token.text in ("e", "i", "pi") else "sym", (), token.text)
        raise ParseError("index")

    def arguments(self, name: str) -> tuple[Node, ...]:
        if self.word() in ("(", "\\{") or (self.word() == "{" and name not in _TRIG):
            closer = {"(": ")", "{": "}", "\\{": "\\}"}[self.take().text]
            inside = self.parts((closer,))
            self.expect(closer)
            return inside.args if inside.op == "list" else (inside,)
            # `\sin(x)^2` and `\ln(2)!` belong to the value, and are read by postfix
        return (self.argument(name),)

    def argument(self, name: str) -> Node:
        """A function's argument without brackets: `\\sin 2x`, up to a sum or the next function."""
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise BudgetError("depth")
        sign = self.accept("-")
        node = self.factor()
        while True:
            token = self.peek()
            if token.kind == "fn" or token.kind in ("text", "sep", "end"):
                break
            if (
                self.word() in _DIVIDE
                and node.op in ("num", "const", "mul")
                and self.peek(1).kind in ("num", "const", "sym")
            ):
                self.take()
                node = Node("div", (node, self.factor()))
            elif token.kind in ("sym", "const", "num") or self.word() in (
                "\\frac",
                "\\sqrt",
                "\\pi",
                "\\angle",
            ):
                if token.kind == "num" and node.op != "group":
                    break
                right = self.factor()
                node = Node("mul", (*node.args, right)) if node.op == "mul" else Node("mul", (node, right))
            elif self.word() in ("\\cdot", "*") and name in _TRIG and self.peek(1).kind in ("sym", "const"):
                self.take()
                node = Node("mul", (node, self.factor()))
            else:
                break
        self.depth -= 1
        return Node("neg", (node,)) if sign else node

    def root(self) -> Node:
        degree = number(2)
        if self.accept("["):
            degree = self.sum()
            self.expect("]")
        if self.word() in ("{", "("):
            closer = {"{": "}", "(": ")"}[self.take().text]
            inside = self.parts((closer,))
            self.expect(closer)
            if inside.op in ("list", "rel", "text"):
                raise ParseError("root")
            return Node("root", (inside, degree))
        return Node("root", (self.primary(), degree))

    def brace_argument(self, digits: bool = True) -> Node:
        """A macro's argument: a group, or one token (one digit of a number)."""
        if self.accept("{"):
            node = self.parts(("}",))
            self.expect("}")
            if node.op in ("list", "text"):
                raise ParseError("argument")
            return node
        token = self.peek()
        if token.kind == "num" and digits and len(token.text) > 1 and token.text.isdigit():
            self.tokens[self.at] = Token("num", token.text[1:], False)
            return Node("num", (), Number(Fraction(int(token.text[0]))))
        sign = self.accept("-")
        node = self.primary()
        return Node("neg", (node,)) if sign else node
