"""`python -m deploy.clean_machine` (`make clean-machine`): the README's two commands on a Debian that has nothing else, timed.

What is decided here: the machine is a chroot that debootstrap makes once, and a fresh copy of it for every run, with the packages that the README
names and no more. A user who is not root clones the committed state of this repository and pastes the two commands as the README has them; the answer
must be the one that the README shows. What this machine needs to reach the package index (certificates, a proxy, an index of its own) is passed on to
pip there by its environment, as whoever set the machine up would have done; nothing of that is written down. The figures go to `docs/clean-machine.md`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from deploy.engine.engine import HOME

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
PAGE = ROOT / "docs" / "clean-machine.md"
SUITE = "bookworm"
USER = "newcomer"
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
TO_REACH_THE_INDEX = ("cert", "client-cert", "index-url", "proxy", "timeout", "trusted-host")
"""Of pip's configuration; places on this machine's own disk (find-links and the like) stay behind."""
PROXIES = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
PATIENCE = 900.0


class Failed(Exception):
    """The README does not hold there; the message says where."""


@dataclass(frozen=True, slots=True)
class Commands:
    """What the README tells a newcomer, and what it shows."""

    packages: tuple[str, ...]
    serve: str
    curl: str
    answer: dict[str, Any]


def commands(readme: str) -> Commands:
    """Read from the README's text."""
    packages = re.search(r"`apt-get install ((?:[\w-]+ ?)*python3-venv[\w -]*)`", readme)
    blocks = re.findall(r"```sh\n(.*?)```", readme, re.DOTALL)
    serve = next((line for line in "".join(blocks).splitlines() if line.startswith("make serve")), "")
    curl = next((block for block in blocks if block.startswith("curl ")), "")
    shown = re.search(r"```json\n(\{\"id\".*?), \.\.\.\}\n```", readme)
    if not (packages and serve and curl and shown):
        raise Failed("the README has no packages, `make serve`, curl or answer where they are looked for")
    return Commands(
        tuple(packages[1].split()), serve.partition("#")[0].strip(), curl, json.loads(shown[1] + "}")
    )


def run(command: Sequence[str], **more: Any) -> str:
    """A command's output; Failed with the end of it."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, **more)  # noqa: S603 - ours
    if done.returncode:
        raise Failed(f"{' '.join(command)}: {(done.stdout + done.stderr)[-1500:]}")
    return done.stdout


def base(packages: Sequence[str]) -> Path:
    """Debian with these packages: made once for each list of them."""
    wanted = ",".join(sorted({*packages, "ca-certificates"}))
    folder = HOME / f"clean-{SUITE}-{wanted.replace(',', '-')}"
    if not folder.exists():
        HOME.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=HOME) as unfinished:
            made = Path(unfinished) / "root"
            run(["debootstrap", "--variant=minbase", f"--include={wanted}", SUITE, str(made)])
            run(["chroot", str(made), "useradd", "--create-home", "--shell", "/bin/bash", USER])
            made.rename(folder)
    return folder


def environment() -> dict[str, str]:
    """A new login's, and what this machine's pip needs to reach its index."""
    found = {
        "HOME": f"/home/{USER}",
        "USER": USER,
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "TERM": "dumb",
    } | {name: os.environ[name] for name in PROXIES if name in os.environ}
    for line in run([sys.executable, "-m", "pip", "config", "list"]).splitlines():
        name, _, value = line.partition("=")
        key = name.rpartition(".")[2]
        if key in TO_REACH_THE_INDEX:
            found["PIP_" + key.upper().replace("-", "_")] = value.strip("'\"")
    return found


@dataclass(slots=True)
class Machine:
    """The copy: commands in it are run by the new user, who sees no process but their own."""

    root: Path

    def command(self, script: str) -> list[str]:
        """A shell's, inside."""
        mounts = '/bin/mount -t proc proc "$0/proc" && /bin/mount -t tmpfs -o mode=1777 shm "$0/dev/shm" && '
        inside = 'exec /usr/sbin/chroot --userspec="$1:$1" "$0" /bin/bash -c "cd; $2"'
        unshare = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "/bin/sh", "-c"]
        return [*unshare, f"mkdir -p $0/dev/shm && {mounts}{inside}", str(self.root), USER, script]

    def run(self, script: str) -> tuple[str, float]:
        """What it printed, and the seconds it took."""
        started = time.monotonic()
        return run(self.command(script), env=environment(), timeout=PATIENCE), time.monotonic() - started

    def serve(self, script: str, curl: str) -> tuple[dict[str, Any], float]:
        """Start it in one terminal and paste the curl into another until there is an answer: the answer, and the seconds until then."""
        started = time.monotonic()
        log = self.root / "tmp" / "serve.log"
        (self.root / "tmp" / "curl.sh").write_text(curl)
        with log.open("w") as out:
            process = subprocess.Popen(  # noqa: S603 - ours
                self.command(script), env=environment(), stdout=out, stderr=out, start_new_session=True
            )
        try:
            while time.monotonic() - started < PATIENCE and process.poll() is None:
                pasted = subprocess.run(  # noqa: S603 - ours
                    self.command(". /tmp/curl.sh"),
                    env=environment(),
                    capture_output=True,
                    text=True,
                    check=False,
                )
                if pasted.returncode == 0:
                    answer: dict[str, Any] = json.loads(pasted.stdout)
                    return answer, time.monotonic() - started
                time.sleep(0.2)
            raise Failed(f"{script}: no answer: {log.read_text()[-1500:]}")
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(60)


