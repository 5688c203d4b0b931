"""graphkit: published graph-learning methods as drop-in PyTorch Geometric parts.

``import graphkit`` loads nothing heavy; ``graphkit.nn`` and the other rooms load when they are
first used. ``graphkit.accelerate(model)`` is :func:`graphkit.nn.accelerate`.
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import Any

__version__ = "0.2.0"

_ROOMS = frozenset(room.name for room in pkgutil.iter_modules(__path__) if room.name[0] != "_")


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        return importlib.import_module(f"graphkit.{name}")
    if name == "accelerate":
        return importlib.import_module("graphkit.nn").accelerate
    raise AttributeError(f"graphkit has no '{name}'; it has: {', '.join(sorted(_ROOMS))}")


def __dir__() -> list[str]:
    return list({*globals(), *_ROOMS, "accelerate"})
