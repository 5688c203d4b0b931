"""How kernels are compiled, and where compiled code is kept."""

from __future__ import annotations

import functools
import hashlib
import os
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numba

FAST_MATH = {"reassoc", "contract", "arcp", "nsz"}


def kernel(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compiles on first call, releases the GIL, keeps the machine code on disk.

    NaN and infinities keep their meaning: only the order of operations is free.
    """
    folder = cache_folder()
    before, numba.config.CACHE_DIR = numba.config.CACHE_DIR, folder or ""  # type: ignore[attr-defined]
    try:
        return numba.njit(
            nogil=True, cache=folder is not None, fastmath=FAST_MATH, error_model="numpy"
        )(function)
    finally:
        numba.config.CACHE_DIR = before  # type: ignore[attr-defined]


def helper(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function that is compiled into the kernels that call it; Python cannot call it."""
    # Wrappers for Python and C, one of each for every helper, took a tenth of the time to compile.
    without: dict[str, Any] = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
    compiler = numba.njit(fastmath=FAST_MATH, forceinline=True, error_model="numpy", **without)
    return cast("Callable[..., Any]", compiler(function))


@functools.cache
def cache_folder() -> str | None:
    """The folder of compiled code, named after the kernels' sources; made if needed.

    Under ``NUMBA_CACHE_DIR``, else ``GRAPHKIT_CACHE``, else ``~/.cache/graphkit``. If it cannot
    be written, a warning says so and kernels are compiled in every process.
    """
    base = os.environ.get("NUMBA_CACHE_DIR") or os.environ.get("GRAPHKIT_CACHE")
    folder = Path(base or Path.home() / ".cache" / "graphkit") / f"kernels-{_digest()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return str(folder)
    except OSError as error:
        warnings.warn(
            f"compiled kernels cannot be kept in {folder} ({error}): every process will compile "
            "them anew; set GRAPHKIT_CACHE to a writable folder",
            stacklevel=2,
        )
        return None


def _digest() -> str:
    """A short hash of every kernel source: an edited kernel never meets old machine code."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]
