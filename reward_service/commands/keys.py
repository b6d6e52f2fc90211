"""`reward-service keys …`: make, list and revoke API keys.

What is decided here: a key is printed once, alone on stdout, so that it can go straight into a secret store; everything else goes
to stderr. The commands only change the file; a service that uses it sees the change within about a second.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Annotated

import typer

from reward_service import keys
from reward_service.commands.shared import fail
from reward_service.keys import BadKeys, Key, Scope

app = typer.Typer(help="API keys: made here, kept as hashes in a file.", no_args_is_help=True)

File = Annotated[
    Path, typer.Option("--file", help="The file of keys.", envvar="REWARD_SERVICE_KEYS_FILE", dir_okay=False)
]
DEFAULT_FILE = Path("keys.json")


def kept(path: Path) -> list[Key]:
    """The keys that there are; none if there is no file. Ends if there is another one there."""
    try:
        return keys.read(path) if path.exists() else []
    except BadKeys as error:
        fail(str(error))


@app.command()
def create(
    name: Annotated[
        str, typer.Argument(help="Whose key it is: batches, files and quotas belong to this name.")
    ],
    scope: Annotated[list[Scope], typer.Option(help="What it may do; several times.")] = [Scope.SCORE],  # noqa: B006
    items_per_minute: Annotated[int, typer.Option(min=0, help="Quota; 0 for none.")] = 0,
    items_per_day: Annotated[int, typer.Option(min=0, help="Quota; 0 for none.")] = 0,
    days: Annotated[float, typer.Option(min=0, help="Days until it expires; 0 for never.")] = 0,
    file: File = DEFAULT_FILE,
) -> None:
    """Make a key, and print it. It can't be shown again."""
    found = kept(file)
    try:
        secret, key = keys.make(
            name, scope, days=days, items_per_minute=items_per_minute, items_per_day=items_per_day
        )
        keys.write(file, [*found, key])
    except (ValueError, OSError) as error:
        fail(str(error))
    scopes = ", ".join(sorted(key.scopes))
    typer.echo(f"{key.id} of {name} ({scopes}) is in {file}. The key, which is not kept anywhere:", err=True)
    typer.echo(secret)


@app.command("list")
def list_keys(
    file: File = DEFAULT_FILE,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """The keys of the file, without anything secret."""
    found = kept(file)
    if as_json:
        rows = [
            {
                "id": key.id,
                "name": key.name,
                "scopes": sorted(key.scopes),
                "created": keys.shown_time(key.created),
                "expires": keys.shown_time(key.expires),
                "items_per_minute": key.items_per_minute,
                "items_per_day": key.items_per_day,
            }
            for key in found
        ]
        typer.echo(json.dumps(rows, indent=1))
        return
    for key in found:
        typer.echo(described(key))


def described(key: Key) -> str:
    """A key in one line."""
    quotas = [
        f"{count:,} items/{span}"
        for count, span in ((key.items_per_minute, "min"), (key.items_per_day, "day"))
        if count
    ]
    ends = ""
    if key.expires:
        ends = "expired" if key.expires <= time.time() else f"until {keys.shown_time(key.expires)}"
    return "  ".join(
        filter(None, [f"{key.id}  {key.name:20}", ",".join(sorted(key.scopes)), ", ".join(quotas), ends])
    )


@app.command()
def revoke(
    what: Annotated[str, typer.Argument(help="A key's id, or a name for all of its keys.")],
    file: File = DEFAULT_FILE,
) -> None:
    """Take keys out of the file; they are refused within about a second."""
    found = kept(file)
    left = keys.without(found, what)
    if len(left) == len(found):
        fail(f"{file} has no key {what!r}")
    try:
        keys.write(file, left)
    except OSError as error:
        fail(str(error))
    typer.echo(f"{len(found) - len(left)} of {len(found)} keys are revoked", err=True)
