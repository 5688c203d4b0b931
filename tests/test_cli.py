import subprocess
import sys

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
