"""The command line: ``python -m benchmarks``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from rich.console import Console

from benchmarks.harness.endings import fail, left_out, stopped, told
from benchmarks.harness.options import (
    WrongOptionError,
    launch_options,
    seed_numbers,
    whole_number,
)
from benchmarks.harness.outputs import check_file, check_folder
from graphkit.json_values import finite

if TYPE_CHECKING:
    from benchmarks.harness.command import Command

app = typer.Typer(
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help=(
        "Runs graphkit's methods and their rivals on real data.\n\n"
        "Without a command it runs the recipes of the group 'tour': they need no data set on disk "
        "and no network, take under two minutes, and leave a table, a page and a JSON file.\n\n"
        "First steps:\n\n"
        "  python -m benchmarks list                        what there is to run\n\n"
        "  python -m benchmarks list citeseer               … on a data set, or with any word\n\n"
        "  python -m benchmarks run gcn-cora --seeds 3      one recipe, three seeds\n\n"
        "  python -m benchmarks run gat-cora --set train.epochs=50\n\n"
        "  python -m benchmarks run gat-cora --resume       go on where a killed run stopped\n\n"
        "  python -m benchmarks run adapters                all image-side methods in a table\n\n"
        "  python -m benchmarks run my.yaml                 a recipe of your own; in it, models,\n"
        "  data sets and protocols may be module:Class, and data sets a saved Data, graph.pt"
    ),
)

T = TypeVar("T")
DEFAULT = ("tour",)
console = Console()
PLAIN: dict[str, Any] = {"soft_wrap": True, "highlight": False, "markup": False}
"""How a line with a path is printed: whole, and with brackets as they are."""

Seeds = Annotated[str | None, typer.Option(help="Seeds 0 … n-1; else the recipe's number.")]
Seed = Annotated[str | None, typer.Option(help="The seeds themselves: 42, or 1,2,3.")]
Resume = Annotated[bool, typer.Option(help="Continue a killed run bit for bit.")]
Out = Annotated[Path, typer.Option(help="Folder for results, plots and the state of runs.")]
Devices = Annotated[str, typer.Option(help="Number of devices (processes), or 'auto'.")]
Nodes = Annotated[str, typer.Option(help="Number of machines, under torchrun or SLURM.")]
Jobs = Annotated[
    str,
    typer.Option(help="Recipes at a time, each on its share of the cores, or 'auto'."),
]
Json = Annotated[Path | None, typer.Option("--json", help="Write the results to this file too.")]


@app.callback(invoke_without_command=True)
def default(
    context: typer.Context,
    seeds: Seeds = None,
    seed: Seed = None,
    jobs: Jobs = "auto",
    json_file: Json = None,
    out: Out = Path("runs"),
    resume: Resume = False,
) -> None:
    """Runs the default recipes when no command is given."""
    from benchmarks.harness.command import Command

    if context.invoked_subcommand is None:
        numbers = checked(lambda: seed_numbers(seeds, seed))
        checked(lambda: whole_number("--jobs", jobs, auto=True))
        execute(Command(DEFAULT, numbers, out=out, resume=resume, jobs=jobs), json_file)
        return
    given = [name for name, value in context.params.items() if value != DEFAULTS[name]]
    if given:
        word = f"--{given[0].removesuffix('_file')}"
        command = context.invoked_subcommand
        fail(ValueError(f"give {word} behind the command: python -m benchmarks {command} … {word}"))


DEFAULTS = {
    "seeds": None,
    "seed": None,
    "jobs": "auto",
    "json_file": None,
    "out": Path("runs"),
    "resume": False,
}
"""Options of the command without a subcommand, as they are when nobody gives them."""


def checked(values: Callable[[], T]) -> T:
    """What options say; a wrong value ends the command with a line and status 2, as usage does."""
    try:
        return values()
    except WrongOptionError as error:
        fail(error, 2)


@app.command("list")
def list_recipes(
    words: Annotated[
        list[str] | None, typer.Argument(help="Only lines with all of these words.")
    ] = None,
    group: Annotated[str | None, typer.Option(help="Only this group or protocol.")] = None,
    dataset: Annotated[str | None, typer.Option(help="Only this data set.")] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the list to this file; '-' prints it.")
    ] = None,
) -> None:
    """Lists the recipes: what to type, data set, group and our result."""
    from benchmarks.report.listing import listing, show_listing

    try:
        lines = listing(words or (), group, dataset)
        if json_file is not None and str(json_file) != "-":
            check_file("--json", json_file)
    except ValueError as error:
        fail(error)
    text = json.dumps({"recipes": finite([asdict(line) for line in lines])}, indent=2) + "\n"
    if str(json_file) == "-":
        typer.echo(text, nl=False)
        return
    show_listing(lines, console)
    if json_file is not None:
        write(json_file, text)
    console.print("Which data sets are here: python -m graphkit data")


@app.command()
def run(
    recipes: Annotated[
        list[str],
        typer.Argument(help="Recipes, groups, 'all' (see 'list'), or a YAML file of your own."),
    ],
    seeds: Seeds = None,
    seed: Seed = None,
    devices: Devices = "1",
    nodes: Nodes = "1",
    jobs: Jobs = "auto",
    accelerator: Annotated[str, typer.Option(help="cpu, cuda, mps or auto.")] = "cpu",
    precision: Annotated[str, typer.Option(help="32-true, 64-true, bf16-mixed …")] = "32-true",
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="Change a setting: section.key=value. May be repeated."),
    ] = None,
    json_file: Json = None,
    out: Out = Path("runs"),
    resume: Resume = False,
    record: Annotated[bool, typer.Option(help="Keep the figures in benchmarks/results.")] = False,
    cluster: Annotated[
        bool,
        typer.Option("--cluster", help="Hand seeds to dask, --jobs processes of this machine."),
    ] = False,
    scheduler: Annotated[
        str | None, typer.Option(help="With --cluster: the address of dask's scheduler.")
    ] = None,
    missing: Annotated[
        bool,
        typer.Option(
            "--missing",
            help="Only recipes without figures or with stale ones whose data are here, cheapest "
            "first; with --record --resume it can be stopped and gone on with at any time.",
        ),
    ] = False,
) -> None:
    """Runs recipes and prints a table; writes JSON and a plot, and says where."""
    from benchmarks.harness.command import Command

    launch = checked(lambda: launch_options(devices, nodes, accelerator, precision))
    numbers = checked(lambda: seed_numbers(seeds, seed))
    checked(lambda: whole_number("--jobs", jobs, auto=True))
    words = (recipes, numbers, launch, set_ or (), out, resume, record, jobs, cluster, scheduler)
    execute(Command(*words, missing=missing), json_file)


def execute(command: Command, json_file: Path | None = None) -> None:
    """Runs recipes, shows and writes their results; errors end the command with status 1."""
    from concurrent.futures.process import BrokenProcessPool

    from graphkit.datasets import MissingDataError, UnknownDatasetError

    try:
        check_file("--json", json_file)
        results = command.run(quiet=not leads())
    except KeyboardInterrupt:
        stopped(command)
    except (
        MissingDataError,
        UnknownDatasetError,
        ValueError,
        ImportError,
        FloatingPointError,
    ) as error:
        fail(error)
    except BrokenProcessPool:
        fail(RuntimeError("a process was killed, for want of memory?; add --jobs 1 --resume"))
    except (OSError, MemoryError, RecursionError) as error:
        fail(RuntimeError(f"{told(error)}; {command.finished()}: add --resume to go on from there"))
    if leads():
        left_out(command, console)
    if leads():
        try:
            present(results, json_file, command.out)
        except (ImportError, OSError) as error:
            fail(RuntimeError(f"{told(error)}; {command.finished()}: add --resume to show them"))


def leads() -> bool:
    """Whether this process is the first of those that share the work."""
    return int(os.environ.get("RANK", os.environ.get("LOCAL_RANK", "0"))) == 0


def present(results: list[dict[str, Any]], json_file: Path | None, out: Path) -> None:
    """Prints the table, writes the page, the JSON files and the plot, and says where they are."""
    from benchmarks.report.page import write_page
    from benchmarks.report.report import plot, show
    from benchmarks.report.tour import pairs_of, show_tour

    text = json.dumps({"results": finite(results)}, indent=2) + "\n"
    files = [out / "results.json", *([json_file] if json_file else [])]
    for file in files:
        write(file, text)
    if not results:
        console.print("nothing was run: of what can be run here, no figures are missing or stale")
        return
    pairs = pairs_of(results)
    # Who runs the tour wants to see what it is for; every metric is on the page.
    if pairs:
        show_tour(pairs, console)
    else:
        show(results, console)
    picture = plot(results, out / "results.png")
    page = write_page(results, out / "report.html")
    for what, path in (("page", page), *(("results", file) for file in files), ("plot", picture)):
        console.print(f"{what}: {path.resolve()}", **PLAIN)


def write(file: Path, text: str) -> None:
    """Replaces a file whole or not at all."""
    from graphkit.files import replacing

    with replacing(file) as target:
        target.write(text.encode())


@app.command()
def report(
    check: Annotated[
        bool, typer.Option(help="Change nothing; fail if a page in docs is behind.")
    ] = False,
) -> None:
    """Renders the tables in docs and the plot from recipes, results and method cards."""
    from benchmarks.report.report import report as render

    try:
        fresh = render(check, None if check else console)
    except ValueError as error:
        fail(error)
    if check and not fresh:
        console.print("the tables in docs are behind; run: python -m benchmarks report")
        raise typer.Exit(1)


@app.command()
def speed(
    only: Annotated[
        list[str] | None,
        typer.Argument(
            help="What to time, else all: kernels gat spmm sum sddmm softmax max, "
            "or the parts loop (training loop), paths (SPAGAN), sizes (attention, small to large), "
            "growth (time per edge), order (of nodes), epochs (before and after accelerate), "
            "twins (fused layers), factor (FactorGCN), distill (LSP), "
            "scenes (an epoch of enrichment), skeleton (STIGCN), sampling (of neighbours)."
        ),
    ] = None,
    quick: Annotated[bool, typer.Option(help="Small sizes, a few seconds.")] = False,
    json_file: Json = None,
    out: Out = Path("runs"),
) -> None:
    """Times kernels, layers and the training loop against their rivals, side by side."""
    from benchmarks.speed import OPS
    from benchmarks.speed import run as run_kernels
    from benchmarks.speed.parts import PARTS, run_parts
    from graphkit.datasets import MissingDataError

    wanted = only or [*OPS, *PARTS]
    unknown = set(wanted) - {*OPS, *PARTS}
    try:
        check_folder("--out", out)
        check_file("--json", json_file)
        if unknown:
            raise ValueError(f"unknown {sorted(unknown)}; there are {[*OPS, *PARTS]}")
        kernels = [name for name in wanted if name in OPS]
        measured: dict[str, Any] = {}
        if kernels:
            measured = run_kernels(quick=quick, plot=out / "speed.png", only=kernels)
        measured |= run_parts([name for name in wanted if name in PARTS], quick, console)
    except (MissingDataError, ValueError) as error:
        fail(error)
    for file in (out / "speed.json", *([json_file] if json_file else [])):
        write(file, json.dumps(measured, indent=1) + "\n")
        console.print(f"figures: {file.resolve()}", **PLAIN)


@app.command()
def gpu(
    interpret: Annotated[
        bool, typer.Option(help="On a CPU in Triton's interpreter, to try the command itself.")
    ] = False,
    json_file: Json = None,
    out: Out = Path("runs"),
) -> None:
    """Checks, tunes and times the GPU kernels in at most eight minutes; writes one JSON file."""
    if interpret and os.environ.get("TRITON_INTERPRET") != "1":
        # Triton looks for it when it is imported, which has happened: begin anew.
        command = [sys.executable, "-m", "benchmarks", *sys.argv[1:]]
        raise typer.Exit(subprocess.call(command, env=os.environ | {"TRITON_INTERPRET": "1"}))
    try:
        check_folder("--out", out)
        check_file("--json", json_file)
        from benchmarks.gpu import run as run_gpu

        file = json_file or out / "gpu.json"
        run_gpu(file, interpret)
    except (ImportError, RuntimeError, ValueError) as error:
        fail(error)
    console.print(f"figures: {file.resolve()}", **PLAIN)


@app.command()
def scale(
    quick: Annotated[bool, typer.Option(help="Small sizes, a few seconds.")] = False,
    json_file: Json = None,
    out: Out = Path("runs"),
    large: Annotated[
        Path | None,
        typer.Option(help="Only: sample, train and infer on a graph on disk in this folder."),
    ] = None,
    nodes: Annotated[int, typer.Option(help="With --large: nodes of it, ten edges each.")] = 10**7,
    growth: Annotated[
        Path | None,
        typer.Option(help="Only: that at 10^5 to 10^7 nodes, and killed; 10 GB in this folder."),
    ] = None,
    record: Annotated[
        bool, typer.Option(help="With --growth: keep the figures in benchmarks/results.")
    ] = False,
) -> None:
    """Shows how time and memory grow with the graph."""
    try:
        check_folder("--out", out)
        check_file("--json", json_file)
        if large is not None:
            from benchmarks.scale.large import run_large

            measured = run_large(large, nodes, 10 * nodes)
        elif growth is not None:
            from benchmarks.scale.growth import run_growth

            picture = out / "scale-growth.png"
            measured = run_growth(growth, quick=quick, record=record, plot=picture)
        else:
            from benchmarks.scale import run as run_scale

            measured = run_scale(quick=quick, plot=out / "scale.png")
        if json_file is not None:
            write(json_file, json.dumps(measured, indent=2) + "\n")
            console.print(f"figures: {json_file.resolve()}", **PLAIN)
    except (OSError, ValueError, RuntimeError) as error:
        fail(RuntimeError(told(error)) if isinstance(error, OSError) else error)


def main() -> None:
    """Entry point."""
    app()
