"""``python -m tests.fuzz``: changed inputs for every parser, and a table of what they raised."""

from __future__ import annotations

import argparse
import faulthandler
import sys
from pathlib import Path

from tests.fuzz.campaign import Outcome, input_of, once, room, run, table
from tests.fuzz.registry import all_parsers


def main() -> int:
    """Runs the campaign; 1 if a parser raised what it does not document."""
    faulthandler.enable()
    parsers = all_parsers()
    words = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    words.add_argument("--parser", nargs="+", choices=sorted(parsers), default=sorted(parsers))
    words.add_argument("--count", type=int, default=1000, help="inputs for each parser")
    words.add_argument("--start", type=int, default=0, help="number of the first input")
    words.add_argument("--seed", type=int, default=0)
    words.add_argument("--seconds", type=float, default=float("inf"), help="for each parser")
    words.add_argument("--only", type=int, help="this input alone, written to standard output")
    words.add_argument("--list", action="store_true", help="the parsers and what they document")
    chosen = words.parse_args()
    if chosen.list:
        for name in chosen.parser:
            print(name, *(kind.__name__ for kind in parsers[name].documented))
        return 0
    if chosen.only is not None:
        for name in chosen.parser:
            again(name, chosen.seed, chosen.only)
        return 0
    outcomes: dict[str, Outcome] = {}
    numbers = range(chosen.start, chosen.start + chosen.count)
    for name in chosen.parser:
        outcomes[name] = run(parsers[name], numbers, chosen.seed, chosen.seconds)
        done = outcomes[name]
        print(f"{name}: {done.inputs:,} in {done.seconds:.0f} s", file=sys.stderr, flush=True)
        for trace in done.traces.values():
            print(trace, file=sys.stderr)
    print(table(outcomes))
    return int(any(one.faults for one in outcomes.values()))


def again(name: str, seed: int, number: int) -> None:
    """One input once more: its bytes, and what became of it."""
    import tempfile

    parser, outcome = all_parsers()[name], Outcome()
    content = input_of(parser, list(parser.seeds()), seed, number)
    sys.stdout.buffer.write(content + b"\n")
    with tempfile.TemporaryDirectory(dir=room()) as folder:
        once(parser, content, Path(folder), number, outcome)
    print(*(outcome.traces.values() or ["read" if outcome.accepted else dict(outcome.refused)]))


if __name__ == "__main__":
    sys.exit(main())
