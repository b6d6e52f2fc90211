"""`reward-service batch …` and `rescore`: durable jobs on a service, and dumps judged again.

What is decided here: what survives an interruption. `submit` sends the same Idempotency-Key for the same file again, so
repeating it is harmless; `fetch` appends to what it has and goes on behind its last line. Exit codes as everywhere: 0 done, 1 had
to stop (run it again), 2 wrong usage, 3 done, but some rows are errors.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from reward_service.commands.shared import SOME_ERRORS, STOPPED, USAGE, console, fail
from reward_service.types import Profile

app = typer.Typer(help="Durable batches on a service.", no_args_is_help=True)

Url = Annotated[str, typer.Option(help="The service.", envvar="REWARD_SERVICE_URL")]
ApiKey = Annotated[
    str | None,
    typer.Option(
        help="If the service wants one; better in the environment.", envvar="REWARD_SERVICE_API_KEY"
    ),
]
DEFAULT_URL = "http://127.0.0.1:8080"
PIECE = 1 << 18


class Via(StrEnum):
    """How a service scores a dump: in requests, as a durable batch, or what suits the dump."""

    AUTO = "auto"
    STREAM = "stream"
    BATCH = "batch"


class At(NamedTuple):
    """A service, and the key for it."""

    url: str
    api_key: str | None


def http(at: At) -> Any:
    """A client for a service."""
    import httpx2

    headers = {"authorization": f"Bearer {at.api_key}"} if at.api_key else {}
    return httpx2.Client(
        base_url=at.url.rstrip("/"), headers=headers, timeout=httpx2.Timeout(330.0, connect=10.0)
    )


def asked(at: At, method: str, path: str, **more: Any) -> Any:
    """The JSON of an answer; ends with what the service said otherwise."""
    import httpx2

    try:
        with http(at) as client:
            reply = client.request(method, path, **more)
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        fail(f"{at.url}: {type(error).__name__}: {error}".rstrip(": "), STOPPED)
    try:
        body = reply.json()
    except ValueError:
        fail(f"{at.url} answers {reply.status_code} without JSON; is it a reward service?", STOPPED)
    if reply.status_code >= 400:
        for finding in body.get("errors", [])[:10]:
            typer.echo(f"  line {finding.get('line', '?')}: {finding.get('message')}", err=True)
        fail(
            f"{body.get('title', reply.status_code)}: {body.get('detail', '')}",
            USAGE if reply.status_code < 500 else STOPPED,
        )
    return body


@app.command()
def submit(
    dump: Annotated[
        Path, typer.Argument(help="JSONL (plain, gzip, zstd) or Parquet.", exists=True, dir_okay=False)
    ],
    url: Url = DEFAULT_URL,
    api_key: ApiKey = None,
    key: Annotated[str, typer.Option(help="Idempotency-Key.", show_default="the file's SHA-256")] = "",
    window: Annotated[str, typer.Option(help="Time until it expires: 90s, 30m, 24h, 7d.")] = "24h",
    watch_it: Annotated[bool, typer.Option("--watch", help="Show progress until it ends.")] = False,
) -> None:
    """Send a dump as a batch; prints its id. Repeating it is harmless: the same file is the same batch."""
    at = At(url, api_key)
    kind = kind_of(dump)
    key = key or f"sha256-{digest_of(dump)}-{window}"
    if kind == "parquet":
        headers = {"content-type": "application/octet-stream"}
        file = asked(
            at, "POST", "/v1/files", content=read(dump), headers=headers, params={"filename": dump.name}
        )
        body = {"input_file_id": file["id"], "completion_window": window}
        batch = asked(at, "POST", "/v1/batches", json=body)
    else:
        headers = {"content-type": "application/x-ndjson", "idempotency-key": key}
        if kind in ("gzip", "zstd"):
            headers["content-encoding"] = kind
        batch = asked(
            at,
            "POST",
            "/v1/batches",
            content=read(dump),
            headers=headers,
            params={"completion_window": window},
        )
    typer.echo(batch["id"])
    if watch_it:
        show_progress(at, batch["id"])


def kind_of(dump: Path) -> str:
    """gzip, zstd, parquet or plain, by the first bytes."""
    with dump.open("rb") as file:
        head = file.read(4)
    kinds = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd", b"PAR1": "parquet"}
    return next((kind for magic, kind in kinds.items() if head.startswith(magic)), "plain")


def digest_of(dump: Path) -> str:
    """The file's SHA-256."""
    with dump.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read(dump: Path) -> Iterator[bytes]:
    """The file in pieces."""
    with dump.open("rb") as file:
        while piece := file.read(PIECE):
            yield piece


@app.command()
def watch(batch: str, url: Url = DEFAULT_URL, api_key: ApiKey = None) -> None:
    """Show a batch's progress until it ends."""
    show_progress(At(url, api_key), batch)