def measure(port: int, serve: int = 8080) -> str:
    """Do it all; returns the page. Failed where the README does not hold."""
    told = commands(README.read_text())
    start, curl = (told.serve, told.curl)
    if port != serve:
        start, curl = f"{start} PORT={port}", curl.replace(f":{serve}/", f":{port}/")
    cached = base(told.packages)
    with tempfile.TemporaryDirectory(dir=HOME) as folder:
        machine = Machine(Path(folder) / "root")
        Path(folder).chmod(0o755)
        run(["cp", "--archive", str(cached), str(machine.root)])
        if CERTIFICATES.exists():
            shutil.copy(CERTIFICATES, machine.root / str(CERTIFICATES)[1:])
        for name in ("resolv.conf", "hosts"):
            shutil.copy(Path("/etc") / name, machine.root / "etc" / name)
        run(["git", "-C", str(ROOT), "bundle", "create", str(machine.root / "tmp" / "repository"), "HEAD"])
        python = machine.run("python3 --version")[0].split()[1]
        debian = (machine.root / "etc" / "debian_version").read_text().strip()
        _, clone = machine.run("git clone --quiet /tmp/repository reward-service")
        first_answer, first = machine.serve(f"cd reward-service && {start}", curl)
        _, again = machine.serve(f"cd reward-service && {start}", curl)
        size = int(machine.run("du -sm reward-service/.venv")[0].split()[0])
    if {name: first_answer.get(name) for name in told.answer} != told.answer:
        raise Failed(f"the README shows {told.answer}, and this is the answer: {first_answer}")
    commit = run(["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"]).strip()
    return PAGE_TEXT.format(
        date=datetime.now(UTC).date(), commit=commit, debian=debian, python=python, packages=", ".join(told.packages),
        cpus=len(os.sched_getaffinity(0)), kind=platform.machine(), clone=clone, first=first, again=again, size=size,
    )  # fmt: skip


PAGE_TEXT = """# A clean machine

`make clean-machine` makes a Debian with nothing but {packages} and ca-certificates, clones the repository there as a user who is not root, and pastes the README's two commands. The answer was the one that the README shows.

| | |
|---|---|
| when | {date}, commit {commit} |
| machine | Debian {debian}, Python {python}, {cpus} CPUs ({kind}), shared |
| `git clone` | {clone:.1f} s |
| `make serve`, the first time, until the `curl` is answered | {first:.1f} s (downloads included; `.venv` is {size} MB) |
| `make serve`, again | {again:.1f} s |

The package index was reached the way that this machine is set up for. Needs root and debootstrap, on Debian or Ubuntu.
"""


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="make clean-machine")
    parser.add_argument("--port", type=int, default=8080, help="in place of 8080, where that is taken")
    arguments = parser.parse_args()
    if os.geteuid() or not shutil.which("debootstrap"):
        print("A clean machine takes root, and debootstrap: apt-get install debootstrap", file=sys.stderr)
        return 2
    try:
        text = measure(arguments.port)
    except Failed as error:
        print(error, file=sys.stderr)
        return 1
    PAGE.write_text(text)
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
