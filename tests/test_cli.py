import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import graphkit
from graphkit.catalog import cards
from graphkit.cli import app
from graphkit.datasets import dataset_cards

runner = CliRunner()


@pytest.fixture(autouse=True)
def _empty_folders(monkeypatch, tmp_path):
    monkeypatch.setenv("GRAPHKIT_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("GRAPHKIT_CACHE", str(tmp_path / "cache"))


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


def test_every_extra_has_a_purpose():
    """The extras of the package, and what the doctor says of them."""

    import tomllib

    from graphkit.scaffold.doctor import EXTRAS

    text = (Path(__file__).parent.parent / "pyproject.toml").read_text()
    extras = tomllib.loads(text)["project"]["optional-dependencies"]
    assert set(EXTRAS) == set(extras) - {"test", "dev"}
    for extra, (package, _) in EXTRAS.items():
        assert any(package in line for line in extras[extra]), f"{extra} brings no {package}"
