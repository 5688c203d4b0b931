"""A stub fails until it is filled in; filled in, it is a method like any other."""

import ast
import re
import shutil
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from graphkit.cli import app
from graphkit.scaffold.stubs import KINDS, snake, write_method, write_recipe
from tests.meta import completeness, style
from tests.meta.source import sources
from tests.processes import run_pytest

ROOT = Path(__file__).parents[2]
DENSE = "return dense_adjacency(edge_index, x.size(0), dtype=x.dtype) @ (x @ layer.lin.weight.t())"


@pytest.fixture
def checkout(tmp_path):
    """The rooms, the notebooks and the protocols of this checkout, without tests of their own."""
    for folder in ("graphkit", "notebooks", "benchmarks/protocols"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("*.pyc"))
    for folder in ("tests", "tests/nn", "tests/nn/conv", "benchmarks/recipes"):
        (tmp_path / folder).mkdir()
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("name", "file"),
    [("FooConv", "foo_conv"), ("GATv2Conv", "ga_tv2_conv"), ("MyGCNConv", "my_gcn_conv")],
)
def test_file_names(name, file):
    assert snake(name) == file


@pytest.mark.parametrize(
    ("kind", "room"), [(k, room) for k, rooms in KINDS.items() for room in rooms]
)
def test_every_stub_is_complete_but_for_what_is_to_be_filled_in(kind, room, checkout):
    name = "Toy" + KINDS[kind][room].ending
    files = write_method(kind, name, room, checkout)
    assert all((checkout / file).is_file() for file in files)
    changed = [source for source in sources(checkout, "graphkit", "tests") if source.name in files]
    assert len(changed) == len(files) - 1
    for source in changed:
        ast.parse(source.text)
        assert all(len(line) <= 100 for line in source.lines)
    (one,) = (c for c in completeness.public_classes(checkout) if c.name == name)
    assert one.exported
    assert completeness.without_test([one], checkout) == []
    assert completeness.without_notebook([one], checkout) == []
    for source in changed[-1], next(s for s in changed if s.name == files[0]):
        assert style.placeholders([source])
    with pytest.raises(ValueError, match="nothing was written"):
        write_method(kind, name, room, checkout)


def run_suite(checkout, which):
    words = ["-q", "-n", "0", "-p", "no:cacheprovider", "-k", which]
    return run_pytest(checkout, *words, "tests/nn/conv/test_toy_conv.py")


def test_a_layer_fails_its_suite_until_it_is_filled_in(checkout):
    source, test, *_ = write_method("layer", "ToyConv", None, checkout)
    empty = run_suite(checkout, "dense_value or isolated")
    assert empty.returncode == 1
    assert style.PLACEHOLDER in empty.stdout
    for file in (source, test):
        text = (checkout / file).read_text()
        text = re.sub(r"raise NotImplementedError.*", DENSE, text).replace(style.PLACEHOLDER, "toy")
        text = text.replace("LayerSuite\n", "LayerSuite, dense_adjacency\n", 1)
        (checkout / file).write_text(text)
    filled = run_suite(
        checkout, "not compile and not explainer and not random_graphs and not backend"
    )
    assert filled.returncode == 0, filled.stdout
    assert re.search(r"[3-9]\d passed", filled.stdout)


def test_a_recipe(checkout):
    (file,) = write_recipe("toy-cora", "node_classification", checkout)
    assert yaml.safe_load((checkout / file).read_text())["protocol"] == "node_classification"
    with pytest.raises(ValueError, match="already"):
        write_recipe("toy-cora", "node_classification", checkout)
    with pytest.raises(ValueError, match="node_classification"):
        write_recipe("toy-pubmed", "nodes", checkout)
    with pytest.raises(ValueError, match="foo-cora"):
        write_recipe("Toy", "node_classification", checkout)


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["layer", "Foo"], "FooConv"),
        (["layer", "foo_conv"], "FooConv"),
        (["kernel", "Foo"], "objective"),
        (["adapter", "FooAdapter", "--room", "cellar"], "moments"),
        (["layer", "FooConv", "--room", "cellar"], "no room"),
        (["layer", "FooConv", "--root", "/tmp"], "no checkout"),
    ],
)
def test_wrong_words_are_answered(words, hint):
    done = CliRunner().invoke(app, ["new", *words])
    assert done.exit_code == 2
    assert hint in done.output
