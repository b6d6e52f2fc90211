"""What is known of test source before it runs, in the trusted tester process.

What is decided here: which names the tests need from elsewhere; which calls a list of plain asserts is going to make;
and how tests are changed so that each assertion counts, or so that a helper is compared with the program's own.
"""

from __future__ import annotations

import ast
from typing import Any

SOLUTION_MODULES = ("solution", "main", "your_module")


class Names:
    """Which names the tests need from elsewhere, and what they import from the solution."""

    def __init__(self, tree: ast.Module) -> None:
        self.from_solution: set[str] = set()
        self.star = False
        bound: set[str] = set()
        used: dict[str, None] = {}
        modules: set[str] = set()
        attributes: list[tuple[str, str]] = []
        pending: list[ast.AST] = [tree]
        while pending:  # tests are mostly literals: constants are never looked at
            node = pending.pop()
            kind = type(node)
            if kind is ast.Name:
                if type(node.ctx) is ast.Load:  # type: ignore[attr-defined]
                    used[node.id] = None  # type: ignore[attr-defined]
                else:
                    bound.add(node.id)  # type: ignore[attr-defined]
                continue
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                bound.add(node.name)
            elif isinstance(node, ast.arg):
                bound.add(node.arg)
            elif isinstance(node, ast.ExceptHandler) and node.name:
                bound.add(node.name)
            elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                attributes.append((node.value.id, node.attr))
            elif isinstance(node, ast.ImportFrom):
                names = {alias.name for alias in node.names}
                if node.module in SOLUTION_MODULES:
                    self.star = self.star or "*" in names
                    self.from_solution |= names - {"*"}
                bound.update(alias.asname or alias.name for alias in node.names)
            elif isinstance(node, ast.Import):
                for alias in node.names:
                    if alias.name in SOLUTION_MODULES:
                        modules.add(alias.asname or alias.name)
                    bound.add(alias.asname or alias.name.partition(".")[0])
            for value in node.__dict__.values():
                if type(value) is list:
                    pending.extend([item for item in value if type(item) not in _LEAVES])
                elif isinstance(value, ast.AST) and type(value) is not ast.Constant:
                    pending.append(value)
        self.attributes = {name for module, name in attributes if module in modules}
        self.free = [name for name in used if name not in bound and not name.startswith("__")]


_LEAVES = frozenset((ast.Constant, str, type(None)))


def announce(tree: ast.Module, entries: list[str]) -> ast.Module:
    """The tests with `__expect__(inputs)` in front of loops over `zip(inputs, …)` that call the entry on each input."""
    known = {entry for entry in entries if entry.isidentifier()}
    bodies = [(tree.body, known)]
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            bodies.append((node.body, known | {argument.arg for argument in node.args.args[:1]}))
    for body, names in bodies:
        for at in range(len(body) - 1, -1, -1):
            inputs = _looped(body[at], names)
            if inputs:
                call = ast.Call(ast.Name("__expect__", ast.Load()), [ast.Name(inputs, ast.Load())], [])
                body.insert(at, ast.fix_missing_locations(ast.copy_location(ast.Expr(call), body[at])))
    return tree


def _looped(node: ast.stmt, names: set[str]) -> str:
    """The name of the list that a loop's calls take their arguments from; "" for any other statement."""
    if not isinstance(node, ast.For):
        return ""
    source, target = node.iter, node.target
    if _is_call(source, "enumerate") and isinstance(target, ast.Tuple):
        source, target = source.args[0], target.elts[-1]  # type: ignore[attr-defined]
    if not (_is_call(source, "zip") and isinstance(target, ast.Tuple)):
        return ""
    first, inputs = target.elts[0], source.args[0]  # type: ignore[attr-defined]
    if not (isinstance(first, ast.Name) and isinstance(inputs, ast.Name)):
        return ""
    calls = [
        call
        for statement in node.body
        for call in ast.walk(statement)
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in names
    ]
    if len(calls) != 1 or len(calls[0].args) != 1 or calls[0].keywords:
        return ""
    (only,) = calls[0].args
    same = (
        isinstance(only, ast.Starred)
        and first.id in ast.unparse(only.value).replace("(", " ").replace(")", " ").split()
    )
    return inputs.id if same else ""


def _is_call(node: ast.AST, name: str) -> bool:
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == name
        and bool(node.args)
    )


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
