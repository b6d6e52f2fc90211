"""The rules that hold the parts together, read from the source with `ast`: nothing is imported to check them."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "reward_service"
PART_OF = {"sandbox_images": "adapters"}
"""Modules beside the package of the layer that they belong to: this one names and builds what docker.py starts."""


class Module(NamedTuple):
    """One source file: its dotted name below the package, its layer (the first part), and its syntax tree."""

    name: str
    layer: str
    path: Path
    tree: ast.Module


def read(path: Path) -> Module:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    name = ".".join(part for part in parts if part != "__init__")
    return Module(name, layer_of(parts[0]), path, ast.parse(path.read_text(), str(path)))


def layer_of(part: str) -> str:
    return PART_OF.get(part, part)


MODULES = [read(path) for path in sorted(PACKAGE.rglob("*.py"))]
NAMES = {module.name for module in MODULES}


class Import(NamedTuple):
    """`line` of a file names the module `target`; `names` is what is taken out of it."""

    line: int
    target: str
    names: tuple[str, ...]


def imports(module: Module) -> Iterator[Import]:
    """Every import, wherever it stands (functions and TYPE_CHECKING blocks too), with absolute names."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(node.lineno, alias.name, ())
        elif isinstance(node, ast.ImportFrom):
            target = node.module or ""
            if node.level:
                here = ["reward_service", *module.name.split(".")]
                up = node.level - (1 if module.path.name == "__init__.py" else 0)
                base = here[: len(here) - up]
                target = ".".join([*base, target]).rstrip(".")
            names = [alias.name for alias in node.names]
            # `from reward_service.gateway import problems` imports a module, not a name.
            modules = [name for name in names if own(f"{target}.{name}") in NAMES]
            for name in modules:
                yield Import(node.lineno, f"{target}.{name}", ())
            others = tuple(name for name in names if name not in modules)
            if others and target != "reward_service":
                yield Import(node.lineno, target, others)


def own(target: str) -> str | None:
    """The name below the package of one of our modules; None for anybody else's."""
    return target.removeprefix("reward_service.") if target.startswith("reward_service.") else None


def where(module: Module, line: int) -> str:
    return f"{module.path.relative_to(ROOT)}:{line}"


CORE = {"types", "errors", "runs", "questions", "narrate"}
"""The words: values and errors that everything may speak in."""
MAY_IMPORT: dict[str, set[str]] = {
    "__init__": set(),
    "types": set(),
    "errors": set(),
    "runs": {"types"},
    "questions": {"types"},
    "narrate": {"types", "runs", "questions"},
    "registry": CORE,
    "handlers": CORE - {"errors"} | {"registry"},
    "engine": CORE | {"registry"},
    "adapters": CORE | {"registry", "engine"},
    "wire": {"types", "errors"},
    "settings": {"types"},
    "keys": set(),
    "logs": set(),
    "health": CORE | {"engine"},
    "telemetry": CORE | {"engine", "health"},
    "gateway": CORE | {"registry", "engine", "wire", "settings", "telemetry", "health", "keys", "logs"},
    "audit": CORE | {"registry", "engine"},
    "client": {"types", "wire"},
    "tracing": CORE | {"engine", "logs"},
    "assemble": CORE
    | {"audit", "registry", "engine", "adapters", "gateway", "wire", "settings", "telemetry", "tracing"},
}
"""Layer -> the other layers that it may import. What is not here (the command line and its helpers) is on top:
it may import any of these, but for what `ON_TOP_NEVER` says, and none of these may import it."""
ON_TOP_NEVER = {"handlers"}
EXCEPTIONS = {
    (
        "registry",
        "handlers",
    ): "`load` lists the built-in handlers' package when it is called, as it does plug-ins",
}


def broken_directions(modules: list[Module]) -> list[str]:
    found = []
    for module in modules:
        for line, target, _ in imports(module):
            name = own(target)
            if name is None:
                continue
            layer = layer_of(name.partition(".")[0])
            if layer == module.layer or (module.layer, layer) in EXCEPTIONS:
                continue
            allowed = MAY_IMPORT.get(module.layer, set(MAY_IMPORT) - ON_TOP_NEVER)
            if layer not in allowed and (layer in MAY_IMPORT or module.layer in MAY_IMPORT):
                found.append(f"{where(module, line)}: {module.layer} imports {name}")
    return found


