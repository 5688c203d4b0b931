"""A few kills of a small run; the command in CONTRIBUTING makes a hundred over five protocols."""

import re

from tests.processes import run

PROGRAM = "import sys; from tests.kills.__main__ import main; sys.exit(main(sys.argv[1:]))"
# A run that keeps nothing loses what it has, and one that ignores the lock writes twice.
FORGETS = (
    "import sys; from benchmarks.harness import runner; from tests.kills import __main__ as kills; "
    "import random; drawn = runner.numbers; "
    "runner.numbers = lambda *a: {**drawn(*a), 'drawn': random.SystemRandom().random()}; "
    "sys.exit(kills.main(sys.argv[1:]))"
)


def test_killed_pairs_lose_nothing() -> None:
    done = run(PROGRAM, "--count", 1, "--protocol", "node", "--seed", 1)
    assert done.returncode == 0, done.stdout + done.stderr
    # The last run goes on to its end, and may be killed on the way there.
    kills, faults = re.search(r"\| node \| (\d+) \|.*\| (\d+) \|", done.stdout).groups()
    assert int(kills) >= 1
    assert faults == "0"


def test_other_figures_are_seen() -> None:
    done = run(FORGETS, "--count", 1, "--protocol", "node")
    assert done.returncode == 1
    assert "gave other figures" in done.stdout
