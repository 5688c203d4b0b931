"""Scene graphs from text and JSON, and back to text."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch_geometric.data import Data

from graphkit.datasets.scenes.records import from_mapping, from_triples, split_mark
from graphkit.datasets.scenes.vocabulary import SceneVocabulary
from graphkit.guard import Translated, reason
from graphkit.text_files import json_of
from graphkit.words import did_you_mean

__all__ = ["format_scene", "parse_scene"]

ARTICLES = frozenset({"a", "an", "the"})
OTHER = {"object": "predicate", "predicate": "object"}
Known = dict[str, dict[str, int]]
Step = tuple[int, tuple[int, str] | None]
"""Where to go on, and what was read up to there: number and mark, or nothing of an article."""


def parse_scene(
    scene: str | Mapping[str, Any] | Sequence[Any], vocabulary: SceneVocabulary
) -> Data:
    r"""A scene graph from what a user types.

    Text is a chain of objects and predicates, several chains are parted by ``;``, ``,`` or a new
    line: ``"sheep by tree on grass; sky above grass"`` holds the triples *sheep by tree*, *tree
    on grass* and *sky above grass*. The same name is the same object; ``sheep#2`` is a second
    one. A lone name is an object without relations. Articles before objects and upper case do
    not matter. The longest names that let the chain be read are taken, in time linear in the
    text.

    JSON is either ``{"objects": ["sheep", "grass"], "relationships": [[0, "on", 1]]}``, the
    format of the `"Image Generation from Scene Graphs" <https://arxiv.org/abs/1804.01622>`_
    paper's released code, or a list of triples of names, or an image of `"Visual Genome"
    <https://arxiv.org/abs/1602.07332>`_: objects with ``name`` or ``names`` and ``object_id``,
    relationships with ``predicate``, and ``subject_id`` and ``object_id``, or ``subject`` and
    ``object`` with theirs.

    Args:
        scene (str, dict or list): Text, JSON text, or JSON already read.
        vocabulary (SceneVocabulary): The names that may occur.

    Shapes:
        - **output:** object categories :obj:`x` :math:`(N)`, subjects and objects of triples
          :obj:`edge_index` :math:`(2, T)`, predicates :obj:`edge_attr` :math:`(T)`; nothing at
          all for an empty scene

    Raises:
        ValueError: If a name is unknown, or is none at all, such as null or a number, a triple
            lacks its object or names one that is not there, the JSON is malformed, or names of
            the vocabulary differ by upper case alone; the message shows the place.

    Example:
        >>> from graphkit.datasets import SceneVocabulary, format_scene, parse_scene
        >>> names = SceneVocabulary(("sheep", "tree", "grass"), ("by", "on"))
        >>> data = parse_scene("a sheep by the tree on grass; sheep#2 on grass", names)
        >>> data.x.tolist(), data.edge_index.tolist(), data.edge_attr.tolist()
        ([0, 1, 2, 0], [[0, 1, 3], [1, 2, 2]], [0, 1, 1])
        >>> format_scene(data, names)
        'sheep by tree; tree on grass; sheep#2 on grass'
    """
    if isinstance(scene, str):
        # As editors on Windows begin a file.
        scene = scene.removeprefix("\ufeff")
    if isinstance(scene, str) and scene.lstrip()[:1] in ("{", "["):
        with Translated(lambda e: ValueError(f"'scene' is not valid JSON: {reason(e)}")):
            scene = json_of(scene)
    if isinstance(scene, str):
        return from_text(scene, vocabulary)
    if isinstance(scene, Mapping):
        return scene_data(*from_mapping(scene, vocabulary))
    if isinstance(scene, Sequence) and not isinstance(scene, bytes | bytearray):
        return scene_data(*from_triples(scene, vocabulary))
    raise ValueError(f"'scene' must be text, a mapping or a list, got {type(scene).__name__}")


def format_scene(data: Data, vocabulary: SceneVocabulary) -> str:
    r"""A scene graph as text that :func:`parse_scene` reads.

    Args:
        data (Data): The scene graph.
        vocabulary (SceneVocabulary): Its names.

    Example:
        >>> from graphkit.datasets import SceneVocabulary, format_scene, parse_scene
        >>> names = SceneVocabulary(("sheep", "sky"), ("by",))
        >>> format_scene(parse_scene("sky; sheep by sheep#2", names), names)
        'sheep by sheep#2; sky'
    """
    seen: Counter[str] = Counter()
    names = []
    for number in data.x.tolist():
        name = vocabulary.objects[number]
        seen[name] += 1
        names.append(name if seen[name] == 1 else f"{name}#{seen[name]}")
    source, target = data.edge_index.tolist()
    predicates = [vocabulary.predicates[number] for number in data.edge_attr.tolist()]
    parts = [
        f"{names[subject]} {predicate} {names[object_]}"
        for subject, predicate, object_ in zip(source, predicates, target, strict=True)
    ]
    linked = {*source, *target}
    parts += [name for number, name in enumerate(names) if number not in linked]
    return "; ".join(parts)


def scene_data(x: list[int], triples: list[tuple[int, int, int]]) -> Data:
    """The graph of object categories and ``(subject, predicate, object)`` numbers."""
    table = torch.tensor(triples, dtype=torch.long).view(-1, 3)
    return Data(
        x=torch.tensor(x, dtype=torch.long),
        edge_index=table[:, [0, 2]].t().contiguous(),
        edge_attr=table[:, 1].contiguous(),
        num_nodes=len(x),
    )


def from_text(text: str, vocabulary: SceneVocabulary) -> Data:
    """Reads chains of objects and predicates."""
    known: Known = {"object": vocabulary.spoken_objects, "predicate": vocabulary.spoken_predicates}
    numbers: dict[tuple[int, str], int] = {}
    triples: list[tuple[int, int, int]] = []
    for clause in re.split(r"[;,\r\n]", text.lower()):
        chain = read_chain(clause.split(), known)
        nodes = [numbers.setdefault(one, len(numbers)) for one in chain[::2]]
        links = [predicate for predicate, _ in chain[1::2]]
        triples += zip(nodes[:-1], links, nodes[1:], strict=True)
    return scene_data([category for category, _ in numbers], triples)


def read_chain(words: list[str], known: Known) -> list[tuple[int, str]]:
    """Objects and predicates in turn, as ``(number, mark behind #)``."""
    if not words:
        return []
    steps = ways_on(words, known)
    if "object" not in steps[0]:
        raise ValueError(complaint(words, known))
    chain, place, kind = [], 0, "object"
    while place < len(words):
        place, entry = steps[place][kind]
        # An article is walked over: what is due behind it is still the object.
        if entry is not None:
            chain.append(entry)
            kind = OTHER[kind]
    return chain


def ways_on(words: list[str], known: Known) -> list[dict[str, Step]]:
    """For every word and kind the step from there, if the rest of the chain can then be read.

    Names overlap (*in* and *in front of*), so the longest name that is there may leave a rest that
    cannot be read.  From the last word to the first, each step is known to lead to the end before
    another is built on it: nothing has to be tried twice, which keeps the time linear.
    """
    longest = {kind: longest_name(names) for kind, names in known.items()}
    steps: list[dict[str, Step]] = [{} for _ in words]
    for start in reversed(range(len(words))):
        for kind in known:
            step = longest_step(words, start, kind, known, longest[kind], steps)
            if step is None and kind == "object":
                step = over_article(words, start, steps)
            if step is not None:
                steps[start][kind] = step
    return steps


def longest_step(
    words: list[str],
    start: int,
    kind: str,
    known: Known,
    longest: int,
    steps: list[dict[str, Step]],
) -> Step | None:
    """The step over the longest name behind which the rest can be read."""
    for stop in range(min(start + longest, len(words)), start, -1):
        entry = look_up(words[start:stop], kind, known)
        # A chain ends with an object: a predicate without one behind it is no end.
        readable = kind == "object" if stop == len(words) else OTHER[kind] in steps[stop]
        if entry is not None and readable:
            return stop, entry
    return None


def over_article(words: list[str], start: int, steps: list[dict[str, Step]]) -> Step | None:
    """The step over an article with an object behind it.

    It comes after names were tried, since a name may begin with an article.
    """
    behind = start + 1
    stands = words[start] in ARTICLES and behind < len(words) and "object" in steps[behind]
    return (behind, None) if stands else None


def longest_name(names: dict[str, int]) -> int:
    """Number of words of the longest name."""
    return max((len(name.split()) for name in names), default=0)


def look_up(words: list[str], kind: str, known: Known) -> tuple[int, str] | None:
    """The number of a name, and what stands behind ``#`` if it is an object."""
    name, mark = split_mark(" ".join(words))
    number = None if mark and kind == "predicate" else known[kind].get(name)
    return None if number is None or mark is None else (number, mark)


def complaint(words: list[str], known: Known) -> str:
    """Where the longest readable beginning of a chain ends, and what is missing there."""
    # Forwards this time, over everything that can be read from the start: the furthest place that
    # is reached is where the reader, too, would stop and wonder.
    reached, furthest = {(0, "object")}, (0, "object")
    longest = max(longest_name(names) for names in known.values())
    for start in range(len(words)):
        for kind in [kind for kind in known if (start, kind) in reached]:
            furthest = max(furthest, (start, kind))
            if kind == "object" and words[start] in ARTICLES:
                reached.add((start + 1, kind))
            for stop in range(start + 1, min(start + longest, len(words)) + 1):
                if look_up(words[start:stop], kind, known):
                    reached.add((stop, OTHER[kind]))
    whole = " ".join(words)
    if (len(words), "object") in reached:
        return f"{whole!r} ends with a predicate; a triple needs an object behind it"
    place, kind = furthest
    word = words[place]
    return f"{whole!r}: no {kind} is called {word!r}; {did_you_mean(word, known[kind], cutoff=0.5)}"