def test_dependencies_point_one_way() -> None:
    assert not broken_directions(MODULES)


@pytest.mark.parametrize(
    ("name", "source", "breaks"),
    [
        ("engine/x.py", "from reward_service.adapters.memory import MemoryCache", True),
        ("engine/x.py", "def f():\n    import reward_service.gateway.app", True),
        ("engine/x.py", "from ..adapters import memory", True),
        ("engine/x.py", "from reward_service import gateway", True),
        ("engine/x.py", "from reward_service import cli", True),
        ("engine/x.py", "from reward_service.registry import load", False),
        ("engine/x.py", "from . import ports", False),
        ("handlers/x.py", "from reward_service.engine.child import finite", True),
        ("handlers/x.py", "from reward_service.errors import NotFound", True),
        ("handlers/x.py", "from reward_service.handlers._text import peel", False),
        ("types.py", "from reward_service.errors import NotFound", True),
        ("client/x.py", "from reward_service.errors import NotFound", True),
        ("client/x.py", "from reward_service.wire import encode", False),
        ("cli.py", "from reward_service.handlers.table import plan", True),
        ("cli.py", "from reward_service.assemble import build_app", False),
    ],
)
def test_the_check_of_directions_notices(name: str, source: str, breaks: bool) -> None:
    path = PACKAGE / name
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    assert bool(broken_directions([Module(".".join(parts), parts[0], path, ast.parse(source))])) is breaks


def test_only_assemble_knows_engine_adapters_and_gateway_at_once() -> None:
    for module in MODULES:
        layers = {layer_of((own(target) or "").partition(".")[0]) for _, target, _ in imports(module)} | {
            module.layer
        }
        knows = {"engine", "adapters", "gateway"} <= layers
        assert not knows or module.name == "assemble", f"{module.name} knows all three"


def at_import(module: Module) -> set[str]:
    """Our modules that are imported when this one is: not in functions, not under TYPE_CHECKING."""
    top = ast.Module(
        [
            node
            for node in module.tree.body
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            and not (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test))
        ],
        [],
    )
    found = {own(target) or "" for _, target, _ in imports(module._replace(tree=top))}
    return {name for name in found if name in NAMES}


def test_no_modules_import_each_other_in_a_circle() -> None:
    """A circle works or not by who is imported first, and the next test or command may come the other way."""
    needs = {module.name: at_import(module) - {module.name} for module in MODULES}
    while free := {name for name, others in needs.items() if not others & needs.keys()}:
        for name in free:
            del needs[name]
    assert not {name: sorted(others & needs.keys()) for name, others in needs.items()}


def test_private_modules_and_names_stay_in_their_package() -> None:
    found = []
    for module in MODULES:
        package = module.name if module.path.name == "__init__.py" else module.name.rpartition(".")[0]
        for line, target, names in imports(module):
            name = own(target)
            if name is None:
                continue
            *_, private = [[]] + [
                name.split(".")[:place] for place, part in enumerate(name.split(".")) if part.startswith("_")
            ]
            if private and not (package + ".").startswith(".".join(private) + "."):
                found.append(f"{where(module, line)}: {name} is private to {'.'.join(private)}")
            found += [
                f"{where(module, line)}: {name}.{private_name} is private"
                for private_name in names
                if private_name.startswith("_") and not private_name.startswith("__") and f"{name}.{private_name}" not in NAMES
            ]  # fmt: skip
    assert not found


# Handlers

LIBRARIES = {
    "flint", "sympy", "math_verify", "latex2sympy2_extended", "rdkit", "lxml", "markdown_it", "if_verifiable",
    "reasoning_gym", "nltk", "langdetect", "pint",
}  # fmt: skip
NEVER_IN_A_HANDLER = {
    "asyncio", "redis", "docker", "fastapi", "subprocess", "socket", "multiprocessing", "threading", "concurrent",
    "http", "urllib", "ssl", "selectors", "signal", "shutil", "tempfile", "ctypes", "pickle", "marshal", "shelve",
    "os", "random", "secrets", "uuid",
}  # fmt: skip
"""A handler is a pure function: no I/O, no processes, and nothing that two calls could decide differently."""
ARGUED = {
    (
        "handlers/math/symbolic.py",
        "signal",
    ): "a CPU timer of its own, below the pool's, around the last resort",
    ("handlers/math/symbolic.py", "threading"): "asks whether it is in the main thread, where timers work",
    ("handlers/code/judge.py", "random"): "an order of tests drawn from a seed that the item fixes",
}
"""What a handler imports all the same, and why."""


