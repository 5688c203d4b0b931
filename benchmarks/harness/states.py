"""What a run keeps on disk so that it can go on: whose it is, finished seeds, and who writes."""

# fingerprint: not counted

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from graphkit.datasets import DatasetCard
from graphkit.datasets.store.loading import fingerprint, locate
from graphkit.files import replacing
from graphkit.guard import reading

WORDS = {
    "settings": "other settings",
    "launch": "another precision or other devices",
    "code": "other code",
    "data": "other data files",
}
"""What a run depends on, and what to say when it differs."""


def state_folder(
    folder: Path, recipe: str, facts: dict[str, str], resume: bool, leads: bool
) -> Path:
    """The folder of a run, made anew or found to be of the same run.

    Args:
        folder (Path): Where runs keep their states.
        recipe (str): The recipe.
        facts (dict): What the run depends on, as in :data:`WORDS`.
        resume (bool): Whether to continue what is there.
        leads (bool): Whether this process is the one that writes.

    Raises:
        ValueError: If what is there does not fit.
    """
    differs = differences(folder, recipe, facts) if resume else []
    folder = folder / recipe
    mark = folder / "settings"
    if differs:
        raise ValueError(
            f"'{folder}' holds a run of '{recipe}' with {' and '.join(differs)}; give the same "
            "options as that run, another --out, or leave out --resume to start afresh"
        )
    if leads:
        # Away in one step: seeds without their mark would pass for those of any run.
        old = folder.with_name(f".{folder.name}.old")
        if old.exists():
            shutil.rmtree(old)
        if not resume and folder.exists():
            folder.rename(old)
            shutil.rmtree(old)
        write(mark, facts)
    return folder


def differences(folder: Path, recipe: str, facts: dict[str, str]) -> list[str]:
    """In what a run that is kept differs from these facts, in words; nothing if there is none.

    Args:
        folder (Path): Where runs keep their states.
        recipe (str): The recipe.
        facts (dict): What the run depends on, as in :data:`WORDS`.
    """
    mark = folder / recipe / "settings"
    before = read(mark) if mark.exists() else facts
    return [words for name, words in WORDS.items() if before.get(name) != facts[name]]


def data_of(name: str, card: DatasetCard | None) -> str:
    """Identifies the files of the data set of that name and card; ``"-"`` where there are none."""
    # What is missing, damaged or fetched later, the run itself says better.
    with suppress(OSError, ValueError):
        if card is not None:
            return fingerprint(card, locate(card, None, fetch=False), {})
        file = Path(name).expanduser()
        if name and file.is_file():
            return hashlib.sha256(file.read_bytes()).hexdigest()
    return "-"


@contextmanager
def only_writer(folder: Path, recipe: str, leads: bool) -> Iterator[None]:
    """Holds a run's place for the length of a block; a process that dies lets go of it.

    Raises:
        ValueError: If another process is at it.
    """
    if not leads:
        yield
        return
    lock = folder / f"{recipe}.lock"
    # A recipe of an installed package has a slash in its name.
    lock.parent.mkdir(parents=True, exist_ok=True)
    with open(lock, "a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.seek(0)
            raise ValueError(
                f"process {file.read().strip() or '?'} is running '{recipe}' in '{folder.parent}'; "
                "wait for it, or give another --out"
            ) from error
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def write(path: Path, content: dict[str, Any]) -> None:
    """Writes a mapping, with its checksum before it."""
    text = json.dumps(content)
    with replacing(path) as file:
        file.write(f"{hashlib.sha256(text.encode()).hexdigest()}\n{text}".encode())


def read(path: Path) -> dict[str, Any]:
    """Reads what :func:`write` wrote.

    Raises:
        ValueError: If the file is not as it was written.
    """
    seal, _, text = path.read_bytes().partition(b"\n")
    if seal.decode(errors="replace") != hashlib.sha256(text).hexdigest():
        raise ValueError(
            f"'{path}' is damaged: its checksum does not fit; delete it, and --resume runs it again"
        )
    with reading(path, "a run's state"):
        content = json.loads(text)
    if not isinstance(content, dict):
        raise ValueError(f"'{path}' is no state of a run: it holds no mapping")
    return content
