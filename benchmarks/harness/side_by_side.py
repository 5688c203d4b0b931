"""Several recipes at a time, each in a process of its own with its share of the cores."""

from __future__ import annotations

import multiprocessing
import os
import queue
import signal
import threading
from collections.abc import Generator, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar

from benchmarks.harness.environment import keep_freed_memory
from benchmarks.harness.options import whole_number
from benchmarks.harness.progress import Display
from benchmarks.harness.recipe import Recipe

if TYPE_CHECKING:
    from benchmarks.harness.runner import Options
    from graphkit.datasets import MissingDataError

MOST = 8
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


def cores() -> int:
    """How many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def asked(jobs: str, auto: int) -> int:
    """The number that ``--jobs`` gives, or what ``auto`` stands for."""
    number = whole_number("--jobs", jobs, auto=True)
    return number if isinstance(number, int) else auto


def processes(jobs: str, recipes: int, plain: bool = True) -> int:
    """The number of processes behind ``--jobs``; ``auto`` is one per core, at most 8.

    A run that is not ``plain`` has devices or processes of its own, and takes recipes in turn.
    """
    if not plain:
        if jobs not in ("auto", "1"):
            raise ValueError(
                f"--jobs {jobs} shares out the cores of one machine; leave it out beside "
                "--devices, --nodes, --accelerator and --precision"
            )
        return 1
    return min(asked(jobs, min(cores(), MOST)), max(recipes, 1))


class RemoteDisplay(Display):
    """A display whose screen is in the process that started this one.

    Args:
        recipe (str): The recipe in work.
    """

    messages: ClassVar[Any] = None
    """The queue to the process with the screen; every process of the pool gets it as it starts."""

    def __init__(self, recipe: str) -> None:
        super().__init__(0, quiet=True)
        self.recipe = recipe

    def show(self, text: str) -> None:
        """Says there what is in work."""
        self.messages.put(("at", self.recipe, text))

    def end_seed(self, recipe: str, seed: int, value: float | None) -> None:
        """Says there that a seed is done."""
        self.messages.put(("done", recipe, (seed, value)))

    def keep_seeds(self, recipe: str, count: int) -> None:
        """Says there that seeds need no run."""
        self.messages.put(("kept", recipe, count))


def begin(messages: Any) -> None:
    """What a process does first: it learns where its lines go to, and ends with its parent."""
    RemoteDisplay.messages = messages
    keep_freed_memory()
    # Ctrl-C goes to all processes of a terminal: the first of them ends the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def follow() -> None:
        # A pool does not hear that its parent was killed, and would compute on for nobody.
        parent.join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


def work(recipe: Recipe, options: Options) -> dict[str, Any] | MissingDataError:
    """What a process does with a recipe."""
    from benchmarks.harness.runner import attempt

    return attempt(recipe, options, RemoteDisplay(recipe.name))


def run_side_by_side(
    recipes: list[Recipe], options: Options, display: Display, jobs: int
) -> Generator[tuple[Recipe, dict[str, Any] | MissingDataError], None, None]:
    """Results as they come. After an error no further recipe begins; it is raised in the end.

    Who closes it ends what is at work.
    """
    # Not forked: threads of OpenMP and numba do not survive that, and share() works at the start.
    context = multiprocessing.get_context("spawn")
    messages = context.Queue()
    with (
        share(jobs),
        passed_on(messages, display),
        ProcessPoolExecutor(
            jobs, mp_context=context, initializer=begin, initargs=(messages,)
        ) as pool,
    ):
        running = {pool.submit(work, recipe, options): recipe for recipe in recipes}
        first: BaseException | None = None
        try:
            for done in as_completed(running):
                if done.cancelled():
                    continue
                error = done.exception()
                if error is None:
                    yield running[done], done.result()
                    continue
                # Those at work go on to their end, which is kept; the rest does not begin.
                first = first or error
                for waiting in running:
                    waiting.cancel()
        except (KeyboardInterrupt, GeneratorExit):
            # Leaving the pool waits for its processes; finished seeds are on disk already.
            for process in multiprocessing.active_children():
                process.terminate()
            raise
        if first is not None:
            raise first


@contextmanager
def share(jobs: int) -> Iterator[None]:
    """Processes that start inside use an equal share of the cores each."""
    before = {name: os.environ.get(name) for name in THREADS}
    os.environ.update(dict.fromkeys(THREADS, str(max(cores() // jobs, 1))))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def passed_on(messages: Any, display: Display) -> Iterator[None]:
    """Passes on to a display what processes say while they work."""
    over = threading.Event()

    def listen() -> None:
        in_work: dict[str, str] = {}
        # What was said before the end is still shown, however late it is heard.
        while not (over.is_set() and messages.empty()):
            try:
                kind, recipe, content = messages.get(timeout=0.2)
            except queue.Empty:
                continue
            if kind == "done":
                in_work.pop(recipe, None)
                display.end_seed(recipe, *content)
            elif kind == "kept":
                display.keep_seeds(recipe, content)
            else:
                in_work[recipe] = content
            display.show(" · ".join(in_work.values()))

    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    try:
        yield
    finally:
        over.set()
        listener.join()
