"""What test source needs: from the response, and from the task.

What is decided here: which names the policy's program has to define. If the tests hand something to a check function
(`check(two_sum)`, `check(Solution().twoSum)`), it is that; if they import names from `solution`, it is those;
otherwise the names that they use and that neither they, Python, the task's preamble nor the task's prompt define.
All other names come from the task: its preamble, then the code in its prompt, then its reference solution; never
from the response.
"""

from __future__ import annotations

import ast
import builtins
import sys
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from reward_service.handlers._program import blocks, parse

SOLUTION_MODULES = ("solution", "main", "your_module")
MAX_CUTS = 60


class Needs(NamedTuple):
    """entry_point: what tests call, as `runs.Program` has it. roots: the names to be defined by the program.
    helpers: source of the task's own definitions that the tests also use; only the tester may see it."""

    entry_point: str
    roots: tuple[str, ...]
    helpers: str


def analyse(source: str, preamble: str, extra: Mapping[str, Any], entry_point: str = "") -> Needs | None:
    """What the tests in `source` need. None if they don't parse."""
    tree = parse_long(source)
    if tree is None:
        return None
    bound, used, imported = names(tree)
    trusted = defined(preamble)
    free = [
        name
        for name in used
        if name not in bound
        and name not in trusted
        and not hasattr(builtins, name)
        and not name.startswith("__")
    ]
    given = sources(extra) if free else []
    entries = [entry_point] if entry_point else checked(tree, bound)
    if not entries and imported:
        entries = sorted(imported)
    if not entries:
        named = [
            name
            for key in ("entry_point", "function_name")
            if isinstance(name := extra.get(key), str) and name
        ]
        entries = [name for name in named if _root(name) in free][:1]
    if not entries:
        # No name is declared: whatever nothing else defines is the program's to define. What the prompt or the
        # reference says decides between `count`, the function asked for, and `count` of itertools.
        reference = extra.get("reference")
        asked = defined(reference) if isinstance(reference, str) else set()
        known = [name for name in free if not well_known(name) or name in asked]
        prompt = {name for code in given if code != reference for name in defined(code, bodies=True)}
        entries = [name for name in known if name not in prompt] or known or free
    roots = tuple(dict.fromkeys(_needed(entry) for entry in entries))
    own = {_root(entry) for entry in entries}
    missing = {name for name in free if name not in own}
    helpers = ""
    for code in given:
        if missing:
            helpers = "\n\n".join(part for part in (helpers, definitions(code, missing, own)) if part)
            missing -= defined(helpers)
    return Needs(",".join(entries), roots, helpers)


def definitions(source: str, wanted: set[str], own: set[str]) -> str:
    """The imports, definitions and constants of `source` if it defines one of the wanted names; else "".

    Left out is what is the program's to define, so that no solution comes along.
    """
    tree = parse_long(source)
    kept: list[ast.stmt] = []
    found = False
    for node in tree.body if tree else ():
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            if node.name not in own and not _stub(node):
                found = found or node.name in wanted
                kept.append(node)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            if is_library(node):
                kept.append(node)
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if any(isinstance(target, ast.Name) and target.id in wanted for target in targets):
                found = True
                kept.append(node)
    return ast.unparse(ast.Module(kept, [])) if found else ""


def _root(entry: str) -> str:
    return entry.partition(".")[0].partition("(")[0].strip()


def _needed(entry: str) -> str:
    """`Solution().twoSum` needs `Solution.twoSum`; `f` needs `f`."""
    return entry.replace("()", "")


def checked(tree: ast.Module, bound: set[str]) -> list[str]:
    """The argument of the last check call on the top level: `check(Solution().f)` -> `Solution().f`."""
    for node in reversed(tree.body):
        if not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)):
            continue
        call = node.value
        if (
            isinstance(call.func, ast.Name)
            and call.func.id in bound
            and len(call.args) == 1
            and not call.keywords
        ):
            text = ast.unparse(call.args[0])
            if text.replace("()", "").replace(".", "").isidentifier() and _root(text) not in bound:
                return [text]
    return []


def names(tree: ast.Module) -> tuple[set[str], list[str], set[str]]:
    """The names that a module binds anywhere, those it uses (in order), and those it imports from the solution."""
    bound: set[str] = set()
    used: dict[str, None] = {}
    imported: set[str] = set()
    modules: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            if isinstance(node.ctx, ast.Load):
                used[node.id] = None
            else:
                bound.add(node.id)
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            bound.add(node.name)
        elif isinstance(node, ast.arg):
            bound.add(node.arg)
        elif isinstance(node, ast.ExceptHandler) and node.name:
            bound.add(node.name)
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                if node.module in SOLUTION_MODULES and alias.name != "*":
                    imported.add(alias.name)
                bound.add(alias.asname or alias.name)
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name in SOLUTION_MODULES:
                    modules.add(alias.asname or alias.name)
                bound.add((alias.asname or alias.name).partition(".")[0])
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in modules:
            imported.add(node.attr)
    return bound, list(used), imported


