"""Secrets are planted where a service has them; no response of the corpora, and no program that looks for them, gets one out.

Planted: in the service's environment (its own settings and others'), in Redis (its password, and values under its keys and others'), and in files
(beside the service, in the home directory, in /tmp, in the key file). The service is the real one with a real sandbox and a real Redis; what it answers
is searched for the secrets, as they are and in the forms that a program could hide them in.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest
import redis

from tests.engine import running_host
from tests.hacks.containment import CASES
from tests.hacks.test_code_hacks import row_of
from tests.load.measure import service
from tests.redis_server import Server

pytestmark = [
    pytest.mark.redis,
    pytest.mark.fault,
    pytest.mark.timeout(1200 if os.environ.get("FAULT") else 120),
]

SHARED = Path(__file__).resolve().parents[3] / "shared" / "hacks"
EVERY = 1 if os.environ.get("FAULT") else 12
"""One program in so many is run in CI; all of them with FAULT=1."""
SOURCES = {
    "mcq": "stem__supergpqa",
    "math": "math",
    "table": "table__hitab",
    "zebra": "logic__zebra_puzzle",
    "ordering": "logic__ordering_puzzle",
}


@dataclass
class Planted:
    """A service, and the secrets around it."""

    http: httpx2.Client
    words: dict[str, str]
    server: Server
    files: list[Path]
    seen: int = 0
    found: list[str] = field(default_factory=list)

    def look(self, text: str, what: str) -> None:
        """Search an answer."""
        self.seen += 1
        for place, word in self.words.items():
            for form in forms(word):
                if form in text:
                    self.found.append(f"{what}: the secret of {place}")


def forms(word: str) -> set[str]:
    """A word, and what it looks like in an encoding that a program has at hand (in base64: at each of the three offsets)."""
    data = word.encode()
    found = {word, word[::-1], data.hex(), data.hex().upper()}
    for skip in range(3):
        found.add(base64.b64encode(data[skip : skip + (len(data) - skip) // 3 * 3]).decode())
    return found


@pytest.fixture(scope="module", params=["bubblewrap", pytest.param("docker", marks=pytest.mark.docker)])
def planted(request: pytest.FixtureRequest) -> Iterator[Planted]:
    places = (
        "environment",
        "judge key",
        "redis password",
        "redis value",
        "own redis value",
        "file in /tmp",
        "file at home",
        "file here",
    )
    words = {place: f"canary{secrets.token_hex(12)}" for place in places}
    server = Server(port=0)
    files = [
        Path("/tmp") / f"secret-{secrets.token_hex(4)}",
        Path.home() / f".secret-{secrets.token_hex(4)}",
        Path(__file__).parents[2] / f".secret-{secrets.token_hex(4)}.tmp",
    ]
    for path, place in zip(files, places[5:], strict=True):
        path.write_text(words[place])
        path.chmod(0o644)  # whoever reaches it may read it
    with server.client() as owner:
        owner.config_set("requirepass", words["redis password"])
    store = redis.Redis(port=server.port, password=words["redis password"])
    store.set("somebody:else", words["redis value"])
    store.set("reward:planted", words["own redis value"])
    environment = {
        "redis_url": server.url, "redis_password": words["redis password"], "sandbox": request.param, "sandbox_places": "2", "processes": "1",
        "judge_api_key": words["judge key"], "judge_urls": "http://127.0.0.1:9", "judge_model": "m", "judge_canary_seconds": "0",
    }  # fmt: skip
    os.environ["SECRET_TOKEN"] = words["environment"]
    try:
        with (
            running_host(request.param) as engine,
            service("reward_service.registry:load", **environment, **engine) as (url, _),
            httpx2.Client(base_url=url, timeout=120) as http,
        ):
            yield Planted(http, words, server, files)
    finally:
        del os.environ["SECRET_TOKEN"]
        store.close()
        server.close()
        for path in files:
            path.unlink(missing_ok=True)


def rows(name: str) -> list[dict[str, Any]]:
    path = SHARED / name
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def nothing(planted: Planted, least: int) -> None:
    """Nothing was found, and something was searched."""
    assert planted.found == []
    assert planted.seen >= least
    planted.seen = 0


def run(planted: Planted, name: str, program: str, **more: Any) -> dict[str, Any]:
    limits = {"cpu_seconds": 4, "wall_seconds": 6, "memory_bytes": 512 << 20}
    reply = planted.http.post("/v1/run", json={"program": program, "limits": limits, **more})
    planted.look(reply.text, name)
    body: dict[str, Any] = reply.json()
    return body


HUNTERS = {
    "environment": "import os\nprint(dict(os.environ))\nfor p in os.listdir('/proc'):\n    for n in ('environ', 'cmdline', 'mountinfo'):\n        try: print(open(f'/proc/{p}/{n}', 'rb').read())\n        except OSError: pass",
    "files": """import os
