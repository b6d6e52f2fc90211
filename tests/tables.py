"""The generated tables of README.md and docs/: `make tables` writes them, `tests/unit/test_tables.py` checks them.

A table stands between `<!-- table: NAME -->` and `<!-- end of table -->`.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from reward_service.errors import PROBLEMS
from reward_service.gateway.dialects import DIALECTS
from reward_service.registry import load
from reward_service.settings import Settings
from reward_service.telemetry import Metrics
from reward_service.types import REASONS
from tests.load import peers_page
from tests.trainer_facts import trainers

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "tests" / "handlers" / "DISAGREEMENTS.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A markdown table."""
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    for row in rows:
        lines.append(
            "| " + " | ".join(str(cell).replace("|", "\\|").replace("\n", " ") for cell in row) + " |"
        )
    return "\n".join(lines)


def code(text: object) -> str:
    """The text as code; nothing for nothing."""
    return f"`{text}`" if str(text) else ""


def reasons() -> str:
    """Every reason: what it means, and whether sending the item again is worth it."""
    return table(
        ("reason", "status", "send again?", "meaning"),
        (
            (code(reason.value), status.value, "yes" if retry else "", meaning)
            for reason, (status, retry, meaning) in REASONS.items()
        ),
    )


def handlers() -> str:
    """Every handler: its rule and its data sources."""
    return table(
        ("handler", "domain", "rule", "data sources"),
        (
            (
                code(handler.name),
                handler.domain.value,
                handler.summary,
                ", ".join(code(source.name) for source in handler.sources),
            )
            for handler in sorted(load().handlers.values(), key=lambda one: (one.domain.value, one.name))
        ),
    )


def settings() -> str:
    """Every setting: its variable, default and meaning."""
    prefix = Settings.model_config.get("env_prefix", "")
    return table(
        ("variable", "default", "meaning"),
        (
            (
                code(f"{prefix}{name}".upper()),
                code(field.default if field.default is not None else ""),
                field.description,
            )
            for name, field in Settings.model_fields.items()
        ),
    )


def problems() -> str:
    """Every problem type over HTTP."""
    return table(
        ("type", "status", "title", "what to do"),
        ((code(name), problem.status, problem.title, problem.advice) for name, problem in PROBLEMS.items()),
    )


def metrics() -> str:
    """Every metric of our own: of a gateway that scores, of a fleet's gateway and of its worker."""
    from reward_service.assemble import build_engine, build_worker

    fleet = Settings(redis_url="redis://localhost", engine="fleet")
    rows: dict[str, tuple[str, str]] = {}
    for metrics in (Metrics("0"), build_worker(fleet).metrics):
        families = [one for one in metrics.registry.collect() if one.name.startswith("reward_service")]
        rows |= {one.name: (one.type, one.documentation) for one in families}
    for engine in (build_engine(Settings()), build_engine(fleet)):
        rows |= {name: ("gauge", text) for name, (text, _) in engine.gauges.items()}
        rows |= {name: ("counter", text) for name, (text, _, _) in engine.counters.items()}
    return table(
        ("metric", "kind", "meaning"), ((code(name), kind, text) for name, (kind, text) in rows.items())
    )


def benchmarks() -> str:
    """What `make bench ARGS=--write` measured last: CPU time per item through HTTP."""
    measured = json.loads((ROOT / "docs" / "benchmarks.json").read_text())
    return table(
        ("workload", "gateway µs/item", "checking µs/item", "items per core-second"),
        (
            (row["name"], f"{row['gateway']:.1f}", f"{row['below']:.1f}", f"{row['rate']:,.0f}")
            for row in measured["http"]
        ),
    )


def peers(kind: str) -> str:
    """What `make bench ARGS='peers --write'` measured last, beside what else could judge."""
    measured = json.loads((ROOT / "docs" / "benchmarks.json").read_text())["peers"]
    return table(peers_page.HEADER, peers_page.rows(measured, kind))


def faults() -> str:
    """What `make fault` measured last."""
    measured = json.loads((ROOT / "docs" / "faults.json").read_text())
    return table(
        ("fault", "tests passed", "figures"),
        (
            (
                name,
                f"{row.get('passed', 0)} of {sum(row.get(how, 0) for how in ('passed', 'failed', 'skipped'))}",
                "<br>".join(row["figures"]),
            )
            for name, row in measured["faults"].items()
        ),
    )


def disagreements() -> str:
    """Every handler's disagreements with the labels, in one document."""
    parts = sorted((ROOT / "tests" / "handlers" / "disagreements").glob("*.md"))
    return "\n\n".join(part.read_text().strip() for part in parts)


def dialects() -> str:
    """Every dialect: whose it is, and how to point its trainer at the service."""
    return table(
        ("dialect", "for"),
        (
            (code(name), " ".join((sys.modules[make.__module__].__doc__ or "").partition("\n\n")[0].split()))
            for name, make in DIALECTS.items()
        ),
    )


TABLES: dict[str, Callable[[], str]] = {
    "faults": faults,
    "reasons": reasons,
    "handlers": handlers,
    "settings": settings,
    "problems": problems,
    "metrics": metrics,
    "benchmarks": benchmarks,
    "dialects": dialects,
    "disagreements": disagreements,
    "trainers": lambda: trainers(table),
    "peersmath": lambda: peers("math"),
    "peerscode": lambda: peers("code"),
}
_PLACE = re.compile(r"(<!-- table: ([a-z]+) -->\n).*?(<!-- end of table -->)", re.DOTALL)


def rendered(text: str) -> str:
    """The document with every table made anew."""
    return _PLACE.sub(lambda match: f"{match[1]}{TABLES[match[2]]()}\n{match[3]}", text)


def main() -> int:
    """Write the tables with `--write`; else say which documents have drifted (exit 1)."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    drifted = [path for path in DOCUMENTS if rendered(path.read_text()) != path.read_text()]
    for path in drifted:
        if arguments.write:
            path.write_text(rendered(path.read_text()))
        print(f"{'wrote' if arguments.write else 'has drifted:'} {path.relative_to(ROOT)}")
    return 1 if drifted and not arguments.write else 0


if __name__ == "__main__":
    sys.exit(main())
