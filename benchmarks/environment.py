"""What a result needs told about where it came from."""

from __future__ import annotations

import ast
import hashlib
import importlib.metadata
import inspect
import os
import platform
import resource
import subprocess
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

ROOT = Path(__file__).parent.parent
TABLES = {
    ROOT / "benchmarks" / "models.py",
    ROOT / "benchmarks" / "recipe.py",
    ROOT / "graphkit" / "catalog.py",
    ROOT / "graphkit" / "datasets" / "registry.py",
}
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
    found = {
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
        found["device"] = torch.cuda.get_device_name()
    return found


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


def source_file(module: str) -> Path | None:
    """File of a module of this checkout; a package is its ``__init__``."""
    stem = ROOT.joinpath(*module.split("."))
    for path in (stem.with_suffix(".py"), stem / "__init__.py"):
        if path.exists():
            return path
    return None


def imports(tree: ast.AST) -> list[tuple[str, str]]:
    """``(module, name)`` of everything a tree imports by ``from`` out of this checkout."""
    return [
        (node.module, alias.name)
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module and node.level == 0
        for alias in node.names
        if node.module.split(".")[0] in ("graphkit", "benchmarks")
    ]


def definition(module: str, name: str) -> Path | None:
    """File that defines what ``from module import name`` gives, looked up through packages."""
    inner = source_file(f"{module}.{name}")
    path = inner or source_file(module)
    if path is None or path.name != "__init__.py":
        return path
    for source, alias in imports(ast.parse(path.read_text())):
        if alias == name and source != module:
            return definition(source, name)
    return path


def without_docstrings(tree: ast.AST) -> ast.AST:
    """The tree with its docstrings emptied."""
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        first = body[0] if isinstance(body, list) and body else None
        if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
            first.value.value = ""
    return tree


def code_fingerprint(modules: Iterable[ModuleType], classes: Iterable[type] = ()) -> str:
    """Hash of the code behind a result: these classes, these modules and all they import here.

    Comments, docstrings and layout don't count, nor do tables of names (models, data
    sets, cards), so only a change of behaviour makes a result stale.
    """
    waiting = [Path(inspect.getfile(module)) for module in modules]
    seen: dict[Path, str] = {}
    while waiting:
        path = waiting.pop()
        if path in seen or path in TABLES or ROOT not in path.parents:
            continue
        tree = ast.parse(path.read_text())
        waiting += [file for pair in imports(tree) if (file := definition(*pair)) is not None]
        seen[path] = hashlib.sha256(ast.dump(without_docstrings(tree)).encode()).hexdigest()
    joined = "".join(seen[path] for path in sorted(seen))
    for cls in classes:
        joined += ast.dump(without_docstrings(ast.parse(inspect.getsource(cls))))
    return hashlib.sha256(joined.encode()).hexdigest()[:16]