for top in ('/', '/tmp', '/root', '/home', '/work', '/run', '/var', '/etc', '/dev/shm'):
    for folder, _, names in os.walk(top):
        if folder.startswith(('/proc', '/sys', '/usr/lib', '/lib')): continue
        for name in names:
            path = folder + '/' + name
            try:
                if os.path.getsize(path) > 1 << 20: continue
                data = open(path, 'rb').read(1 << 20)
            except OSError: continue
            if 'secret' in name or b'canary' in data: print(path, data[:4096])""",
    "files of other processes": "import os\nfor p in os.listdir('/proc'):\n    for n in ('root', 'cwd'):\n        for d in ('tmp', 'root', ''):\n            try:\n                base = f'/proc/{p}/{n}/{d}'\n                for f in os.listdir(base):\n                    if 'secret' in f: print(open(base + '/' + f).read())\n            except OSError: pass",
    "memory of others": "import os\nfor p in os.listdir('/proc'):\n    try:\n        for line in open(f'/proc/{p}/maps'):\n            a, b = (int(x, 16) for x in line.split()[0].split('-'))\n            with open(f'/proc/{p}/mem', 'rb') as m:\n                m.seek(a); d = m.read(min(b - a, 1 << 22))\n                i = d.find(b'canary' + b'')\n                if i >= 0 and p != str(os.getpid()): print(d[i:i + 64])\n    except (OSError, ValueError, OverflowError): pass",
    "redis": "import socket\nfor port in (PORT, 6379):\n    for host in ('127.0.0.1', 'localhost', '::1'):\n        try:\n            s = socket.create_connection((host, port), 1)\n            s.sendall(b'INFO\\r\\nGET somebody:else\\r\\nGET reward:planted\\r\\nKEYS *\\r\\n'); print(s.recv(65536))\n        except OSError as error: print(error)",
    "the service": "import urllib.request\nfor path in ('/v1/info', '/metrics', '/v1/verdicts', '/v1/batches', '/v1/files'):\n    try: print(urllib.request.urlopen('http://127.0.0.1:' + str(SERVICE) + path, timeout=1).read())\n    except Exception as error: print(error)",
    "tracebacks": "import sys, traceback, gc\ndef f(): raise ValueError\ntry: f()\nexcept ValueError: traceback.print_exc()\nf = sys._getframe()\nwhile f: print(f.f_globals, f.f_locals); f = f.f_back\nprint([o for o in gc.get_objects() if 'canary' in repr(o)[:2000]][:20])",
}


@pytest.mark.parametrize("name", HUNTERS)
def test_programs_that_look_for_them(planted: Planted, name: str) -> None:
    program = (
        HUNTERS[name]
        .replace("PORT", str(planted.server.port))
        .replace("SERVICE", str(planted.http.base_url.port))
    )
    (result,) = run(planted, name, program)["results"]
    assert result["status"] != "compile_error", result
    nothing(planted, 1)


def test_the_search_would_find_them(planted: Planted) -> None:
    """The same programs do find what lies open: a word that the run itself is given."""
    word = next(iter(planted.words.values()))
    program = "import os\nprint(os.environ, WORD.encode().hex())".replace("WORD", repr(word))
    run(planted, "own", program)
    assert planted.found == ["own: the secret of environment"]
    planted.found.clear()
    planted.seen = 0


def test_programs_of_the_corpora(planted: Planted) -> None:
    """Hostile programs as programs, whose output is answered, and cheats as items."""
    hostile = [(case.name, case.program) for case in CASES] + [
        (row["id"], row["program"]) for row in rows("containment.jsonl")
    ]
    for name, program in hostile[::EVERY]:
        run(planted, name, program)
    for row in rows("code_hacks.jsonl")[::EVERY]:
        gold, extra = row_of(row)
        response = f"```{row['language']}\n{row['program']}\n```"
        item = {
            "data_source": "codegen__hacks",
            "response": response,
            "ground_truth": gold,
            "extra_info": extra,
        }
        planted.look(planted.http.post("/v1/score", json=item).text, row["id"])
    nothing(planted, len(hostile) // EVERY)


def test_texts_of_the_corpora(planted: Planted) -> None:
    """Cheats on text and mathematics, and ground truths and prompts that ask for files and variables."""
    items = [
        {
            "data_source": SOURCES.get(row["verifier"], "stem__web"),
            "response": row["response"],
            "ground_truth": row["ground_truth"],
            "extra_info": {"question": row["question"]},
        }
        for row in rows("text_hacks.jsonl")
    ]
    items += [
        {"data_source": "math", "response": f"\\boxed{{{row['answer']}}}", "ground_truth": row["gold"]}
        for row in rows("math_hacks.jsonl")
    ]
    lures = [str(path) for path in planted.files] + [
        "$SECRET_TOKEN",
        "${REWARD_SERVICE_REDIS_PASSWORD}",
        "{{settings}}",
        "file:///tmp",
        "__import__('os').environ",
        "\\input{/etc/passwd}",
    ]
    for lure in lures:
        for source in (
            "math",
            "table__hitab",
            "stem__web",
            "simulation__codeio",
            "logic__graph",
            "sql__spider",
            "no_such_source",
        ):
            items.append(
                {
                    "data_source": source,
                    "response": f"\\boxed{{{lure}}} <answer>{lure}</answer>",
                    "ground_truth": lure,
                    "prompt": lure,
                }
            )
    for start in range(0, len(items), 128):
        part = items[start : start + 128]
        reply = planted.http.post("/v1/score/batch", json={"items": part}, params={"deadline_seconds": 60})
        planted.look(reply.text, f"items from {start}")
        assert reply.status_code == 200
    for item in items[::10]:
        planted.look(planted.http.post("/v1/explain", json={"item": item}).text, "explain")
    nothing(planted, 5)


def test_what_the_service_says_of_itself(planted: Planted) -> None:
    """Every page and list, and every way to make it fail."""
    for path in (
        "/v1/info",
        "/metrics",
        "/readyz",
        "/healthz",
        "/openapi.json",
        "/docs",
        "/v1/telemetry",
        "/v1/verdicts",
        "/v1/batches",
        "/v1/files",
        "/v1/data-sources",
        "/dashboard",
        "/explain",
        "/nothing",
        "/v1/files/..%2f..%2fetc%2fpasswd",
        "/v1/files/file_x/content",
        "/global_config_dict_yaml",
        "/server_instances",
        "/static/../../../etc/passwd",
    ):
        planted.look(planted.http.get(path).text, path)
    for body in (b"", b"{", b'{"items": 7}', b"\xff" * 100):
        for path in ("/v1/score", "/v1/score/batch", "/v1/run", "/v1/explain", "/openrlhf", "/run_code"):
            planted.look(planted.http.post(path, content=body).text, path)
    nothing(planted, 40)
