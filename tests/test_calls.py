"""Zips say what becomes of a longer partner, and classes prepare what they inherit."""

from pathlib import Path

import pytest

from tests.meta.calls import CUT, bases_left_out, loose_zips

ROOT = Path(__file__).parent.parent
TREE = """
from torch import nn

class Layer(nn.Module):
    def __init__(self) -> None:
        super().__init__()

class Plain:
    def __init__(self) -> None:
        self.x = list(zip([1], [2], strict=True))

pairs = list(zip(*[[1], [2]], strict=True))
"""


def planted(folder: Path, text: str) -> tuple[list[str], list[str]]:
    (folder / "graphkit").mkdir()
    (folder / "graphkit" / "foo.py").write_text(text)
    return loose_zips(folder), bases_left_out(folder)


def test_every_zip_says_whether_its_partners_are_of_one_length() -> None:
    assert loose_zips(ROOT) == []


def test_every_class_prepares_what_it_inherits() -> None:
    assert bases_left_out(ROOT) == []


def test_what_is_right_passes(tmp_path: Path) -> None:
    assert planted(tmp_path, TREE) == ([], [])


@pytest.mark.parametrize(
    ("right", "wrong", "which"),
    [
        (", [2], strict=True", ", [2]", 0),
        (", [2], strict=True", ", [2], strict=False", 0),
        ("super().__init__()", "pass", 1),
    ],
)
def test_a_planted_fault_is_named(tmp_path: Path, right: str, wrong: str, which: int) -> None:
    found = planted(tmp_path, TREE.replace(right, wrong))
    assert len(found[which]) == 1
    assert not found[1 - which]


def test_every_file_that_may_cut_does() -> None:
    assert all("strict=False" in (ROOT / name).read_text() for name in CUT)
