"""What is known of test source before it runs, in the trusted tester process.

What is decided here: which names the tests need from elsewhere; which calls a list of plain asserts is going to make;
and how tests are changed so that each assertion counts, or so that a helper is compared with the program's own.
"""

from __future__ import annotations

import ast
from typing import Any

SOLUTION_MODULES = ("solution", "main", "your_module")


class Names(ast.NodeVisitor):
    """Which names the tests need from elsewhere, and what they import from the solution."""

    def __init__(self, tree: ast.Module) -> None:
        self.from_solution: set[str] = set()
        self.star = False
        self.attributes: set[str] = set()
        self._modules: set[str] = set()
        self._bound: set[str] = set()
        self._used: dict[str, None] = {}
        self.visit(tree)
        self.free = [name for name in self._used if name not in self._bound and not name.startswith("__")]

    def visit_Name(self, node: ast.Name) -> None:
        if isinstance(node.ctx, ast.Load):
            self._used[node.id] = None
        else:
            self._bound.add(node.id)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        for alias in node.names:
            if node.module in SOLUTION_MODULES:
                if alias.name == "*":
                    self.star = True
                else:
                    self.from_solution.add(alias.name)
            self._bound.add(alias.asname or alias.name)

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            if alias.name in SOLUTION_MODULES:
                self._modules.add(alias.asname or alias.name)
            self._bound.add(alias.asname or alias.name.partition(".")[0])

    def visit_Attribute(self, node: ast.Attribute) -> None:
        if isinstance(node.value, ast.Name) and node.value.id in self._modules:
            self.attributes.add(node.attr)
        self.generic_visit(node)

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self._bound.add(node.name)
        self.generic_visit(node)

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self._bound.add(node.name)
        self.generic_visit(node)

    def visit_arg(self, node: ast.arg) -> None:
        self._bound.add(node.arg)
        self.generic_visit(node)

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> None:
        if node.name:
            self._bound.add(node.name)
        self.generic_visit(node)


class Asserts:
    """What is known of a script of asserts before it runs: how many, where, and the calls with literal arguments."""

    def __init__(self, tree: ast.Module, entries: list[str]) -> None:
        body, name = tree.body, entries[0] if len(entries) == 1 and entries[0].isidentifier() else ""
        functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
        called = [
            node.value
            for node in tree.body
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
        ]
        checks = [call for call in called if isinstance(call.func, ast.Name) and call.func.id in functions]
        if checks or "check" in functions:
            check = functions[checks[-1].func.id] if checks else functions["check"]  # type: ignore[attr-defined]
            body = check.body
            if check.args.args:
                name = check.args.args[0].arg
        self._lines = [node.end_lineno or node.lineno for node in body if isinstance(node, ast.Assert)]
        self.total = len(self._lines)
        self.executed = bool(self._lines) or bool(checks)
        self.calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = []
        plain = all(isinstance(node, (ast.Assert, ast.Pass, ast.Import, ast.Expr)) for node in body)
        if plain and name and 3 <= self.total <= 5_000:
            self._find(body, name)

    def _find(self, body: list[ast.stmt], name: str) -> None:
        for statement in body:
            if not isinstance(statement, ast.Assert):
                continue
            found = [n for n in ast.walk(statement.test) if isinstance(n, ast.Call)]
            for call in reversed(found):
                if not (isinstance(call.func, ast.Name) and call.func.id == name):
                    continue
                try:
                    args = tuple(ast.literal_eval(arg) for arg in call.args)
                    kwargs = {k.arg: ast.literal_eval(k.value) for k in call.keywords if k.arg is not None}
                except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
                    continue
                self.calls.append((args, kwargs))

    def before(self, line: int) -> int:
        """How many asserts end before a line of the tests."""
        return sum(1 for end in self._lines if end < line)


def every_assert(tree: ast.Module) -> ast.Module:
    """The tests with each assertion in `with __tally__:`, so that one that fails doesn't end them."""

    class Wrap(ast.NodeTransformer):
        def visit_Assert(self, node: ast.Assert) -> ast.stmt:
            item = ast.withitem(context_expr=ast.Name("__tally__", ast.Load()))
            return ast.copy_location(ast.With(items=[item], body=[node]), node)

    return ast.fix_missing_locations(Wrap().visit(tree))


def agreeing(tree: ast.Module, helpers: set[str]) -> ast.Module:
    """The tests with each of these helpers wrapped where it was defined."""
    body: list[ast.stmt] = []
    for node in tree.body:
        body.append(node)
        if isinstance(node, ast.FunctionDef) and node.name in helpers:
            call = ast.Call(
                ast.Name("__agreeing__", ast.Load()),
                [ast.Constant(node.name), ast.Name(node.name, ast.Load())],
                [],
            )
            body.append(ast.copy_location(ast.Assign([ast.Name(node.name, ast.Store())], call), node))
    return ast.fix_missing_locations(ast.Module(body, tree.type_ignores))


def evaluate(entry: str, names: dict[str, Any]) -> Any:
    """What `f`, `Solution.f` or `Solution().f` stands for."""
    first, *rest = entry.split(".")
    value = names[first.removesuffix("()")]
    value = value() if first.endswith("()") else value
    for part in rest:
        value = getattr(value, part.removesuffix("()"))
        value = value() if part.endswith("()") else value
    return value