def test_handlers_import_the_standard_library_their_own_library_and_us() -> None:
    found = []
    for module in MODULES:
        if module.layer != "handlers":
            continue
        for line, target, _ in imports(module):
            top = target.partition(".")[0]
            if top == "reward_service":
                continue
            if (module.path.relative_to(PACKAGE).as_posix(), top) in ARGUED:
                continue
            if top in NEVER_IN_A_HANDLER or not (top in sys.stdlib_module_names or top in LIBRARIES):
                found.append(f"{where(module, line)}: {target}")
    assert not found


IMPURE = {"open", "input", "print", "globals", "breakpoint", "__import__", "exit", "quit"}


def test_handlers_do_no_io() -> None:
    found = [
        f"{where(module, node.lineno)}: {node.func.id}"
        for module in MODULES
        if module.layer == "handlers"
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in IMPURE
    ]
    assert not found


# What may never be called

EVALUATE = {"eval", "exec", "sympify", "parse_expr", "parse_latex", "execfile", "run_path", "run_module"}
LOADERS = {("pickle", "load"), ("pickle", "loads"), ("_pickle", "loads"), ("marshal", "load"), ("marshal", "loads"),
           ("yaml", "load"), ("yaml", "unsafe_load"), ("yaml", "full_load"), ("dill", "loads"), ("dill", "load"),
           ("cloudpickle", "loads"), ("shelve", "open"), ("os", "system"), ("os", "popen"), ("joblib", "load")}  # fmt: skip
UNPICKLERS = {
    "engine/channel.py": "between the supervisor and its own children; refuses every class and function",
    "gateway/dialects/open_instruct.py": "that dialect's tests come pickled; read by `channel.unpack`, and only that",
}
"""Modules that may import pickle, and why. An Unpickler is a class of theirs whose `find_class` only raises."""


