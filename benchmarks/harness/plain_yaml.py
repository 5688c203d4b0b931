"""YAML of plain values, whose size, depth and references are looked at before memory is taken."""

# fingerprint: not counted

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from graphkit.guard import Translated

__all__ = ["read_file", "read_text"]

LONGEST = 128 << 10
"""Bytes of a file; the longest recipe has a fortieth of it, and PyYAML reads as much in seconds."""
DEEPEST = 64
"""Lists and mappings in one another; a recipe needs five."""
SHOWN = 300


class PlainLoader(yaml.SafeLoader):
    """PyYAML's safe loader without references, deep nesting and keys that come twice."""

    depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        """A node, unless it refers to another one or lies too deep."""
        if self.check_event(yaml.AliasEvent):
            event = self.peek_event()
            raise yaml.MarkedYAMLError(
                problem=f"'*{event.anchor}' refers to another part; write it out",
                problem_mark=event.start_mark,
            )
        if self.depth >= DEEPEST:
            raise ValueError(f"more than {DEEPEST} lists and mappings in one another")
        self.depth += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self.depth -= 1

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        """A mapping whose keys are words or numbers, each of them once."""
        seen = set()
        for key, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            if not isinstance(key, yaml.ScalarNode):
                problem = "a key is a list or a mapping"
                raise yaml.MarkedYAMLError(problem=problem, problem_mark=key.start_mark)
            if key.value in seen:
                problem = f"the key {key.value[:40]!r} comes twice"
                raise yaml.MarkedYAMLError(problem=problem, problem_mark=key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)

    def construct_yaml_int(self, node: Any) -> int:
        """A whole number of at most 64 bits, as every array and every count holds."""
        value = super().construct_yaml_int(node)
        if not -(2**63) <= value < 2**63:
            problem = f"{node.value[:40]} is too large"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark)
        return value


PlainLoader.add_constructor("tag:yaml.org,2002:int", PlainLoader.construct_yaml_int)
REFUSED = ("binary", "omap", "pairs", "set")
"""What PyYAML makes of these no JSON can keep."""


def as_word(loader: PlainLoader, node: Any) -> Any:
    """A day or an hour as it is written, which JSON can keep."""
    return loader.construct_scalar(node)


def refuse(loader: PlainLoader, node: Any) -> None:
    """Raises: could not determine a constructor."""
    loader.construct_undefined(node)


PlainLoader.add_constructor("tag:yaml.org,2002:timestamp", as_word)
for kind in REFUSED:
    PlainLoader.add_constructor(f"tag:yaml.org,2002:{kind}", refuse)


def read_text(text: str) -> Any:
    """The value that a text stands for.

    Args:
        text (str): YAML of words, numbers, lists and mappings.

    Raises:
        ValueError: If it is no such YAML, longer than 128 KiB, deeper than 64, holds a reference to
            another part, a key twice, or a whole number beyond 64 bits; whatever PyYAML raises,
            too.
    """
    if len(text) > LONGEST:
        raise ValueError(f"it has {len(text):,} characters; at most {LONGEST:,} are read")
    # PyYAML raises what int(), float(), dates and Python's stack raise.
    with Translated(told):
        return yaml.load(text, PlainLoader)


def told(error: Exception) -> ValueError:
    """What PyYAML says, in a line, with its type where that alone tells something."""
    words = " ".join(str(error).split())[:SHOWN]
    plain = isinstance(error, yaml.YAMLError | ValueError) and words
    return ValueError(words if plain else f"{type(error).__name__}: {words}")


def read_file(path: Path) -> Any:
    """The value in a file.

    Raises:
        ValueError: As :func:`read_text`, and if it cannot be read or is no UTF-8; names no file.
    """
    try:
        with path.open("rb") as file:
            content = file.read(LONGEST + 1)
        return read_text(content.decode("utf-8-sig"))
    except OSError as error:
        raise ValueError(error.strerror or str(error)) from error
