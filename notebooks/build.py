"""Generates the notebooks from the ``.py`` files beside them.

python notebooks/build.py           writes the .ipynb files
python notebooks/build.py --check   fails when one of them differs from its source
"""

from __future__ import annotations

import sys
from pathlib import Path

FOLDER = Path(__file__).parent


def render(source: Path) -> str:
    """The notebook of a source file, with cell ids that do not change from run to run."""
    import jupytext
    import nbformat

    notebook = jupytext.read(source)
    for position, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{position}"
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}
    }
    return nbformat.writes(notebook, version=4) + "\n"


def main() -> int:
    """Writes or checks all notebooks; returns the exit status."""
    behind = []
    sources = sorted(FOLDER.glob("[0-9]*.py"))
    for source in sources:
        target, text = source.with_suffix(".ipynb"), render(source)
        if "--check" not in sys.argv:
            target.write_text(text)
        elif not target.exists() or target.read_text() != text:
            behind.append(target.name)
    known = {source.with_suffix(".ipynb") for source in sources}
    behind += [path.name for path in FOLDER.glob("*.ipynb") if path not in known]
    if behind:
        print(f"behind their sources: {', '.join(behind)}; run: python notebooks/build.py")
    return int(bool(behind))


if __name__ == "__main__":
    sys.exit(main())
