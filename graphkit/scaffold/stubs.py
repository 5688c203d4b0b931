"""Writes the files of a new method, each of which fails its suite until it is filled in."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from string import Template

from graphkit.files import replacing
from graphkit.scaffold.exports import add_export

TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class Kind:
    """One kind of thing that can be begun.

    Args:
        template (str): Name of its templates.
        ending (str): How its name ends.
        folder (str): Folder of the new file, below ``graphkit`` and below ``tests``.
        exports (tuple of str): The packages that export it, the innermost first.
        notebook (str): The source of the notebook that mentions it.
    """

    template: str
    ending: str
    folder: str
    exports: tuple[str, ...]
    notebook: str


KINDS = {
    "layer": {"": Kind("layer", "Conv", "nn/conv", ("nn.conv", "nn"), "01_quickstart.py")},
    "objective": {
        "distill": Kind("loss", "Loss", "distill/losses", ("distill",), "05_distillation.py"),
        "continual": Kind("strategy", "", "continual", ("continual",), "04_continual.py"),
    },
    "adapter": {
        room: Kind(
            "adapter", "Adapter", f"adapters/{room}", (f"adapters.{room}", "adapters"), notebook
        )
        for room, notebook in {
            "samples": "10_adapters_samples_parts.py",
            "parts": "10_adapters_samples_parts.py",
            "moments": "09_adapters.py",
            "models": "11_adapters_models.py",
        }.items()
    },
}


def kind_of(word: str, room: str | None) -> Kind:
    """The kind behind the words of the command line.

    Raises:
        ValueError: If there is no such kind, or the kind has no such room.
    """
    if word not in KINDS:
        raise ValueError(f"'{word}' is no kind; kinds: {', '.join([*KINDS, 'recipe'])}")
    rooms = KINDS[word]
    room = next(iter(rooms)) if room is None else room
    if room not in rooms:
        known = ", ".join(name for name in rooms if name)
        raise ValueError(f"a {word} has no room '{room}'" + (f"; rooms: {known}" if known else ""))
    return rooms[room]


def snake(name: str) -> str:
    """The file's name of a class: ``FooGATConv`` lies in ``foo_gat_conv.py``."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name)
    return words.lower()


def checked_root(root: Path) -> Path:
    """The checkout's folder.

    Raises:
        ValueError: If it is not a checkout of graphkit.
    """
    root = root.resolve()
    if not (root / "graphkit" / "catalog.py").is_file() or not (root / "tests").is_dir():
        raise ValueError(f"'{root}' is no checkout of graphkit; run this where pyproject.toml is")
    return root


def write_method(word: str, name: str, room: str | None = None, root: Path = Path()) -> list[str]:
    """Writes a new method's file, its test and a notebook cell, and exports it.

    Args:
        word (str): ``"layer"``, ``"objective"`` or ``"adapter"``.
        name (str): The class, such as ``"FooConv"``.
        room (str, optional): The room, where a kind has several.
        root (Path, optional): The checkout. (default: this folder)

    Returns:
        list of str: The files written and changed, below the checkout.

    Raises:
        ValueError: If a word is unknown, the name does not fit, or its file is there already.
    """
    kind, root = kind_of(word, room), checked_root(root)
    if not re.fullmatch(r"[A-Z][A-Za-z0-9]*", name) or not name.endswith(kind.ending):
        raise ValueError(f"a {word} has a name like 'Foo{kind.ending}', got '{name}'")
    file = snake(name.removesuffix("Adapter") if word == "adapter" else name)
    file = file.removesuffix("_loss") if kind.template == "loss" else file
    source = Path("graphkit", kind.folder, f"{file}.py")
    test = Path("tests", kind.folder, f"test_{file}.py")
    for path in (source, test):
        if (root / path).exists():
            raise ValueError(f"'{path}' is there already; nothing was written")
    words = {"name": name, "file": file, "room": kind.exports[-1]}
    write(root / source, f"{kind.template}.txt", words)
    write(root / test, f"{kind.template}_test.txt", words)
    changed = [source.as_posix(), test.as_posix()]
    module = ".".join(source.with_suffix("").parts)
    for package in kind.exports:
        init = Path("graphkit", *package.split("."), "__init__.py")
        add_export(root / init, module, name)
        changed.append(init.as_posix())
        module = f"graphkit.{package}"
    notebook = Path("notebooks", kind.notebook)
    cell = Template((TEMPLATES / "cell.txt").read_text()).substitute(words)
    with replacing(root / notebook) as target:
        target.write(((root / notebook).read_text().rstrip("\n") + "\n" + cell).encode())
    return [*changed, notebook.as_posix()]


def write_recipe(name: str, protocol: str, root: Path = Path()) -> list[str]:
    """Writes a recipe with its keys still to be filled in.

    Args:
        name (str): ``<method>-<dataset>``, in small letters.
        protocol (str): The protocol that carries it out.
        root (Path, optional): The checkout. (default: this folder)

    Raises:
        ValueError: If the protocol is unknown, the name does not fit or is there already.
    """
    root = checked_root(root)
    known = sorted(path.stem for path in (root / "benchmarks/protocols").glob("[!_]*.py"))
    if protocol not in known:
        raise ValueError(f"there is no protocol '{protocol}'; protocols: {', '.join(known)}")
    path = Path("benchmarks", "recipes", f"{name}.yaml")
    if not re.fullmatch(r"[a-z0-9.]+(-[a-z0-9.]+)+", name):
        raise ValueError(f"a recipe has a name like 'foo-cora', got '{name}'")
    if (root / path).exists():
        raise ValueError(f"'{path}' is there already; nothing was written")
    write(root / path, "recipe.txt", {"protocol": protocol})
    return [path.as_posix()]


def write(path: Path, template: str, words: dict[str, str]) -> None:
    """Writes one stub; doubled dollar signs are single ones in it."""
    with replacing(path) as file:
        text = Template((TEMPLATES / template).read_text()).substitute(words)
        file.write(text.encode())
