"""What code a result was computed by, as one hash.

From the definitions a recipe names, all that they use of this checkout is followed, through
packages to where it is defined. The hash says what they do, not where they are: a definition counts
with the texts of those it uses, and the order is that of hashes. So a result survives a move.

Of each definition these do not count: comments, docstrings, annotations, cards, the words of
errors, the names of local variables, how modules are imported and called, and strings that name a
module of this checkout, though what is behind them does.

A file with the line ``# fingerprint: not counted`` finds, downloads and checks files, draws
progress or lists names: it decides whether a run is possible, not what comes out. Only what a
recipe asks of it by name counts, with what that uses of the same file.

A file with the line ``# fingerprint: as MODULE``, or in a folder whose ``__init__`` has it, does
faster what that module does plainly, and tests hold it to that: it counts as that module. So a
kernel of ``graphkit.ops`` that is made faster ages no result, a new meaning of an op ages many.
"""

# fingerprint: not counted

from __future__ import annotations

import ast
import contextlib
import functools
import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path

from benchmarks.harness.environment import ROOT
from benchmarks.harness.plain_code import Function, Key, Plain, Source, bound
from graphkit.datasets.store.folders import cache_root
from graphkit.files import replacing

__all__ = ["Checkout", "code_fingerprint"]

PACKAGES = ("graphkit", "benchmarks")
NOT_COUNTED = "# fingerprint: not counted"
STANDS_FOR = "# fingerprint: as "


