"""The README's examples, as a reader would paste them."""

from __future__ import annotations

import json
import re
from importlib import import_module
from pathlib import Path

import httpx2
import pytest

from deploy import clean_machine
from reward_service.registry import Registry
from reward_service.types import Item

README = (Path(__file__).resolve().parents[2] / "README.md").read_text()


def blocks(language: str, containing: str) -> str:
    (found,) = [
        body for body in re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL) if containing in body
    ]
    return found


def test_the_first_curl(http: httpx2.Client) -> None:
    shell = blocks("sh", "curl -s")
    match = re.search(r"-d '(.*?)'", shell, re.DOTALL)
    assert match is not None
    reply = http.post(
        "/v1/score", content=match[1], headers={"content-type": "application/x-www-form-urlencoded"}
    )
    shown = json.loads(blocks("json", '"index"').replace(", ...", ""))
    result = reply.json()
    assert {name: result[name] for name in shown} == shown
    assert "/v1/score" in shell


def test_the_batch_in_python(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    program = blocks("python", "httpx2.post").replace("http://127.0.0.1:8080", url)
    exec(compile(program, "README", "exec"), {})  # our own README
    assert capsys.readouterr().out.splitlines() == ["1 1.0 equal", "2 1.0 equal"]


def test_the_client(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    program = blocks("python", "advantages(").replace("http://127.0.0.1:8080", url)
    exec(compile(program, "README", "exec"), {})
    first, second = capsys.readouterr().out.splitlines()
    assert first == "[1.0, 0.0, None] [True, True, False]"
    assert [round(value, 3) for value in json.loads(second)] == [1.0, -1.0, 0.0]


def test_every_adapter_that_the_readme_names_exists() -> None:
    (names,) = re.findall(r"import one \(([^)]*)\)", README)
    for name in re.findall(r"\.(\w+)`", names):
        assert import_module(f"reward_service.client.trainers.{name}")


def test_the_handler() -> None:
    into = Registry()
    program = blocks("python", "@handler(").replace('    "parity",', '    "parity", into=into,')
    names: dict[str, object] = {"into": into}
    exec(compile(program, "README", "exec"), names)
    parity = into.handlers["parity"]
    example = parity.sources[0].example
    assert parity.plan(Item("logic__parity", example.response, example.ground_truth)).score == 1.0
    assert parity.plan(Item("logic__parity", "<answer>even</answer>", "odd")).score == 0.0


def test_every_file_that_the_readme_names_exists() -> None:
    root = Path(__file__).resolve().parents[2]
    for name in re.findall(r"\]\(((?:docs|tests)/[^)#]+)\)", README) + re.findall(
        r"`(tests/[\w/]+\.py)`", README
    ):
        assert (root / name).exists(), name


def test_every_target_that_the_readme_names_exists() -> None:
    makefile = (Path(__file__).resolve().parents[2] / "Makefile").read_text()
    for target in re.findall(r"`make ([a-z-]+)", README):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_a_clean_machine_is_given_what_the_readme_says() -> None:
    """What `make clean-machine` pastes, read from the README; and its page is of a run of these packages."""
    told = clean_machine.commands(README)
    assert told.serve == "make serve"
    assert told.curl.startswith("curl ") and ":8080/v1/score" in told.curl
    assert told.answer["score"] == 1.0
    assert ", ".join(told.packages) in clean_machine.PAGE.read_text()
    with pytest.raises(clean_machine.Failed):
        clean_machine.commands(README.replace("python3-venv", "python"))
