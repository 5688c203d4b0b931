"""Checkpoints that survive a kill and know when they are damaged: whole, sealed, safe to load."""

# fingerprint: not counted

from __future__ import annotations

import hashlib
import os
import random
import shutil
import struct
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch

from graphkit.files import replacing
from graphkit.guard import reading


def rng_state() -> dict[str, Any]:
    """The state of every random generator a training step may draw from."""
    name, keys, position, has_gauss, cached = np.random.get_state(legacy=True)  # noqa: NPY002
    version, internal, gauss = random.getstate()
    state: dict[str, Any] = {
        "torch": torch.get_rng_state(),
        "numpy": [name, torch.from_numpy(np.asarray(keys).astype(np.int64))],
        "numpy_rest": [position, has_gauss, cached],
        "python": [version, list(internal), gauss],
    }
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state_all()
    return state


def set_rng_state(state: dict[str, Any]) -> None:
    """Puts back what :func:`rng_state` gave."""
    torch.set_rng_state(state["torch"])
    name, keys = state["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), *state["numpy_rest"]))  # noqa: NPY002
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))
    if "cuda" in state:
        torch.cuda.set_rng_state_all(state["cuda"])


def save_checkpoint(state: dict[str, Any], path: str | Path) -> None:
    r"""Writes a state so that the file is the old one or the new one, whole.

    The file is sealed: a checksum of all its bytes stands at its end, as the comment of the zip
    archive that it is, so ``torch.load`` reads it as well. The checkpoint before it stays beside
    it, as ``<name>.previous``.

    Args:
        state (dict): Plain values and tensors; the key ``"graphkit_checkpoint"`` marks it.
        path (str or Path): The file.
    """
    path = Path(path)
    with replacing(path) as file:
        torch.save(state, file)
        seal(file)
        keep_previous(path)


def load_checkpoint(path: str | Path) -> dict[str, Any]:
    """Reads a checkpoint, or, with a warning, the one before it if this one is damaged.

    Args:
        path (str or Path): The file.

    Raises:
        ValueError: If the file is damaged, and the one before it too, or it is no checkpoint.
    """
    try:
        return read(Path(path))
    except ValueError as error:
        before = previous(Path(path))
        if not before.exists():
            raise
        try:
            state = read(before)
        except ValueError:
            raise error from None
        warnings.warn(f"{error}; going on from the one before it, '{before}'", stacklevel=2)
        return state


def read(path: Path) -> dict[str, Any]:
    """Reads one file; a damaged or foreign one is a :class:`ValueError` that names it."""
    with path.open("rb") as file:
        whole = is_sealed(file)
    if not whole:
        raise ValueError(
            f"'{path}' is a damaged checkpoint or none: it does not end in its checksum; delete it "
            "to start afresh, or give another path"
        )
    with reading(path, "a checkpoint", "delete it to start afresh"):
        state = torch.load(path, weights_only=True, map_location="cpu")
        if isinstance(state, dict) and state.keys() >= OF_TRAINER:
            check_run(state)
    if not isinstance(state, dict) or "graphkit_checkpoint" not in state:
        raise ValueError(f"'{path}' is no graphkit checkpoint; give another path")
    return state


OF_TRAINER = {"settings", "model", "optimizer", "run", "callbacks", "rng"}
"""The entries by which a checkpoint of :class:`~graphkit.train.Trainer` is known."""


def check_run(state: dict[str, Any]) -> None:
    """Raises, of whatever type, unless a trainer can count on from these values."""
    run, weights = state["run"], state["model"]
    counts = [run[name] for name in ("stage", "epoch", "best_epoch", "improved_epoch")]
    if not all(type(count) is int and count >= 0 for count in counts):
        raise ValueError(f"its counts of epochs are {counts}")
    history, figures = run["history"], [run["seconds"], run["best_value"]]
    if not isinstance(history, list):
        raise TypeError("its history is no list")
    for metrics in (run["best"], *history):
        figures += metrics.values()
    if not all(type(figure) in (int, float) for figure in figures):
        raise ValueError("it holds metrics that are no numbers")
    for name, best in run["best_weights"].items():
        if best.shape != weights[name].shape:
            raise ValueError(f"its best weights '{name}' are {best.shape}")
    plain = all(isinstance(value, str | int | float | None) for value in state["settings"].values())
    if not plain or not isinstance(state["finished"], bool):
        raise ValueError("its settings are no numbers and words")


def previous(path: Path) -> Path:
    """Where the checkpoint before a file's present one is."""
    return path.with_name(f"{path.name}.previous")


def keep_previous(path: Path) -> None:
    """Gives the present file a second name, which lasts when the first one is replaced."""
    if not path.exists():
        return
    spare = path.with_name(f".{path.name}.spare")
    spare.unlink(missing_ok=True)
    try:
        os.link(path, spare)
    except OSError:  # Some file systems have one name per file.
        shutil.copyfile(path, spare)
    os.replace(spare, previous(path))


DIGITS = hashlib.sha256().digest_size * 2
"""Length of a checksum in letters; a zip archive ends in the length of its comment, 2 bytes."""


def seal(file: Any) -> None:
    """Puts the checksum of a zip archive, open for reading and writing, into its comment."""
    end = file.seek(0, os.SEEK_END) - 2
    digest = checksum(file, end)
    file.seek(end)
    file.write(struct.pack("<H", DIGITS) + digest)


def is_sealed(file: Any) -> bool:
    """Whether the checksum at the end of a file fits what stands before it."""
    end = file.seek(0, os.SEEK_END) - DIGITS - 2
    if end < 0:
        return False
    file.seek(end)
    closing = file.read()
    return bool(closing == struct.pack("<H", DIGITS) + checksum(file, end))


def checksum(file: Any, end: int) -> bytes:
    """SHA-256 of so many bytes, in letters."""
    file.seek(0)
    digest = hashlib.sha256()
    while end > 0:
        part = file.read(min(end, 1 << 20))
        digest.update(part)
        end -= len(part)
    return digest.hexdigest().encode()
