"""One home for one thing, and a planted offence for each of them."""

from functools import cache
from pathlib import Path

import pytest

from tests.meta import homes
from tests.meta.source import Source, sources

ROOT = Path(__file__).parent.parent
RULES = (
    homes.modes_by_hand,
    homes.hints_by_hand,
    homes.rooms_listed_again,
    homes.protocols_import_each_other,
    homes.unread_sections,
)


@cache
def tree() -> list[Source]:
    return sources(ROOT, "graphkit", "benchmarks")


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_tree_keeps_the_rule(rule):
    complaints = rule(tree())
    assert not complaints, "\n".join(complaints)


OFFENCES = [
    (homes.modes_by_hand, "mode = model.training\nmodel.eval()\nmodel.train(mode)\n"),
    (homes.modes_by_hand, "modes = [(m, m.training) for m in model.modules()]\n"),
    (homes.modes_by_hand, "for module in model.modules():\n    module.training = False\n"),
    (homes.hints_by_hand, "import difflib\n"),
    (homes.hints_by_hand, "def hint():\n    from difflib import get_close_matches\n"),
    (homes.rooms_listed_again, "ROOMS = ('continual', 'distill', 'nn')\n"),
    (homes.protocols_import_each_other, "from benchmarks.protocols import tracking\n"),
    (homes.protocols_import_each_other, "from benchmarks.protocols.tracking import load\n"),
    (homes.protocols_import_each_other, "def run():\n    from . import tracking\n"),
    (homes.unread_sections, "def run(dataset, train, *, seed):\n    return dataset, seed\n"),
    (homes.unread_sections, "def run(dataset, *, seed, fit):\n    return fit(dataset)\n"),
]


@pytest.mark.parametrize(("rule", "text"), OFFENCES)
def test_a_planted_offence_is_noticed(tmp_path, rule, text):
    path = tmp_path / "benchmarks" / "protocols" / "planted.py"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    assert len(rule(sources(tmp_path, "benchmarks"))) == 1


ALLOWED = [
    (homes.modes_by_hand, "def train(self, mode=True):\n    self.training = mode\n"),
    (homes.protocols_import_each_other, "from benchmarks.problems import tracking\n"),
    (homes.unread_sections, "def run(dataset, *, seed):\n    return dataset, seed\n"),
    (homes.modes_by_hand, "h = dropout(h, 0.5, self.training)\n"),
]


@pytest.mark.parametrize(("rule", "text"), ALLOWED)
def test_what_is_right_passes(tmp_path, rule, text):
    path = tmp_path / "benchmarks" / "protocols" / "right.py"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    assert not rule(sources(tmp_path, "benchmarks"))
