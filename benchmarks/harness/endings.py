"""How a command ends: with an error in a line, or interrupted, and what it says then."""

# fingerprint: not counted

from __future__ import annotations

import shlex
import sys
from typing import TYPE_CHECKING, NoReturn

import typer
from rich.console import Console
from rich.markup import escape

if TYPE_CHECKING:
    from benchmarks.harness.command import Command

__all__ = ["fail", "left_out", "stopped", "told"]


def left_out(command: Command, console: Console) -> None:
    """Says which recipes ``--missing`` could not run, and the first reason."""
    if command.without_data:
        names, reasons = ", ".join(command.without_data), list(command.without_data.values())
        text = f"no data here for {len(reasons)} recipes: {names}"
        console.print(text, highlight=False, markup=False)
        console.print(f"the first: {reasons[0]}", highlight=False, markup=False, soft_wrap=True)
        console.print("Which data sets are here: python -m graphkit data")


def told(error: BaseException) -> str:
    """What the system says, and of which file."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: '{error.filename}'" if error.filename else error.strerror
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def fail(error: Exception, status: int = 1) -> NoReturn:
    """Ends the command with a message instead of a traceback."""
    # Square brackets in a message are its own, and no colours.
    text = f"[red]error:[/red] {escape(str(error))}"
    Console(stderr=True).print(text, highlight=False, soft_wrap=True)
    raise typer.Exit(status) from error


def stopped(command: Command) -> NoReturn:
    """Ends an interrupted command: says what is kept and how to go on."""
    words = [word for word in sys.argv[1:] if word != "--resume"]
    again = shlex.join(["python", "-m", "benchmarks", *words, "--resume"])
    text = f"stopped: {command.finished()}.\nGo on from there with: {again}"
    Console(stderr=True).print(text, highlight=False, soft_wrap=True, markup=False)
    raise typer.Exit(130)
