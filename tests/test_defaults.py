"""A default that changes is noticed: the docstring still states the one before."""

import ast
import inspect
from pathlib import Path

import pytest

from tests.meta.defaults import other_defaults, stated, unstated
from tests.meta.source import Source, sources
from tests.meta.unstated import UNSTATED

ROOT = Path(__file__).parent.parent
TREE = '''
class Foo:
    """Does.

    Args:
        width (int): Of it.
        steps (int, optional): How many, of those that
            are there. (default: :obj:`3`)
        mode (str, optional): How.
            (default: ``"sum"``)
        bias (bool, optional): Whether. (default: :obj:`True`)
        sizes (tuple of int, optional): Which. (default: :obj:`(1, 2)`)
        rate (float, optional): How fast. (default: :obj:`1e-3`)
        seed (int, optional): First. (default: drawn)

    Shapes:
        - **steps** (int): none (default: :obj:`9`)
    """

    def __init__(self, width, steps=3, mode="sum", *, bias=True, sizes=(1, 2), rate=0.001, seed=5):
        pass
'''


def test_docstrings_state_the_defaults_that_there_are() -> None:
    assert other_defaults(ROOT) == []


def test_defaults_that_nobody_states_are_those_that_were_agreed_on() -> None:
    assert unstated(ROOT) == UNSTATED


def test_what_is_not_stated_is_found(tmp_path: Path) -> None:
    planted(tmp_path, TREE.replace("self, width,", "self, width=0, scale=(0.5, 1),"))
    wanted = {"width": 0, "scale": (0.5, 1), "seed": 5}
    assert unstated(tmp_path) == {f"foo.py Foo.__init__ {k}": v for k, v in wanted.items()}


def planted(folder: Path, text: str) -> list[str]:
    (folder / "graphkit").mkdir()
    (folder / "graphkit" / "foo.py").write_text(text)
    return other_defaults(folder)


@pytest.mark.parametrize(
    ("old", "new", "name"),
    [
        ("steps=3", "steps=4", "steps"),
        ('mode="sum"', 'mode="mean"', "mode"),
        ("bias=True", "bias=False", "bias"),
        ("bias=True", "bias=1", "bias"),
        ("sizes=(1, 2)", "sizes=(1, 3)", "sizes"),
        ("rate=0.001", "rate=0.002", "rate"),
    ],
)
def test_another_default_is_named(tmp_path: Path, old: str, new: str, name: str) -> None:
    (fault,) = planted(tmp_path, TREE.replace(old, new))
    assert f"'{name}' is" in fault


def test_the_same_defaults_pass(tmp_path: Path) -> None:
    assert planted(tmp_path, TREE) == []


def test_dataclasses_and_functions_are_looked_at(tmp_path: Path) -> None:
    fields = '    """Is.\n\n    Args:\n        a (int): A. (default: :obj:`1`)\n    """\n'
    text = f"class A:\n{fields}    a: int = 2\n\ndef f(a=3):\n{fields}"
    assert [fault.split("is ")[1] for fault in planted(tmp_path, text)] == ["2, not 1", "3, not 1"]


def test_most_of_the_defaults_are_read() -> None:
    text = (ROOT / "graphkit" / "distill" / "losses" / "factor_coder.py").read_text()
    docstring = text.split("class FactorCoder")[1].split('"""')[1]
    assert dict(stated(inspect.cleandoc(docstring))) == {"spatial": "True"}
    read = [name for file in sources(ROOT, "graphkit") for name in names_in(file)]
    assert len(read) > 700


def names_in(file: Source) -> list[str]:
    """Parameters whose defaults a file states."""
    kinds = (ast.ClassDef, ast.FunctionDef)
    texts = [ast.get_docstring(node) or "" for node in file.nodes if isinstance(node, kinds)]
    return [name for text in texts for name, _ in stated(text)]
