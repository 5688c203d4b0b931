"""The table of a GPU's figures, and what stands there without one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.report.gpu import gpu_table
from graphkit.datasets import DamagedDataError


def test_without_a_gpu_it_says_so(tmp_path: Path) -> None:
    assert "no GPU was at hand" in gpu_table(tmp_path / "gpu.json")


def test_a_row_per_measurement_and_a_dash_for_what_is_missing(tmp_path: Path) -> None:
    times = [
        {
            "what": "attention",
            "edges": 10**6,
            "dtype": "bfloat16",
            "backward": False,
            "ours, ms": 0.51234,
            "PyG, ms": 8.0,
            "share_of_copy": 0.6,
        },
        {"what": "attention", "edges": 10**7, "skipped": "no time was left"},
    ]
    checks = [{"right": True, "error": 0.0}, {"what": "the rest", "right": True, "skipped": ""}]
    found = {
        "environment": {"device": "NVIDIA H200"},
        "checks": checks,
        "copy_bytes_per_second": 4e12,
        "times": times,
    }
    file = tmp_path / "gpu.json"
    file.write_text(json.dumps(found))
    text = gpu_table(file)
    assert "On NVIDIA H200; 1 checks right; a copy moves 4000 GB/s." in text
    assert "| attention | 1,000,000 | bfloat16 | forward | 0.512 | 8 | – | 60 % |" in text
    assert "| attention | 10,000,000 | – | – | – | – | – | – |" in text
    for key in found:
        file.write_text(json.dumps({**found, key: None}))
        with pytest.raises(DamagedDataError, match=r"gpu\.json'.*measure it again"):
            gpu_table(file)
