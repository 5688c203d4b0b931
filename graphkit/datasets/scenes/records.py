"""Scene graphs from JSON that was read: triples of names, lists by number, Visual Genome's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from graphkit.datasets.scenes.vocabulary import SceneVocabulary

__all__ = ["from_mapping", "from_triples", "split_mark"]

PARTS = {"objects", "relationships"}
BESIDE = {"image_id", "image_url", "attributes"}
"""What Visual Genome says besides, of the whole image."""

Scene = tuple[list[int], list[tuple[int, int, int]]]
"""Categories of the objects, and subject, predicate and object of every triple."""


def from_mapping(scene: Mapping[str, Any], vocabulary: SceneVocabulary) -> Scene:
    """Reads ``{"objects": names, "relationships": [[number, name, number]]}``, and dictionaries in
    either list as Visual Genome has them.
    """
    if set(scene) - PARTS - BESIDE or not set(scene) & PARTS:
        shown = sorted(map(repr, scene))[:9]
        raise ValueError(
            f"a scene has 'objects' and 'relationships', got {', '.join(shown) or 'nothing'}"
        )
    links = listed(scene.get("relationships", []), "relationships")
    if "objects" not in scene and not links:
        raise ValueError("'objects' is missing, and no relationship brings any")
    things = listed(scene["objects"], "objects") if "objects" in scene else ends_of(links)
    # Two ways to name an end: the place in the list of objects, or Visual Genome's object_id.
    x: list[int] = []
    numbers: dict[int | str, int] = {}
    for place, thing in enumerate(things):
        where = f"object {place}"
        x.append(vocabulary.object_id(name_of(thing, where)))
        if isinstance(thing, Mapping) and "object_id" in thing:
            key = identity(thing["object_id"], where)
            if key in numbers:
                raise ValueError(f"{where} has the object_id {key!r} of object {numbers[key]}")
            numbers[key] = place
    triples = []
    for place, link in enumerate(links):
        where = f"relationship {place}"
        if isinstance(link, Mapping):
            first, second = (
                numbers.get(end_of(link, side, where)) for side in ("subject", "object")
            )
            if first is None or second is None:
                side = "subject" if first is None else "object"
                raise ValueError(
                    f"{where}: no object has its {side}'s object_id, {end_of(link, side, where)!r}"
                )
            predicate = named(link.get("predicate"), f"the predicate of {where}")
        else:
            if not isinstance(link, Sequence) or isinstance(link, str | bytes) or len(link) != 3:
                raise ValueError(
                    f"{where} must be [subject, predicate, object], got {shown_as(link)}"
                )
            first, second = (number_in(end, len(x), where) for end in (link[0], link[2]))
            # A predicate is a name in either, never a number.
            predicate = named(link[1], f"the predicate of {where}")
        triples.append((first, vocabulary.predicate_id(predicate), second))
    return x, triples


def from_triples(scene: Sequence[Any], vocabulary: SceneVocabulary) -> Scene:
    """Reads triples of names; the same name is the same object."""
    numbers: dict[tuple[int, str], int] = {}
    triples = []
    for place, triple in enumerate(scene):
        where = f"triple {place}"
        if not isinstance(triple, Sequence) or isinstance(triple, str | bytes) or len(triple) != 3:
            raise ValueError(
                f"{where} must be [subject, predicate, object], got {shown_as(triple)}"
            )
        ends = []
        for end, side in ((triple[0], "subject"), (triple[2], "object")):
            name, mark = split_mark(named(end, f"the {side} of {where}"))
            if mark is None:
                raise ValueError(f"{end!r} in {where} has nothing behind '#'")
            thing = vocabulary.object_id(name), mark
            ends.append(numbers.setdefault(thing, len(numbers)))
        predicate = vocabulary.predicate_id(named(triple[1], f"the predicate of {where}"))
        triples.append((ends[0], predicate, ends[1]))
    return [category for category, _ in numbers], triples


def split_mark(name: str) -> tuple[str, str | None]:
    """A name and what stands behind ``#``, nothing for 1; no text and blanks there are wrong."""
    name, sign, mark = name.partition("#")
    if sign and mark.split() != [mark]:
        return name, None
    return name, "" if mark == "1" else mark


def listed(value: Any, what: str) -> Sequence[Any]:
    """A list, if it is one."""
    if not isinstance(value, Sequence) or isinstance(value, str | bytes):
        raise ValueError(f"'{what}' must be a list, got {shown_as(value)}")
    return value


def named(value: Any, what: str) -> str:
    """A name, if it is one."""
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{what} must be a name, got {shown_as(value)}")
    return value


def name_of(thing: Any, where: str) -> str:
    """The name of an object; of the names that Visual Genome gives one, the first."""
    if isinstance(thing, Mapping):
        names = thing.get("names")
        if "name" not in thing and isinstance(names, Sequence) and not isinstance(names, str):
            return named(names[0] if names else None, f"the first of the names of {where}")
        return named(thing.get("name"), f"the name of {where}")
    return named(thing, where)


def identity(value: Any, where: str) -> int | str:
    """What Visual Genome tells objects apart by."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError(f"the object_id of {where} must be a number, got {shown_as(value)}")
    return value


def end_of(link: Mapping[str, Any], side: str, where: str) -> int | str:
    """The object_id of one end of a relationship: beside it, or in a dictionary of its own."""
    thing = link.get(side)
    value = thing.get("object_id") if isinstance(thing, Mapping) else link.get(f"{side}_id")
    return identity(value, f"the {side} of {where}")


def ends_of(links: Sequence[Any]) -> list[Any]:
    """The objects that relationships bring with them, each once."""
    things: dict[int | str, Any] = {}
    for place, link in enumerate(links):
        for side in ("subject", "object"):
            thing = link.get(side) if isinstance(link, Mapping) else None
            if not isinstance(thing, Mapping):
                raise ValueError(f"relationship {place} brings no {side}, and 'objects' is missing")
            things.setdefault(end_of(link, side, f"relationship {place}"), thing)
    return list(things.values())


def number_in(value: Any, count: int, where: str) -> int:
    """The number of an object that is there."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < count:
        raise ValueError(
            f"{where} names object {shown_as(value)}, but the scene has {count} objects, counted "
            "from 0"
        )
    return value


def shown_as(value: Any) -> str:
    """A value, as far as it is short."""
    text = repr(value) if isinstance(value, str | int | float | bool | None) else ""
    return text if 0 < len(text) <= 60 else f"a {type(value).__name__}"
