"""The names behind the numbers of a scene graph."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from graphkit.words import did_you_mean

__all__ = ["SceneVocabulary"]


@dataclass(frozen=True)
class SceneVocabulary:
    r"""Object categories and predicates of scene graphs, by number and by name.

    Args:
        objects (tuple of str): Names of the object categories, in the order of their numbers.
        predicates (tuple of str): Names of the predicates.

    Raises:
        ValueError: If a name is empty or comes twice, or a name that is asked for is unknown.

    Example:
        >>> from graphkit.datasets import SceneVocabulary
        >>> vocabulary = SceneVocabulary(("sheep", "grass"), ("on",))
        >>> vocabulary.object_id("grass"), vocabulary.num_predicates
        (1, 1)
    """

    objects: tuple[str, ...]
    predicates: tuple[str, ...]

    def __post_init__(self) -> None:
        for kind, names in (("objects", self.objects), ("predicates", self.predicates)):
            if len(set(names)) != len(names) or not all(name.strip() for name in names):
                raise ValueError(f"'{kind}' must hold different names, none empty, got {names}")

    @property
    def num_objects(self) -> int:
        """The number of object categories."""
        return len(self.objects)

    @property
    def num_predicates(self) -> int:
        """The number of predicates."""
        return len(self.predicates)

    @cached_property
    def object_ids(self) -> dict[str, int]:
        """The number of each object category."""
        return {name: number for number, name in enumerate(self.objects)}

    @cached_property
    def predicate_ids(self) -> dict[str, int]:
        """The number of each predicate."""
        return {name: number for number, name in enumerate(self.predicates)}

    def object_id(self, name: str) -> int:
        """The number of an object category, or an error with the nearest names."""
        return find("object", name, self.object_ids)

    def predicate_id(self, name: str) -> int:
        """The number of a predicate, or an error with the nearest names."""
        return find("predicate", name, self.predicate_ids)


def find(kind: str, name: str, known: dict[str, int]) -> int:
    """The number of a name, or an error with the nearest ones."""
    if name not in known:
        raise ValueError(f"no {kind} is called {name!r}; {did_you_mean(name, known, cutoff=0.5)}")
    return known[name]
