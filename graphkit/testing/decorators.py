"""Marks for tests that need something the machine may lack; each says what to install."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import TypeVar

import pytest
import torch

F = TypeVar("F", bound=Callable)


def needs_package(*names: str) -> Callable[[F], F]:
    """Skips a test, with the reason, where a package is not installed.

    Args:
        *names (str): Import names of packages.

    Example:
        >>> @needs_package("torch")
        ... def test_something(): ...
    """
    missing = [name for name in names if find_spec(name) is None]
    return pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)}")


def needs_cuda(test: F) -> F:
    """Marks a test as ``gpu`` and skips it, with the reason, where there is no CUDA device."""
    skip = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
    return pytest.mark.gpu(skip(test))
