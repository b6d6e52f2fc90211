r"""The bounded parser: an undressed answer (LaTeX or plain) into a tree of our own.

What is decided here: the grammar, from the outside in: parts joined by `;`, "or", "and" and commas; chains of
relations; ratios; unions and differences; sums; products (explicit or by juxtaposition); powers and what
stands behind a number (`!`, `%`, `°`, a base, a unit); brackets. What isn't in the grammar is refused as a
whole: nothing is ever picked out of an answer that could not be read. Nothing is evaluated or expanded here.
"""

from __future__ import annotations

from reward_service.handlers.math import units
from reward_service.handlers.math.arithmetic import Arithmetic
from reward_service.handlers.math.nodes import MAX_CHARS, MAX_DEPTH, MAX_ITEMS, BudgetError, Node, ParseError
from reward_service.handlers.math.tokens import END, tokenize

RELATIONS = {
    "=": "=", "==": "=", "<": "<", ">": ">", "<=": "<=", ">=": ">=", "!=": "!=", "\\le": "<=", "\\ge": ">=", "\\ne": "!=",
    "\\approx": "~", "\\cong": "=", "\\equiv": "=", "\\sim": "~", "\\in": "in", "\\notin": "notin", "->": "->", "\\to": "->",
    "\\rightarrow": "->", "\\subset": "sub", "\\subseteq": "sub", "~": "~",
}  # fmt: skip


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


class _Parser(Arithmetic):
    """Parts, conditions, relations."""

    __slots__ = ()

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
        elif word in (",", ";", "\\\\"):
            self.take()
            found = "," if word == "\\\\" else word
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
            if not self.trusted:
                if token.text == "or" or (token.kind == "text" and units.speaks_of_answer(token.text)):
                    raise ParseError("remark")
                after = self.tokens[at + 1]
                if depth == 0 and token.text in (",", ";") and after.kind not in ("sym", "text", "sep"):
                    raise ParseError("another part behind a condition")
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
                if not self.trusted and units.speaks_of_answer(token.text):
                    raise ParseError("remark")
                self.at += 2
                return Node("label", (self.chain(),), token.text.lower())
            if (
                self.peek(1).kind in ("num", "sym")
                and self.word(2) == ":"
                and not units.speaks_of_answer(token.text)
            ):
                label = f"{token.text.lower()} {self.peek(1).text}"  # "Case 1: 5"
                self.at += 3
                return Node("label", (self.chain(),), label)
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
            if lead.endswith((" is", " are", " equals", " =")) and not units.speaks_of_answer(
                lead, strict=True
            ):
                self.take()
                return Node("label", (self.chain(),), lead)
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
