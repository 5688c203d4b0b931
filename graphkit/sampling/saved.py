"""Tensors out of a file, of which nothing is run."""

from __future__ import annotations

import pickle
import struct
from pathlib import Path
from typing import Any

import torch

ERRORS = (
    *(RuntimeError, EOFError, OSError, pickle.UnpicklingError, struct.error),
    *(AssertionError, AttributeError, KeyError, IndexError, TypeError, ValueError),
)
"""What PyTorch raises on damaged files."""


def load_tensors(file: Path) -> Any:
    """What :func:`torch.save` has written, if it is nothing but tensors and plain values.

    Raises:
        ValueError: If the file is damaged or holds anything else.
    """
    try:
        return torch.load(file, weights_only=True)
    except ERRORS as error:
        raise ValueError(f"'{file}' cannot be read ({error}); delete it") from error
