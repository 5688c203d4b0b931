"""``python -m graphkit`` runs the command."""

import runpy
import sys

import pytest

import graphkit


def test_the_module_is_the_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["graphkit", "--version"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_module("graphkit", run_name="__main__")
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"graphkit {graphkit.__version__}\n"
