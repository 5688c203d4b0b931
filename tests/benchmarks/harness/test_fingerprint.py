"""The hash of the code behind a result: what counts and what does not."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import pytest

from benchmarks.harness import fingerprint, runner
from benchmarks.harness import recipe as recipes
from benchmarks.harness.environment import ROOT
from benchmarks.harness.fingerprint import NOT_COUNTED, Checkout
from graphkit.catalog import cards

FILES = {
    "__init__": "from graphkit.user import run\n",
    "ops/__init__": "from graphkit.ops.sums import total\n",
    "ops/backends": """
import importlib

BACKENDS = {"fast": "graphkit.ops.fast", "slow": "graphkit.ops.slow:once"}

def backend(name):
    return importlib.import_module(BACKENDS[name])
""",
    "ops/fast": "def kernel():\n    return 1\n",
    "ops/slow": "def once():\n    return 10\n\ndef never():\n    return 20\n",
    "ops/sums": """
from torch.library import custom_op

from graphkit.files import find

@custom_op("graphkit::total", mutates_args=())
def total(values):
    return sum(values), find("a")

@total.register_fake
def _(values):
    return len(values)

def apart():
    return 4

TABLE = {}
TABLE["total"] = 30
""",
    "files": f'''
"""Finds files."""

{NOT_COUNTED}

def find(name):
    return name + suffix()

def suffix():
    return ".txt"
''',
    "user": '''
import numpy as np

from graphkit import ops
from graphkit.ops import backends, sums as p

SIZE, WORD = 3, "a word"

class Layer:
    """Adds up."""

    scale = 5

    def forward(self, values):
        found = [p.total(value) for value in values]
        return found, ops.total(values), backends.backend("fast"), np.exp(SIZE)

def run(values=SIZE):
    """Runs."""
    layer = Layer()
    return layer.forward(values), WORD, p.TABLE

def other():
    return p.apart()
''',
}


def write(folder: Path, files: dict[str, str]) -> Checkout:
    """A checkout of these files of ``graphkit``."""
    for name, text in files.items():
        path = folder / "graphkit" / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return Checkout(folder)


def code(folder: Path, files: dict[str, str], roots: Iterable[tuple[str, str]] = ()) -> str:
    """Hash of ``graphkit.run`` in a new checkout of these files."""
    return write(folder, files).fingerprint(roots or [("graphkit", "run")])


@pytest.mark.parametrize(
    ("file", "old", "new", "counts"),
    [
        ("user", "SIZE, WORD = 3", "SIZE, WORD = 4", True),
        ("user", '"a word"', '"another"', True),
        ("user", "scale = 5", "scale = 6", True),
        ("user", "found = [", "found = 2 * [", True),
        ("user", "import numpy as np", "import torch as np", True),
        ("user", "p.total(value)", "p.apart()", True),
        ("user", 'backend("fast")', 'backend("slow")', True),
        ("ops/sums", "len(values)", "0 * len(values)", True),
        ("ops/sums", '["total"] = 30', '["total"] = 31', True),
        ("ops/fast", "return 1", "return 2", True),
        ("ops/slow", "return 10", "return 11", True),
        ("ops/slow", "return 20", "return 21", False),
        ("ops/sums", "return 4", "return 5", False),
        ("files", "name + suffix()", "suffix()", False),
        ("user", "return p.apart()", "return 2", False),
        ("user", '"""Runs."""', '"""Does."""', False),
        ("user", "values=SIZE", "values: int = SIZE", False),
        ("user", "layer = Layer()", "layer: Layer = Layer()  # a layer", False),
    ],
)
def test_what_a_result_used_counts(
    tmp_path: Path, file: str, old: str, new: str, counts: bool
) -> None:
    assert old in FILES[file]
    changed = FILES | {file: FILES[file].replace(old, new)}
    assert (code(tmp_path / "a", FILES) != code(tmp_path / "b", changed)) == counts


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        ("def f():\n    raise ValueError('a')", "def f():\n    raise ValueError('b')", True),
        ("def f(x):\n    y = x\n    return y", "def f(x):\n    z = x\n    return z", True),
        ("def f(x):\n    y = x\n    return y", "def f(x):\n    y = x\n    return x", False),
        ("def f(x):\n    return x", "def f(z):\n    return z", False),
        ("def f():\n    a = 1\n    return b", "def f():\n    b = 1\n    return b", False),
        ("def f(x):\n    return [a for a in x]", "def f(x):\n    return [b for b in x]", True),
        ("def f(x):\n    return [a for a in x]", "def f(x):\n    return [x for a in x]", False),
        (
            "def f(x):\n    y = x\n    def g(z):\n        return y\n    return g",
            "def f(x):\n    w = x\n    def g(z):\n        return w\n    return g",
            True,
        ),
        (
            "def f(a):\n    b = a\n    return locals()",
            "def f(a):\n    c = a\n    return locals()",
            False,
        ),
        ("class f:\n    a = 1", "class f:\n    b = 1", False),
        (
            "from graphkit.catalog import method\n@method('a')\nclass f:\n    x = 1",
            "from graphkit import catalog\n@catalog.method('b')\nclass f:\n    x = 1",
            True,
        ),
        ("@dataclass\nclass f:\n    x: int", "@dataclass(eq=False)\nclass f:\n    x: int", False),
        (
            "from a import b\ndef f():\n    return b()",
            "from a import b as c\ndef f():\n    return c()",
            True,
        ),
        (
            "from a import b\ndef f():\n    return b()",
            "from c import b\ndef f():\n    return b()",
            False,
        ),
        (
            "import a.b as c\ndef f():\n    return c",
            "import a.b as d\ndef f():\n    return d",
            True,
        ),
    ],
)
def test_words_do_not_count_and_code_does(tmp_path: Path, old: str, new: str, same: bool) -> None:
    files = {"__init__": "", "catalog": f"{NOT_COUNTED}\ndef method(paper):\n    return paper\n"}
    one, two = (
        code(tmp_path / str(i), files | {"tool": text}, [("graphkit.tool", "f")])
        for i, text in enumerate((old, new))
    )
    assert (one == two) == same


MOVED = {
    "ops/backends": (
        "ops/store/choice",
        [("ops.fast", "ops.cpu.fast"), ("ops.slow", "ops.a.slow")],
    ),
    "ops/fast": ("ops/cpu/fast", []),
    "ops/slow": ("ops/a/slow", []),
    "files": ("z_files", []),
    "ops/sums": ("ops/autograd/totals", [("graphkit.files", "graphkit.z_files")]),
    "ops/__init__": ("ops/__init__", [("graphkit.ops.sums", "graphkit.ops.autograd.totals")]),
    "user": (
        "aa_user",
        [
            (
                "from graphkit.ops import backends, sums as p",
                "from graphkit.ops.autograd import totals",
            ),
            (
                "from graphkit import ops",
                "import graphkit.ops\nfrom graphkit.ops.store import choice",
            ),
            ("backends.", "choice."),
            ("ops.total(", "graphkit.ops.total("),
            ("p.T", "totals.T"),
            ("p.total", "totals.total"),
            ("p.apart", "totals.apart"),
        ],
    ),
    "__init__": ("__init__", [("graphkit.user", "graphkit.aa_user")]),
}


def moved(files: dict[str, str]) -> dict[str, str]:
    """The files in other folders, under other names, with their imports rewritten."""
    places = {}
    for name, text in files.items():
        place, words = MOVED[name]
        for old, new in words:
            assert old in text, (name, old)
            text = text.replace(old, new)
        places[place] = text
    return places


def test_a_move_ages_nothing(tmp_path: Path) -> None:
    assert code(tmp_path / "a", FILES) == code(tmp_path / "b", moved(FILES))
    changed = moved(FILES | {"ops/fast": FILES["ops/fast"].replace("1", "2")})
    assert code(tmp_path / "a", FILES) != code(tmp_path / "c", changed)


def test_functions_of_one_name_are_told_apart(tmp_path: Path) -> None:
    files = {"__init__": "", "a": "def run():\n    return 1\n", "b": "def run():\n    return 2\n"}
    text = "from graphkit import a, b\n\ndef f():\n    return a.run() - b.run()\n"
    roots = [("graphkit.c", "f")]
    swapped = text.replace("a.run() - b.run()", "b.run() - a.run()")
    assert code(tmp_path / "1", files | {"c": text}, roots) != code(
        tmp_path / "2", files | {"c": swapped}, roots
    )


@pytest.mark.parametrize(
    "line",
    [
        "from graphkit.ops.fast import kernel",
        "from .ops.fast import kernel",
        "from .ops.fast import kernel as kernel",
        "from .ops import fast\nkernel = fast.kernel",
        "import graphkit.ops.fast\nkernel = graphkit.ops.fast.kernel",
    ],
)
def test_every_way_to_import_is_followed(tmp_path: Path, line: str) -> None:
    files = FILES | {"user": f"{line}\n\ndef run():\n    return kernel()\n"}
    changed = files | {"ops/fast": FILES["ops/fast"].replace("1", "2")}
    assert code(tmp_path / "a", files) != code(tmp_path / "b", changed)


def test_a_package_may_import_its_own_modules_by_name(tmp_path: Path) -> None:
    files = FILES | {
        "ops/__init__": "from graphkit.ops import fast\n\nKERNELS = [fast.kernel]\n",
        "user": "from graphkit.ops import KERNELS\n\ndef run():\n    return KERNELS[0]()\n",
    }
    changed = files | {"ops/fast": FILES["ops/fast"].replace("1", "2")}
    assert code(tmp_path / "a", files) != code(tmp_path / "b", changed)


def test_a_checkout_may_be_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = FILES | {"user": 'def run():\n    return "a.b".split("."), "graphkit."\n'}
    monkeypatch.chdir(tmp_path)
    assert code(Path("."), files) == code(tmp_path, files)


def test_no_method_and_no_protocol_is_uncounted() -> None:
    checkout = Checkout(ROOT)
    modules = {card.module for card in cards()}
    protocols = (ROOT / "benchmarks" / "protocols").glob("[!_]*.py")
    modules |= {f"benchmarks.protocols.{path.stem}" for path in protocols}
    sources = {module: checkout.source(module) for module in modules}
    assert not [module for module, source in sources.items() if not source or not source.counted]


def test_what_is_asked_for_of_an_uncounted_file_counts(tmp_path: Path) -> None:
    roots = [("graphkit.files", "find")]
    changed = FILES | {"files": FILES["files"].replace(".txt", ".csv")}
    assert code(tmp_path / "a", FILES, roots) != code(tmp_path / "b", changed, roots)


def test_a_folder_of_this_checkout_moves_without_ageing(tmp_path: Path) -> None:
    """The ground floor of ops, as it is, under other names."""
    texts = {
        path.relative_to(ROOT / "graphkit").with_suffix("").as_posix(): path.read_text()
        for path in sorted((ROOT / "graphkit" / "ops").rglob("*.py"))
    } | {"__init__": ""}
    roots = [("graphkit.ops", name) for name in ("edge_softmax", "gat_attention", "spmm")]
    before = code(tmp_path / "a", texts, roots)

    def renamed(text: str) -> str:
        return text.replace("graphkit.ops", "graphkit.floor")

    after = {name.replace("ops", "floor", 1): renamed(text) for name, text in texts.items()}
    after = {
        name: text.replace("from graphkit import ops", "from graphkit import floor")
        for name, text in after.items()
    }
    assert code(tmp_path / "b", after, [(renamed(m), n) for m, n in roots]) == before


def test_names_are_followed_to_where_they_are_defined() -> None:
    definition = Checkout(ROOT).definition
    assert definition("graphkit.train", "Trainer")[1] == "Trainer"
    assert definition("graphkit.train", "Trainer")[0] != "graphkit.train"
    assert definition("graphkit.ops", "gather") == ("graphkit.ops.edge_gather", "gather")
    assert definition("graphkit", "ops") == ("graphkit.ops", "")


def test_a_recipe_depends_on_the_strategy_and_the_model_it_names() -> None:
    found = {
        runner.code_of(recipes.load(f"{strategy}-{backbone}-digits"))
        for strategy in ("twp", "ewc")
        for backbone in ("gcn", "gat")
    }
    assert len(found) == 4


def test_hashes_are_kept_by_what_the_files_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second process takes nothing apart; a changed file, or a damaged table, is seen."""
    monkeypatch.setenv("GRAPHKIT_CACHE", str(tmp_path / "cache"))
    roots = [("graphkit.a", "f")]

    def hashed(text: str, taken_apart: int) -> str:
        (tmp_path / "graphkit").mkdir(exist_ok=True)
        (tmp_path / "graphkit/a.py").write_text(text)
        for cache in (fingerprint.tree_digest, fingerprint.checkout):
            cache.cache_clear()
        calls = []
        whole = fingerprint.Checkout.fingerprint
        with monkeypatch.context() as patch:
            patch.setattr(
                fingerprint.Checkout,
                "fingerprint",
                lambda self, roots: calls.append(1) or whole(self, roots),
            )
            result = fingerprint.code_fingerprint(roots, tmp_path)
        assert len(calls) == taken_apart
        return result

    first, second = "def f():\n    return 1\n", "def f():\n    return 2\n"
    assert hashed(first, 1) == hashed(first, 0) != hashed(second, 1)
    (table,) = (tmp_path / "cache/fingerprints").glob(f"{fingerprint.tree_digest(tmp_path)}.json")
    good = table.read_text()
    table.write_text(good.replace(hashed(second, 0), "0" * 16))
    assert hashed(second, 1) == json.loads(good.split("\n")[1])[json.dumps(roots)]
    table.write_bytes(b"\xff\xfe")
    hashed(second, 1)


REFUSALS = {
    "words": f"{NOT_COUNTED}\n\ndef refuse_classes(**values):\n    assert values\n",
    "net": """
from graphkit.words import refuse_classes

def train(model, loss, steps):
    for step in range(steps):
        model = loss(model, step)
    return model
""",
}
START = "def train(model, loss, steps):\n"


@pytest.mark.parametrize(
    ("line", "same"),
    [
        ("    refuse_classes(model=model, loss=loss)\n", True),
        ("    model = refuse_classes(model=model)\n", False),
        ("    for name in (model, loss):\n        steps += 1\n", False),
    ],
)
def test_a_refusal_ages_nothing(tmp_path: Path, line: str, same: bool) -> None:
    roots, changed = [("graphkit.net", "train")], REFUSALS["net"].replace(START, START + line)
    before = code(tmp_path / "a", REFUSALS, roots)
    assert (before == code(tmp_path / "b", REFUSALS | {"net": changed}, roots)) == same
