"""``python -m tests.kills``: kills at random moments, two processes in one folder, nothing lost.

Of each protocol a run is made that nobody disturbs. Then two processes resume the same run in one
folder, both are killed after a random time, and two others resume what is there, until one comes to
its end. Then its figures must be those of the undisturbed run, bit for bit, and no seed that was
finished may have been written again.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

SEEDS = 3
PROTOCOLS: dict[str, tuple[str, list[str]]] = {
    "node": ("gcn-karate", ["train.epochs=30"]),
    "continual": ("ewc-gcn-digits", ["train.epochs=3", "strategy.samples=2"]),
    "distillation": (
        "distill-digits",
        ["train.epochs=4", "arms={kd: {}, lsp: {weight: 1}}", "budgets={paper: {epochs: 4}}"],
    ),
    "adversarial": (
        "causaladv-digits",
        [
            *("train.epochs=1", "channels=12", "steps=1", "test_steps=1"),
            *("dataset.train=60", "dataset.test=30"),
        ],
    ),
    "tracking": ("tour-tracks", []),
}
"""A recipe of each kind, and what makes it small."""
ENDED, BUSY, KILLED = 0, 3, -signal.SIGKILL


@dataclass
class Record:
    """What was seen of a protocol.

    Args:
        kills (int): Pairs of processes that were killed at work.
        runs (int): Runs that came to their end.
        busy (int): Processes that were told that another one writes.
        faults (list of str): What should not have been.
    """

    kills: int = 0
    runs: int = 0
    busy: int = 0
    faults: list[str] = field(default_factory=list)


def main(words: Sequence[str] | None = None) -> int:
    """Runs it; 1 if something was lost or differs."""
    parser = argparse.ArgumentParser(prog="python -m tests.kills", description=__doc__)
    parser.add_argument("--count", type=int, default=100, help="kills over all protocols")
    parser.add_argument("--protocol", nargs="+", choices=PROTOCOLS, default=list(PROTOCOLS))
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(words)
    preload()
    random, records = Random(given.seed), {}
    share = -(-given.count // len(given.protocol))
    with tempfile.TemporaryDirectory(prefix="kills-") as folder:
        for protocol in given.protocol:
            records[protocol] = campaign(protocol, share, random, Path(folder) / protocol)
            print(protocol, records[protocol], file=sys.stderr, flush=True)
    print("| protocol | kills | runs | told to wait | faults |\n|---|---|---|---|---|")
    for protocol, record in records.items():
        faults = "; ".join(record.faults) or "0"
        print(f"| {protocol} | {record.kills} | {record.runs} | {record.busy} | {faults} |")
    return int(any(record.faults for record in records.values()))


def preload() -> None:
    """Imports what the runs need, so that a fork begins with the work."""
    import torch

    import benchmarks.harness.runner
    from benchmarks.harness.recipe import load

    torch.set_num_threads(1)
    for recipe, _ in PROTOCOLS.values():
        _ = load(recipe).module, benchmarks.harness.runner.Options


def started(protocol: str, out: Path) -> int:
    """The number of a process that resumes a protocol's run in a folder."""
    child = os.fork()
    if not child:
        code = 1
        try:
            code = worked(protocol, out)
        finally:
            if code == 1:
                traceback.print_exc()
            os._exit(code)
    return child


def worked(protocol: str, out: Path) -> int:
    """What a process does; how it ends."""
    from benchmarks.harness.command import Command

    name, changes = PROTOCOLS[protocol]
    changes = [*changes, *(["train.checkpoint_seconds=0"] if protocol != "tracking" else [])]
    try:
        Command([name], SEEDS, assignments=changes, out=out, resume=True).run(quiet=True)
    except ValueError as error:
        if "is running" in str(error):
            return BUSY
        raise
    return ENDED


def campaign(protocol: str, kills: int, random: Random, folder: Path) -> Record:
    """Runs of a protocol in fresh folders until so many pairs were killed."""
    record, begin = Record(), time.monotonic()
    undisturbed = folder / "whole"
    _, status = os.waitpid(started(protocol, undisturbed), 0)
    if os.waitstatus_to_exitcode(status) != ENDED:
        record.faults.append("the undisturbed run failed")
        return record
    whole, seconds = figures(undisturbed), time.monotonic() - begin
    while record.kills < kills and not record.faults:
        out = folder / f"run-{record.runs}"
        done, before = False, record.kills
        while not done:
            begin = time.monotonic()
            done = ended(protocol, out, random.uniform(0, seconds), record)
        record.runs += 1
        if record.kills == before:
            # The first run has also compiled and fetched: the moments are those of later ones.
            seconds = min(seconds, time.monotonic() - begin)
        if not record.faults and figures(out) != whole:
            record.faults.append(f"run {record.runs} gave other figures")
    return record


def ended(protocol: str, out: Path, patience: float, record: Record) -> bool:
    """Two processes resume; both are killed after a while. Whether one came to its end."""
    before = finished(out)
    pair, codes = [started(protocol, out) for _ in range(2)], {}
    deadline = time.monotonic() + patience
    while len(codes) < 2:
        for child in (child for child in pair if child not in codes):
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                codes[child] = os.waitstatus_to_exitcode(status)
        if ENDED in codes.values():
            deadline = float("inf")  # The other finds all done, or is told to wait.
        if time.monotonic() > deadline:
            for child in (child for child in pair if child not in codes):
                os.kill(child, signal.SIGKILL)
            deadline = float("inf")
        time.sleep(0.002)
    counts = Counter(codes.values())
    record.busy += counts[BUSY]
    record.kills += KILLED in counts
    wrong = set(codes.values()) - {ENDED, BUSY, KILLED}
    if wrong:
        record.faults.append(f"a process ended with {sorted(wrong)}")
    after = finished(out)
    if any(after.get(name) != mark for name, mark in before.items()):
        record.faults.append("a finished seed was written again, or is lost")
    return ENDED in counts or bool(record.faults)


def finished(out: Path) -> dict[str, tuple[int, bytes]]:
    """The finished seeds: when each was written, and what it holds."""
    files = out.glob("state/*/seed-*.json")
    return {file.name: (file.stat().st_mtime_ns, file.read_bytes()) for file in files}


def figures(out: Path) -> dict[str, dict[str, float]]:
    """The metrics of every seed, each file with its right checksum."""
    from benchmarks.harness import states

    files = sorted(out.glob("state/*/seed-*.json"))
    if len(files) != SEEDS:
        raise AssertionError(f"{len(files)} of {SEEDS} seeds are finished in {out}")
    read = {file.name: states.read(file)["metrics"] for file in files}
    # Some protocols time their networks, which no two runs do alike.
    return {
        file: {name: value for name, value in metrics.items() if not name.endswith("_ms")}
        for file, metrics in read.items()
    }


if __name__ == "__main__":
    sys.exit(main())