def evaluations(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Every mention of something that turns text into code or bytes into objects, called or not."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id in EVALUATE:
            yield node.lineno, node.id
        elif isinstance(node, ast.Attribute):
            if node.attr in EVALUATE:
                yield node.lineno, node.attr
            elif isinstance(node.value, ast.Name) and (node.value.id, node.attr) in LOADERS:
                yield node.lineno, f"{node.value.id}.{node.attr}"
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                if alias.name in EVALUATE or ((node.module or "").partition(".")[0], alias.name) in LOADERS:
                    yield node.lineno, alias.name
        elif isinstance(node, ast.Call):
            if isinstance(node.func, ast.Name) and node.func.id in {"compile", "__import__"}:
                yield node.lineno, node.func.id
            if any(word.arg == "shell" and not is_false(word.value) for word in node.keywords):
                yield node.lineno, "shell=True"


def is_false(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is False


def test_nothing_evaluates() -> None:
    found = [f"{where(m, line)}: {what}" for m in MODULES for line, what in evaluations(m.tree)]
    assert not found


@pytest.mark.parametrize(
    "source",
    [
        "eval(x)",
        "map(eval, xs)",
        "exec(x)",
        "import builtins\nbuiltins.eval(x)",
        "import sympy\nsympy.sympify(x)",
        "from sympy.parsing.sympy_parser import parse_expr as p",
        "import yaml\nyaml.load(x)",
        "import pickle\npickle.loads(x)",
        "from pickle import loads",
        "compile(x, 'f', 'eval')",
        "subprocess.run(x, shell=True)",
        "__import__(x)",
    ],
)
def test_the_check_of_evaluations_notices(source: str) -> None:
    assert list(evaluations(ast.parse(source)))


@pytest.mark.parametrize(
    "source", ["ast.literal_eval(x)", "re.compile(x)", "json.loads(x)", "yaml.safe_load(x)"]
)
def test_the_check_of_evaluations_lets_the_rest_be(source: str) -> None:
    assert not list(evaluations(ast.parse(source)))


def test_pickle_is_only_where_the_list_says_and_names_no_class_there() -> None:
    using = {}
    for module in MODULES:
        if any(
            target.partition(".")[0] in {"pickle", "_pickle", "dill", "cloudpickle"}
            for _, target, _ in imports(module)
        ):
            using[module.path.relative_to(PACKAGE).as_posix()] = module
    assert set(using) == set(UNPICKLERS)
    for path, module in using.items():
        uses = {
            f"pickle.{node.attr}"
            for node in ast.walk(module.tree)
            if isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id == "pickle"
        }
        assert uses <= {"pickle.dumps", "pickle.Unpickler", "pickle.UnpicklingError"}, path
        unpicklers = [
            node
            for node in ast.walk(module.tree)
            if isinstance(node, ast.ClassDef) and any("Unpickler" in ast.unparse(base) for base in node.bases)
        ]
        assert len(unpicklers) == ("pickle.Unpickler" in uses), path
        for unpickler in unpicklers:
            (find_class,) = [
                node
                for node in unpickler.body
                if isinstance(node, ast.FunctionDef) and node.name == "find_class"
            ]
            assert [type(statement) for statement in find_class.body] == [ast.Raise]
        calls = [node for node in ast.walk(module.tree) if isinstance(node, ast.Call)]
        assert not [call for call in calls if ast.unparse(call.func) == "pickle.Unpickler"]


def test_numpy_and_its_kin_are_no_part_of_the_service() -> None:
    heavy = {"numpy", "pandas", "scipy", "torch"}
    found = [
        f"{where(module, line)}: {target}"
        for module in MODULES
        for line, target, _ in imports(module)
        if target.partition(".")[0] in heavy and module.layer != "client"  # which runs in a trainer's process
    ]
    assert not found


# Files

# Written in two parts, so that this file names none of them either.
HOSTS = [".".join(parts) for parts in (
    ("pypi", "org"), ("pythonhosted", "org"), ("npmjs", "org"), ("npmjs", "com"), ("crates", "io"),
    ("rubygems", "org"), ("anaconda", "org"), ("yarnpkg", "com"), ("proxy.golang", "org"),
)]  # fmt: skip


def repository() -> Iterator[Path]:
    """The files of the repository: those that git has or would take; without git, all that are no environment."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = (
        subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if shutil.which("git")
        else None
    )
    if listed is not None and listed.returncode == 0:
        yield from (
            ROOT / name for name in listed.stdout.split("\0") if name and not name.startswith(".venv")
        )
        return
    for folder in sorted(ROOT.iterdir()):
        if folder.is_file():
            yield folder
        elif not folder.name.startswith("."):
            yield from folder.rglob("*")


def test_no_file_names_a_package_registry_host() -> None:
    found, read = [], 0
    for path in repository():
        if path.is_file() and not path.is_symlink() and path.stat().st_size < 8 << 20:
            read += 1
            text = path.read_bytes().decode("utf-8", "ignore").lower()
            found += [f"{path.relative_to(ROOT)}: {host}" for host in HOSTS if host in text]
    assert not found
    assert read > 50


def test_every_module_says_what_it_is() -> None:
    assert not [module.name for module in MODULES if len(ast.get_docstring(module.tree) or "") < 20]


def test_everything_public_in_the_core_says_what_it_takes_and_returns() -> None:
    found = []
    for module in MODULES:
        if module.layer not in {"types", "errors", "runs", "registry", "engine", "adapters", "wire"}:
            continue
        for node in ast.walk(module.tree):
            if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                nested = not isinstance(node, ast.ClassDef) and not is_public_place(module.tree, node)
                if not node.name.startswith("_") and not nested and not ast.get_docstring(node):
                    found.append(f"{where(module, node.lineno)}: {node.name}")
    assert not found


def is_public_place(tree: ast.Module, wanted: ast.AST) -> bool:
    """Is the function at the top of the module, or in the body of a public class there?"""
    bodies = [tree.body] + [
        node.body for node in tree.body if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    ]
    return any(wanted in body for body in bodies)
