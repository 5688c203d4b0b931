"""One measurement in a process of its own: ``python -m benchmarks.speed.child JSON``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

from benchmarks.harness.environment import ROOT

KEEP_MEMORY = {
    "MALLOC_MMAP_THRESHOLD_": str(1 << 30),
    "MALLOC_TRIM_THRESHOLD_": str(1 << 33),
    "MALLOC_TOP_PAD_": str(1 << 28),
}
MEMORY: dict[str, dict[str, str]] = {"memory by default": {}, "freed memory kept": KEEP_MEMORY}
"""As a program gets it from its system, and with an allocator that keeps what was freed."""
RETURN_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(1 << 16), "MALLOC_TRIM_THRESHOLD_": str(1 << 16)}


def measure(task: dict[str, Any], environment: dict[str, str]) -> dict[str, Any]:
    """Runs the task under other allocator settings and returns what it found."""
    return run_module("benchmarks.speed.child", [json.dumps(task)], environment)


def run_module(module: str, words: list[str], environment: dict[str, str]) -> Any:
    """What a module prints last, as JSON, in a process of its own.

    Raises:
        RuntimeError: If it failed.
    """
    done = subprocess.run(
        [sys.executable, "-m", module, *words],
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"{module} {words} failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Does what the first argument asks for and prints the result as JSON."""
    from benchmarks.speed.inputs import Problem
    from benchmarks.speed.timing import compare, extra_memory

    task = json.loads(sys.argv[1])
    problem = Problem(**task["problem"])
    if task["kind"] == "memory":
        print(json.dumps({"megabytes": extra_memory(problem, task["side"])}))
    else:
        print(json.dumps(compare(problem, task["repeats"])))


if __name__ == "__main__":
    main()
