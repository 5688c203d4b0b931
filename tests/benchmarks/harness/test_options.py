"""Wrong values of options: a line that names option and value, status 2, and no work."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from benchmarks.cli import app
from benchmarks.harness.options import launch_options, seed_numbers, whole_number

WRONG = {
    "--devices": ["abc", "0", "-1", "1.5", "", "²", "9" * 5000],
    "--nodes": ["0", "x", "auto"],
    "--jobs": ["x", "0", "none"],
    "--precision": ["foo", "32-tru", "8"],
    "--accelerator": ["foo", "CPU"],
    "--seed": ["a,b", "1,", "-1", "4294967296", "9" * 5000],
    "--seeds": ["0", "x", "1.5"],
}


@pytest.mark.parametrize("option", WRONG)
def test_a_wrong_value_is_a_line_and_status_2(option: str, tmp_path: Path) -> None:
    for value in WRONG[option]:
        words = ["run", "gcn-karate", f"{option}={value}", "--out", str(tmp_path)]
        done = CliRunner().invoke(app, words)
        assert done.exit_code == 2, (option, value, done.output)
        assert isinstance(done.exception, SystemExit)
        (line,) = done.stderr.splitlines()
        assert line.startswith(f"error: {option} takes "), line
        assert f"got '{value}'" in line
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("option", ["--jobs", "--seed", "--seeds"])
def test_so_is_it_without_a_command(option: str) -> None:
    done = CliRunner().invoke(app, [f"{option}=x"])
    assert (done.exit_code, len(done.stderr.splitlines())) == (2, 1)
    assert f"{option} takes" in done.stderr


def test_one_of_two_ways_to_give_seeds() -> None:
    done = CliRunner().invoke(app, ["run", "gcn-karate", "--seed", "1", "--seeds", "2"])
    assert done.exit_code == 2
    assert "give one of the two" in done.stderr


def test_the_nearest_choice_is_named() -> None:
    done = CliRunner().invoke(app, ["run", "gcn-karate", "--precision", "bf16-mixd"])
    assert "(did you mean 'bf16-mixed'" in done.stderr


def test_devices_that_are_not_here(monkeypatch: pytest.MonkeyPatch) -> None:
    for count, options, words in (
        (0, ("1", "1", "cuda", "32-true"), "no CUDA GPU"),
        (1, ("2", "1", "gpu", "32-true"), "at most the 1 GPUs"),
    ):
        monkeypatch.setattr(torch.cuda, "device_count", lambda count=count: count)
        with pytest.raises(ValueError, match=words):
            launch_options(*options)


def test_right_values_are_what_they_say() -> None:
    assert launch_options("2", "3", "cpu", "bf16-mixed") == {
        "accelerator": "cpu",
        "devices": 2,
        "num_nodes": 3,
        "precision": "bf16-mixed",
    }
    assert launch_options("auto", "1", "auto", "32")["devices"] == "auto"
    assert whole_number("--jobs", "auto", auto=True) == "auto"
    assert seed_numbers(None, None) is None
    assert seed_numbers("3", None) == 3
    assert seed_numbers(None, "2, 1,2") == (2, 1)
