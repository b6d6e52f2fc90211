"""docs/trainers: every configuration there is taken out and checked, so that none sends anybody to what isn't there."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import tomllib
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml

from reward_service.adapters.memory import MemoryGroundTruths
from reward_service.client import trainers
from reward_service.gateway.app import create_app
from reward_service.gateway.core import Engine
from reward_service.registry import Registry, load
from reward_service.settings import Settings
from tests.trainer_facts import TRAINERS

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs" / "trainers"
PAGES = sorted(path for path in DOCS.glob("*.md") if path.stem not in ("README", "measured"))
URL = re.compile(r"https?://[^\s\"'`,)…]+")
DOTTED = re.compile(r"(?:pkg://)?(reward_service(?:\.\w+)+)(?::(\w+))?")
FILE = re.compile(r"(reward_service/[\w/]+\.py)(?::(\w+))?")
QUERY = {
    "data_source",
    "domain",
    "profile",
    "fallback",
    "deadline_seconds",
    "format",
    "on_error",
    "ground_truth",
}


class Block(NamedTuple):
    """A fenced block: its page, its language, its text."""

    page: str
    language: str
    text: str


def blocks() -> Iterator[Block]:
    for path in PAGES:
        for language, text in re.findall(r"^```(\w*)\n(.*?)^```", path.read_text(), re.MULTILINE | re.DOTALL):
            yield Block(path.stem, language, text)


BLOCKS = list(blocks())


def paths() -> list[re.Pattern[str]]:
    """The service's routes."""
    engine = Engine(None, Registry(), MemoryGroundTruths(), None, None, {}, {})  # type: ignore[arg-type]
    routes = create_app(engine, Settings()).openapi()["paths"]
    return [re.compile(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(path))) for path in routes]


ROUTES = paths()


def wrong_url(url: str) -> str | None:
    """What is wrong with a URL of the documentation; None if nothing is."""
    parts = urlsplit(url.rstrip("."))
    if parts.path.strip("/") not in ("", *(("nemo_gym/math_with_judge",))) and not any(
        route.fullmatch(parts.path) for route in ROUTES
    ):
        return f"no route {parts.path}"
    query = parse_qs(parts.query)
    if unknown := query.keys() - QUERY:
        return f"no option {unknown}"
    for source in query.get("data_source", []):
        if load().route(source) is None:
            return f"no data source {source}"
    return None


def wrong_name(module_path: str, name: str | None) -> str | None:
    """What is wrong with a dotted path, with the object's name behind a colon or as its last part."""
    try:
        import_module(module_path)
        found: Any = import_module(module_path)
    except ImportError:
        module_path, _, last = module_path.rpartition(".")
        try:
            found = getattr(import_module(module_path), last)
        except (ImportError, AttributeError) as error:
            return str(error)
    return None if name is None or hasattr(found, name) else f"{module_path} has no {name}"


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: f"{block.page}-{block.language}")
def test_a_block_is_what_it_says(block: Block) -> None:
    match block.language:
        case "json":
            json.loads(block.text)
        case "yaml":
            assert isinstance(yaml.safe_load(block.text), dict)
        case "toml":
            tomllib.loads(block.text)
        case "bash":
            done = subprocess.run(
                ["bash", "-n"], input=block.text, text=True, capture_output=True, check=False
            )
            assert done.returncode == 0, done.stderr
        case "python":
            ast.parse(block.text)
            imports = [line for line in block.text.splitlines() if "import " in line]
            ours = "\n".join(
                line
                for line in block.text.splitlines()
                if not line.startswith((" ", "@", "app", "async")) or line.startswith("async def")
            )
            assert imports or "reward-service" in ours
            if "FastAPI" not in block.text:
                exec(compile(block.text, block.page, "exec"), {"__name__": "docs"})  # connects to nothing
        case other:
            raise AssertionError(f"a block in {other!r} is not checked")


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_what_a_page_names_is_there(path: Path) -> None:
    text = path.read_text()
    urls = URL.findall(text)
    assert urls
    assert [found for url in urls if (found := wrong_url(url))] == []
    without = URL.sub("", text)
    assert [
        found for match in DOTTED.findall(without) if (found := wrong_name(match[0], match[1] or None))
    ] == []
    for name, function in FILE.findall(without):
        assert (ROOT / name).is_file()
        module = import_module(name.removesuffix(".py").replace("/", "."))
        assert not function or hasattr(module, function)
    assert any(block.page == path.stem for block in BLOCKS)


def test_verl_s_function_name_is_one() -> None:
    from reward_service.client.trainers import verl

    page = (DOCS / "verl.md").read_text()
    names = re.findall(
        r"custom_reward_function\.name=(\w+)|^\s+name: (compute\w+)|`(compute_score\w*)`", page, re.MULTILINE
    )
    found = {name for groups in names for name in groups if name}
    assert "compute_score" in found
    assert all(hasattr(verl, name) for name in found)


def test_every_adapter_and_every_page_is_in_the_table() -> None:
    text = "".join(path.read_text() for path in PAGES)
    folder = Path(trainers.__file__).parent
    modules = {path.stem for path in folder.glob("*.py")} - {"__init__", "common"}
    mentioned = set(re.findall(r"client[./]trainers[./](\w+)", text)) | set(
        re.findall(r"client\.trainers import (\w+) as", text)
    )
    assert modules <= mentioned
    assert {path.stem for path in PAGES} == {trainer.page for trainer in TRAINERS}


@pytest.mark.parametrize(
    "url",
    [
        "http://reward-service:8080/openrhlf",
        "http://reward-service:8080/slime?fallbck=0",
        "http://reward-service:8080/slime?data_source=no_such",
    ],
)
def test_the_check_of_urls_can_fail(url: str) -> None:
    assert wrong_url(url)


@pytest.mark.parametrize(
    "name", ["reward_service.client.trainers.vrel", "reward_service.client.trainers.trl.rewrad"]
)
def test_the_check_of_names_can_fail(name: str) -> None:
    assert wrong_name(name, None)
