r"""The bounded parser: an undressed answer (LaTeX or plain) into a tree of our own.

What is decided here: the grammar, from the outside in: parts joined by `;`, "or", "and" and commas; chains of
relations; ratios; unions and differences; sums; products (explicit or by juxtaposition); powers and what
stands behind a number (`!`, `%`, `°`, a base, a unit); brackets. What isn't in the grammar is refused as a whole:
nothing is ever picked out of an answer that could not be read. Nothing is evaluated or expanded here.
"""

from __future__ import annotations

from fractions import Fraction

from reward_service.handlers.math import units
from reward_service.handlers.math.nodes import (
    MAX_CHARS,
    MAX_DEPTH,
    MAX_ITEMS,
    BudgetError,
    Node,
    Number,
    ParseError,
    Unit,
    number,
    word_set,
)
from reward_service.handlers.math.tokens import END, FUNCTIONS, Token, tokenize

RELATIONS = {
    "=": "=", "==": "=", "<": "<", ">": ">", "<=": "<=", ">=": ">=", "!=": "!=", "\\le": "<=", "\\ge": ">=", "\\ne": "!=",
    "\\approx": "~", "\\cong": "=", "\\equiv": "=", "\\sim": "~", "\\in": "in", "\\notin": "notin", "->": "->", "\\to": "->",
    "\\rightarrow": "->", "\\subset": "sub", "\\subseteq": "sub", "~": "~",
}  # fmt: skip
_MULTIPLY = frozenset(("*", "\\cdot", "\\times"))
_DIVIDE = frozenset(("/", "\\div"))
_CLOSERS = {"(": ")", "[": "]"}
_HARD = word_set("int iint iiint oint lim prime nabla partial lnot iff implies forall exists")
_MATRICES = word_set("matrix pmatrix bmatrix vmatrix Bmatrix Vmatrix smallmatrix array")
_TRIG = word_set("sin cos tan cot sec csc sinh cosh tanh coth ln log lg arcsin arccos arctan")
_SETS = {"R": "R", "Z": "Z", "N": "N", "Q": "Q", "C": "C"}
_FUNCTION_LETTERS = frozenset("fghFGHPQpqTWSVuvyxw")
"""Letters that, right before a bracket, may be the name of a function."""


def parse(text: str, *, limit: int = MAX_CHARS, thousands: bool = True, trusted: bool = False) -> Node:
    """The tree of an undressed answer. ParseError: not in the grammar; BudgetError: over a limit.

    thousands: read `1,234` as a number. trusted: a ground truth, whose number may have any words behind it.
    """
    if len(text) > limit:
        raise BudgetError("length")
    parser = _Parser(tokenize(text, thousands=thousands), trusted)
    node = parser.answer()
    if parser.peek() is not END:
        raise ParseError("trailing text")
    return node


