import dataclasses
import errno
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

import graphkit
from graphkit.catalog import Card, cards
from graphkit.cli import app
from graphkit.datasets import dataset_cards
from graphkit.datasets.store.dataset_card import DatasetCard

runner = CliRunner()


@pytest.fixture(autouse=True)
def _empty_folders(monkeypatch, tmp_path):
    monkeypatch.setenv("GRAPHKIT_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("GRAPHKIT_CACHE", str(tmp_path / "cache"))


def test_the_command_has_the_name_of_the_package():
    assert app.info.name == "graphkit"


def test_data_names_every_set_and_what_is_missing(tmp_path):
    result = runner.invoke(app, ["data"])
    assert result.exit_code == 0
    for card in dataset_cards():
        assert card.name in result.output
        for file in card.files:
            assert file in result.output
    assert str(tmp_path / "data") in result.output
    assert str(tmp_path / "cache") in result.output
    assert "https://github.com/kimiyoung/planetoid" in result.output


def test_data_sees_a_set_that_is_there(tmp_path):
    folder = tmp_path / "data" / "CitationFull" / "dblp" / "raw"
    folder.mkdir(parents=True)
    (folder / "dblp.npz").touch()
    assert "DBLP is missing" not in runner.invoke(app, ["data"]).output
    elsewhere = runner.invoke(app, ["data", "--root", str(tmp_path)])
    assert "DBLP is missing" in elsewhere.output


def test_methods_lists_every_card():
    result = runner.invoke(app, ["methods"])
    assert result.exit_code == 0
    for card in cards():
        assert card.name in result.output


def test_methods_of_one_room():
    rooms = sorted({card.room for card in cards()})
    result = runner.invoke(app, ["methods", "--room", rooms[0]])
    assert result.exit_code == 0
    wrong = runner.invoke(app, ["methods", "--room", "cellar"])
    assert wrong.exit_code == 2
    assert rooms[0] in wrong.output


def test_cite_prints_bibtex():
    card = cards()[0]
    result = runner.invoke(app, ["cite", card.name.lower()])
    assert result.exit_code == 0
    assert card.key() in result.output
    assert result.output.startswith("@")


def test_cite_unknown_name_fails_and_suggests():
    name = cards()[0].name
    result = runner.invoke(app, ["cite", f"{name}x"])
    assert result.exit_code == 1
    assert name in result.output


def test_version_and_help_in_a_process_of_their_own_load_no_torch():
    program = (
        "import sys\n"
        "from graphkit.cli import main\n"
        "try:\n"
        "    main()\n"
        "finally:\n"
        "    assert 'torch' not in sys.modules\n"
    )
    version = subprocess.run(
        [sys.executable, "-c", program, "--version"], capture_output=True, text=True
    )
    assert version.stdout.strip() == f"graphkit {graphkit.__version__}", version.stderr
    shown = subprocess.run(
        [sys.executable, "-m", "graphkit", "--help"], capture_output=True, text=True
    )
    assert shown.returncode == 0
    for word in ("methods", "cite", "data", "GRAPHKIT_DATA", "GRAPHKIT_CACHE", "First steps"):
        assert word in shown.stdout


def test_doctor_says_what_is_missing_and_for_what(monkeypatch):
    from graphkit.scaffold import doctor

    known = doctor.installed
    monkeypatch.setattr(doctor, "installed", lambda name: "" if name == "ogb" else known(name))
    result = runner.invoke(app, ["doctor"])
    assert result.exit_code == 0
    assert graphkit.__version__ in result.output
    assert 'ogb: for ogb\'s data sets: pip install "graphkit[ogb]"' in result.output
    assert "numba" in result.output
    assert "data sets: set GRAPHKIT_DATA" in result.output


def test_doctor_names_the_backend_that_was_forced(monkeypatch):
    from graphkit import ops
    from graphkit.scaffold.doctor import examine

    with ops.backend("torch"):
        assert ("backend on CPU", "torch", "") in list(examine())


@pytest.mark.parametrize(("word", "told"), [("0", 0), ("no", 0), ("1", 1), ("yes", 1)])
def test_doctor_says_of_downloads_what_holds(monkeypatch, word, told):
    from graphkit.scaffold.doctor import examine

    monkeypatch.setenv("GRAPHKIT_OFFLINE", word)
    assert [name for name, _, _ in examine()].count("downloads") == told


def test_a_folder_that_may_not_be_read_is_told(monkeypatch, tmp_path):
    stat, scan, folder = Path.stat, os.scandir, str(tmp_path / "data")

    def refuse(path):
        if str(path).startswith(folder):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    monkeypatch.setattr(Path, "stat", lambda path, **kw: refuse(path) or stat(path, **kw))
    monkeypatch.setattr(os, "scandir", lambda path=".": refuse(path) or scan(path))
    shown = runner.invoke(app, ["data"])
    assert shown.exit_code == 0, shown.exception
    assert f"{folder} (cannot be read: Permission denied)" in shown.output
    assert f"{folder} cannot be read: Permission denied" in runner.invoke(app, ["doctor"]).output


def test_every_extra_has_a_purpose():
    """The extras of the package, and what the doctor says of them."""

    import tomllib

    from graphkit.scaffold.doctor import EXTRAS

    text = (Path(__file__).parent.parent / "pyproject.toml").read_text()
    extras = tomllib.loads(text)["project"]["optional-dependencies"]
    assert set(EXTRAS) == set(extras) - {"test", "dev"}
    for extra, (package, _) in EXTRAS.items():
        assert any(package in line for line in extras[extra]), f"{extra} brings no {package}"


CARD = Card(
    name="GCN",
    module="graphkit.nn.gcn",
    paper="arXiv:1609.02907",
    title="Graphs",
    authors="T. Kipf",
    venue="ICLR 2017",
    year=2017,
    code="https://github.com/tkipf/gcn",
    licence="MIT",
    takes="a",
    gives="b",
)
OTHERS = [
    dataclasses.replace(CARD, name="SAGE", code=None, licence="none"),
    dataclasses.replace(CARD, name="Loss", module="graphkit.distill.loss"),
]
METHODS = """\
nn

 method  paper             venue      code, licence
 ───────────────────────────────────────────────────
 GCN     arXiv:1609.02907  ICLR 2017  tkipf/gcn, MIT
 SAGE    arXiv:1609.02907  ICLR 2017  none released

BibTeX of a method: python -m graphkit cite NAME
"""


def shown(*words):
    result = runner.invoke(app, words)
    assert result.exit_code == 0
    return "".join(f"{line.rstrip()}\n" for line in result.output.splitlines())


def test_a_room_of_methods_is_one_table(monkeypatch):
    monkeypatch.setattr("graphkit.catalog.cards", lambda: [CARD, *OTHERS])
    assert shown("methods", "--room", "nn") == METHODS
    both = shown("methods")
    assert both.index("distill\n") < both.index("Loss") < both.index("nn\n") < both.index("SAGE")
    assert both.count("BibTeX of a method") == 1


DATA = """\

 name  here  nodes  edges  features  classes  what
 ──────────────────────────────────────────────────────────
 A     yes   1,234  5,000                 10  the first one
 B     no    9,876                            the second
 C     yes                                    the third

Looked in:
  FIRST
  SECOND
B is missing.
  files:   folder/{b.npz, c.npz}
  get it:  the [authors]
  terms:   free
"""


def test_data_sets_are_one_table_and_what_is_missing_is_told(monkeypatch, tmp_path):
    def card(name, about, files, **counts):
        words = {"source": "the [authors]", "terms": "free", "folder": "folder"}
        nothing = {field.name: None for field in dataclasses.fields(DatasetCard)}
        said = {"name": name, "about": about, "files": files, "counts": counts}
        return DatasetCard(**nothing | words | said)

    sets = [
        card("A", "the first one", ("a.npz",), nodes=1234, edges=5000, classes=10),
        card("B", "the second", ("b.npz", "c.npz"), nodes=9876),
        card("C", "the third", ()),
    ]
    places = [tmp_path / "one", tmp_path / "two"]
    (places[1] / "folder").mkdir(parents=True)
    (places[1] / "folder" / "a.npz").touch()
    monkeypatch.setattr("graphkit.datasets.store.registry.dataset_cards", lambda: sets)
    monkeypatch.setattr("graphkit.datasets.store.folders.search_path", lambda root: places)
    output = shown("data")
    for place, word in zip(places, ("FIRST", "SECOND"), strict=True):
        output = output.replace(str(place), word)
    assert output == DATA


DOCTOR = """\

 graphkit  1
 numba     is not here

What could be better:
  numba: pip install [it]
"""


def test_the_doctor_is_one_table_and_what_helps(monkeypatch):
    rows = [("graphkit", "1", ""), ("numba", "is not here", "pip install [it]")]
    monkeypatch.setattr("graphkit.scaffold.doctor.examine", lambda: rows)
    assert shown("doctor") == DOCTOR
    monkeypatch.setattr("graphkit.scaffold.doctor.examine", lambda: rows[:1])
    assert "better" not in shown("doctor")


def test_errors_go_where_errors_go(monkeypatch):
    for words, code in ((("cite", "nobody[x]"), 1), (("methods", "--room", "[cellar]"), 2)):
        result = runner.invoke(app, words)
        assert (result.exit_code, result.stdout) == (code, "")
        assert "[" in result.stderr
    assert runner.invoke(app, ["new", "cellar", "Foo"]).exit_code == 2


def test_what_is_new_is_listed_with_the_next_step(monkeypatch):
    given = []
    stubs = "graphkit.scaffold.stubs"
    monkeypatch.setattr(f"{stubs}.write_recipe", lambda *words: given.append(words) or ["a.yaml"])
    monkeypatch.setattr(f"{stubs}.write_method", lambda *words: given.append(words) or ["a", "t"])
    assert shown("new", "recipe", "foo") == (
        "Written:\n  a.yaml\nNext: fill it in, then\n  python -m benchmarks run foo\n"
    )
    assert shown("new", "layer", "FooConv", "--root", "there") == (
        "Written:\n  a\n  t\nNext: replace each FILL IN, then\n  python notebooks/build.py\n"
        "  python -m pytest t tests/test_catalog_complete.py tests/test_style.py\n"
    )
    assert given == [
        ("foo", "node_classification", Path()),
        ("layer", "FooConv", None, Path("there")),
    ]


def test_help_has_a_short_name_and_no_command_shows_it():
    assert shown("-h") == shown("--help")
    assert "First steps" in runner.invoke(app, []).output
    assert "--install-completion" not in shown("--help")


@pytest.fixture
def terminal(monkeypatch):
    """A narrow terminal with colours, and what was written to it."""
    written = {name: io.StringIO() for name in ("console", "errors")}
    for name, file in written.items():
        narrow = Console(file=file, force_terminal=True, color_system="truecolor", width=40)
        monkeypatch.setattr(f"graphkit.cli.{name}", narrow)
    return written


def lines_on(terminal, *words, on="console"):
    runner.invoke(app, words)
    return terminal[on].getvalue().splitlines()


def test_a_terminal_has_whole_lines_without_colours(terminal, monkeypatch):
    """What is to be copied from it, such as addresses and BibTeX, is not broken or painted."""
    assert lines_on(terminal, "--version") == [f"graphkit {graphkit.__version__}"]
    long = "12 'words' of https://some.where/123 [and] " + 40 * "more "
    monkeypatch.setattr("graphkit.catalog.cite", lambda names: long)
    assert lines_on(terminal, "cite", "x")[-1] == long
    stubs = "graphkit.scaffold.stubs"
    monkeypatch.setattr(f"{stubs}.write_recipe", lambda *words: [long])
    assert f"  {long}" in lines_on(terminal, "new", "recipe", "foo")
    rows = [("numba", "1", long)]
    monkeypatch.setattr("graphkit.scaffold.doctor.examine", lambda: rows)
    assert lines_on(terminal, "doctor")[-1] == f"  numba: {long}"
    nothing = {field.name: None for field in dataclasses.fields(DatasetCard)}
    said = {"name": "B", "about": "it", "files": ("b.npz",), "counts": {}, "folder": "f"}
    card = DatasetCard(**nothing | said | {"source": long, "terms": "free"})
    monkeypatch.setattr("graphkit.datasets.store.registry.dataset_cards", lambda: [card])
    assert f"  get it:  {long}" in lines_on(terminal, "data")


def test_errors_on_a_terminal_are_as_they_were_written(terminal, monkeypatch):
    def refuse(*words):
        raise ValueError("'a' is [no] 12")

    monkeypatch.setattr("graphkit.scaffold.stubs.write_recipe", refuse)
    assert lines_on(terminal, "new", "recipe", "foo", on="errors") == ["'a' is [no] 12"]
    found = lines_on(terminal, "cite", "nobody[x]", on="errors")
    assert "nobody[x]" in found[1]
    assert not any("\x1b" in line for line in found)


def test_the_last_line_of_methods_is_not_painted(terminal, monkeypatch):
    monkeypatch.setattr("graphkit.catalog.cards", lambda: [CARD])
    last = " ".join(lines_on(terminal, "methods")[-2:])
    assert " ".join(last.split()) == "BibTeX of a method: python -m graphkit cite NAME"


def test_columns_of_tables_break_where_they_may(terminal, monkeypatch):
    """Names and numbers stay whole in a narrow terminal."""
    card = dataclasses.replace(CARD, name="AVeryLongNameOfAMethod", venue="A venue of many words")
    monkeypatch.setattr("graphkit.catalog.cards", lambda: [card])
    assert any("AVeryLongNameOfAMethod" in line for line in lines_on(terminal, "methods"))
