"""Runs tests on a copy of the checkout, in processes of their own, with a limit."""

from __future__ import annotations

import ast
import contextlib
import os
import re
import resource
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
COPIED = ("graphkit", "benchmarks", "tests", "docs", "notebooks", "pyproject.toml", "README.md")
MEMORY = 12 << 30
IDLE = 30
"""How many times its processor time a test may take by the clock, on a machine that is shared."""


def copy_of(folder: Path, root: Path = ROOT) -> Path:
    """A copy of the checkout, where faults are planted."""
    skipped = shutil.ignore_patterns("__pycache__", "*.pyc", ".*", "*.ipynb", "results.png")
    for name in COPIED:
        source = root / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=skipped)
        elif source.is_file():
            shutil.copy(source, folder / name)
    return folder


def tests_of(file: Path, root: Path) -> tuple[list[str], list[str]]:
    """The test files that mirror a file, and others of its room that name what it defines.

    Args:
        file (Path): A file of the package, from the root.
        root (Path): The checkout.
    """
    room = root / "tests" / Path(*file.parts[1:-1])
    while not room.is_dir():
        room = room.parent
    stem = file.parent.name if file.stem == "__init__" else file.stem
    names = "|".join(map(re.escape, {stem, *defined(root / file)}))
    word = re.compile(rf"\b({names})\b")
    top = root / "tests" / file.parts[1] if len(file.parts) > 2 else root / "tests"
    pool = top.rglob("test_*.py") if top != root / "tests" else top.glob("test_*.py")
    mirror, others = [], []
    for path in sorted(pool):
        if path.stem == f"test_{stem}" and path.parent == room:
            mirror.append(path)
        elif word.search(path.read_text()):
            others.append(path)
    # The nearest first: they tell soonest.
    others.sort(key=lambda path: (room not in path.parents, str(path)))
    return [str(p.relative_to(root)) for p in mirror], [str(p.relative_to(root)) for p in others]


def defined(path: Path) -> set[str]:
    """Public classes and functions of a file."""
    kinds = (ast.ClassDef, ast.FunctionDef)
    body = ast.parse(path.read_text()).body
    return {node.name for node in body if isinstance(node, kinds) and len(node.name) > 4}


def preload() -> None:
    """Imports what every test needs and no fault is in; forks begin with it."""
    import pytest  # noqa: F401
    import scipy.sparse.csgraph  # noqa: F401
    import torch
    import torch_geometric.nn  # noqa: F401

    torch.set_num_threads(1)


def outcome(tests: Sequence[str], folder: Path, limit: float) -> tuple[str, float]:
    """What tests say about the copy, and the processor time they took.

    Args:
        tests (sequence of str): Files, from the copy's root.
        folder (Path): The copy.
        limit (float): Seconds of processor time.

    Returns:
        tuple: ``"passed"``, ``"failed"``, ``"stopped"`` (over the limit) or ``"nothing"`` (no test
        was there).
    """
    before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    child = os.fork()
    if not child:
        work(tests, folder, limit)
    done, status = 0, 0
    while not done:
        time.sleep(0.05)
        done, status = os.waitpid(child, os.WNOHANG)
        if not done and time.monotonic() - begin > IDLE * limit:
            os.killpg(child, signal.SIGKILL)
    # What the tests have started ends with them.
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    code = os.waitstatus_to_exitcode(status)
    words = {0: "passed", 5: "nothing", -signal.SIGXCPU: "stopped", -signal.SIGKILL: "stopped"}
    return words.get(code, "failed"), spent


def work(tests: Sequence[str], folder: Path, limit: float) -> None:
    """The life of a forked process: pytest, silent, within its limits."""
    code = 1
    try:
        os.setsid()
        resource.setrlimit(resource.RLIMIT_CPU, (int(limit) + 1, int(limit) + 5))
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        # What the last tests said, for who asks why.
        words = os.open(folder / "words.txt", os.O_RDWR | os.O_CREAT | os.O_TRUNC)
        for number in range(3):
            os.dup2(words, number)
        prepare(folder)
        import pytest

        options = ("-x", "-q", "-n", "0", "-o", f"cache_dir={folder}/pytest", "--no-header")
        code = int(pytest.main([*options, *tests]))
    except BaseException:
        traceback.print_exc()
        raise
    finally:
        os._exit(code)


def prepare(folder: Path) -> None:
    """Modules are those of the copy, and what is written stays in it."""
    own = ("tests", "graphkit", "benchmarks")
    for name in [name for name in sys.modules if name.partition(".")[0] in own]:
        del sys.modules[name]
    os.chdir(folder)
    scratch = folder / "scratch"
    scratch.mkdir(exist_ok=True)
    os.environ |= {"TMPDIR": str(scratch), "GRAPHKIT_CACHE": str(folder / "cache")}
    os.environ |= {"PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}
    sys.dont_write_bytecode = True
    sys.path[:] = [str(folder), *(place for place in sys.path if place not in ("", str(ROOT)))]