class _Parser:
    __slots__ = ("at", "bars", "depth", "tokens", "trusted")

    def __init__(self, tokens: list[Token], trusted: bool) -> None:
        self.tokens = tokens
        self.trusted = trusted
        self.at = 0
        self.depth = 0
        self.bars = 0

    def peek(self, ahead: int = 0) -> Token:
        at = self.at + ahead
        return self.tokens[at] if 0 <= at < len(self.tokens) else END

    def take(self) -> Token:
        token = self.tokens[self.at]
        if token is not END:
            self.at += 1
        return token

    def word(self, ahead: int = 0) -> str:
        token = self.peek(ahead)
        if token.kind == "op":
            return token.text
        return "\\" + token.text if token.kind == "cmd" else ""

    def accept(self, *words: str) -> bool:
        if self.word() in words:
            self.at += 1
            return True
        return False

    def expect(self, word: str) -> None:
        if not self.accept(word):
            raise ParseError(f"expected {word}")

    # Parts

    def answer(self) -> Node:
        """A whole answer: parts by "or" and ";", each a list by commas and "and"."""
        return self.parts(closers=())

    def parts(self, closers: tuple[str, ...]) -> Node:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise BudgetError("depth")
        groups: list[list[Node]] = [[]]
        joins: list[str] = []
        while True:
            groups[-1].append(self.part())
            self.condition()
            join = self.join(closers)
            if not join:
                break
            joins.append(join)
            if join in ("or", ";"):
                groups.append([])
            if sum(map(len, groups)) > MAX_ITEMS:
                raise BudgetError("items")
        self.depth -= 1
        if not joins:
            return groups[0][0]
        outer = "or" if "or" in joins else ";"
        if len(groups) == 1:
            return Node("list", tuple(groups[0]), "and" if "and" in joins and "," not in joins else ",")
        return Node(
            "list",
            tuple(group[0] if len(group) == 1 else Node("list", tuple(group), ",") for group in groups),
            outer,
        )

    def join(self, closers: tuple[str, ...]) -> str:
        """What joins the next part: "and", "or", "," or ";"; "" if there is none. It is taken."""
        token, word = self.peek(), self.word()
        if token.kind == "sep":
            self.take()
            self.accept(",")
            found = token.text
            if self.peek() is END and not self.trusted:
                raise ParseError("dangling word")
        elif word in ("\\lor", "\\land"):
            self.take()
            found = "or" if word == "\\lor" else "and"
        elif word in (",", ";"):
            self.take()
            found = word
            if self.peek().kind == "sep":
                text = self.take().text
                found = ";" if word == ";" else text
        else:
            return ""
        self.condition()
        if self.peek() is END or self.word() in closers:
            return ""
        if self.peek().kind == "sep":  # a condition in between: "for all x, and"
            return self.take().text
        return found

    def condition(self) -> bool:
        """Is what comes next a condition ("for all x", "where k is an integer")? It is skipped.

        A ground truth may have any; in an answer they must not say anything about the answer.
        """
        token = self.peek()
        begins = False
        if token.kind == "text":
            first = token.text.lower().split()[0]
            begins = first in units.QUALIFIERS or (self.trusted and first in units.TRUSTED_QUALIFIERS)
        elif self.at > 0 and self.word() == "\\forall":
            begins = True
        elif self.at > 0:  # `k \in \mathbb{Z}` behind a comma, or in brackets
            skip = 1 if self.word() == "(" else 0
            begins = (
                self.peek(skip).kind == "sym"
                and self.word(skip + 1) == "\\in"
                and self.word(skip + 2) == "\\mathbb"
                and (skip == 1 or self.word(-1) == ",")
            )
        if not begins:
            return False
        depth, at = 0, self.at
        while at < len(self.tokens) - 1:
            token = self.tokens[at]
            depth += token.text in ("(", "{", "[")
            depth -= token.text in (")", "}", "]")
            if depth < 0:
                return False
            if depth == 0 and token.kind == "sep" and self.related(at + 1):
                break
            if token.kind == "text" and not self.trusted and units.speaks_of_answer(token.text):
                raise ParseError("remark")
            at += 1
        self.at = at
        return True

    def related(self, at: int) -> bool:
        """Is there a relation or a tuple behind this separator, so that another part begins?"""
        rest = self.tokens[at:]
        return bool(rest) and (rest[0].text == "(" or any(token.text == "=" for token in rest))

    def part(self) -> Node:
        """One part: a label and what it labels, a chain of relations, or an expression."""
        token = self.peek()
        if token.kind == "text":
            follows = self.word(1)
            if follows in (":", "="):
                self.at += 2
                return Node("label", (self.chain(),), token.text.lower())
            lead = token.text.lower()
            if lead in (
                "only",
                "answer",
                "the answer is",
                "exactly",
                "so",
                "thus",
                "therefore",
                "both",
                "all",
                "all of",
            ):
                self.take()
                return self.chain()
            if self.peek(1).kind in ("end", "sep") or follows in (",", ";", ")", "]", "}", "\\}"):
                self.take()
                return Node("text", (), " ".join(token.text.split()))
        if self.word() == "=" or (self.word() in ("\\Rightarrow", "\\approx") and self.at == 0):
            self.take()
        return self.chain()

    def chain(self) -> Node:
        first = self.ratio()
        word = self.word()
        if word not in RELATIONS:
            return first
        members, operators = [first], []
        while (operator := RELATIONS.get(self.word())) is not None:
            self.take()
            if operator in ("<", ">") and self.accept("="):
                operator += "="
            if operator == "->" and self.at > 1 and self.tokens[self.at - 1].text == ">":
                operator = ">"
            operators.append(operator)
            members.append(self.ratio())
            if len(members) > MAX_ITEMS:
                raise BudgetError("items")
        return Node("rel", tuple(members), tuple(operators))

    def ratio(self) -> Node:
        first = self.union()
        if self.word() != ":":
            return first
        items = [first]
        while self.accept(":"):
            items.append(self.union())
        return Node("ratio", tuple(items))

    def union(self) -> Node:
        node = self.sum()
        while True:
            word = self.word()
            if word == "\\cup":
                self.take()
                right = self.sum()
                node = Node("cup", (*node.args, right) if node.op == "cup" else (node, right))
            elif word == "\\cap":
                self.take()
                node = Node("cap", (node, self.sum()))
            elif word == "\\setminus":
                self.take()
                node = Node("setminus", (node, self.sum()))
            elif self.peek() == ("sym", "U", True) and node.op == "seq" and self.word(1) in ("(", "["):
                self.take()
                right = self.sum()
                node = Node("cup", (*node.args, right) if node.op == "cup" else (node, right))
            else:
                return node

    # Arithmetic

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

    def raw_group(self) -> str:
        """The text of a group or a single token, for names."""
        if not self.accept("{"):
            return self.take().text
        depth, pieces = 1, []
        while depth:
            token = self.take()
            if token is END:
                raise ParseError("open brace")
            depth += token.text == "{"
            depth -= token.text == "}"
            if depth:
                pieces.append(token.text)
        return "".join(pieces)

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
        if unit is None or (node.op in ("sym", "const") and not unit.kind):
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

    # Primaries

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

    def command(self, name: str) -> Node:
        if name == "frac":
            above = self.brace_argument()
            below = self.brace_argument()
            return Node("div", (above, below))
        if name == "binom":
            return Node("binom", (self.brace_argument(), self.brace_argument()))
        if name == "sqrt":
            return self.root()
        if name == "infty":
            return Node("const", (), "inf")
        if name == "emptyset":
            return Node("seq", (), "{}")
        if name in ("lfloor", "lceil"):
            inside = self.sum()
            self.expect("\\rfloor" if name == "lfloor" else "\\rceil")
            return Node("floor" if name == "lfloor" else "ceil", (inside,))
        if name in ("lvert", "lVert"):
            inside = self.sum()
            self.expect("\\rvert" if name == "lvert" else "\\rVert")
            return Node("abs", (inside,))
        if name == "langle":
            inside = self.parts(("\\rangle",))
            self.expect("\\rangle")
            return Node("seq", inside.args if inside.op == "list" else (inside,), "<>")
        if name in (
            "overline",
            "bar",
            "vec",
            "hat",
            "tilde",
            "widehat",
            "overrightarrow",
            "angle",
            "triangle",
            "square",
        ):
            return self.decorated(name)
        if name == "mathbb":
            letter = self.raw_group().strip()
            if letter not in _SETS:
                raise ParseError("blackboard letter")
            if self.word() in ("^", "_"):
                self.take()
                letter += self.raw_group()
            return Node("sym", (), f"set {letter}")
        if name == "begin":
            return self.matrix()
        if name in ("sum", "prod"):
            return self.big(name)
        if name == "ldots":
            return Node("hard", (), "ellipsis")
        if name == "pmod":
            raise ParseError("congruence")
        if name in _HARD:
            self.at = len(self.tokens) - 1
            return Node("hard", (), name)
        raise ParseError("macro")

    def decorated(self, name: str) -> Node:
        if self.word() == "{":
            inner = self.raw_group()
        else:
            inner = ""
            while self.peek().kind in ("sym", "const") and len(inner) < 3:
                inner += self.take().text
                if name not in ("angle", "triangle"):
                    break
        if not inner or not all(c.isalnum() or c in "_'" for c in inner):
            raise ParseError("decoration")
        if name in ("bar", "overline") and len(inner) == 1:
            return Node("fn", (Node("sym", (), inner),), "conj")
        return Node("sym", (), f"{name} {inner}")

    def big(self, name: str) -> Node:
        lower = upper = variable = None
        while (word := self.word()) in ("_", "^"):
            self.take()
            if word == "^":
                upper = self.index()
                continue
            self.expect("{")
            token = self.take()
            if token.kind != "sym" and token.text != "i":
                raise ParseError("bound variable")
            variable = token.text
            self.expect("=")
            lower = self.sum()
            self.expect("}")
        if lower is None or upper is None or variable is None:
            return self.command("lim")
        body = self.term()
        if variable == "i":
            body = _rename_i(body)
        return Node("big", (body,), (name, variable, lower, upper))

    def matrix(self) -> Node:
        name = self.raw_group().rstrip("*")
        if name not in _MATRICES:
            if name in ("cases", "aligned", "align"):
                self.at = len(self.tokens) - 1
                return Node("hard", (), name)
            raise ParseError("environment")
        if name == "array":
            self.raw_group()
        rows: list[list[Node]] = [[]]
        while True:
            if self.word() == "\\end":
                break
            rows[-1].append(self.sum())
            if self.accept("&"):
                continue
            if self.accept("\\\\"):
                if self.word() != "\\end":
                    rows.append([])
                continue
            if self.word() != "\\end":
                raise ParseError("matrix")
            if sum(map(len, rows)) > 4 * MAX_ITEMS:
                raise BudgetError("items")
        self.take()
        self.raw_group()
        width = len(rows[0])
        if not width or any(len(row) != width for row in rows):
            raise ParseError("ragged matrix")
        cells = tuple(cell for row in rows for cell in row)
        node = Node("matrix", cells, (len(rows), width))
        if name == "vmatrix":
            return Node("fn", (node,), "det")
        return node

    def bracket(self, text: str) -> Node:
        if text in ("(", "["):
            bars, self.bars = self.bars, 0
            inside = self.parts((")", "]"))
            self.bars = bars
            closer = self.word()
            if closer not in (")", "]"):
                if closer == "[" and text == "[":
                    raise ParseError("brackets")
                raise ParseError("open bracket")
            self.take()
            if inside.op != "list":
                if closer != _CLOSERS[text]:
                    raise ParseError("brackets")
                if inside.op in ("seq", "matrix") and text == "(":
                    return inside
                return Node("group", (inside,), text)
            return Node("seq", inside.args, text + closer)
        if text == "\\{":
            return self.set()
        if text == "{":
            bars, self.bars = self.bars, 0
            if self.accept("}"):
                raise ParseError("empty group")
            inside = self.parts(("}",))
            self.bars = bars
            if self.accept("\\choose"):
                raise ParseError("choose")
            self.expect("}")
            return (
                inside
                if inside.op in ("num", "sym", "seq", "matrix", "list")
                else Node("group", (inside,), "{")
            )
        if text in ("|", "\\|"):
            self.bars += 1
            inside = self.sum()
            self.bars -= 1
            self.expect(text)
            return Node("abs", (inside,))
        if text == "-":
            return Node("neg", (self.factor(),))
        raise ParseError("symbol")

    def set(self) -> Node:
        bars, self.bars = self.bars, 1  # a bar inside is "such that"
        if self.accept("\\}"):
            return Node("seq", (), "{}")
        first = self.parts(("\\}",)) if not self.builder_ahead() else self.chain()
        if first.op == "ratio" and len(first.args) == 2:  # {x : x > 3}
            first, condition = first.args
            if RELATIONS.get(self.word()):
                raise ParseError("set-builder")
        if self.accept("|", ":"):
            condition = self.parts(("\\}",))
            self.expect("\\}")
            self.bars = bars
            return Node("build", (first, condition))
        self.expect("\\}")
        self.bars = bars
        return Node("seq", first.args if first.op == "list" else (first,), "{}")

    def builder_ahead(self) -> bool:
        """`x |`, `x :`, `x \\in R |`: the head of a set-builder. Its colon is made a bar: it isn't a ratio."""
        if self.peek().kind != "sym":
            return False
        ahead = 1
        if self.word(1) == "\\in":
            while self.word(ahead) not in ("|", ":", "\\}") and self.peek(ahead) is not END:
                ahead += 1
        if self.word(ahead) == ":":
            self.tokens[self.at + ahead] = Token("op", "|", False)
        return self.word(ahead) == "|"


def _rename_i(node: Node) -> Node:
    if node.op == "const" and node.data == "i":
        return Node("sym", (), "i")
    return node._replace(args=tuple(_rename_i(part) for part in node.args)) if node.args else node
