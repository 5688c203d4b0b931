"""What a result needs told about where it came from."""

# fingerprint: not counted

from __future__ import annotations

import ctypes
import importlib.metadata
import os
import platform
import resource
import subprocess
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).parent.parent.parent
PACKAGES = ("torch", "torch-geometric", "torch-scatter", "numpy", "numba", "graphkit")


def git(*words: str) -> str:
    """Output of a git command in this checkout, or nothing where there is no repository."""
    try:
        done = subprocess.run(
            ["git", *words], cwd=ROOT, capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()


def version(package: str) -> str:
    """Installed version of a package, or ``"-"``."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "-"


def processor() -> str:
    """Name of the processor."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def environment() -> dict[str, Any]:
    """Commit, versions, processor and determinism of this process."""
    facts = {
        "commit": git("rev-parse", "--short=12", "HEAD") or "-",
        "uncommitted_changes": bool(git("status", "--porcelain", "--untracked-files=no")),
        "python": platform.python_version(),
        "versions": {package: version(package) for package in PACKAGES},
        "platform": platform.platform(),
        "processor": processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
    }
    if torch.cuda.is_available():
        facts["device"] = torch.cuda.get_device_name()
    return facts


def reset_peak_memory() -> None:
    """Starts the measurement of the peak anew, where the system allows it."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return


def peak_memory_mb() -> float:
    """Largest resident memory of this process since the last reset, in MB."""
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def keep_freed_memory() -> bool:
    """Lets this process use freed memory again in place of giving it back, and says if it could.

    glibc maps every block of more than 32 MiB anew and gives it back when a tensor is freed, so
    each step of a training pays for the pages of its large tensors again: a third of the time of
    a convolution of 512 images of 28 x 28.
    """
    max_maps, trim = -4, -1  # M_MMAP_MAX and M_TRIM_THRESHOLD of malloc.h
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # Another C library has no such switch.
        return False
    return bool(mallopt(max_maps, 0) and mallopt(trim, 2**31 - 1))
