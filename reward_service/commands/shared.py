"""What the commands have in common: exit codes, how they complain, their console, and the settings with their flags."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from reward_service.settings import Settings

STOPPED, USAGE, SOME_ERRORS, INTERRUPTED = 1, 2, 3, 130
"""Had to stop (run it again to go on); wrong usage; done, but some rows are errors; Ctrl-C."""


def fail(message: str, code: int = USAGE) -> NoReturn:
    """Say what is wrong, and end."""
    typer.echo(f"reward-service: {message}", err=True)
    raise typer.Exit(code)


def console(*, stderr: bool = False) -> Console:
    """A rich console; wide enough for the tables when the output is a file."""
    from rich.console import Console

    made = Console(stderr=stderr, highlight=False)
    if not made.is_terminal:
        made.width = max(made.width, 140)
    return made


def settings_with(**given: Any) -> Settings:
    """The settings of the environment, with the flags that were given. Ends with USAGE if a value is none."""
    from pydantic import ValidationError

    from reward_service.settings import Settings

    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        found = error.errors(include_url=False)[0]
        fail(f"setting {found['loc'][0]}: {found['msg']}")
