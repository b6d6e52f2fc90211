r"""Primaries of the grammar: macros with arguments, brackets, sets, matrices.

What is decided here: that every bracket must close with its own kind, but for intervals; that a set's bar is
"such that"; that what only the symbolic tier can read (integrals, limits) is a `hard` node which takes the
rest of the answer.
"""

from __future__ import annotations

from reward_service.handlers.math.atoms import Atoms
from reward_service.handlers.math.nodes import MAX_ITEMS, BudgetError, Node, ParseError, word_set
from reward_service.handlers.math.tokens import END, Token

_CLOSERS = {"(": ")", "[": "]"}
_HARD = word_set("int iint iiint oint lim prime nabla partial lnot iff implies forall exists")
_EVALUABLE = word_set("int iint iiint oint lim")
_MATRICES = word_set("matrix pmatrix bmatrix vmatrix Bmatrix Vmatrix smallmatrix array")
_SETS = frozenset("RZNQC")
_RELATION = word_set("= == < > <= >= != \\le \\ge \\ne \\approx \\in")


class Brackets(Atoms):
    """Macros and brackets."""

    __slots__ = ()

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
        if name in _HARD:
            self.skip_hard(name)
            return Node("hard", (), name)
        raise ParseError("macro")

    def skip_hard(self, name: str) -> None:
        """Past an integral or limit, up to the `=` behind it; past everything for the signs of logic."""
        depth = 0
        while self.at < len(self.tokens) - 1:
            text = self.tokens[self.at].text
            depth += text in ("{", "(", "[")
            depth -= text in ("}", ")", "]")
            if depth < 0 or (depth == 0 and name in _EVALUABLE and text in ("=", "approx")):
                break
            self.at += 1

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
            if self.word() in _RELATION:
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
