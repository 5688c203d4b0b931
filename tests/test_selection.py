"""Which tests run is decided by what is installed and by ``--sample``, and nothing gets lost."""

from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.meta import selection
from tests.meta.selection import sampled, skip_without_extras


def a_file(file, count):
    return [SimpleNamespace(path=Path(file), nodeid=f"{file}::{i}", number=i) for i in range(count)]


def test_a_sample_has_its_share_of_each_file_and_at_least_one():
    sizes = {"tests/a.py": 1, "tests/b.py": 3, "tests/c.py": 40}
    items = [item for file, count in sizes.items() for item in a_file(file, count)]
    counts = Counter(str(item.path) for item in sampled(items, 4))
    assert counts == {"tests/a.py": 1, "tests/b.py": 1, "tests/c.py": 10}
    assert sampled(items, 1) == items
    assert sampled(items, 4) == sampled(items, 4)


def test_files_of_one_suite_show_all_of_it_together():
    items = [item for i in range(40) for item in a_file(f"tests/test_{i}.py", 8)]
    assert {item.number for item in sampled(items, 8)} == set(range(8))


class Marked:
    """As much of a test as the selection looks at."""

    def __init__(self, name, *marks):
        self.name, self.marks = name, set(marks)

    def get_closest_marker(self, name):
        return name if name in self.marks else None

    def add_marker(self, mark):
        self.marks.add(mark if isinstance(mark, str) else mark.name)


@pytest.mark.parametrize("installed", [True, False])
def test_marked_tests_need_their_extra(installed, monkeypatch):
    monkeypatch.setattr(selection, "find_spec", lambda name: installed or None)
    vision, sums = Marked("test_networks", "vision"), Marked("test_sums", "scatter")
    suite, other = Marked("test_every_backend"), Marked("test_other")
    skip_without_extras([vision, sums, suite, other])
    missing = set() if installed else {"skip"}
    assert vision.marks == {"vision"} | missing
    assert sums.marks == {"scatter"} | missing
    assert suite.marks == ({"scatter"} if installed else set())
    assert not other.marks
