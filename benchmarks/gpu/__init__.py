"""``python -m benchmarks gpu``: all that a borrowed GPU is needed for, in one command."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from benchmarks.gpu.checks import check_all
from benchmarks.gpu.timing import copy_bandwidth, time_all
from benchmarks.gpu.tuning import tune
from benchmarks.harness.environment import environment
from graphkit import ops

LIMIT_SECONDS = 450.0
"""The parts share this; what does not fit any more is named in the result."""


def run(json_file: Path, interpret: bool = False, limit: float = LIMIT_SECONDS) -> dict[str, Any]:
    """Checks the Triton kernels, tunes them, times them, and writes one JSON file.

    Args:
        json_file (Path): Where the result goes; it is written after every part.
        interpret (bool, optional): On a CPU in Triton's interpreter, on tiny graphs: shows that
            the command works, its times mean nothing. (default: :obj:`False`)
        limit (float, optional): Seconds for everything. (default: :obj:`450`)

    Raises:
        ImportError: If Triton is not installed.
        RuntimeError: If there is no GPU, or a kernel gives wrong numbers.
    """
    device = torch.device("cpu" if interpret else "cuda")
    if not interpret and not torch.cuda.is_available():
        raise RuntimeError(
            "there is no CUDA device; TRITON_INTERPRET=1 python -m benchmarks gpu --interpret "
            "goes through the same steps on a CPU"
        )
    with ops.backend("triton"):
        console = Console()
    begin = time.perf_counter()
    result: dict[str, Any] = {"environment": environment(), "interpreted": interpret}

    def left(share: float) -> float:
        return share * limit - (time.perf_counter() - begin)

    def done(name: str, value: Any) -> None:
        result[name] = value
        result["seconds"] = time.perf_counter() - begin
        json_file.parent.mkdir(parents=True, exist_ok=True)
        json_file.write_text(json.dumps(result, indent=1) + "\n")
        console.print(f"{name}: done after {result['seconds']:.0f} s", highlight=False)

    done("checks", check_all(device, interpret, left(0.3)))
    wrong = [check for check in result["checks"] if not check["right"]]
    if wrong:
        raise RuntimeError(f"wrong numbers, see {json_file}: {wrong[:3]}")
    copy = copy_bandwidth(device, 1 if interpret else 1024)
    done("copy_bytes_per_second", copy)
    done("tiles", tune(device, interpret, left(0.5)))
    done("times", time_all(device, interpret, copy, left))
    return result