class Checkout:
    """The Python files of a checkout, read once.

    Args:
        root (Path): The folder that holds the packages.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.sources: dict[str, Source | None] = {}

    def source(self, module: str) -> Source | None:
        """A module of this checkout, taken apart; nothing for any other."""
        if module not in self.sources:
            parts = module.split(".")
            folder = self.root.joinpath(*parts[:-1])
            files = (folder / parts[-1] / "__init__.py", folder / f"{parts[-1]}.py")
            inside = parts[0] in PACKAGES and all(part.isidentifier() for part in parts)
            path = next((path for path in files if inside and path.exists()), None)
            source = self.sources[module] = None if path is None else read(path, module)
            if source is not None and len(parts) > 1 and not source.stands_for:
                around = self.source(".".join(parts[:-1]))
                source.stands_for = around.stands_for if around is not None else ""
        return self.sources[module]

    def definition(self, module: str, name: str) -> Key:
        """Module and name behind ``from module import name``; no name for a module itself."""
        source = self.source(module)
        if not name or (source is not None and name in source.defined):
            return module, name
        # A package that imports a module of its own by name means the module.
        if source is not None and source.imported.get(name, (module, name)) != (module, name):
            return self.definition(*source.imported[name])
        inner = f"{module}.{name}"
        return (module, name) if self.source(inner) is None else (inner, "")

    def whole(self, module: str) -> list[Key]:
        """All definitions of a module, and what it imports from this checkout."""
        source = self.source(module)
        assert source is not None
        keys = {self.definition(*key) for key in source.imported.values()}
        keys |= {(module, name) for name in source.defined if not name.startswith("__")}
        inside = [key for key in keys if key[1] and self.source(key[0]) is not None]
        return sorted(inside, key=lambda key: (key[1], key[0]))

    def examine(self, module: str, name: str) -> tuple[str, list[Key]]:
        """Hash of a definition by itself, and the definitions that it uses, in its order."""
        source = self.source(module)
        assert source is not None
        hashes: list[str] = []
        uses: list[Key] = []
        for statement in source.defined.get(name, []):
            if id(statement) not in source.examined:
                plain = Plain(self, module)
                text = ast.dump(plain.visit(statement))
                digest = hashlib.sha256(text.encode()).hexdigest()
                source.examined[id(statement)] = digest, plain.uses
            digest, further = source.examined[id(statement)]
            hashes.append(digest)
            uses += further
        return "".join(hashes), list(dict.fromkeys(uses))

    def fingerprint(self, roots: Iterable[Key]) -> str:
        """Hash of the code behind a result; see :func:`code_fingerprint`."""
        first: set[Key] = set()
        for module, name in roots:
            first |= {self.definition(module, name)} if name else set(self.whole(module))
        waiting = [(key, "") for key in first]
        seen: dict[Key, tuple[str, list[Key]]] = {}
        while waiting:
            key, user = waiting.pop()
            source = self.source(key[0])
            if key in seen or source is None:
                continue
            if source.stands_for:
                seen[key] = "", []
                waiting += [(use, user) for use in self.whole(source.stands_for)]
            elif source.counted or key in first or user == key[0]:
                seen[key] = self.examine(*key)
                waiting += [(use, key[0]) for use in seen[key][1]]
        texts = {
            "".join([text, *(seen[use][0] for use in uses if use in seen)])
            for text, uses in seen.values()
            if text
        }
        hashes = sorted(hashlib.sha256(text.encode()).hexdigest() for text in texts)
        return hashlib.sha256("".join(hashes).encode()).hexdigest()[:16]


@functools.cache
def checkout(root: Path) -> Checkout:
    """The checkout in a folder, as it was at the first call."""
    return Checkout(root)


def code_fingerprint(roots: Iterable[Key], root: Path = ROOT) -> str:
    """Hash of the code behind a result.

    Taking a checkout apart costs half a second, so hashes are kept in the cache folder, by what
    every file of the checkout holds: nothing is looked up for code that has changed since.

    Args:
        roots (iterable of tuple): Module and name of the definitions to start from; an empty name
            stands for everything the module defines.
        root (Path, optional): The checkout. (default: this one)
    """
    starts = sorted(set(roots))
    file = cache_root() / "fingerprints" / f"{tree_digest(root)}.json"
    known, key = read_known(file), json.dumps(starts)
    if key not in known:
        known[key] = checkout(root).fingerprint(starts)
        write_known(file, known)
    return known[key]


@functools.cache
def tree_digest(root: Path) -> str:
    """Hash of all Python files of a checkout, as they were at the first call."""
    digest = hashlib.sha256()
    for package in PACKAGES:
        for folder, folders, files in os.walk(root / package):
            folders.sort()
            for name in sorted(name for name in files if name.endswith(".py")):
                # Length and name go in as well: else text could move from file to file unseen.
                with open(os.path.join(folder, name), "rb") as file:
                    text = file.read()
                digest.update(f"{os.path.relpath(folder, root)}/{name} {len(text)}\n".encode())
                digest.update(text)
    return digest.hexdigest()


def read_known(file: Path) -> dict[str, str]:
    """Hashes kept before; none if the file is missing or not what was written."""
    try:
        seal, _, text = file.read_text().partition("\n")
    except (OSError, UnicodeDecodeError):
        return {}
    if seal != hashlib.sha256(text.encode()).hexdigest():
        return {}
    try:
        known = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    whole = isinstance(known, dict) and all(isinstance(value, str) for value in known.values())
    return known if whole else {}


def write_known(file: Path, known: dict[str, str]) -> None:
    """Keeps hashes for the next process; a folder that cannot be written costs time only."""
    text = json.dumps(known)
    with contextlib.suppress(OSError), replacing(file) as target:
        target.write(f"{hashlib.sha256(text.encode()).hexdigest()}\n{text}".encode())


def read(path: Path, module: str) -> Source:
    """Takes the file of a module apart."""
    text = path.read_text()
    lines = text.splitlines()
    source = Source(NOT_COUNTED not in lines, path.name == "__init__.py")
    stands_for = [line.removeprefix(STANDS_FOR) for line in lines if line.startswith(STANDS_FOR)]
    source.stands_for = "".join(stands_for)
    tree = ast.parse(text)
    at_once: list[tuple[ast.stmt, set[str]]] = []
    for statement in tree.body:
        for name in made(statement):
            source.defined.setdefault(name, []).append(statement)
        if acts(statement):
            at_once.append((statement, owners(statement) & set(source.defined)))
    for statement, names in at_once:
        for name in names or source.defined:
            if statement not in source.defined[name]:
                source.defined[name].append(statement)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            place = start(node, module, source)
            for alias in node.names:
                source.imported[alias.asname or alias.name] = (place, alias.name)
        if isinstance(node, ast.Import):
            for alias in node.names:
                top = alias.name.split(".")[0]
                source.imported[alias.asname or top] = (alias.name if alias.asname else top, "")
    return source


def start(node: ast.ImportFrom, module: str, source: Source) -> str:
    """The module that an import in a module takes names from; dots count from its folder."""
    folders = module.split(".")
    here = folders[: len(folders) + source.package - node.level] if node.level else []
    return ".".join([*here, *([node.module] if node.module else [])])


def made(statement: ast.stmt) -> list[str]:
    """The names that a statement of a module defines or fills."""
    targets = [*getattr(statement, "targets", []), getattr(statement, "target", None)]
    filled = [leftmost(target) for target in targets if target is not None]
    return list(dict.fromkeys([*bound([statement]), *(name for name in filled if name)]))


def leftmost(node: ast.AST) -> str:
    """The name at the start of ``name.attribute(…)[…]``, or nothing."""
    while not isinstance(node, ast.Name):
        inner = getattr(node, "value", None) or getattr(node, "func", None)
        if not isinstance(inner, ast.AST):
            return ""
        node = inner
    return node.id


def acts(statement: ast.stmt) -> bool:
    """Whether a statement does something: a call, a loop, or decorated as an autograd rule is."""
    if isinstance(statement, ast.Expr):
        return not isinstance(statement.value, ast.Constant)
    if isinstance(statement, ast.If):
        guard = ast.dump(statement.test)
        return "TYPE_CHECKING" not in guard and "__main__" not in guard
    if isinstance(statement, Function | ast.ClassDef):
        return any("register" in ast.dump(each) for each in statement.decorator_list)
    return isinstance(statement, ast.For | ast.While | ast.With | ast.Try)


def owners(statement: ast.stmt) -> set[str]:
    """Names of what a statement registers something with: ``name.register(…)``, decorators."""
    if isinstance(statement, ast.Expr):
        return {leftmost(statement.value)}
    return {leftmost(each) for each in getattr(statement, "decorator_list", [])}
