"""What goes wrong before a run begins."""

# fingerprint: not counted

from __future__ import annotations

__all__ = ["RecipeError"]


class RecipeError(ValueError):
    """A recipe that cannot be run, with the key that is wrong and the nearest right one."""
