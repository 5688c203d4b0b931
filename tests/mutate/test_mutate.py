"""The tool sees a fault that a test notices, and one that none does."""

import ast
from pathlib import Path

import pytest

from tests.mutate.__main__ import main, sample
from tests.mutate.faults import faults_of
from tests.mutate.running import tests_of as found_tests

SOURCE = '''"""Words with 3 < 4 in them."""
import math
__all__ = ["least"]
def least(values: list[int], low: int = 2, *, sort: bool = False) -> int:
    """Returns max(1, 2)."""
    if not values:
        raise ValueError(f"{1 + 1} is wrong")
    größe = [value for value in values if 1 < value <= low * 10]
    größe.append(low)
    return min(sorted(größe), key=abs) - 1 if sort else math.floor(largest(größe, strict=True))
def largest(values, strict):
    return max(values)
'''
PLANTED = {
    ("default", "2", "3"),
    ("default", "False", "True"),
    ("branches", "not values", "not (not values)"),
    ("sign", "not values", "(values)"),
    ("comparison", "1 < value <= low * 10", "((1) <= (value) <= (low * 10))"),
    ("comparison", "1 < value <= low * 10", "((1) < (value) < (low * 10))"),
    ("turned", "1 < value <= low * 10", "((1) > (value) <= (low * 10))"),
    ("arithmetic", "low * 10", "(low) / (10)"),
    ("constant", "10", "11"),
    ("statement", "größe.append(low)", "pass"),
    ("name", "min", "max"),
    ("order", "sorted", "list"),
    ("name", "math.floor", "(math).ceil"),
    ("keyword", "min(sorted(größe), key=abs)", "min(sorted(größe))"),
    ("keyword", "largest(größe, strict=True)", "largest(größe)"),
}
TESTS = """
from graphkit.pure.least import least
def test_least():
    assert least([5, 3]) == 5
def test_slow():
    import time
    assert least([]) != 0
"""


def test_faults_are_planted_where_they_are_said_to_be() -> None:
    source = SOURCE.encode()
    faults = faults_of(source)
    seen = {(f.kind, source[f.start : f.end].decode(), f.text) for f in faults}
    assert seen >= PLANTED
    for fault in faults:
        planted = fault.planted(source)
        assert planted != source
        ast.parse(planted)  # Every one of them is a program.
        # Words, types, exports and errors are left alone.
        assert fault.line not in (1, 3, 5, 7)


@pytest.mark.parametrize(
    "source",
    [
        'Some = TypeVar("Some", bound=int, covariant=True)',
        'Some = typing.TypeVar("Some", bound=int)',
        "Pair: TypeAlias = tuple[int | None, Literal[3]]",
    ],
)
def test_types_are_left_alone(source: str) -> None:
    assert faults_of(source.encode()) == []
    assert faults_of(b'some = variable("some", bound=int)') != []


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A package of one room with one file, and its test."""
    for name, text in (
        ("graphkit/__init__.py", ""),
        ("graphkit/pure/__init__.py", ""),
        ("graphkit/pure/least.py", "def least(x, low=2):\n    return max(x, default=low - 3)\n"),
        ("tests/__init__.py", ""),
        ("tests/pure/__init__.py", ""),
        ("tests/pure/test_least.py", TESTS),
        ("tests/pure/test_other.py", "from graphkit.pure import least as least\n"),
        ("tests/pure/test_none.py", "def test_none(): pass\n"),
        ("pyproject.toml", "[tool.pytest.ini_options]\n"),
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def test_tests_of_a_file_are_its_mirror_and_those_that_name_it(checkout: Path) -> None:
    mirror, others = found_tests(Path("graphkit/pure/least.py"), checkout)
    assert mirror == ["tests/pure/test_least.py"]
    assert others == ["tests/pure/test_other.py"]


def test_samples_are_the_same_in_every_run_and_hold_nothing_twice(checkout: Path) -> None:
    files = [Path("graphkit/pure/least.py")]
    drawn = sample(checkout, files, 3, 100)
    assert drawn == sample(checkout, files, 3, 100)
    assert len(drawn) == len(set(drawn)) == len(faults_of((checkout / files[0]).read_bytes()))


def test_what_survives_is_shown(checkout: Path, capfd: pytest.CaptureFixture[str]) -> None:
    source = (checkout / "graphkit/pure/least.py").read_bytes()
    code = main([str(checkout / "graphkit/pure/least.py"), "--count", "9"], checkout)
    shown = capfd.readouterr()
    lines = [line.split(maxsplit=2) for line in shown.err.splitlines()]
    verdicts = {line[2].split(" ", 1)[1]: line[0] for line in lines}
    assert verdicts["name: `max` -> `min`"] == "killed"
    assert verdicts["constant: `3` -> `4`"] == "survived"
    assert verdicts["arithmetic: `low - 3` -> `(low) + (3)`"] == "survived"
    assert code == 1
    assert "| pure | 5 |" in shown.out
    # The checkout is as it was.
    assert (checkout / "graphkit/pure/least.py").read_bytes() == source


def test_what_only_a_test_next_door_notices_is_told_apart(
    checkout: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    text = "from graphkit.pure.least import least\ndef test(): assert least([]) == -1\n"
    (checkout / "tests/pure/test_other.py").write_text(text)
    assert main([str(checkout / "graphkit/pure/least.py"), "--count", "9"], checkout) == 0
    shown = capfd.readouterr()
    verdicts = [line.split()[0] for line in shown.err.splitlines()]
    assert sorted(set(verdicts)) == ["killed", "nextdoor"]
    own = verdicts.count("killed")
    assert f"| pure | 5 | {own} ({20 * own} %) | 5 (100 %) | 0 | 0 |" in shown.out
    # They may be left for later.
    assert main([str(checkout / "graphkit/pure/least.py"), "--count", "9", "--near", "0"], checkout)
    assert [line.split()[0] for line in capfd.readouterr().err.splitlines()].count("killed") == own


def test_a_test_that_is_red_without_a_fault_notices_none(
    checkout: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    test = checkout / "tests/pure/test_least.py"
    test.write_text(TESTS.replace("== 5", "== 6"))
    assert main([str(checkout / "graphkit/pure/least.py"), "--count", "1"], checkout) == 0
    assert capfd.readouterr().err.startswith("untested")


def test_a_copy_that_is_kept_is_made_anew_but_for_what_was_compiled(
    checkout: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    copy = tmp_path_factory.mktemp("copy")
    words = [str(checkout / "graphkit/pure/least.py"), "--count", "1", "--copy", str(copy)]
    main(words, checkout)
    times = [(root / "graphkit/pure/least.py").stat().st_mtime_ns for root in (checkout, copy)]
    assert times[0] == times[1]  # Compiled kernels are found again.
    (copy / "graphkit/pure/least.py").write_text("broken")
    (copy / "cache").mkdir(exist_ok=True)
    (copy / "cache/compiled").write_text("")
    main(words, checkout)
    assert "broken" not in (copy / "graphkit/pure/least.py").read_text()
    assert (copy / "cache/compiled").is_file()
