"""What a program may leave behind: threads, files, processes, settings, memory."""

from __future__ import annotations

import ctypes
import gc
import os
import random
import re
import tempfile
import threading
from pathlib import Path
from typing import Any

import numpy as np
import torch

COMPILED = re.compile("_propagate_|_edge_updater_|torchinductor")
"""What PyG and PyTorch write once for every class that they compile, and keep."""


def traces() -> dict[str, Any]:
    """What is there now, by kind; two calls around a script that leaves nothing are equal."""
    gc.collect()
    here = Path("/proc/self")
    opened = [target(link) for link in (here / "fd").iterdir()]
    return {
        "threads": sorted(thread.name for thread in threading.enumerate()),
        "files": sorted(name for name in opened if name.startswith("/")),
        "processes": (here / "task" / str(os.getpid()) / "children").read_text().split(),
        "temporary files": sorted(
            path.name
            for path in Path(tempfile.gettempdir()).iterdir()
            if not COMPILED.search(path.name)
        ),
        "gradients": torch.is_grad_enabled(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "type": torch.get_default_dtype(),
        "number of threads": torch.get_num_threads(),
        "environment": dict(os.environ),
        "handlers of errors": np.geterr(),
    }


def target(link: Path) -> str:
    """What an open file is called; the one that listed them is gone."""
    try:
        return os.readlink(link)
    except OSError:
        return ""


def generators() -> tuple[Any, ...]:
    """The states of the generators that are everybody's."""
    state = np.random.get_state(legacy=True)  # noqa: NPY002
    return random.getstate(), (state[0], tuple(state[1]), *state[2:])


def resident() -> float:
    """Megabytes that are in memory, after what is freed was given back."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def drift(curve: list[float]) -> float:
    """How much more memory the last quarter has than the one before it, as a share."""
    quarter = len(curve) // 4
    if quarter < 1:
        return 0.0
    before, last = curve[-2 * quarter : -quarter], curve[-quarter:]
    return float(np.median(last) / np.median(before) - 1)
