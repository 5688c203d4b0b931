"""``python -m tests.mutate``: plants faults, runs the mirrored tests, and lists what nobody saw."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random

from tests.mutate.faults import Fault, faults_of
from tests.mutate.running import ROOT, copy_of, outcome, preload, tests_of

LEFT_OUT = ("ops/cuda", "scaffold", "testing")
"""Kernels that need a GPU, and what is itself a test."""
GUARDS = {
    "tests/test_defaults.py": ("default", "constant", "sign"),
    "tests/test_bounds.py": (
        "branches",
        "comparison",
        "constant",
        "logic",
        "name",
        "sign",
        "turned",
    ),
    "tests/test_devices.py": ("keyword",),
    "tests/test_calls.py": ("keyword", "statement", "constant"),
    "tests/test_classes_refused.py": ("keyword", "statement"),
}
"""Tests that look over all files and cost little, and the kinds of fault that they can see."""
FEW = 3
"""Tests that are asked about a file without one of its name."""
NEAR = 4
"""Tests next door that are asked about what those and the guards have not seen."""
NOTICED = ("killed", "nextdoor")
LEAST, LONGEST = 15.0, 240.0
SOON = 60.0
"""The longest but for kernels, which are compiled anew."""
COMPILED = {"kernels", "ops"}
Mutant = tuple[Path, Fault]


def main(words: Sequence[str] | None = None, root: Path = ROOT) -> int:
    """Runs it; 1 if a fault survived."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutate", description=__doc__)
    parser.add_argument("files", nargs="*", type=Path, help="files of the package; else all")
    parser.add_argument("--count", type=int, default=40, help="faults, over rooms in turn")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--start", type=int, default=0, help="number of the first fault")
    parser.add_argument("--room", nargs="+", help="only these rooms, such as metrics")
    parser.add_argument("--near", type=int, default=NEAR, help="tests next door that are asked")
    parser.add_argument("--copy", type=Path, help="folder of the copy: compiled kernels stay there")
    parser.add_argument("--list", action="store_true", help="show the faults, run nothing")
    given = parser.parse_args(words)
    files = [path.resolve().relative_to(root.resolve()) for path in given.files]
    files = files or package_files(root, given.room)
    drawn = sample(root, files, given.seed, given.start + given.count)[given.start :]
    if given.list:
        for number, (file, fault) in enumerate(drawn, given.start):
            print(described(root, number, file, fault))
        return 0
    with tempfile.TemporaryDirectory(prefix="mutate-") as folder:
        copy = copy_of(given.copy or Path(folder), root)
        preload(copy)
        judge = Judge(copy, given.near)
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
        near (int): How many tests next door are asked.
    """

    def __init__(self, copy: Path, near: int = NEAR) -> None:
        self.copy, self.near = copy, near
        self.seen: list[tuple[Path, str]] = []
        self.costs: dict[str, float] = {}

    def __call__(self, file: Path, fault: Fault) -> str:
        """``"killed"`` by its tests or a guard, or ``"nextdoor"``; ``"survived"``; or
        ``"untested"`` where no test is there or it is red."""
        verdict = "untested"
        for word, tests in self.stages(file, fault):
            limit = self.limit(file, tests)
            said, spent, failed = self.told(file, fault, tests, limit)
            if said == "passed":
                self.costs[tests] = max(spent, self.costs.get(tests, 0.0))
                verdict = "survived"
            elif said == "nothing" or not self.green(
                failed or [tests], tests, limit / 2 if said == "stopped" else limit
            ):
                if word == "own":
                    verdict = "untested"
                    break
            else:
                verdict = "nextdoor" if word == "near" else "killed"
                break
        self.seen.append((file, verdict))
        return verdict

    def limit(self, file: Path, tests: str) -> float:
        """Seconds of processor time that tests may take; kernels with a fault are compiled anew."""
        if COMPILED & {*file.parts}:
            return LONGEST
        return max(LEAST, 3 * self.costs[tests]) if tests in self.costs else SOON

    def told(
        self, file: Path, fault: Fault, tests: str, limit: float
    ) -> tuple[str, float, list[str]]:
        """What tests say while a fault is there."""
        path = self.copy / file
        source, times = path.read_bytes(), path.stat()
        path.write_bytes(fault.planted(source))
        try:
            return outcome([tests], self.copy, limit)
        finally:
            path.write_bytes(source)
            # Compiled code is valid for as long as the time of its source is the same.
            os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))

    def green(self, failed: list[str], tests: str, limit: float) -> bool:
        """Whether what failed or did not end passes without the fault, and soon enough."""
        said, spent, _ = outcome(failed, self.copy, LONGEST)
        if failed == [tests]:
            self.costs[tests] = max(spent, self.costs.get(tests, 0.0))
        return said == "passed" and spent < limit

    def stages(self, file: Path, fault: Fault) -> Iterator[tuple[str, str]]:
        """Test files in the order in which they are asked, and what they are to the file."""
        mirror, others = tests_of(file, self.copy)
        own = mirror or others[:FEW]
        guards = [name for name, kinds in GUARDS.items() if fault.kind in kinds]
        near = [test for test in others if test not in own]
        yield from (("own", test) for test in own)
        yield from (("guard", name) for name in guards if (self.copy / name).is_file())
        yield from (("near", test) for test in near[: self.near])

    def table(self) -> str:
        """The rooms in Markdown, and how many faults each noticed."""
        lines = ["| room | faults | noticed | with tests next door | survived | without a test |"]
        lines += ["|---|---|---|---|---|---|"]
        rooms = sorted({room_of(file) for file, _ in self.seen})
        for room in [*rooms, "all"]:
            verdicts = [v for file, v in self.seen if room in ("all", room_of(file))]
            counts = Counter(verdicts)
            noticed = [counts["killed"], sum(counts[word] for word in NOTICED)]
            shares = [f"{n} ({100 * n / max(1, len(verdicts)):.0f} %)" for n in noticed]
            rest = [str(counts[word]) for word in ("survived", "untested")]
            lines.append(f"| {room} | {len(verdicts)} | {' | '.join(shares + rest)} |")
        return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
