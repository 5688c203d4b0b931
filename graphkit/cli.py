"""The command line: ``python -m graphkit`` or ``graphkit``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich import box
from rich.console import Console
from rich.table import Table

app = typer.Typer(
    name="graphkit",
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help=(
        "Published graph-learning methods as drop-in PyTorch Geometric parts.\n\n"
        "First steps:\n\n"
        "  python -m graphkit methods               which methods there are, from which paper\n\n"
        "  python -m graphkit cite TWP SPAGAN       BibTeX of the methods you used\n\n"
        "  python -m graphkit doctor                what is installed, what is missing for what\n\n"
        "  python -m graphkit data                  which data sets are here, how to get others\n\n"
        "  python -m graphkit new layer FooConv     begin a method of your own (in a checkout)\n\n"
        "  python -m benchmarks                     run methods on real data (in a checkout)\n\n"
        "Data sets are read from the folder GRAPHKIT_DATA; what is computed from them is kept in "
        "GRAPHKIT_CACHE (by default ~/.cache/graphkit). GRAPHKIT_OFFLINE=1 forbids downloads."
    ),
)
COUNTS = ("nodes", "edges", "features", "classes")
console = Console()
errors = Console(stderr=True)


def show_version(value: bool) -> None:
    """Prints the version and ends."""
    if value:
        import graphkit

        console.print(f"graphkit {graphkit.__version__}", highlight=False)
        raise typer.Exit


@app.callback()
def start(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=show_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    """Options before any command."""


@app.command()
def data(
    root: Annotated[
        Path | None, typer.Option(help="Look here instead of in GRAPHKIT_DATA.")
    ] = None,
) -> None:
    """Shows which data sets are here, where they are looked for and how to get the others.

    Examples:

      python -m graphkit data

      GRAPHKIT_DATA=~/data python -m graphkit data
    """
    from graphkit.datasets.store.folders import refusal, search_path
    from graphkit.datasets.store.registry import dataset_cards

    places = search_path(root)
    table = Table(box=box.SIMPLE, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("name", no_wrap=True)
    table.add_column("here")
    for column in COUNTS:
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("what")
    absent = []
    for card in dataset_cards():
        here = card.embedded or any(card.is_in(base) for base in places)
        if not here:
            absent.append(card)
        cells = [f"{card.counts[c]:,}" if c in card.counts else "" for c in COUNTS]
        table.add_row(card.name, "yes" if here else "no", *cells, card.about)
    console.print(table)
    lines = ["Looked in:"]
    for base in places:
        refused = refusal(base)
        lines.append(f"  {base}" + (f" (cannot be read: {refused})" if refused else ""))
    for card in absent:
        lines += [
            f"{card.name} is missing.",
            f"  files:   {card.folder}/{{{', '.join(card.files)}}}",
            f"  get it:  {card.source}",
            f"  terms:   {card.terms}",
        ]
    console.print("\n".join(lines), highlight=False, markup=False, soft_wrap=True)


@app.command()
def doctor() -> None:
    """Says what is installed here, what will be used, and what is missing for what.

    Examples:

      python -m graphkit doctor
    """
    from graphkit.scaffold.doctor import examine

    table = Table(box=box.SIMPLE, padding=(0, 1, 0, 0), pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    remedies = []
    for name, there, remedy in examine():
        table.add_row(name, there)
        if remedy:
            remedies.append(f"{name}: {remedy}")
    console.print(table)
    if remedies:
        lines = ["What could be better:", *(f"  {line}" for line in remedies)]
        console.print("\n".join(lines), markup=False, highlight=False, soft_wrap=True)


@app.command()
def methods(
    room: Annotated[
        str | None, typer.Option(help="Only this room, such as nn, continual or distill.")
    ] = None,
) -> None:
    """Lists the methods: the paper, the released code and its licence.

    Examples:

      python -m graphkit methods

      python -m graphkit methods --room nn
    """
    from graphkit.catalog import cards

    known = cards()
    rooms = sorted({card.room for card in known})
    if room is not None and room not in rooms:
        errors.print(f"no method lives in {room!r}; rooms: {', '.join(rooms)}", markup=False)
        raise typer.Exit(2)
    for name in rooms if room is None else [room]:
        table = Table(
            title=name, title_justify="left", box=box.SIMPLE, padding=(0, 1, 0, 0), pad_edge=False
        )
        table.add_column("method", no_wrap=True)
        table.add_column("paper", min_width=16, overflow="fold")
        table.add_column("venue")
        table.add_column("code, licence", overflow="fold")
        for card in known:
            if card.room == name:
                code = (card.code or "none released").removeprefix("https://github.com/")
                licence = f", {card.licence}" if card.code else ""
                table.add_row(card.name, card.paper, card.venue, f"{code}{licence}")
        console.print(table)
    console.print("BibTeX of a method: python -m graphkit cite NAME", highlight=False)


@app.command()
def cite(
    names: Annotated[list[str], typer.Argument(help="Names of methods; see 'methods'.")],
) -> None:
    """Prints BibTeX for the papers behind methods.

    Examples:

      python -m graphkit cite TWP

      python -m graphkit cite TWP SPAGAN >> paper.bib
    """
    from graphkit.catalog import UnknownMethodError
    from graphkit.catalog import cite as bibtex

    try:
        text = bibtex(names)
    except UnknownMethodError as error:
        errors.print(str(error), markup=False, highlight=False)
        raise typer.Exit(1) from error
    console.print(text, markup=False, highlight=False, soft_wrap=True)


@app.command()
def new(
    kind: Annotated[str, typer.Argument(help="layer, objective, adapter or recipe.")],
    name: Annotated[str, typer.Argument(help="FooConv, FooLoss, FooAdapter; foo-cora (recipe).")],
    room: Annotated[
        str | None,
        typer.Option(
            help="distill or continual (objective); samples, parts, moments or models (adapter)."
        ),
    ] = None,
    protocol: Annotated[
        str, typer.Option(help="What carries a recipe out.")
    ] = "node_classification",
    root: Annotated[Path, typer.Option(help="The checkout of graphkit.")] = Path(),
) -> None:
    """Begins a method: its file with a card, its test, its export, a notebook's cell.

    Everything fails its suite until each FILL IN is filled in.

    Examples:

      python -m graphkit new layer FooConv

      python -m graphkit new objective FooLoss --room distill

      python -m graphkit new adapter FooAdapter --room samples

      python -m graphkit new recipe foo-cora --protocol node_classification
    """
    from graphkit.scaffold.stubs import write_method, write_recipe

    try:
        if kind == "recipe":
            files = write_recipe(name, protocol, root)
        else:
            files = write_method(kind, name, room, root)
    except ValueError as error:
        errors.print(str(error), markup=False, highlight=False)
        raise typer.Exit(2) from error
    lines = [f"  {file}" for file in files]
    if kind == "recipe":
        lines += ["Next: fill it in, then", f"  python -m benchmarks run {name}"]
    else:
        lines += ["Next: replace each FILL IN, then", "  python notebooks/build.py"]
        lines += [
            f"  python -m pytest {files[1]} tests/test_catalog_complete.py tests/test_style.py"
        ]
    console.print("\n".join(["Written:", *lines]), markup=False, highlight=False, soft_wrap=True)


def main() -> None:
    """Entry point of the command ``graphkit``."""
    app()
