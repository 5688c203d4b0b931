"""A public class without card, export, test, docstring, proof or notebook fails the build."""

import doctest
import importlib
import re
from pathlib import Path

import pytest
import torch

from graphkit import catalog
from tests.meta import completeness
from tests.meta.source import sources

ROOT = Path(__file__).parent.parent
DOCUMENTED = [file.module for file in sources(ROOT, "graphkit") if ">>> " in file.text]


@pytest.fixture(scope="module")
def classes():
    return completeness.public_classes(ROOT)


def report(complaints):
    assert not complaints, "\n" + "\n".join(complaints)


def test_every_exported_class_has_a_card_or_a_reason(classes):
    report(completeness.without_card(classes))


def test_no_excuse_is_needless(classes):
    report(completeness.needless_excuses(classes))


def test_every_card_is_exported(classes):
    report(completeness.without_export(classes))


def test_every_class_is_tested(classes):
    report(completeness.without_test(classes, ROOT))


def test_every_docstring_has_its_five_parts(classes):
    report(completeness.incomplete_docstrings(classes))


def test_every_method_has_a_recipe_or_a_verification(classes):
    report(completeness.unverified(classes, ROOT))


def test_every_method_is_in_a_notebook(classes):
    report(completeness.without_notebook(classes, ROOT))


def test_the_catalog_holds_every_card(classes):
    """What is read off the source is what ``graphkit methods`` shows."""
    written = {(one.file.module, one.name) for one in classes if one.card is not None}
    entered = {
        (card.module, card.name)
        for card in catalog.cards()
        if card.module.startswith("graphkit.") and card.room in catalog.METHOD_ROOMS
    }
    functions = {(module, name) for module, name in entered if name == name.lower()}
    assert entered - functions == written


@pytest.mark.parametrize("name", DOCUMENTED)
def test_examples_run(name, monkeypatch):
    # An example may define a method of its own, which must not stay in the catalog.
    monkeypatch.setattr(catalog, "REGISTRY", dict(catalog.REGISTRY))
    torch.manual_seed(0)
    module = importlib.import_module(name)
    failed, tried = doctest.testmod(module, verbose=False, report=True)
    assert tried > 0
    assert failed == 0


GOOD = '''
from graphkit.catalog import method


@method(paper="arXiv:2101.03464", verified_by="tests/nn/test_good_conv.py")
class GoodConv:
    r"""The good operator from the `"Title" <https://arxiv.org/abs/2101.03464>`_ paper.

    .. math::
        x = x

    Args:
        channels (int): Width.

    Shapes:
        - **input:** :math:`(N, F)`

    Example:
        >>> 1 + 1
        2
    """
'''


