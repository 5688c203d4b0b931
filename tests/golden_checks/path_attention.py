"""SPAGAN's released path layer: maximum pooling behind the centre, two lengths, then ELU."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F

from graphkit.nn import SPAGANConv
from tests.golden_checks import relative_error


def layer(arrays: dict[str, np.ndarray]) -> SPAGANConv:
    """The layer with the authors' parameters; ``pathMerge``, ``patha`` and the GAT ones idle."""
    weight = torch.from_numpy(arrays["param.pathW"])
    conv = SPAGANConv(*weight.shape, variant="released", add_self_loops=False).double().eval()
    state = {
        "lin.weight": weight.t(),
        "lin.bias": torch.from_numpy(arrays["param.pathbias"])[0],
        "att": torch.from_numpy(np.stack([arrays["param.patha_2"], arrays["param.patha_3"]])),
        "length_att": torch.from_numpy(arrays["param.lenAtt"]),
    }
    conv.load_state_dict(state)
    return conv


def check(arrays: dict[str, np.ndarray]) -> dict[str, float]:
    """Errors of the output and of its gradient by the features."""
    x = torch.from_numpy(arrays["x"]).requires_grad_()
    edge_index = torch.from_numpy(arrays["paths2"]).t().flip(0)
    out = F.elu(layer(arrays)(x, edge_index, {3: torch.from_numpy(arrays["paths3"])}))
    (out * torch.from_numpy(arrays["grad_out"])).sum().backward()
    assert x.grad is not None
    return {
        "out": relative_error(out, arrays["out"]),
        "grad_x": relative_error(x.grad, arrays["grad_x"]),
    }
