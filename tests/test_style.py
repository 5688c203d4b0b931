"""The house's style, and a planted offence for each of its rules."""

from functools import cache
from pathlib import Path

import pytest

from tests.meta import style
from tests.meta.source import sources

ROOT = Path(__file__).parent.parent
CODE = ("graphkit", "benchmarks")
ALL = (*CODE, "tests", "notebooks")
RULES = {
    style.too_long: ALL,
    style.median_length: ("graphkit",),
    style.long_functions: CODE,
    style.comment_share: CODE,
    style.unfinished: ALL,
    style.placeholders: (
        "graphkit/nn",
        "graphkit/distill",
        "graphkit/continual",
        "graphkit/adapters",
        "tests/nn",
        "tests/distill",
        "tests/continual",
        "tests/adapters",
        "notebooks",
    ),
    style.banned_text: ALL,
    style.empty_bodies: CODE,
    style.not_implemented: CODE,
    style.catches_everything: ALL,
    style.unexplained_skips: ("tests", "graphkit"),
    style.private_pyg: ALL,
    style.clock_reads: ("tests", "graphkit/testing"),
}


@cache
def tree(*folders):
    return sources(ROOT, *folders)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_tree_keeps_the_rule(rule):
    complaints = rule(tree(*RULES[rule]))
    assert not complaints, "\n".join(complaints)


OFFENCES = [
    (style.too_long, "x = 1\n" * 401),
    (style.median_length, "x = 1\n" * 200),
    (style.long_functions, "def f():\n" + "    x = 1\n" * 80),
    (style.comment_share, "# what\nx = 1\n# how\ny = 1\n"),
    (style.unfinished, f"x = 1  # {'todo'.upper()} later\n"),
    (style.placeholders, f"title = '{style.PLACEHOLDER}'\n"),
    (style.banned_text, f"url = 'https://{style.HOSTS[0]}/simple'\n"),
    (style.banned_text, f"path = '/{'work'}/data'\n"),
    (style.banned_text, f"path = '../{'shared'}/data'\n"),
    (style.empty_bodies, "def f():\n    pass\n"),
    (style.empty_bodies, "class A:\n    pass\n"),
    (style.empty_bodies, 'def f():\n    """Does a lot."""\n    ...\n'),
    (style.not_implemented, "def f():\n    raise NotImplementedError\n"),
    (style.not_implemented, "class A:\n    def f(self):\n        raise NotImplementedError('x')\n"),
    (style.catches_everything, "try:\n    f()\nexcept Exception:\n    g()\n"),
    (style.catches_everything, "try:\n    f()\nexcept (ValueError, BaseException):\n    g()\n"),
    (style.not_implemented, "class A(B):\n    def f(self):\n        raise NotImplementedError\n"),
    (style.catches_everything, "try:\n    f()\nexcept:\n    g()\n"),
    (style.unexplained_skips, "import pytest\n@pytest.mark.skip\ndef test_f(): f()\n"),
    (style.unexplained_skips, "import pytest\n@pytest.mark.skip()\ndef test_f(): f()\n"),
    (style.unexplained_skips, "import pytest\ndef test_f():\n    pytest.skip()\n"),
    (style.unexplained_skips, "import pytest\n@pytest.mark.xfail\ndef test_f(): f()\n"),
    (style.unexplained_skips, "import pytest\n@pytest.mark.xfail(reason='x')\ndef test_f(): f()\n"),
    (style.private_pyg, "from torch_geometric.nn.conv._x import y\n"),
    (style.private_pyg, "from torch_geometric.utils import _scatter\n"),
    (style.private_pyg, "import torch_geometric\ntorch_geometric.data._x()\n"),
    (style.private_pyg, "def f(conv):\n    return conv._edge_mask\n"),
    (style.private_pyg, "def f(data):\n    return data._store\n"),
    (style.private_pyg, "def f(conv):\n    return conv._alpha\n"),
    (style.clock_reads, "import time\nassert time.perf_counter() < 1\n"),
    (style.clock_reads, "import time\nclock = time.process_time_ns\n"),
    (style.clock_reads, "from time import time\nassert time() < 1\n"),
    (style.clock_reads, "import timeit\n"),
    (style.clock_reads, "from timeit import default_timer\n"),
    (style.clock_reads, "from datetime import datetime\ndatetime.now()\n"),
]


@pytest.mark.parametrize(
    ("rule", "text"), OFFENCES, ids=[f"{i}-{rule.__name__}" for i, (rule, _) in enumerate(OFFENCES)]
)
def test_an_offence_is_seen(rule, text, tmp_path):
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "bad.py").write_text(text)
    assert rule(sources(tmp_path, "package"))


INNOCENT = '''"""A module that looks guilty."""

from abc import ABC, abstractmethod
from time import monotonic
from typing import Protocol

import pytest
import torch_geometric.data


class Contract(ABC):
    @abstractmethod
    def run(self):
        raise NotImplementedError

    @abstractmethod
    def stop(self): ...

    def hook(self):
        """Nothing, unless overridden."""


class Open:
    def run(self):
        """What subclasses do."""
        raise NotImplementedError


class Closed(Open):
    def run(self):
        try:
            return 1
        except BaseException:
            print("cleaning up")
            raise

    def walk(self):
        """Not for this one."""
        raise NotImplementedError("Closed cannot walk; use run")


class Shape(Protocol):
    def area(self) -> float: ...


class Own:
    def __init__(self, module):
        self._store = 1
        self._parameters_seen = module._parameters

    def read(self):
        try:
            return self._store
        except (ValueError, KeyError):
            return "https://arxiv.org/abs/1/work/2"


@pytest.mark.skipif(False, reason="never")
def test_something():
    deadline = monotonic() + 600
    assert monotonic() < deadline
    pytest.skip("needs more")
'''


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_innocent_code_passes(rule, tmp_path):
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "good.py").write_text(INNOCENT)
    assert not rule(sources(tmp_path, "package"))


def test_every_rule_has_an_offence():
    assert {rule for rule, _ in OFFENCES} == set(RULES)
