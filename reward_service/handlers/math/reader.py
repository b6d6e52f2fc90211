r"""The cursor over the tokens that the parts of the parser share.

What is decided here: that the parser is one recursive descent in three files by level (atoms, arithmetic,
expression), with one position and one depth. The methods of higher levels that brackets go back to are
declared here.
"""

from __future__ import annotations

from reward_service.handlers.math.nodes import Node, ParseError
from reward_service.handlers.math.tokens import END, Token


class Reader:
    """Tokens and a position. trusted: a ground truth; bars: how many absolute values are open."""

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

    # Levels that brackets and arguments go back to

    def parts(self, closers: tuple[str, ...]) -> Node:
        """Parts up to a closer (`expression.py`)."""
        raise NotImplementedError

    def chain(self) -> Node:
        """A chain of relations (`expression.py`)."""
        raise NotImplementedError

    def sum(self) -> Node:
        """A sum (`arithmetic.py`)."""
        raise NotImplementedError

    def term(self) -> Node:
        """A product (`arithmetic.py`)."""
        raise NotImplementedError

    def factor(self) -> Node:
        """A primary and what stands behind it (`arithmetic.py`)."""
        raise NotImplementedError
