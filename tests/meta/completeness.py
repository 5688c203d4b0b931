"""What belongs to every public class, as functions from a source tree to complaints."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from pathlib import Path

from graphkit.catalog import METHOD_ROOMS
from tests.meta.source import Source, sources

PARTS = {
    "a link to the paper": re.compile(r"<https?://\S+>`_"),
    "a formula": re.compile(r"\.\. math::"),
    "Args:": re.compile(r"^\s*Args:", re.MULTILINE),
    "Shapes:": re.compile(r"^\s*Shapes?:", re.MULTILINE),
    "an Example: that runs": re.compile(r"^\s*Example:\s*\n(?:.*\n)*?\s*>>> ", re.MULTILINE),
}


@dataclass(frozen=True)
class PublicClass:
    """A class in a room of methods whose name does not begin with an underscore."""

    file: Source
    node: ast.ClassDef
    room: str
    exported: bool

    @property
    def name(self) -> str:
        return self.node.name

    @property
    def is_adapter(self) -> bool:
        """An adapter belongs to a method; the method has the card."""
        return any(ast.unparse(base).split(".")[-1] == "GraphAdapter" for base in self.node.bases)

    @property
    def card(self) -> ast.Call | None:
        return self._decorator("method")

    @property
    def excuse(self) -> str | None:
        """What ``@no_method`` says that the class is instead."""
        call = self._decorator("no_method")
        return None if call is None else ast.literal_eval(call.args[0])

    def _decorator(self, name: str) -> ast.Call | None:
        calls = (d for d in self.node.decorator_list if isinstance(d, ast.Call))
        return next((d for d in calls if ast.unparse(d.func).split(".")[-1] == name), None)

    def card_entry(self, key: str) -> str | None:
        """A value of the card, also one that comes in by ``**NAME`` of a dictionary."""
        named = [node for node in self.file.tree.body if isinstance(node, ast.Assign)]
        typed = [node for node in self.file.tree.body if isinstance(node, ast.AnnAssign)]
        shared = {ast.unparse(node.targets[0]): node.value for node in named}
        shared |= {ast.unparse(node.target): node.value for node in typed}
        for keyword in self.card.keywords if self.card is not None else []:
            if keyword.arg == key:
                return ast.literal_eval(keyword.value)
            if keyword.arg is None and isinstance(keyword.value, ast.Name):
                spread = ast.literal_eval(shared[keyword.value.id])
                if key in spread:
                    return spread[key]
        return None

    @property
    def where(self) -> str:
        return f"{self.file.at(self.node)} {self.name}"


def public_classes(root: Path, package: str = "graphkit") -> list[PublicClass]:
    """Every public class of the rooms of methods."""
    found = []
    for room in METHOD_ROOMS:
        files = sources(root, f"{package}/{room}")
        exports = exported_names(root / package / room / "__init__.py")
        for file in files:
            for node in file.tree.body:
                if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                    found.append(PublicClass(file, node, room, node.name in exports))
    return found


def exported_names(init: Path) -> set[str]:
    """The names in the ``__all__`` of a room."""
    if not init.is_file():
        return set()
    for node in ast.parse(init.read_text()).body:
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        if isinstance(target, ast.Name) and target.id == "__all__":
            return {ast.literal_eval(name) for name in node.value.elts}
    return set()


def without_card(classes: list[PublicClass]) -> list[str]:
    """Exported classes without a card, unless ``@no_method`` says what they are instead."""
    return [
        f"{one.where} is exported and has neither a card nor @no_method"
        for one in classes
        if one.exported and one.card is None and not one.is_adapter and one.excuse is None
    ]


def needless_excuses(classes: list[PublicClass]) -> list[str]:
    """Classes with ``@no_method`` that have a card as well, or give no reason."""
    return [
        f"{one.where} is excused for nothing"
        for one in classes
        if one.excuse is not None and (one.card is not None or not one.excuse.strip())
    ]


def without_export(classes: list[PublicClass]) -> list[str]:
    """Classes with a card, and adapters, that their room does not export."""
    return [
        f"{one.where} is a {'adapter' if one.is_adapter else 'method'} and not in __all__ of "
        f"{one.room}"
        for one in classes
        if (one.card is not None or one.is_adapter) and not one.exported
    ]


def without_test(classes: list[PublicClass], root: Path) -> list[str]:
    """Methods and adapters need a test file named after theirs; exported parts need a test."""
    found = []
    for one in classes:
        path = Path(*Path(one.file.name).parts[1:])
        same = root / "tests" / path.parent / f"test_{path.name}"
        if one.card is not None or one.is_adapter:
            files = [same] if same.is_file() else []
        else:
            files = list((root / "tests" / one.room).rglob("test_*.py")) if one.exported else None
        if files is not None and not any(_mentions(file, one.name) for file in files):
            found.append(f"{one.where}: no test of it in {same.relative_to(root).as_posix()}")
    return found


def incomplete_docstrings(classes: list[PublicClass]) -> list[str]:
    """Methods need all five parts, adapters three.

    Other public classes need a docstring, exported ones an example.
    """
    found = []
    for one in classes:
        text = ast.get_docstring(one.node) or ""
        if one.card is not None:
            asked = list(PARTS)
        elif one.is_adapter:
            asked = ["Args:", "Shapes:", "an Example: that runs"]
        else:
            asked = ["an Example: that runs"] if one.exported else []
        missing = [part for part in asked if not PARTS[part].search(text)]
        missing += [] if text else ["a docstring"]
        found += [f"{one.where} lacks {', '.join(missing)}"] if missing else []
    return found


def unverified(classes: list[PublicClass], root: Path) -> list[str]:
    """Methods that neither a recipe, a golden check nor ``verified_by`` in their card covers."""
    proofs = [*(root / "benchmarks/recipes").glob("*.yaml")]
    proofs += (root / "tests/golden_checks").glob("*.py")
    found = []
    for one in classes:
        if one.card is None:
            continue
        said = one.card_entry("verified_by")
        if said is None:
            known = any(_mentions(file, one.name) for file in proofs)
            found += [] if known else [f"{one.where}: neither a recipe nor a verification"]
            continue
        for file in re.findall(r"[\w/.-]+\.(?:py|yaml)", said):
            if not (root / file).is_file():
                found.append(f"{one.where}: verified_by names {file}, which is not there")
    return found


def without_notebook(classes: list[PublicClass], root: Path) -> list[str]:
    """Methods and adapters that no notebook mentions."""
    notebooks = list((root / "notebooks").glob("*.py"))
    return [
        f"{one.where}: no notebook mentions it"
        for one in classes
        if (one.card is not None or one.is_adapter)
        and not any(_mentions(file, one.name) for file in notebooks)
    ]


def _mentions(file: Path, name: str) -> bool:
    return re.search(rf"\b{name}\b", file.read_text()) is not None
