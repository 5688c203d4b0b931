"""DGL, as a rival that may be there."""

from __future__ import annotations

import importlib
import sys
from contextlib import suppress
from typing import Any
from unittest.mock import MagicMock

GRAPHBOLT = "dgl.graphbolt"


def load_dgl() -> Any | None:
    """DGL where it is installed and its library can be loaded, else nothing.

    Its loaders of data, ``graphbolt``, are left out: they are compiled for one PyTorch, without
    which nothing of DGL could be imported, and neither its layers nor its samplers need them.
    """
    stand_in: Any = MagicMock()
    stand_in.__path__, stand_in.__spec__ = [], None
    sys.modules.setdefault(GRAPHBOLT, stand_in)
    with suppress(ImportError, OSError):
        return importlib.import_module("dgl")
    if sys.modules[GRAPHBOLT] is stand_in:
        del sys.modules[GRAPHBOLT]
    return None