def show_progress(at: At, batch: str) -> None:
    """A live bar with counts, rate and ETA; ends with SOME_ERRORS if there are any, STOPPED if it did not complete."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[more]}"),
    )
    with Progress(*columns) as bars:
        task = bars.add_task(batch, total=None, more="")
        while True:
            state = asked(at, "GET", f"/v1/batches/{batch}", params={"wait": 0})
            counts = state["request_counts"]
            eta = state["eta_seconds"]
            more = f"{state['rate']:,.0f} items/s" + (f", {eta:,.0f} s left" if eta else "")
            if counts["failed"]:
                more += f", {counts['failed']:,} errors"
            bars.update(
                task,
                description=f"{batch} {state['status']}",
                total=counts["total"] or None,
                completed=counts["completed"] + counts["failed"],
                more=more,
            )
            if state["status"] in ("completed", "failed", "expired", "cancelled"):
                break
            time.sleep(0.5)
    if state["status"] != "completed":
        raise typer.Exit(STOPPED)
    if counts["failed"]:
        raise typer.Exit(SOME_ERRORS)


@app.command()
def fetch(
    batch: str,
    out: Annotated[Path, typer.Option("--out", "-o", help="Results as JSONL, in the order of the items.")],
    url: Url = DEFAULT_URL,
    api_key: ApiKey = None,
) -> None:
    """Fetch a batch's results while it runs; goes on behind what is in OUT already."""
    import httpx2

    from reward_service.client.protocol import Lines

    cursor, kept = last_cursor(out)
    params = {"cursor": cursor} if cursor else {}
    count = errors = 0
    try:
        with (
            http(At(url, api_key)) as client,
            client.stream("GET", f"/v1/batches/{batch}/results", params=params, timeout=None) as reply,
            out.open("r+b" if out.exists() else "wb") as file,
        ):
            if reply.status_code != 200:
                reply.read()
                fail(f"{batch}: {reply.json().get('detail', reply.status_code)}")
            file.truncate(kept)
            file.seek(kept)
            lines = Lines()
            for data in reply.iter_bytes():
                for line in lines.feed(data):
                    file.write(line + b"\n")
                    count += 1
                    errors += b'"status":"error"' in line
    except httpx2.HTTPError as error:
        fail(
            f"{url}: {type(error).__name__}: {error}; {count} results were fetched, run it again to go on",
            STOPPED,
        )
    typer.echo(f"{count} results{f', {errors} of them errors' if errors else ''} -> {out}", err=True)
    if errors:
        raise typer.Exit(SOME_ERRORS)


def last_cursor(out: Path) -> tuple[str, int]:
    """The cursor of the last whole line of a file of results, and the bytes up to its end; a cut-off line is dropped."""
    if not out.exists():
        return "", 0
    cursor, end = "", 0
    with out.open("rb") as file:
        for line in file:
            if not line.endswith(b"\n"):
                break
            try:
                cursor = str(json.loads(line)["cursor"])
            except (ValueError, KeyError, TypeError):
                fail(f"{out} holds other lines than a batch's results")
            end += len(line)
    return cursor, end


@app.command()
def cancel(batch: str, url: Url = DEFAULT_URL, api_key: ApiKey = None) -> None:
    """Cancel a batch; what has been scored can be fetched."""
    state = asked(At(url, api_key), "POST", f"/v1/batches/{batch}/cancel")
    counts = state["request_counts"]
    typer.echo(f"{batch} {state['status']}: {counts['completed']:,} of {counts['total']:,} items were judged")


@app.command("list")
def list_batches(
    url: Url = DEFAULT_URL,
    api_key: ApiKey = None,
    limit: Annotated[int, typer.Option(min=1, max=100)] = 20,
) -> None:
    """The newest batches."""
    for state in asked(At(url, api_key), "GET", "/v1/batches", params={"limit": limit})["data"]:
        counts = state["request_counts"]
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(state["created_at"]))
        typer.echo(
            f"{state['id']}  {when}  {state['status']:12} {counts['completed']:>9,} scored {counts['failed']:>7,} errors "
            f"of {counts['total']:,}"
        )


def rescore(
    dump: Annotated[Path, typer.Argument(help="A dump that was scored before.", exists=True, dir_okay=False)],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="The dump with the new outcome beside the old one.")
    ],
    before: Annotated[
        str, typer.Option(help="Where the old judgement is: an outcome, or a number; dotted paths too.")
    ] = "outcome",
    column: Annotated[str, typer.Option(help="Name of the column that is added.")] = "rescored",
    url: Annotated[str | None, typer.Option(help="Score on this service, not in this process.")] = None,
    api_key: ApiKey = None,
    profile: Annotated[Profile | None, typer.Option(help="For every row.", show_default=False)] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Start again.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The comparison as JSON.")] = False,
) -> None:
    """Score a scored dump again with the current handlers, and report which verdicts flipped."""
    from reward_service.cli import score as score_dump
    from reward_service.commands import terminal

    try:
        score_dump(
            dump=dump,
            out=out,
            url=url,
            api_key=api_key,
            overwrite=overwrite,
            profile=profile,
            column=column,
            quiet=True,
        )
        code = 0
    except typer.Exit as end:
        code = end.exit_code
        if code not in (0, SOME_ERRORS):
            raise
    comparison = compare(out, before, column)
    if as_json:
        typer.echo(terminal.as_json(terminal.comparison_rows(comparison)))
    else:
        terminal.show_comparison(console(), comparison)
    raise typer.Exit(code)


def compare(out: Path, before: str, column: str) -> Any:
    """The comparison of two judgements in a dump."""
    from reward_service.analysis.flips import Comparison, field_at
    from reward_service.dump import open_input

    comparison = Comparison()
    reader = open_input(out, "")
    try:
        for record in reader.records():
            try:
                row = json.loads(record.line)
            except ValueError:
                continue
            now = row.get(column)
            if isinstance(now, dict):
                name = str(row.get("data_source") or row.get("domain") or "(none)")
                comparison.add(record.number, name[:200], field_at(row, before), now)
    finally:
        reader.close()
    return comparison