@pytest.fixture
def tree(tmp_path):
    """A tree in which everything is as it should be."""
    files = {
        "graphkit/nn/__init__.py": '__all__ = ["GoodConv"]\n',
        "graphkit/nn/good_conv.py": GOOD,
        "tests/nn/test_good_conv.py": "from graphkit.nn import GoodConv\n",
        "notebooks/01.py": "conv = GoodConv(3)\n",
        "benchmarks/recipes/other.yaml": "model: {name: OtherConv}\n",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def edit(tree, name, old, new):
    text = (tree / name).read_text()
    assert old in text
    (tree / name).write_text(text.replace(old, new))


CONV = "graphkit/nn/good_conv.py"
CHECKS = {
    "card": lambda tree: completeness.without_card(completeness.public_classes(tree)),
    "export": lambda tree: completeness.without_export(completeness.public_classes(tree)),
    "test": lambda tree: completeness.without_test(completeness.public_classes(tree), tree),
    "docstring": lambda tree: completeness.incomplete_docstrings(completeness.public_classes(tree)),
    "proof": lambda tree: completeness.unverified(completeness.public_classes(tree), tree),
    "notebook": lambda tree: completeness.without_notebook(completeness.public_classes(tree), tree),
}
PROOF = ', verified_by="tests/nn/test_good_conv.py"'
FAULTS = [
    ("card", CONV, re.search(r"@method.*\n", GOOD)[0], ""),
    ("export", "graphkit/nn/__init__.py", '"GoodConv"', ""),
    ("test", "tests/nn/test_good_conv.py", "GoodConv", "BetterConv"),
    ("docstring", CONV, '`"Title" <https://arxiv.org/abs/2101.03464>`_', "some"),
    ("docstring", CONV, ".. math::", "Formula:"),
    ("docstring", CONV, "Shapes:", "Sizes:"),
    ("docstring", CONV, "Args:", "Arguments:"),
    ("docstring", CONV, ">>> 1 + 1", "1 + 1"),
    ("proof", CONV, PROOF, ""),
    ("proof", CONV, "nn/test_good_conv.py", "nn/test_gone.py"),
    ("notebook", "notebooks/01.py", "GoodConv", "GoodConvolution"),
]


@pytest.mark.parametrize("check", CHECKS)
def test_a_complete_tree_passes(check, tree):
    assert CHECKS[check](tree) == []


@pytest.mark.parametrize(("check", "name", "old", "new"), FAULTS)
def test_what_is_missing_is_seen(check, name, old, new, tree):
    edit(tree, name, old, new)
    (complaint,) = CHECKS[check](tree)
    assert "GoodConv" in complaint


def test_a_missing_test_file_is_seen(tree):
    (tree / "tests/nn/test_good_conv.py").unlink()
    assert len(CHECKS["test"](tree)) == 1


def test_a_recipe_is_a_proof(tree):
    edit(tree, CONV, PROOF, "")
    edit(tree, "benchmarks/recipes/other.yaml", "OtherConv", "GoodConv")
    assert CHECKS["proof"](tree) == []


def test_a_golden_check_is_a_proof(tree):
    edit(tree, CONV, PROOF, "")
    (tree / "tests/golden_checks").mkdir()
    (tree / "tests/golden_checks/good.py").write_text("GoodConv(3)\n")
    assert CHECKS["proof"](tree) == []


def test_a_shared_card_is_read(tree):
    edit(tree, CONV, "@method(paper", 'CARD = {"verified_by": "tests/gone.py"}\n@method(paper')
    edit(tree, CONV, PROOF, ", **CARD")
    (complaint,) = CHECKS["proof"](tree)
    assert "tests/gone.py" in complaint


def test_exported_parts_are_tested_somewhere_in_their_room(tree):
    edit(tree, CONV, re.search(r"@method.*\n", GOOD)[0], "")
    (tree / "tests/nn/test_good_conv.py").rename(tree / "tests/nn/test_parts.py")
    assert CHECKS["test"](tree) == []
    edit(tree, "tests/nn/test_parts.py", "GoodConv", "BetterConv")
    assert len(CHECKS["test"](tree)) == 1


def test_excuses_are_read_and_needless_ones_seen(tree):
    edit(tree, CONV, "class GoodConv", '@no_method("a tool")\nclass GoodConv')
    assert len(completeness.needless_excuses(completeness.public_classes(tree))) == 1
    edit(tree, CONV, re.search(r"@method.*\n", GOOD)[0], "")
    classes = completeness.public_classes(tree)
    assert completeness.without_card(classes) == completeness.needless_excuses(classes) == []
    edit(tree, CONV, "a tool", " ")
    assert len(completeness.needless_excuses(completeness.public_classes(tree))) == 1


ADAPTER = re.sub(r"@method.*\n", "", GOOD).replace("class GoodConv", "class Box(GraphAdapter)")


@pytest.mark.parametrize(
    ("check", "name", "old", "new"),
    [
        ("export", "graphkit/adapters/__init__.py", '"Box"', ""),
        ("test", "tests/adapters/test_box.py", "Box", "Ball"),
        ("docstring", "graphkit/adapters/box.py", "Shapes:", "Sizes:"),
        ("notebook", "notebooks/01.py", "Box", "Boxes"),
    ],
)
def test_an_adapter_needs_all_but_a_card(check, name, old, new, tree):
    files = {
        "graphkit/adapters/__init__.py": '__all__ = ["Box"]\n',
        "graphkit/adapters/box.py": ADAPTER,
        "tests/adapters/test_box.py": "Box\n",
        "notebooks/01.py": "GoodConv, Box\n",
    }
    for path, text in files.items():
        (tree / path).parent.mkdir(exist_ok=True)
        (tree / path).write_text(text)
    assert all(one(tree) == [] for one in CHECKS.values())
    edit(tree, name, old, new)
    (complaint,) = CHECKS[check](tree)
    assert "Box" in complaint


def test_private_classes_are_left_alone(tree):
    edit(tree, CONV, "class GoodConv", "class _GoodConv")
    edit(tree, "graphkit/nn/__init__.py", '"GoodConv"', "")
    assert all(check(tree) == [] for check in CHECKS.values())
