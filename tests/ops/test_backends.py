"""How a backend is chosen, and what a choice means."""

from __future__ import annotations

import pytest
import torch

from graphkit import ops
from graphkit.ops import backends
from tests import processes


def test_the_choice_is_restored_after_an_error():
    with pytest.raises(IndexError), ops.backend("torch"):
        ops.spmm(torch.tensor([[5], [0]]), None, torch.ones(2, 2))
    assert ops.active_backend() == "auto"


def test_an_unknown_backend_is_refused():
    with pytest.raises(ValueError, match="'cublas'"), ops.backend("cublas"):
        pytest.fail("the block must not run")


def test_a_missing_package_names_its_extra(monkeypatch):
    monkeypatch.setattr(backends.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r'pip install "graphkit\[scatter\]"'):
        backends._checked("torch_scatter")


def test_the_backward_pass_uses_the_backend_of_the_forward_pass(monkeypatch):
    from graphkit.ops import reference, torch_backend

    called = []
    for module in (reference, torch_backend):
        spmm = module.spmm
        monkeypatch.setattr(
            module,
            "spmm",
            lambda *args, spmm=spmm, name=module.__name__: called.append(name) or spmm(*args),
        )
    edge_index, x = torch.tensor([[0, 1], [1, 0]]), torch.randn(2, 3, requires_grad=True)
    with ops.backend("torch"):
        out = ops.spmm(edge_index, None, x)
    out.sum().backward()
    assert called == ["graphkit.ops.torch_backend"] * 2


@pytest.mark.parametrize(
    ("dtype", "expected"), [(torch.float32, "cpu.backend"), (torch.int64, "reference")]
)
def test_automatic_choice_on_a_cpu(dtype, expected):
    module = backends.implementation("auto", torch.zeros(1, dtype=dtype))
    assert module.__name__ == f"graphkit.ops.{expected}"


def test_the_environment_chooses_for_a_process():
    code = "from graphkit import ops; print(ops.active_backend())"
    done = processes.run(code, env={"GRAPHKIT_BACKEND": "reference"})
    assert done.stdout.strip() == "reference", done.stderr
    done = processes.run(code, env={"GRAPHKIT_BACKEND": "cublas"})
    assert "backend must be 'auto' or one of" in done.stderr
