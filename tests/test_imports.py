"""Imports go downward, load little, compile nothing and need no optional package."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.meta import imports
from tests.meta.source import sources

ROOT = Path(__file__).parent.parent
OPTIONAL = (
    "torch_scatter",
    "triton",
    "captum",
    "ogb",
    "matplotlib",
    "torchvision",
    "psutil",
    "motmetrics",
    "rapidfuzz",
    "av",
    "pymetis",
    "pyarrow",
)
TEST_ONLY = ("pytest", "hypothesis", "nbmake", "jupytext")
ROOMS = sorted(
    path.parent.name
    for path in (ROOT / "graphkit").glob("*/__init__.py")
    if path.parent.name != "testing"
)
DEPENDENCIES = {"numpy", "scipy", "networkx", "rich", "torch"}
"""What an import of all rooms may load on top of PyG and numba."""
ALONE, FOREIGN = 10, 850
PROBE = """
import json, sys
from numba.core.event import install_recorder
import torch_geometric
before = set(sys.modules)
with install_recorder("numba:compile") as compiled:
    import graphkit
    alone = set(sys.modules) - before
    for room in ROOMS:
        __import__("graphkit." + room)
print(json.dumps({
    "alone": sorted(alone),
    "rooms": sorted(set(sys.modules) - before),
    "compiled": len(compiled.buffer),
}))
"""


@pytest.fixture(scope="module")
def probe():
    """What a fresh interpreter that has imported PyG says after it imported everything here."""
    code = PROBE.replace("ROOMS", repr(ROOMS))
    command = [sys.executable, "-W", "ignore", "-c", code]
    run = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


def test_the_package_alone_loads_nothing_but_itself(probe):
    assert packages(probe["alone"]) == {"graphkit"}
    assert len(probe["alone"]) <= ALONE


def test_all_rooms_load_few_modules_more_than_pyg(probe):
    """Modules are what an import costs, half a millisecond for each; they are counted because
    time depends on what else the machine does."""
    foreign = [name for name in probe["rooms"] if not name.startswith("graphkit.")]
    assert packages(foreign) - {"graphkit"} <= DEPENDENCIES
    assert len(foreign) <= FOREIGN, Counter(name.split(".")[0] for name in foreign)


def packages(modules):
    """The packages that modules belong to, those of Python itself left out."""
    names = {name.split(".")[0] for name in modules}
    return {name for name in names - sys.stdlib_module_names if not name.startswith("_")}


def test_import_compiles_nothing(probe):
    assert probe["compiled"] == 0
    compilers = [name for name in probe["rooms"] if name.startswith("torch._inductor")]
    assert not compilers


def test_import_loads_no_optional_package(probe):
    loaded = {name.split(".")[0] for name in probe["rooms"]}
    assert not loaded & {*OPTIONAL, *TEST_ONLY, "lightning", "lightning_fabric", "benchmarks"}


def test_rooms_load_when_they_are_used():
    code = (
        "import sys, graphkit\n"
        "assert not {'torch', 'graphkit.nn'} & set(sys.modules)\n"
        "assert 'nn' in dir(graphkit)\n"
        "print(graphkit.nn.FactorConv.__name__, graphkit.vision.GTAN.__name__)\n"
        "assert not hasattr(graphkit, 'attic')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.stdout.split() == ["FactorConv", "GTAN"], done.stderr


def test_nothing_imports_upward():
    assert imports.upward_imports(ROOT) == []


def test_rooms_do_not_import_each_other_in_circles():
    assert imports.import_cycles(ROOT) == []


def test_vision_knows_no_pyg():
    assert imports.foreign_imports(sources(ROOT, "graphkit/vision"), "torch_geometric") == []


def test_the_library_knows_neither_benchmarks_nor_tests():
    assert imports.foreign_imports(sources(ROOT, "graphkit"), "benchmarks", "tests") == []


def test_test_tools_are_used_in_testing_only():
    rest = [f for f in sources(ROOT, "graphkit") if not f.name.startswith("graphkit/testing/")]
    assert imports.foreign_imports(rest, *TEST_ONLY) == []


def test_optional_packages_are_imported_where_they_are_used():
    files = [f for f in sources(ROOT, "graphkit") if not f.name.startswith(BACKENDS)]
    assert imports.eager_imports(files, *OPTIONAL) == []


BACKENDS = ("graphkit/ops/scatter_", "graphkit/ops/cuda/")
"""Files of a backend; loaded by name, when it is asked for."""


def plant(root, **files):
    for name, text in files.items():
        path = root / "graphkit" / (name.replace("__", "/") + ".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("ops__spmm", "from graphkit.nn import FooConv"),
        ("ops__spmm", "import graphkit.nn.foo"),
        ("ops__spmm", "from graphkit import taps"),
        ("ops__spmm", "def f():\n    from graphkit import nn\n"),
        ("taps", "from .nn import FooConv"),
        ("nn__foo", "from ..adapters import Grid"),
        ("catalog", "from graphkit.files import replacing"),
        ("train__loop", "from graphkit.distill import Distiller"),
        ("vision__crop", "from graphkit.adapters import Grid"),
        ("nn__foo", "from graphkit import testing"),
        ("nn__foo", "from graphkit.attic import Old"),
    ],
)
def test_an_upward_import_is_seen(name, text, tmp_path):
    rooms = ["ops", "nn", "continual", "distill", "train", "vision", "adapters", "testing"]
    rooms.append("attic")
    plant(tmp_path, **{f"{room}____init__": "" for room in rooms}, taps="", files="")
    plant(tmp_path, **{name: text})
    assert len(imports.upward_imports(tmp_path)) == 1


def test_downward_and_typing_imports_pass(tmp_path):
    typed = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from graphkit.nn import A\n"
    plant(tmp_path, nn____init__="", ops____init__="", ops__a=typed, catalog="")
    plant(tmp_path, nn__b="from graphkit import __version__, ops\nfrom graphkit.catalog import x\n")
    assert imports.upward_imports(tmp_path) == []


def test_a_circle_is_seen(tmp_path):
    plant(tmp_path, nn__a="import graphkit.datasets.b", datasets__b="from graphkit.nn.a import c")
    assert len(imports.import_cycles(tmp_path)) == 1


def test_foreign_and_eager_imports_are_seen(tmp_path):
    plant(tmp_path, vision__a="from torch_geometric.data import Data\nimport captum.attr\n")
    plant(tmp_path, vision__b="def f():\n    import captum\n")
    files = sources(tmp_path, "graphkit")
    assert len(imports.foreign_imports(files, "torch_geometric")) == 1
    assert len(imports.foreign_imports(files, "captum")) == 2
    assert len(imports.eager_imports(files, "captum")) == 1
