r"""Arithmetic of the grammar: sums, products, powers, and what stands behind a number.

What is decided here: standing side by side multiplies, but never two numbers; `/` and juxtaposition bind
alike from left to right; powers bind to the right. Words behind a number are a unit, a percentage, a scale or
the beginning of a condition; other words make the answer unreadable.
"""

from __future__ import annotations

from reward_service.handlers.math import units
from reward_service.handlers.math.brackets import Brackets
from reward_service.handlers.math.nodes import MAX_DEPTH, BudgetError, Node, ParseError, Unit, number
from reward_service.handlers.math.tokens import END

_MULTIPLY = frozenset(("*", "\\cdot", "\\times"))
_DIVIDE = frozenset(("/", "\\div"))


class Arithmetic(Brackets):
    """Sums, products, powers, units."""

    __slots__ = ()

    def sum(self) -> Node:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise BudgetError("depth")
        sign = ""
        while (word := self.word()) in ("+", "-", "\\pm", "\\mp"):
            self.take()
            if word == "-":
                sign = {"": "-", "-": ""}.get(sign, sign)
            elif word != "+":
                sign = word
        node = self.term()
        if sign == "-":
            node = Node("neg", (node,))
        elif sign:
            node = Node("pm" if sign == "\\pm" else "mp", (node,))
        terms = [node]
        while (word := self.word()) in ("+", "-", "\\pm", "\\mp"):
            self.take()
            flip = False
            while self.word() in ("+", "-"):
                flip ^= self.take().text == "-"
            if self.peek() is END or self.word() in (")", "]", "}", ","):
                if word == "+" and self.at > 1:  # `0^+`, `2+`: not an expression
                    raise ParseError("dangling sign")
                raise ParseError("dangling sign")
            term = self.term()
            if flip:
                term = Node("neg", (term,))
            if word == "-":
                term = Node("neg", (term,))
            elif word != "+":
                term = Node("pm" if word == "\\pm" else "mp", (term,))
            terms.append(term)
        self.depth -= 1
        return terms[0] if len(terms) == 1 else Node("add", tuple(terms))

    def term(self) -> Node:
        node = self.factor()
        while True:
            word = self.word()
            if word in _MULTIPLY:
                self.take()
                right = self.signed()
                node = Node("mul", (*node.args, right)) if node.op == "mul" else Node("mul", (node, right))
            elif word in _DIVIDE:
                self.take()
                node = Node("div", (node, self.signed()))
            elif word in ("\\bmod", "\\mod"):
                self.take()
                node = Node("mod", (node, self.signed()))
            elif self.starts(node):
                right = self.factor()
                node = Node("mul", (*node.args, right)) if node.op == "mul" else Node("mul", (node, right))
            else:
                return node

    def signed(self) -> Node:
        if self.accept("-"):
            return Node("neg", (self.factor(),))
        self.accept("+")
        return self.factor()

    def starts(self, left: Node) -> bool:
        """Does what comes next multiply by standing there? Two numbers side by side don't."""
        token = self.peek()
        if token.kind in ("sym", "fn", "const"):
            if left.op in ("seq", "unit") and left.op == "unit":
                return False
            return not (token.kind == "sym" and token.text == "U" and left.op == "seq")
        if token.kind == "num":
            return left.op in ("group", "fact") and not token.spaced
        if token.kind == "cmd":
            return token.text in (
                [
                    "frac",
                    "sqrt",
                    "binom",
                    "lfloor",
                    "lceil",
                    "lvert",
                    "overline",
                    "vec",
                    "begin",
                    "infty",
                    "sum",
                    "prod",
                    "int",
                    "angle",
                    "langle",
                    "mathbb",
                    "lim",
                ]
            )
        word = token.text
        if word == "|":
            return self.bars == 0
        return word in ("(", "{", "[") and not (word == "[" and left.op in ("num", "seq"))

    def factor(self) -> Node:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise BudgetError("depth")
        node = self.postfix(self.primary())
        self.depth -= 1
        return node

    def postfix(self, node: Node) -> Node:
        while True:
            token = self.peek()
            word = self.word()
            if word == "^":
                self.take()
                node = self.power(node)
            elif word == "!":
                self.take()
                if self.accept("!"):
                    node = Node("fact2", (node,))
                    if self.word() == "!":
                        raise BudgetError("factorial")
                else:
                    node = Node("fact", (node,))
            elif word == "%":
                self.take()
                node = Node("pct", (node,))
            elif word == "_":
                self.take()
                node = self.subscript(node)
            elif word in ("'", "\\prime"):
                self.take()
                if node.op != "sym":
                    raise ParseError("prime")
                node = node._replace(data=node.data + "'")
            elif token.kind == "text":
                unit = self.annotation(node)
                if unit is None:
                    return node
                node = unit
            elif word == "\\circ":
                self.take()
                node = self.degrees(node)
            elif word == "\\pmod":
                self.take()
                modulus = self.raw_group()
                node = Node("unit", (node,), Unit(f"mod {modulus}", ((f"mod {modulus}", 1),)))
            else:
                return node

    def power(self, base: Node) -> Node:
        if self.accept("\\circ"):
            return self.degrees(base)
        if self.word() in ("'", "\\prime"):
            return base
        if self.word() == "{" and self.word(1) == "}":
            self.at += 2
            return base
        if self.word() == "{":
            if self.word(1) == "\\circ" and self.word(2) == "}":
                self.at += 3
                return self.degrees(base)
            if self.word(1) == "\\prime" and self.word(2) == "}" and base.op == "sym":
                self.at += 3
                return base._replace(data=base.data + "'")
            inner = self.peek(1)
            if inner.kind == "text" and inner.text in units.ORDINALS and self.word(2) == "}":
                self.at += 3
                return base
            if [self.peek(i).text for i in (1, 2)] in (["t", "h"], ["s", "t"], ["n", "d"], ["r", "d"]) and self.word(3) == "}" and base.op == "num":  # fmt: skip
                self.at += 4
                return base
            self.take()
            exponent = self.sum()
            self.expect("}")
        elif self.peek().kind == "text" and self.peek().text in units.ORDINALS:
            self.take()
            return base
        elif self.accept("-"):
            exponent = Node("neg", (self.postfix_power(),))
        elif self.accept("+"):
            exponent = self.postfix_power()
        else:
            exponent = self.postfix_power()
        if base.op == "unit":
            return self.unit_power(base, exponent)
        if base.op in ("fn", "log") and base.data is not None and not base.args:
            raise ParseError("power of a function name")
        return Node("pow", (base, exponent))

    def degrees(self, base: Node) -> Node:
        """`60^\\circ`, and `60^\\circ 42'` with minutes."""
        if self.peek().kind == "num" and self.word(1) in ("'", "\\prime"):
            minutes = self.literal(self.take().text)
            self.take()
            base = Node("add", (base, Node("div", (minutes, number(60)))))
        return Node("deg", (base,))

    def postfix_power(self) -> Node:
        node = self.primary()
        if self.accept("^"):  # right associative
            self.depth += 1
            if self.depth > MAX_DEPTH:
                raise BudgetError("depth")
            node = self.power(node)
            self.depth -= 1
        return node

    @staticmethod
    def unit_power(base: Node, exponent: Node) -> Node:
        if exponent.op == "neg":
            raise ParseError("negative power of a unit")
        if exponent.op != "num" or exponent.data.value not in (1, 2, 3):
            raise ParseError("power of a unit")
        unit: Unit = base.data
        return base._replace(data=units.raised(unit, int(exponent.data.value)))

    def subscript(self, node: Node) -> Node:
        index = self.raw_group()
        if node.op == "num":
            digits = index.strip()
            if not digits.isdigit() or not 2 <= int(digits) <= 36 or node.data.places is not None:
                raise ParseError("subscript of a number")
            return Node("base", (), (str(int(node.data.value)), int(digits)))
        if node.op == "sym":
            return node._replace(data=f"{node.data}_{index}")
        if node.op == "group" and node.args[0].op == "num" and index.isdigit() and 2 <= int(index) <= 36:
            return Node("base", (), (str(int(node.args[0].data.value)), int(index)))
        if node.op in ("seq", "group"):
            raise ParseError("subscript")
        raise ParseError("subscript")

    def annotation(self, node: Node) -> Node | None:
        """What words behind an expression make of it: a unit, a percentage, a scale. None: leave them."""
        token = self.peek()
        phrase = token.text
        lower = phrase.lower().rstrip(".")
        first = lower.split()[0]
        if lower not in units.KNOWN and (
            first in units.QUALIFIERS or (self.trusted and first in units.TRUSTED_QUALIFIERS)
        ):
            return None
        if node.op in ("seq", "list", "rel") and lower not in units.KNOWN:
            if units.of_phrase(phrase, trusted=self.trusted) is None:
                raise ParseError("words behind")
            self.take()
            return node
        if lower in units.PERCENT:
            self.take()
            return Node("pct", (node,))
        if lower in units.DEGREES:
            self.take()
            return Node("deg", (node,))
        if lower in units.ORDINALS:
            self.take()
            rest = self.peek()
            if rest.kind == "text":
                self.take()
            return node
        words = lower.split()
        if words[0] in units.ORDINALS:
            self.take()
            return node
        if words[0] in units.SCALES and node.op in ("num", "unit"):
            self.take()
            scaled = Node("mul", (node, number(units.SCALES[words[0]])))
            rest_words = " ".join(words[1:])
            if not rest_words:
                return scaled
            unit = units.of_phrase(rest_words)
            if unit is None:
                raise ParseError("words behind")
            return Node("unit", (scaled,), unit)
        unit = units.of_phrase(phrase, trusted=self.trusted)
        if unit is None or (self.at == 1 and node.op in ("sym", "const") and not unit.dimensions):
            raise ParseError("words behind")
        self.take()
        while True:
            word = self.word()
            if word == "/" and self.peek(1).kind in ("text", "sym"):
                self.take()
                below = units.of_phrase(self.take().text)
                if below is None:
                    raise ParseError("unit")
                if self.word() == "^":
                    self.take()
                    below = self.unit_power(Node("unit", (), below), self.exponent()).data
                unit = units.per(unit, below)
            elif word == "^":
                self.take()
                unit = self.unit_power(Node("unit", (), unit), self.exponent()).data
            elif word in ("\\cdot", "*") and self.peek(1).kind == "text":
                self.at += 2
                unit = Unit(f"{unit.name}*{self.peek(-1).text}")
            else:
                break
        if node.op == "unit":
            return node
        return Node("unit", (node,), unit)

    def exponent(self) -> Node:
        if self.accept("{"):
            node = self.sum()
            self.expect("}")
            return node
        return self.primary()
