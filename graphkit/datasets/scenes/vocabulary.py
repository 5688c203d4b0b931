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

    Names that are asked for may differ from these in upper case and blanks.

    Raises:
        ValueError: If a name is no text, empty, or comes twice, or a name that is asked for is
            unknown.

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
            text = all(isinstance(name, str) and name.strip() for name in names)
            if not text or len(set(names)) != len(names):
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

    @cached_property
    def spoken_objects(self) -> dict[str, int]:
        """The number of each object category, by its name in lower case."""
        return spoken("objects", self.objects)

    @cached_property
    def spoken_predicates(self) -> dict[str, int]:
        """The number of each predicate, by its name in lower case."""
        return spoken("predicates", self.predicates)

    def object_id(self, name: str) -> int:
        """The number of an object category, or an error with the nearest names."""
        number = self.object_ids.get(name)
        return find("object", name, self.spoken_objects) if number is None else number

    def predicate_id(self, name: str) -> int:
        """The number of a predicate, or an error with the nearest names."""
        number = self.predicate_ids.get(name)
        return find("predicate", name, self.spoken_predicates) if number is None else number


def find(kind: str, name: str, known: dict[str, int]) -> int:
    """The number of a name, or an error with the nearest ones."""
    plain = as_spoken(name)
    if plain not in known:
        raise ValueError(f"no {kind} is called {name!r}; {did_you_mean(plain, known, cutoff=0.5)}")
    return known[plain]


def as_spoken(name: str) -> str:
    """A name without upper case and with single blanks."""
    return " ".join(name.lower().split())


def spoken(kind: str, names: tuple[str, ...]) -> dict[str, int]:
    """Numbers by plain names, which must differ."""
    numbers: dict[str, int] = {}
    for number, name in enumerate(names):
        other = numbers.setdefault(as_spoken(name), number)
        if other != number:
            raise ValueError(
                f"'{kind}' holds {names[other]!r} and {name!r}, which differ by upper case and "
                "blanks alone"
            )
    return numbers
