"""The one program in a response.

What is decided here, and nowhere else: which text of a response is judged. The rule, in this order:
1. Only what follows the thinking part counts, and only complete fenced blocks: one that never closes is no block.
   Spaces after the language and a missing line break before the closing fence are tolerated.
2. If the task names a language, blocks of other languages don't count; a block without a language may be of any.
3. If the tests call something by name, it is the last block that defines all of it (a syntax error elsewhere in the
   block doesn't change that). Otherwise it is the last block that is a program: it parses, it writes output, and it
   uses no name that it doesn't define. So a usage example or a sample output in a later block is passed over.
4. If no block qualifies, it is the last one (of those that read input, else that name a language); if there is none at all, the whole final part if it
   parses as a Python program of that kind.
There is one candidate, never a second try. Parsing here is for choosing only: what compiles is decided in the sandbox.
"""

from __future__ import annotations

import ast
import builtins
import re
import warnings
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from reward_service.handlers._text import final_part

LANGUAGES = {
    "python": "python py python3 py3 python2 pypy pypy3 ipython cpython",
    "cpp": "cpp c++ cc cxx c++11 c++14 c++17 c++20 c++23 cpp17 cpp20 gcc g++",
    "c": "c c99 c11 c17",
    "java": "java java8 java11 java17 java21",
    "javascript": "javascript js node nodejs mjs ecmascript",
    "typescript": "typescript ts",
    "go": "go golang",
    "rust": "rust rs",
    "bash": "bash sh shell zsh",
}
"""Canonical name -> what fences and rows call it."""
_CANONICAL = {alias: name for name, aliases in LANGUAGES.items() for alias in aliases.split()}
MAX_PARSED = 1 << 16
"""Characters of a block that is parsed to choose it."""


class Program(NamedTuple):
    """The chosen text, its canonical language, and whether it defines what was asked for or is a whole program."""

    source: str
    language: str
    fits: bool


class Block(NamedTuple):
    """One complete fenced block: the language as written (lower case), and the text."""

    tag: str
    source: str


def canonical(language: str) -> str | None:
    """A language's canonical name, or None for one that nothing here runs."""
    return _CANONICAL.get(language.strip().lower().removeprefix("language-"))


_OPENING = re.compile(r"(`{3,}|~{3,})[ \t]*\{?\.?([\w+#.-]*)[^`\n]*$")


def blocks(text: str) -> list[Block]:
    """Every complete fenced block in order. One pass over the lines."""
    found: list[Block] = []
    fence = tag = ""
    indent = 0
    body: list[str] = []
    for line in text.replace("\r\n", "\n").split("\n"):
        stripped = line.strip()
        if not fence:
            match = _OPENING.search(line) if "```" in line or "~~~" in line else None
            # Text may stand before the fence on its line, but then it has to name a language.
            if match and (not line[: match.start()].strip(" \t>*-0123456789.") or match.group(2)):
                fence, tag = match.group(1), match.group(2).lower()
                indent = len(line) - len(line.lstrip()) if not line[: match.start()].strip() else 0
                body = []
        elif stripped.startswith(fence) and not stripped.strip(fence[0]) and line.find(fence) <= indent + 3:
            # A fence that stands further in (CommonMark's rule) belongs to a docstring of the program.
            found.append(Block(tag, "\n".join(body)))
            fence = ""
        elif stripped.endswith(fence) and not stripped.startswith(fence[0]):
            body.append(_outdented(line.rstrip()[: -len(fence)], indent))
            found.append(Block(tag, "\n".join(body)))
            fence = ""
        else:
            body.append(_outdented(line, indent))
    return found


def _outdented(line: str, indent: int) -> str:
    return line[indent:] if indent and not line[:indent].strip() else line


