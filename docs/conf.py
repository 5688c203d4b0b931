"""The site: ``python -m sphinx -W docs build/docs``; needs the extra ``docs``, and no network."""

from __future__ import annotations

import importlib
import inspect
import re
import sys
from functools import cache
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from docutils import nodes  # noqa: E402
from latex2mathml.converter import convert  # noqa: E402
from sphinx.errors import ExtensionError  # noqa: E402

import graphkit  # noqa: E402
from benchmarks.harness.recipe import Recipe, load, names  # noqa: E402
from benchmarks.harness.runner import names_in  # noqa: E402
from benchmarks.report.markdown import markdown_table  # noqa: E402
from benchmarks.report.report import rows  # noqa: E402
from graphkit.catalog import ROOMS, Card, cards  # noqa: E402

project = "graphkit"
author = "The graphkit authors"
release = version = graphkit.__version__
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
]
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
napoleon_custom_sections = [("Shapes", "params_style")]
napoleon_use_rtype = False
autodoc_typehints = "none"
autodoc_member_order = "bysource"
html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_js_files = ["site.js"]
html_math_renderer = "mathml"
html_title = "graphkit"
html_copy_source = False
# Pages in a checkout link to files that are no pages of the site.
suppress_warnings = ["myst.xref_missing"]
exclude_patterns = ["_build"]

GENERATED = HERE / "generated"
"""Pages that are written anew by every build: one per method, one per room."""
SEVERAL_ARGUMENTS = re.compile(r" *\**\w+(, \**\w+)+:")
FURTHER = ("adapters", "ops", "testing", "taps", "modes", "plot")


def home(module: Any, name: str) -> str:
    """The room that something is made in."""
    made = getattr(getattr(module, name), "__module__", module.__name__)
    return made.split(".")[1] if made.startswith("graphkit.") else module.__name__.split(".")[1]


def write_pages(app: Any) -> None:
    """Writes the pages of methods and rooms."""
    named = sorted(cards(), key=lambda card: card.name)
    methods = {card.name: method_page(card) for card in named}
    write_all("methods", methods, "Methods, one page each")
    rooms = dict.fromkeys((*ROOMS, *FURTHER))
    write_all("reference", {room: room_page(room) for room in rooms}, "Reference")


def write_all(kind: str, pages: dict[str, str], title: str) -> None:
    """Writes the pages of one kind and their contents, and takes away those of what is gone.

    A page that did not change is left as it is, so that a second build reads only what did.
    """
    folder = GENERATED / kind
    folder.mkdir(parents=True, exist_ok=True)
    wanted = {**pages, "index": contents(title, "\n".join(pages))}
    for page in set(folder.glob("*.md")) - {folder / f"{name}.md" for name in wanted}:
        page.unlink()
    for name, text in wanted.items():
        page = folder / f"{name}.md"
        if not page.exists() or page.read_text() != text:
            page.write_text(text)


def contents(title: str, listed: str) -> str:
    """A page that lists others."""
    return f"# {title}\n\n```{{toctree}}\n:maxdepth: 1\n\n{listed}\n```\n"


def method_page(card: Card) -> str:
    """What a card says, and the docstring."""
    lines = [f"# {card.name}", "", f"*{card.title}*. {card.authors}. {card.venue}."]
    lines += ["", f"Takes {card.takes}; gives {card.gives}."]
    for head, sentences in (
        ("When not to use it", card.limits),
        ("Deviations from the paper", card.deviations),
    ):
        if sentences:
            lines += ["", f"**{head}**", "", *(f"- {sentence}" for sentence in sentences)]
    code = f"released code: <{card.code}>, licence: {card.licence}" if card.code else "no code"
    lines += ["", f"Paper: {card.paper}; {code}.", "", *figures(card)]
    return "\n".join([*lines, described(f"graphkit.{card.room}", card.name)])


def figures(card: Card) -> list[str]:
    """What the recipes that use a method reached, and what they say of it."""
    used = [r for r in recipes() if r.reproduced and card.name in words_of(r)]
    if not used:
        return []
    head = ["recipe", "metric", "reported", "reproduced", "run"]
    notes = [f"- `{recipe.name}`: {recipe.about}" for recipe in used]
    return ["**Figures**", "", markdown_table(head, rows(used)), "", *notes, ""]


@cache
def recipes() -> list[Recipe]:
    """All recipes of the benchmarks."""
    return [load(name) for name in names()]


def words_of(recipe: Recipe) -> set[str]:
    """What a recipe names, and what its protocol imports."""
    return {*names_in(recipe.sections), *vars(recipe.module)}


def described(module: str, name: str) -> str:
    """The docstring of an exported name."""
    value = getattr(importlib.import_module(module), name)
    if inspect.isclass(value):
        directive = f".. autoclass:: {module}.{name}\n   :members:\n   :exclude-members: card"
    elif callable(value):
        directive = f".. autofunction:: {module}.{name}"
    else:
        directive = f".. autodata:: {module}.{name}\n   :no-value:"
    return f"```{{eval-rst}}\n{directive}\n```\n"


def room_page(room: str) -> str:
    """Everything that a room exports; methods have pages of their own."""
    module = importlib.import_module(f"graphkit.{room}")
    methods = {card.name for card in cards() if card.room == room}
    lines = [f"# graphkit.{room}", "", (module.__doc__ or "").strip().split("\n\n")[0], ""]
    if methods:
        names = sorted(methods)
        lines += ["Methods: " + ", ".join(f"[{n}](../methods/{n}.md)" for n in names) + ".", ""]
    # What a room passes on from another one is described there.
    names = [name for name in module.__all__ if name not in methods and home(module, name) == room]
    return "\n".join([*lines, *(described(f"graphkit.{room}", name) for name in names)])


def escape_stars(*event: Any) -> None:
    """Several arguments in one line, such as ``*args, **kwargs``, are no emphasis."""
    lines: list[str] = event[-1]
    for number, line in enumerate(lines):
        if SEVERAL_ARGUMENTS.match(line):
            names, colon, text = line.partition(":")
            lines[number] = names.replace("*", "\\*") + colon + text


def write_formula(display: str) -> Any:
    """A visitor that writes a formula as MathML, which browsers show without any program."""

    def visit(writer: Any, node: Any) -> None:
        try:
            writer.body.append(convert(node.astext(), display=display))
        except Exception as error:
            raise ExtensionError(f"{node.astext()!r} cannot be shown: {error}") from error
        raise nodes.SkipNode

    return visit


def setup(app: Any) -> None:
    """Called by Sphinx."""
    formulas = ((write_formula(display), None) for display in ("inline", "block"))
    app.add_html_math_renderer("mathml", *formulas)
    app.connect("builder-inited", write_pages)
    # Before napoleon, which escapes lines of one argument itself.
    app.connect("autodoc-process-docstring", escape_stars, priority=400)
