"""The released TWP program: two tasks of plain gradient descent on a GAT without dropout."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.nn import GATConv

from graphkit.continual import TWP
from tests.golden_checks import relative_error

LR, TASK_WEIGHT, TOPOLOGY_WEIGHT, BETA, STEPS = 0.05, 100.0, 50.0, 0.01, 3
NAMES = {"fc.weight": "lin.weight", "attn_l1": "att_src", "attn_r1": "att_dst"}


class GAT(nn.Module):
    """PyG layers in the authors' arrangement: no self loops, no bias, ELU between layers."""

    def __init__(self, arrays: dict[str, np.ndarray]) -> None:
        super().__init__()
        self.gat_layers = nn.ModuleList()
        while f"init.gat_layers.{len(self.gat_layers)}.fc.weight" in arrays:
            stem = f"init.gat_layers.{len(self.gat_layers)}"
            _, heads, channels = arrays[f"{stem}.attn_l1"].shape
            width = arrays[f"{stem}.fc.weight"].shape[1]
            conv = GATConv(width, channels, heads, add_self_loops=False, bias=False)
            self.gat_layers.append(conv)
        self.double().load_state_dict(state(arrays, "init"))

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        for conv in self.gat_layers[:-1]:
            x = F.elu(conv(x, edge_index))
        return self.gat_layers[-1](x, edge_index)


def state(arrays: dict[str, np.ndarray], prefix: str) -> dict[str, Tensor]:
    """The authors' tensors under PyG's names."""
    found = {}
    for name, value in arrays.items():
        if name.startswith(f"{prefix}."):
            _, stem, number, rest = name.split(".", 3)
            found[f"{stem}.{number}.{NAMES[rest]}"] = torch.from_numpy(value)
    return found


def errors(found: dict[str, Tensor], arrays: dict[str, np.ndarray], prefix: str) -> float:
    """Largest relative error over the tensors of one kind."""
    wanted = state(arrays, prefix)
    if found.keys() != wanted.keys():
        return float("inf")
    return max(relative_error(found[name], wanted[name].numpy()) for name in wanted)


def check(arrays: dict[str, np.ndarray]) -> dict[str, float]:
    """Errors of parameters and importances after each stage."""
    x, edge_index = torch.from_numpy(arrays["x"]), torch.from_numpy(arrays["edge_index"])
    width = max(int(arrays["y0"][arrays["mask0"]].max()) + 1, 2)
    model = GAT(arrays)
    twp = TWP(model, TASK_WEIGHT, TOPOLOGY_WEIGHT, BETA, variant="released")

    def losses(model: nn.Module, task: int = 0) -> Tensor:
        rows = torch.from_numpy(arrays[f"mask{task}"])
        y = torch.from_numpy(arrays[f"y{task}"])[rows] - task * width
        out = model(x, edge_index)[rows, task * width : (task + 1) * width]
        return F.cross_entropy(out, y, reduction="none")

    def step(task: int) -> None:
        loss = losses(model, task).mean()
        gradients = torch.autograd.grad(loss + twp.penalty(loss), list(model.parameters()))
        with torch.no_grad():
            for parameter, gradient in zip(model.parameters(), gradients, strict=True):
                parameter -= LR * gradient

    for _ in range(STEPS):
        step(0)
    found = {"after_task0": errors(dict(model.named_parameters()), arrays, "after_task0")}
    for kind, weights in (("loss", (1.0, 0.0)), ("topology", (0.0, 1.0))):
        single = TWP(model, *weights, variant="released")
        single.finish_task(losses)
        name = f"importance_{kind}"
        found[name] = errors(single.quadratic.weight, arrays, name)
    twp.finish_task(losses)
    step(1)
    name = "after_one_step_task1"
    return {**found, name: errors(dict(model.named_parameters()), arrays, name)}
