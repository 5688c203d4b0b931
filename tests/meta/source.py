"""Source files with their syntax tree, read once."""

from __future__ import annotations

import ast
import io
import tokenize
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path


@dataclass(frozen=True)
class Source:
    """A Python file below a root."""

    root: Path
    path: Path

    @cached_property
    def name(self) -> str:
        return self.path.relative_to(self.root).as_posix()

    @cached_property
    def text(self) -> str:
        return self.path.read_text(encoding="utf-8")

    @cached_property
    def lines(self) -> list[str]:
        return self.text.splitlines()

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)

    @cached_property
    def nodes(self) -> list[ast.AST]:
        """All nodes of the tree; a walk is as slow as parsing, and every rule needs one."""
        return list(ast.walk(self.tree))

    @cached_property
    def module(self) -> str:
        return self.name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")

    @cached_property
    def comments(self) -> list[tuple[int, str]]:
        """Comments with their line numbers, those after code included."""
        tokens = tokenize.generate_tokens(io.StringIO(self.text).readline)
        return [(t.start[0], t.string) for t in tokens if t.type == tokenize.COMMENT]

    @cached_property
    def functions(self) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
        kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
        return [node for node in self.nodes if isinstance(node, kinds)]

    def at(self, node: ast.AST) -> str:
        return f"{self.name}:{getattr(node, 'lineno', 1)}"


def sources(root: Path, *folders: str) -> list[Source]:
    """The Python files of some folders below ``root``, in order."""
    files = (path for folder in folders for path in sorted((root / folder).rglob("*.py")))
    return [_read(root, path) for path in files if "__pycache__" not in path.parts]


_SEEN: dict[tuple[Path, Path, int, int], Source] = {}


def _read(root: Path, path: Path) -> Source:
    """A file as it was read before, unless it has changed since."""
    state = path.stat()
    key = root, path, state.st_mtime_ns, state.st_size
    return _SEEN.setdefault(key, Source(root, path))
