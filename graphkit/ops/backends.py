"""Which implementation serves a call: chosen by device and dtype, or named by the user."""

# fingerprint: as graphkit.ops.reference

from __future__ import annotations

import functools
import importlib
import importlib.util
import os
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

from torch import Tensor

BACKENDS: dict[str, tuple[str, str | None]] = {
    "reference": ("graphkit.ops.reference", None),
    "numba": ("graphkit.ops.cpu.backend", "numba"),
    "torch": ("graphkit.ops.torch_backend", None),
    "torch_scatter": ("graphkit.ops.scatter_backend", "torch_scatter"),
    "triton": ("graphkit.ops.cuda.backend", "triton"),
}
_EXTRAS = {"torch_scatter": "scatter", "triton": "triton"}
_ENVIRONMENT = "GRAPHKIT_BACKEND"
_chosen: str = "auto"


def _checked(name: str) -> str:
    """The name itself, after it was found to be a backend whose package is installed."""
    if name == "auto":
        return name
    if name not in BACKENDS:
        raise ValueError(f"backend must be 'auto' or one of {sorted(BACKENDS)}, got {name!r}")
    package = BACKENDS[name][1]
    if package is not None and importlib.util.find_spec(package) is None:
        extra = _EXTRAS.get(name)
        hint = f'pip install "graphkit[{extra}]"' if extra else f"pip install {package}"
        raise ImportError(f"backend {name!r} needs the package {package!r}: {hint}")
    return name


_chosen = _checked(os.environ.get(_ENVIRONMENT, "auto"))


@contextmanager
def backend(name: str) -> Iterator[None]:
    r"""Makes every op inside the ``with`` block use one backend.

    The choice is taken when an op is called; its backward pass uses the same backend, also
    after the block was left. ``GRAPHKIT_BACKEND`` sets the choice for a whole process.

    Args:
        name (str): ``"reference"`` (plain PyTorch, the definition), ``"numba"`` (CPU),
            ``"torch"`` (any device), ``"torch_scatter"``, ``"triton"`` (CUDA), or ``"auto"``:
            :obj:`"numba"` on a CPU, :obj:`"triton"` on CUDA where it is installed,
            :obj:`"torch"` elsewhere.

    Raises:
        ValueError: If the name is unknown.
        ImportError: If the package behind the backend is not installed.

    Example:
        >>> from graphkit import ops
        >>> with ops.backend("reference"):
        ...     ops.active_backend()
        'reference'
    """
    global _chosen
    before, _chosen = _chosen, _checked(name)
    try:
        yield
    finally:
        _chosen = before


def active_backend() -> str:
    r"""The name the next op call will use: ``"auto"`` or a backend's name.

    Example:
        >>> from graphkit import ops
        >>> with ops.backend("torch"):
        ...     ops.active_backend()
        'torch'
    """
    return _chosen


def implementation(name: str, values: Tensor) -> ModuleType:
    """The module that serves a call on ``values`` under the choice ``name``."""
    return _module(_automatic(values) if name == "auto" else name)


@functools.cache
def _module(name: str) -> ModuleType:
    """The module of a backend, imported when it is first needed."""
    return importlib.import_module(BACKENDS[name][0])


def _automatic(values: Tensor) -> str:
    """The fastest backend for the tensor's device and dtype."""
    if not values.dtype.is_floating_point:
        return "reference"
    if values.is_cpu:
        return "numba"
    if values.device.type == "cuda" and _installed("triton"):
        return "triton"
    return "torch"


@functools.cache
def _installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None
