"""Runs a parser on many inputs and says what it raised."""

from __future__ import annotations

import resource
import signal
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from tests.fuzz.changes import changed
from tests.fuzz.registry import Parser

SLOWEST = 5.0
"""Seconds of the processor that one input may take; others may share it."""
PATIENCE = 60.0
"""Seconds of the clock until it is stopped, should it wait for something."""


class SlowError(BaseException):
    """Ends a parser that takes too long; no parser catches it."""


@dataclass
class Outcome:
    """What a parser did.

    Args:
        inputs (int): How many there were.
        accepted (int): Those it read.
        refused (Counter): Documented exceptions by type.
        faults (dict): The others: the number of the input, its exception and how often it came.
        slowest (float): Seconds of the slowest input.
        seconds (float): Of all.
    """

    inputs: int = 0
    accepted: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    faults: dict[str, list[int]] = field(default_factory=dict)
    traces: dict[str, str] = field(default_factory=dict)
    slowest: float = 0.0
    seconds: float = 0.0


@contextmanager
def limited() -> Iterator[None]:
    """What runs inside is stopped after a while."""

    def stop(*_: object) -> None:
        raise SlowError(f"more than {PATIENCE:.0f} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, PATIENCE)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def processor_seconds() -> float:
    """What this process has used so far, whatever else the machine does."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def input_of(parser: Parser, seeds: list[bytes], seed: int, number: int) -> bytes:
    """The input of a number, the same in every run."""
    return changed(seeds, Random(f"{parser.name}/{seed}/{number}"), parser.inside)


def room() -> str | None:
    """A folder in memory, where there is one."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


def run(
    parser: Parser,
    numbers: range,
    seed: int,
    seconds: float = float("inf"),
    watch: Callable[[int], None] = lambda _: None,
) -> Outcome:
    """Feeds a parser inputs and counts what happens.

    Args:
        parser (Parser): The parser.
        numbers (range): Numbers of the inputs.
        seed (int): Seed of the changes.
        seconds (float, optional): When to stop. (default: never)
        watch (callable, optional): Is told of every input. (default: nobody)
    """
    outcome, seeds, begin = Outcome(), list(parser.seeds()), time.monotonic()
    with tempfile.TemporaryDirectory(dir=room()) as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for number in numbers:
            watch(number)
            once(parser, input_of(parser, seeds, seed, number), Path(folder), number, outcome)
            outcome.seconds = time.monotonic() - begin
            if outcome.seconds > seconds:
                break
    return outcome


@dataclass
class Attempt:
    """One input: what is raised in its block is counted and goes no further."""

    parser: Parser
    number: int
    outcome: Outcome

    def __enter__(self) -> None:
        self.begin = processor_seconds()

    def __exit__(self, _: object, error: BaseException | None, trace: object) -> bool:
        outcome, took = self.outcome, processor_seconds() - self.begin
        outcome.inputs += 1
        outcome.slowest = max(outcome.slowest, took)
        if took > SLOWEST or isinstance(error, SlowError):
            outcome.faults.setdefault(f"took over {SLOWEST:.0f} s", []).append(self.number)
        if error is None:
            outcome.accepted += 1
        elif isinstance(error, self.parser.documented):
            outcome.refused[type(error).__name__] += 1
        elif isinstance(error, Exception):
            line = traceback.extract_tb(error.__traceback__)[-1]
            key = f"{type(error).__name__} at {Path(line.filename).name}:{line.lineno}"
            outcome.faults.setdefault(key, []).append(self.number)
            outcome.traces.setdefault(key, "".join(traceback.format_exception(error)))
        return error is None or isinstance(error, Exception | SlowError)


def once(parser: Parser, content: bytes, folder: Path, number: int, outcome: Outcome) -> None:
    """Feeds one input."""
    with Attempt(parser, number, outcome), limited():
        parser.parse(content, folder)


def table(outcomes: dict[str, Outcome]) -> str:
    """A table in Markdown, a line for each parser."""
    lines = [
        "| parser | inputs | read | refused, as documented | anything else | slowest |",
        "|---|---|---|---|---|---|",
    ]
    for name, one in outcomes.items():
        refused = ", ".join(f"{kind} {n:,}" for kind, n in one.refused.most_common())
        faults = ", ".join(f"{kind} ({len(n):,}, first {n[0]})" for kind, n in one.faults.items())
        lines.append(
            f"| {name} | {one.inputs:,} | {one.accepted:,} | {refused or '0'} | {faults or '0'} | "
            f"{1000 * one.slowest:.0f} ms |"
        )
    inputs = sum(one.inputs for one in outcomes.values())
    faults = sum(len(n) for one in outcomes.values() for n in one.faults.values())
    return "\n".join([*lines, "", f"{inputs:,} inputs, {faults:,} of them with a fault"])
