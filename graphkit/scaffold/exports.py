"""Adds names to the ``__init__`` of a room, in the order that the formatter keeps."""

from __future__ import annotations

import ast
from pathlib import Path

from graphkit.files import replacing

WIDTH = 100


def add_export(init: Path, module: str, name: str) -> None:
    """Lets a room export a name; one that it exports already stays as it is.

    Args:
        init (Path): The room's ``__init__.py``, which holds imports and ``__all__`` alone.
        module (str): Where the name is imported from.
        name (str): The class or function.

    Raises:
        ValueError: If the file holds anything else.
    """
    imports, exported, docstring = read_exports(init)
    imports.setdefault(module, set()).add(name)
    exported.add(name)
    lines = [f'"""{docstring}"""', ""]
    for source, names in sorted(imports.items()):
        members = sorted(names, key=lambda name: (rank(name)[0], name.lower()))
        lines += wrapped(f"from {source} import ", members, "(", ")")
    quoted = [f'"{one}"' for one in sorted(exported, key=rank)]
    lines += ["", *wrapped("__all__ = [", quoted, "", "]")]
    with replacing(init) as file:
        file.write(("\n".join(lines) + "\n").encode())


def read_exports(init: Path) -> tuple[dict[str, set[str]], set[str], str]:
    """What a room imports from where, what it exports, and its docstring."""
    tree = ast.parse(init.read_text())
    imports: dict[str, set[str]] = {}
    exported: set[str] = set()
    for statement in tree.body[1:]:
        if isinstance(statement, ast.ImportFrom) and statement.module:
            imports.setdefault(statement.module, set()).update(a.name for a in statement.names)
        elif isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "__all__":
            exported = set(ast.literal_eval(statement.value))
        else:
            raise ValueError(f"'{init}' holds more than imports and __all__: {statement.lineno}")
    return imports, exported, ast.get_docstring(tree, clean=False) or ""


def rank(name: str) -> tuple[int, str]:
    """Constants first, then classes, then functions, each by the alphabet."""
    plain = name.strip('"')
    return 0 if plain.isupper() else 1 if plain[0].isupper() else 2, plain


def wrapped(start: str, names: list[str], before: str, after: str) -> list[str]:
    """One line if it fits, else one name a line."""
    closing = after if before == "" else ""
    line = start + ", ".join(names) + closing
    if len(line) <= WIDTH:
        return [line]
    return [f"{start}{before}", *(f"    {name}," for name in names), after]
