"""``python -m benchmarks gpu``: goes through in Triton's interpreter, and finds wrong kernels."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from benchmarks.gpu import checks, run

pytest.importorskip("triton", reason="the extra 'triton' is not installed")


def test_it_needs_a_gpu_or_says_how_to_do_without(tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is one")
    with pytest.raises(RuntimeError, match="--interpret"):
        run(tmp_path / "gpu.json")


def test_wrong_numbers_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel that is off by a thousandth, or gives no number at all, is not right."""
    monkeypatch.setattr(checks, "wanted", lambda quick: [("sum", (3, 5), torch.float32, False)])
    for error, right in ((1e-6, True), (1e-3, False), (float("nan"), False)):
        monkeypatch.setattr(checks, "error_of", lambda *_, error=error: error)
        (row,) = checks.check_all(torch.device("cpu"), True, 1.0)
        assert row["right"] is right


def test_rows_end_at_before_and_after_a_block() -> None:
    counts = checks.edges_at_blocks()[1].bincount(minlength=7)
    assert counts.tolist() == [0, 1, 31, 32, 33, 300, 0]


def test_the_command_in_the_interpreter(tmp_path: Path) -> None:
    program = (
        "from benchmarks.gpu import checks, run; from pathlib import Path; import sys; "
        "checks.CASES = {k: checks.CASES[k] for k in ('sum', 'attention')}; "
        "run(Path(sys.argv[1]), interpret=True)"
    )
    file = tmp_path / "gpu.json"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program, str(file)],
        env=os.environ | {"TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(file.read_text())
    assert all(check["right"] for check in found["checks"])
    assert {check["what"] for check in found["checks"]} == {"sum", "attention"}
    assert found["tiles"][0]["best"]["ms"] == min(t["ms"] for t in found["tiles"][0]["tried"])
    assert len(found["times"]) == 8
