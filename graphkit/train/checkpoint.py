"""Checkpoints that survive a kill: atomic, safe to load, and complete."""

from __future__ import annotations

import pickle
import random
from pathlib import Path
from typing import Any

import numpy as np
import torch

from graphkit.files import replacing


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
    """Writes :obj:`state` to :obj:`path` so that the file is the old one or the new one, whole."""
    with replacing(path) as file:
        torch.save(state, file)


def load_checkpoint(path: str | Path) -> dict[str, Any]:
    """Reads a checkpoint; a damaged or foreign file is a :class:`ValueError` that names it."""
    try:
        state = torch.load(path, weights_only=True, map_location="cpu")
    except (RuntimeError, EOFError, pickle.UnpicklingError, KeyError, ValueError) as error:
        raise ValueError(
            f"checkpoint '{path}' cannot be read ({error}); delete it to start afresh"
        ) from error
    if not isinstance(state, dict) or "graphkit_checkpoint" not in state:
        raise ValueError(f"'{path}' is no graphkit checkpoint; give another path")
    return state
