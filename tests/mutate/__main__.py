"""``python -m tests.mutate``: plants faults, runs the mirrored tests, and lists what nobody saw."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random

from tests.mutate.faults import Fault, faults_of
from tests.mutate.running import ROOT, copy_of, outcome, preload, tests_of

LEFT_OUT = ("ops/cuda", "scaffold", "testing")
"""Kernels that need a GPU, and what is itself a test."""
GUARDS = ("tests/test_defaults.py",)
"""Tests that look over all files and cost little; asked last."""
FEW = 3
"""Tests that are asked about a file without one of its name."""
LEAST, LONGEST = 15.0, 240.0
Mutant = tuple[Path, Fault]


def main(words: Sequence[str] | None = None, root: Path = ROOT) -> int:
    """Runs it; 1 if a fault survived."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutate", description=__doc__)
    parser.add_argument("files", nargs="*", type=Path, help="files of the package; else all")
    parser.add_argument("--count", type=int, default=40, help="faults, over rooms in turn")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--start", type=int, default=0, help="number of the first fault")
    parser.add_argument("--room", nargs="+", help="only these rooms, such as metrics")
    parser.add_argument("--wide", action="store_true", help="all tests that name what is defined")
    parser.add_argument("--list", action="store_true", help="show the faults, run nothing")
    given = parser.parse_args(words)
    files = [path.resolve().relative_to(root.resolve()) for path in given.files]
    files = files or package_files(root, given.room)
    drawn = sample(root, files, given.seed, given.start + given.count)[given.start :]
    if given.list:
        for number, (file, fault) in enumerate(drawn, given.start):
            print(described(root, number, file, fault))
        return 0
    preload()
    with tempfile.TemporaryDirectory(prefix="mutate-") as folder:
        copy = copy_of(Path(folder), root)
        judge = Judge(copy, given.wide)
        for number, (file, fault) in enumerate(drawn, given.start):
            verdict = judge(file, fault)
            line = described(root, number, file, fault)
            print(f"{verdict:8} {line}", file=sys.stderr, flush=True)
        print(judge.table())
    return int(any(verdict == "survived" for _, verdict in judge.seen))


def package_files(root: Path, rooms: Sequence[str] | None) -> list[Path]:
    """Files of the package that hold something to plant faults in."""
    files = [path.relative_to(root) for path in sorted((root / "graphkit").rglob("*.py"))]
    return [
        file
        for file in files
        if not any(place in str(file) for place in LEFT_OUT)
        and (not rooms or room_of(file) in rooms)
    ]


def room_of(file: Path) -> str:
    """The folder below the package; ``"-"`` for a file that lies loose."""
    return file.parts[1] if len(file.parts) > 2 else "-"


def sample(root: Path, files: Sequence[Path], seed: int, count: int) -> list[Mutant]:
    """Faults over rooms in turn; in a room any file, in a file any kind, of a kind any place."""
    random, rooms = Random(seed), defaultdict(list)
    for file in files:
        faults = faults_of((root / file).read_bytes())
        if faults:
            rooms[room_of(file)].append((file, faults))
    drawn: list[Mutant] = []
    most = sum(len(faults) for room in rooms.values() for _, faults in room)
    while len(drawn) < min(count, most):
        for room in sorted(rooms):
            file, faults = random.choice(rooms[room])
            kind = random.choice(sorted({fault.kind for fault in faults}))
            mutant = file, random.choice([fault for fault in faults if fault.kind == kind])
            if mutant not in drawn:
                drawn.append(mutant)
    return drawn[:count]


def described(root: Path, number: int, file: Path, fault: Fault) -> str:
    """One line about a fault."""
    shown = fault.shown((root / file).read_bytes())
    return f"{number:4} {file}:{fault.line} {fault.kind}: {shown}"


class Judge:
    """Plants faults in a copy, one at a time, and remembers what the tests said.

    Args:
        copy (Path): The copy of the checkout.
        wide (bool): Whether all tests of the room that name what a file defines are asked, too.
    """

    def __init__(self, copy: Path, wide: bool = False) -> None:
        self.copy, self.wide = copy, wide
        self.seen: list[tuple[Path, str]] = []
        self.costs: dict[tuple[str, ...], float] = {}

    def __call__(self, file: Path, fault: Fault) -> str:
        """``"killed"``, ``"survived"``, or ``"untested"`` where no test is there or it is red."""
        path = self.copy / file
        source, verdict = path.read_bytes(), "untested"
        for tests in self.stages(file):
            limit = self.limit(tests)
            if not limit:
                if tests[0] not in GUARDS:
                    verdict = "untested"
                    break
                continue
            path.write_bytes(fault.planted(source))
            try:
                said, _ = outcome(tests, self.copy, limit)
            finally:
                path.write_bytes(source)
            verdict = "survived" if said == "passed" else "killed"
            if verdict == "killed":
                break
        self.seen.append((file, verdict))
        return verdict

    def stages(self, file: Path) -> Iterator[list[str]]:
        """Test files in the order in which they are asked."""
        mirror, others = tests_of(file, self.copy)
        stages = [*mirror, *others] if self.wide else mirror or others[:FEW]
        guards = [name for name in GUARDS if (self.copy / name).is_file()]
        yield from ([test] for test in (*stages, *guards))

    def limit(self, tests: list[str]) -> float:
        """Seconds for tests, from what they take without a fault; 0 if they do not pass."""
        key = tuple(tests)
        if key not in self.costs:
            said, spent = outcome(tests, self.copy, LONGEST)
            self.costs[key] = max(LEAST, 3 * spent) if said == "passed" else 0.0
        return self.costs[key]

    def table(self) -> str:
        """The rooms in Markdown, and how many faults each noticed."""
        lines = ["| room | faults | noticed | survived | without a test |", "|---|---|---|---|---|"]
        rooms = sorted({room_of(file) for file, _ in self.seen})
        for room in [*rooms, "all"]:
            verdicts = [v for file, v in self.seen if room in ("all", room_of(file))]
            counts = [verdicts.count(word) for word in ("killed", "survived", "untested")]
            share = f"{counts[0]} ({100 * counts[0] / max(1, len(verdicts)):.0f} %)"
            lines.append(f"| {room} | {len(verdicts)} | {share} | {counts[1]} | {counts[2]} |")
        return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
