"""``python -m tests.soak``: random user scripts for a while; memory, hooks, threads, files."""

from __future__ import annotations

import argparse
import gc
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

DRIFT = 0.02
"""How much more memory the last quarter may take than the one before it."""


def main(words: Sequence[str] | None = None) -> int:
    """Runs it; 1 if something was left behind or memory grows."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=120.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--scripts", type=int, default=20, help="between two looks at memory")
    given = parser.parse_args(words)
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        # What other programs put into the common folder is none of ours.
        os.environ["TMPDIR"] = tempfile.tempdir = folder
        try:
            return soaked(given.minutes, given.seed, given.scripts)
        finally:
            tempfile.tempdir = None


def soaked(minutes: float, seed: int, scripts: int) -> int:
    """Scripts until the time is over."""
    import lightning_fabric  # noqa: F401  # Imported late, it sets a variable of the environment.
    import torch
    from hypothesis import HealthCheck, Phase, settings
    from hypothesis import seed as seeded
    from hypothesis.stateful import run_state_machine_as_test

    from tests.fuzz.campaign import processor_seconds
    from tests.soak.scripts import Scripts
    from tests.soak.traces import drift, resident, traces

    torch.set_num_threads(1)
    # PyTorch and PyG are millions of objects that no collection need look through again.
    gc.freeze()
    begin, curve, rounds = time.monotonic(), [], 0
    options = settings(
        max_examples=scripts,
        stateful_step_count=12,
        deadline=None,
        database=None,
        phases=[Phase.generate],  # A shorter script that fails is found with pytest.
        suppress_health_check=list(HealthCheck),
    )
    before: dict[str, object] = {}
    print("| minutes | scripts | CPU s | MiB |\n|---|---|---|---|", flush=True)
    while time.monotonic() - begin < 60 * minutes or rounds < 2:
        machine = type("Scripts", (Scripts,), {})
        run_state_machine_as_test(seeded(seed + rounds)(machine), settings=options)
        rounds += 1
        # The first rounds compile kernels and import what is imported late.
        before = before or traces()
        curve.append(resident())
        spent = (time.monotonic() - begin) / 60
        row = (f"{spent:.1f}", rounds * scripts, f"{processor_seconds():.0f}", f"{curve[-1]:.0f}")
        print("| {} | {} | {} | {} |".format(*row), flush=True)
    left = [kind for kind, value in traces().items() if value != before[kind]]
    grown = drift(curve)
    print(f"\nmemory: {100 * grown:+.2f} % from the third to the last quarter; left: {left or 0}")
    return int(grown > DRIFT or bool(left))


if __name__ == "__main__":
    sys.path.insert(0, str(Path.cwd()))
    sys.exit(main())
