"""Commands in processes of their own, to be killed."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable


def started(ready: Callable[[], bool], *words: str) -> subprocess.Popen[bytes]:
    """``python -m benchmarks`` with these words, still at work when something is ready."""
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks", *words],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 600
    while not ready():
        assert process.poll() is None, "the command ended before it was killed"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return process
