"""Single values of JSON, which may be of any kind."""

# fingerprint: not counted

from __future__ import annotations

import math
from typing import Any

import numpy as np

__all__ = ["finite", "number", "single", "whole"]

LARGEST = 2**62
SINGLE = float(np.finfo(np.float32).max)


def whole(value: Any, what: str = "a number") -> int:
    """A whole number.

    Raises:
        ValueError: If it is something else, such as a fraction, true or text.
    """
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) > LARGEST:
        raise ValueError(f"{what} is {shown(value)}, expected a whole number")
    return value


def number(value: Any, what: str = "a number") -> float:
    """A number that is finite in single precision.

    Raises:
        ValueError: If it is something else.
    """
    right = isinstance(value, int | float) and not isinstance(value, bool)
    # Not a number is not less than anything.
    if not right or not abs(value) <= SINGLE:
        raise ValueError(f"{what} is {shown(value)}, expected a finite number")
    return float(value)


def single(values: np.ndarray) -> bool:
    """Whether all values are finite in single precision, as the tensors made of them will be."""
    # Half precision does not know so large a number: infinity would not be above it.
    narrow = values.dtype.kind == "f" and values.dtype.itemsize < 4
    return bool((np.isfinite(values) if narrow else np.abs(values) <= SINGLE).all())


def finite(value: Any) -> Any:
    """A value for a file that anyone reads: what is not a number, or infinite, is nothing in it.

    Python writes ``NaN`` and ``Infinity``, which are no JSON.
    """
    if isinstance(value, dict):
        return {key: finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def shown(value: Any) -> str:
    """A value as far as it can be shown."""
    if isinstance(value, list | dict):
        return f"a {type(value).__name__}"
    if isinstance(value, int) and abs(value) > LARGEST:
        return "a very long number"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]} …"
