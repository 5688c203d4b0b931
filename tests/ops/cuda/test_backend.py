"""The Triton kernels under Triton's interpreter, in a process of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

pytest.importorskip("triton", reason="the extra 'triton' is not installed")


def test_contract_in_the_interpreter():
    environment = os.environ | {
        "TRITON_INTERPRET": "1",
        "GRAPHKIT_TEST_BACKENDS": "triton",
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, "-m", "pytest", "-q", "-n0", "-W", "ignore"]
    command += ["-k", "dense_algebra or dropout or batch or gradients or wrong"]
    command.append(str(Path(__file__).parents[1] / "test_contract.py"))
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, timeout=900
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_contract_on_a_gpu():
    from tests.ops.oracles import CASES, make_inputs

    for case in CASES.values():
        edge_index, size, inputs = make_inputs(case, "hub", "H8C8")
        on_gpu = [value.detach().cuda().requires_grad_() for value in inputs]
        out = case.run(edge_index.cuda(), size, *on_gpu)
        torch.testing.assert_close(out.cpu(), case.dense(edge_index, size, *inputs))
        out.sum().backward()