def defined(source: str, bodies: bool = False) -> set[str]:
    """The names that a source defines on its top level; `bodies`: without functions that only have a docstring."""
    tree = parse_long(source)
    found: set[str] = set()
    for node in tree.body if tree else ():
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            if not (bodies and _stub(node)):
                found.add(node.name)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            found.update((alias.asname or alias.name).partition(".")[0] for alias in node.names)
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found.update(target.id for target in targets if isinstance(target, ast.Name))
    return found


def _stub(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> bool:
    return all(
        isinstance(part, ast.Pass)
        or (isinstance(part, ast.Expr) and isinstance(part.value, ast.Constant))
        or (isinstance(part, ast.FunctionDef) and _stub(part))
        for part in node.body
    )


def sources(extra: Mapping[str, Any]) -> list[str]:
    """The code of the task: in its prompt, and its reference solution."""
    found: list[str] = []
    for key in ("question", "original_prompt"):
        text = extra.get(key)
        if isinstance(text, str) and (code := code_in(text)):
            found.append(code)
    reference = extra.get("reference")
    if isinstance(reference, str) and parse_long(reference) is not None:
        found.append(reference)
    return found


PACKAGES = frozenset(("numpy", "pandas", "scipy", "sympy", "networkx", "sortedcontainers"))


def imports(extra: Mapping[str, Any]) -> str:
    """The import lines of the code in a task's prompt, as far as they exist: they are part of what is completed."""
    lines: dict[str, None] = {}
    for key in ("question", "original_prompt"):
        text = extra.get(key)
        tree = parse_long(code_in(text)) if isinstance(text, str) else None
        for node in tree.body if tree else ():
            if is_library(node):
                lines[ast.unparse(node)] = None
    return "\n".join(f"try:\n    {line}\nexcept ImportError:\n    pass" for line in lines)


def is_library(node: ast.stmt) -> bool:
    """Does it import only what every sandbox may have? Prompts also import from `solution`, or for an example."""
    if isinstance(node, ast.Import):
        modules = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom) and not node.level and node.module != "__future__":
        modules = [node.module or ""]
    else:
        return False
    roots = {module.partition(".")[0] for module in modules}
    return roots <= sys.stdlib_module_names | PACKAGES


def code_in(text: str) -> str:
    """The Python code of a prompt: the prompt itself, its fenced blocks, or the longest run of lines that parses."""
    if len(text) > 1 << 16:
        return ""
    tree = parse(text)
    if tree is not None and any(not isinstance(node, ast.Expr) for node in tree.body):
        return text
    fenced = [block.source for block in blocks(text) if with_bodies(block.source)]
    if fenced:
        return "\n\n".join(map(with_bodies, fenced))
    lines = text.split("\n")
    starts = ("def ", "class ", "import ", "from ", "@")
    begin = next((at for at, line in enumerate(lines) if line.startswith(starts)), None)
    if begin is None:
        return ""
    for cut in range(MAX_CUTS):
        end = len(lines) - cut
        if end <= begin:
            break
        if code := with_bodies("\n".join(lines[begin:end])):
            return code
    return ""


def with_bodies(source: str) -> str:
    """The source, a last function without a body completed; "" if it doesn't parse."""
    for text in (source, source.rstrip() + "\n        pass\n", source.rstrip() + "\n    pass\n"):
        if parse(text) is not None:
            return text
    return ""


def parse_long(source: str) -> ast.Module | None:
    """The syntax tree of trusted source of any length, or None."""
    import warnings

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


_ORIGINS = {
    "typing": "Any Callable Deque Dict Generator Iterable Iterator List Mapping Optional Sequence Set Tuple Union",
    "collections": "Counter OrderedDict defaultdict deque namedtuple",
    "functools": "cache cmp_to_key lru_cache partial reduce wraps",
    "itertools": "accumulate chain combinations combinations_with_replacement count cycle groupby islice pairwise "
    "permutations product repeat takewhile zip_longest",
    "heapq": "heapify heappop heappush heappushpop heapreplace merge nlargest nsmallest",
    "bisect": "bisect bisect_left bisect_right insort insort_left insort_right",
    "math": "ceil comb cos factorial floor gcd hypot inf isclose isqrt lcm log log10 log2 nan perm pi pow prod sin sqrt tan",
    "string": "ascii_letters ascii_lowercase ascii_uppercase digits punctuation",
    "fractions": "Fraction",
    "decimal": "Decimal",
    "copy": "deepcopy",
    "operator": "itemgetter xor",
    "random": "choice randint",
    "dataclasses": "dataclass field",
    "enum": "Enum IntEnum",
    "abc": "ABC abstractmethod",
}
ORIGINS = {name: module for module, listed in _ORIGINS.items() for name in listed.split()}
_MODULE_NAMES = (
    "bisect collections copy datetime decimal fractions functools heapq itertools json math operator os random re "
    "string sys time typing"
)
_MODULES = frozenset(_MODULE_NAMES.split())


def well_known(name: str) -> bool:
    """Is this a name that tests take from a library without importing it?"""
    return (
        name in ORIGINS
        or name in sys.stdlib_module_names
        or name in ("np", "pd", "numpy", "pandas", "pytest")
    )


def conveniences(free: Iterable[str]) -> dict[str, str]:
    """name -> module, for the names that LeetCode, APPS and their like have imported in front of a solution."""
    return {name: ORIGINS.get(name) or name for name in free if name in ORIGINS or name in _MODULES}
