"""PyG's layer and ours with the same weights, compared in values and gradients."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

EDGES = torch.tensor([[0, 1, 2, 2, 4, 3, 0], [1, 1, 0, 1, 2, 3, 1]])


def twins(ours: nn.Module, pyg: nn.Module) -> tuple[nn.Module, nn.Module]:
    """Both in float64, with the weights of the first and no bias of zero."""
    ours, pyg = ours.double().eval(), pyg.double().eval()
    with torch.no_grad():
        for parameter in ours.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    pyg.load_state_dict(ours.state_dict())
    ours.load_state_dict(pyg.state_dict())
    return ours, pyg


def compare(ours: nn.Module, pyg: nn.Module, *inputs: Any, **kwargs: Any) -> None:
    """Outputs, and the gradients of all parameters and floating inputs."""
    leaves: list[Tensor] = []

    def leaf(value: Any) -> Any:
        if isinstance(value, tuple):
            return tuple(leaf(part) for part in value)
        if isinstance(value, Tensor) and value.is_floating_point():
            leaves.append(value.clone().requires_grad_())
            return leaves[-1]
        return value

    inputs = tuple(leaf(value) for value in inputs)
    out, expected = ours(*inputs, **kwargs), pyg(*inputs, **kwargs)
    torch.testing.assert_close(out, expected)
    weight = torch.randn_like(expected)
    found, wanted = (
        torch.autograd.grad(
            (value * weight).sum(),
            [*layer.parameters(), *leaves],
            materialize_grads=True,
            allow_unused=True,
        )
        for value, layer in ((out, ours), (expected, pyg))
    )
    for grad, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(grad, other)


def between_nodes(weight: Tensor, edge_index: Tensor) -> Tensor:
    """Weights ``[target, edge, head]`` as ``[target, source, head]``, for one copy of each edge."""
    num_nodes, num_edges, heads = weight.shape
    if num_edges == 0:
        return weight.new_zeros(num_nodes, num_nodes, heads)
    source = edge_index[0] == torch.arange(num_nodes).unsqueeze(1)
    return (weight.unsqueeze(1) * source.unsqueeze(-1)).amax(2)
