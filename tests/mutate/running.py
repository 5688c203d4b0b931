"""Runs tests on a copy of the checkout, in processes of their own, with a limit."""

from __future__ import annotations

import ast
import contextlib
import functools
import gc
import importlib
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
from typing import Any

from tests.meta.imports import imported_modules
from tests.meta.source import sources

ROOT = Path(__file__).parent.parent.parent
COPIED = ("graphkit", "benchmarks", "tests", "docs", "notebooks", "pyproject.toml", "README.md")
OWN = ("tests", "graphkit", "benchmarks")
LEFT = ("__main__", "__mp_main__", "triton")
"""What is not imported before: this program, and what speaks when it ends."""
MEMORY = 12 << 30
IDLE = 30
"""How many times its processor time a test may take by the clock, on a machine that is shared."""


def copy_of(folder: Path, root: Path = ROOT) -> Path:
    """A copy of the checkout, where faults are planted; what an older one has compiled stays."""
    skipped = shutil.ignore_patterns("__pycache__", "*.pyc", ".*", "*.ipynb", "results.png")
    for name in COPIED:
        source = root / name
        if (folder / name).is_dir():
            shutil.rmtree(folder / name)
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=skipped)
        elif source.is_file():
            shutil.copy(source, folder / name)
    return folder


def tests_of(file: Path, root: Path) -> tuple[list[str], list[str]]:
    """The test files that mirror a file, and others that reach it.

    Others are those that mirror its users and the users of these, and those of its room that name
    what it defines; those of its own folder and room come first.

    Args:
        file (Path): A file of the package, from the root.
        root (Path): The checkout.
    """
    room = room_of_tests(file, root)
    names = "|".join(map(re.escape, {word_of(file), *defined(root / file)}))
    word = re.compile(rf"\b({names})\b")
    top = root / "tests" / file.parts[1] if len(file.parts) > 2 else root / "tests"
    pool = top.rglob("test_*.py") if top != root / "tests" else top.glob("test_*.py")
    named = [path for path in sorted(pool) if word.search(path.read_text())]
    mirror = mirror_of(file, root)
    reached = [mirror_of(user, root) for user in users_of(file, root)]
    others = list(dict.fromkeys([*(test for tests in reached for test in tests), *named]))
    # The nearest first: they tell soonest.
    others.sort(key=lambda path: (room not in path.parents, top not in path.parents))
    paths = [mirror, [test for test in others if test not in mirror]]
    first, second = ([str(path.relative_to(root)) for path in each] for each in paths)
    return first, second


def word_of(file: Path) -> str:
    """What a file is called, or the folder that it stands for."""
    return file.parent.name if file.stem == "__init__" else file.stem.strip("_")


def room_of_tests(file: Path, root: Path) -> Path:
    """Where the tests of a file lie."""
    room = root / "tests" / Path(*file.parts[1:-1])
    while not room.is_dir():
        room = room.parent
    return room


def mirror_of(file: Path, root: Path) -> list[Path]:
    """The tests of a file's name."""
    path = room_of_tests(file, root) / f"test_{word_of(file)}.py"
    return [path] if path.is_file() else []


def users_of(file: Path, root: Path) -> list[Path]:
    """Files of the package that import one, and those that import them, the nearest first."""
    users = importers(root)
    module = ".".join(file.with_suffix("").parts).removesuffix(".__init__")
    near = dict.fromkeys([module])
    for name in (queue := [module]):
        for user in users.get(name, []):
            if user not in near:
                near[user] = None
                queue.append(user)
    paths = [Path(*name.split(".")) for name in near if name != module]
    return [path.with_suffix(".py") for path in paths if (root / path.with_suffix(".py")).is_file()]


@functools.cache
def importers(root: Path) -> dict[str, list[str]]:
    """Of every module those that import it or something in it."""
    users: dict[str, list[str]] = {}
    for source in sources(root, "graphkit"):
        for _, name in imported_modules(source):
            for module in (name, name.rpartition(".")[0]):
                users.setdefault(module, []).append(source.module)
    return users


def defined(path: Path) -> set[str]:
    """Public classes and functions of a file."""
    kinds = (ast.ClassDef, ast.FunctionDef)
    body = ast.parse(path.read_text()).body
    return {node.name for node in body if isinstance(node, kinds) and len(node.name) > 4}


def preload(copy: Path) -> None:
    """Imports what tests need and no fault is in; every fork begins with it."""
    import pytest  # noqa: F401
    import torch

    torch.set_num_threads(1)
    names = copy / "modules.txt"
    child = os.fork()
    if not child:
        try:
            prepare(copy)
            for room in (copy / "graphkit").iterdir():
                if (room / "__init__.py").is_file():
                    importlib.import_module(f"graphkit.{room.name}")
            names.write_text("\n".join(sys.modules))
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    for name in names.read_text().split() if names.is_file() else []:
        if name.partition(".")[0] not in (*OWN, *LEFT):
            # A name may be a module's alias, or one that was made while another was imported.
            with contextlib.suppress(Exception):
                importlib.import_module(name)
    # Forks neither look through what is here for garbage, nor copy it to do so.
    gc.collect()
    gc.freeze()


def outcome(tests: Sequence[str], folder: Path, limit: float) -> tuple[str, float, list[str]]:
    """What tests say about the copy, the processor time they took, and what failed first.

    Args:
        tests (sequence of str): Files or tests, from the copy's root.
        folder (Path): The copy.
        limit (float): Seconds of processor time.

    Returns:
        tuple: ``"passed"``, ``"failed"``, ``"stopped"`` (over the limit) or ``"nothing"`` (no test
        was there); seconds; the test that failed, or its file if it could not be read.
    """
    failed = folder / "failed.txt"
    failed.unlink(missing_ok=True)
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
    names = failed.read_text().splitlines() if failed.is_file() else []
    return words.get(code, "failed"), spent, names


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
        options += ("-W", "ignore::pytest.PytestAssertRewriteWarning")
        code = int(pytest.main([*options, *tests], plugins=[Failed(folder / "failed.txt")]))
    except BaseException:
        traceback.print_exc()
        raise
    finally:
        os._exit(code)


class Failed:
    """Writes down which test failed.

    Args:
        path (Path): Where to.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.failed:
            self.path.write_text(report.nodeid)

    pytest_collectreport = pytest_runtest_logreport


def prepare(folder: Path) -> None:
    """Modules are those of the copy, and what is written stays in it."""
    for name in [name for name in sys.modules if name.partition(".")[0] in OWN]:
        del sys.modules[name]
    os.chdir(folder)
    scratch = folder / "scratch"
    scratch.mkdir(exist_ok=True)
    os.environ |= {"TMPDIR": str(scratch), "GRAPHKIT_CACHE": str(folder / "cache")}
    os.environ |= {"PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}
    sys.dont_write_bytecode = True
    sys.path[:] = [str(folder), *(place for place in sys.path if place not in ("", str(ROOT)))]
