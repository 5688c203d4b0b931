"""Processes of a test's own that start at once: forks of a server that has imported PyG once.

A fresh interpreter spends four seconds of processor time on importing PyTorch and PyG. The server
has imported these, and nothing of graphkit, so that what a program's own imports do is still seen.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TextIO

PATIENCE = 600
"""Seconds after which a process counts as hanging and is ended."""
SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(["torch_geometric.nn", "lightning_fabric", "scipy.sparse.csgraph"])


@dataclass(frozen=True)
class Done:
    """What is left of a process, as from :func:`subprocess.run`."""

    returncode: int
    stdout: str
    stderr: str


class Process:
    """The text of a program at work, as much of it as tests need.

    Args:
        program (str): Python.
        *words: Its arguments, ``sys.argv[1:]``.
        env (mapping, optional): Environment variables beside those of this process; ``None`` takes
            one away.
    """

    def __init__(
        self, program: str, *words: object, env: Mapping[str, str | None] | None = None
    ) -> None:
        place = {**os.environ, **(env or {})}
        place = {name: value for name, value in place.items() if value is not None}
        reader, writer = SERVER.Pipe(duplex=False)
        self.errors = Path(tempfile.mkstemp(suffix=".txt")[1])
        arguments = (program, [str(word) for word in words], place, writer, str(self.errors))
        self.process = SERVER.Process(target=work, args=arguments)
        self.process.start()
        writer.close()
        self.stdout: TextIO = os.fdopen(os.dup(reader.fileno()))
        reader.close()

    @property
    def pid(self) -> int:
        """The number of the process."""
        assert self.process.pid is not None
        return self.process.pid

    def poll(self) -> int | None:
        """How it ended, :obj:`None` while it runs."""
        return self.process.exitcode

    def kill(self) -> None:
        """Ends it as a crash would."""
        self.process.kill()

    def wait(self) -> Done:
        """Waits for its end."""
        text = self.stdout.read()
        self.stdout.close()
        self.process.join()
        code = self.process.exitcode
        assert code is not None
        errors = self.errors.read_text()
        self.errors.unlink()
        return Done(code, text, errors)


def run(program: str, *words: object, env: Mapping[str, str | None] | None = None) -> Done:
    """Runs a program to its end; see :class:`Process`."""
    return Process(program, *words, env=env).wait()


PYTEST = "import os, sys, pytest; os.chdir(sys.argv[1]); sys.path.insert(0, sys.argv[1]); "
PYTEST += "sys.exit(pytest.main(sys.argv[2:]))"


def run_pytest(folder: Path, *words: str) -> Done:
    """``python -m pytest`` in a folder, whose packages come first."""
    return run(PYTEST, folder, *words)


def work(
    program: str, words: list[str], place: dict[str, str], out: Connection, errors: str
) -> None:
    """What a process does."""
    import torch

    signal.alarm(PATIENCE)
    # Ctrl-C is heard also where the tests run in the background and a shell has made them deaf.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(place)
    torch.set_num_threads(1)
    os.dup2(out.fileno(), 1)
    os.dup2(os.open(errors, os.O_WRONLY), 2)
    # Python's own streams may still belong to the server; these belong to the process.
    sys.stdout, sys.stderr = (os.fdopen(number, "w", closefd=False) for number in (1, 2))
    sys.argv = ["-c", *words]
    exec(compile(program, "<program>", "exec"), {"__name__": "__main__"})