def parse(source: str) -> ast.Module | None:
    """The syntax tree, or None where this Python can't parse the text or it is too long to try."""
    if len(source) > MAX_PARSED:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def extract(response: str, language: str | None = "python", names: Sequence[str] = ()) -> Program | None:
    """The program of a response by the rule above. None if it holds none.

    language: canonical, or None if the task leaves it to the response. names: what the tests call, by its top-level
    name (`two_sum`, `Solution`), or with a method (`Solution.twoSum`).
    """
    text = final_part(response)
    candidates = [
        (block, known)
        for block in blocks(text)
        if block.source.strip() and (known := _language(block, language)) is not None
    ]
    for block, known in reversed(candidates):
        if defines(block.source, names) if names else is_program(block.source, known):
            return Program(block.source, known, True)
    if candidates:
        # A program that this Python can't parse, or that lacks an import, still is one: more so if it reads its input,
        # or at least has a language, than a usage example or a sample output.
        readers = [pair for pair in candidates if not names and _READS.search(pair[0].source)]
        tagged = [pair for pair in candidates if pair[0].tag]
        block, known = (readers or tagged or candidates)[-1]
        return Program(block.source, known, False)
    if "```" not in text and "~~~" not in text and language in (None, "python"):
        bare = text.strip()
        if bare and parse(bare) and (defines(bare, names) if names else is_program(bare, "python")):
            return Program(bare, "python", True)
    return None


def _language(block: Block, wanted: str | None) -> str | None:
    if block.tag:
        known = canonical(block.tag)
        if wanted == "cpp" and known == "c":
            return "cpp"
        return known if known is not None and wanted in (None, known) else None
    return wanted or guess(block.source)


def guess(source: str) -> str | None:
    """The language of a block that doesn't say, by what only that language has."""
    for language, marks in _MARKS.items():
        if any(mark in source for mark in marks):
            return language
    return "python" if parse(source) else None


_MARKS = {
    "cpp": ("#include <iostream", "#include <bits", "#include<bits", "#include<iostream", "using namespace std", "std::"),
    "c": ("#include <stdio.h>", "#include<stdio.h>"),
    "java": ("public static void main",),
    "go": ("package main",),
    "rust": ("fn main()",),
    "javascript": ("require(", "console.log("),
    "bash": ("#!/bin/bash", "#!/bin/sh", "#!/usr/bin/env bash"),
}  # fmt: skip


def defines(source: str, names: Iterable[str]) -> bool:
    """Does the source define all of the names at its top level? A method is looked for in its class."""
    tree = parse(source)
    for name in names:
        owner, _, method = name.partition(".")
        if tree is None:
            if not _line_defines(source, owner):
                return False
        elif not _tree_defines(tree.body, owner, method):
            return False
    return True


def _line_defines(source: str, name: str) -> bool:
    return re.search(rf"^(?:async +def|def|class) +{re.escape(name)}\b", source, re.MULTILINE) is not None


def _tree_defines(body: list[ast.stmt], name: str, method: str) -> bool:
    for node in body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            if node.name == name:
                return True
        elif isinstance(node, ast.ClassDef):
            if node.name == name and (not method or node.bases or _tree_defines(node.body, method, "")):
                return True
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if any(isinstance(t, ast.Name) and t.id == name for target in targets for t in ast.walk(target)):
                return True
        elif isinstance(node, (ast.If, ast.Try)) and _tree_defines(node.body, name, method):
            return True
    return False


_READS = re.compile(r"\b(?:input\(|stdin\b|open\(0|fileinput\b)")
_WRITES = frozenset(("print", "write", "writelines", "stdout", "os", "exec"))


def is_program(source: str, language: str) -> bool:
    """Is the block a whole program, rather than a fragment, a usage example or sample output?"""
    if language != "python":
        marks = {"cpp": "main", "c": "main", "java": "static void main", "go": "func main", "rust": "fn main"}
        return marks.get(language, "") in source
    tree = parse(source)
    if tree is None:
        return False
    writes = any(
        (isinstance(node, ast.Name) and node.id in _WRITES)
        or (isinstance(node, ast.Attribute) and node.attr in _WRITES)
        for node in ast.walk(tree)
    )
    return writes and not undefined(tree)


def undefined(tree: ast.Module) -> set[str]:
    """The names that a module uses and nothing in it, nor Python, defines: none that is certain if it imports `*`."""
    used: set[str] = set()
    bound: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            (used if isinstance(node.ctx, ast.Load) else bound).add(node.id)
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            bound.add(node.name)
        elif isinstance(node, ast.arg):
            bound.add(node.arg)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            for alias in node.names:
                if alias.name == "*":
                    return set()
                bound.add((alias.asname or alias.name).partition(".")[0])
        elif (isinstance(node, ast.ExceptHandler) and node.name) or (
            isinstance(node, (ast.MatchAs, ast.MatchStar)) and node.name
        ):
            bound.add(node.name)
        elif isinstance(node, ast.MatchMapping) and node.rest:
            bound.add(node.rest)
    return {name for name in used - bound if not hasattr(builtins, name) and not name.startswith("__")}
