"""The released LSP program: structure vectors of both networks, loss and its gradient."""

from __future__ import annotations

import numpy as np
import torch

from graphkit.distill import LocalStructureLoss, local_structure
from tests.golden_checks import relative_error


def check(arrays: dict[str, np.ndarray]) -> dict[str, float]:
    """Errors of both structures, of the loss and of its gradient by the student's features."""
    edge_index, teacher = (torch.from_numpy(arrays[name]) for name in ("edge_index", "teacher"))
    student = torch.from_numpy(arrays["student"]).requires_grad_()
    lsp = LocalStructureLoss(variant="released")
    loss = lsp(student, teacher, edge_index)
    loss.backward()
    assert student.grad is not None
    found = {"loss": loss, "grad_student": student.grad}
    for name, x in (("student", student), ("teacher", teacher)):
        structure = local_structure(x, edge_index, lsp.kernel, lsp.bandwidth)
        found[f"{name}_structure"] = structure.unsqueeze(-1)
    return {name: relative_error(value, arrays[name]) for name, value in found.items()}
