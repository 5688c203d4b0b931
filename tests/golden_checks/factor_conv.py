"""FactorGCN's released disentangling layer and its graph-level loss, in evaluation mode."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from graphkit.nn import FactorConv, FactorDiscriminator
from tests.golden_checks import relative_error


def modules(arrays: dict[str, np.ndarray]) -> tuple[FactorConv, FactorDiscriminator]:
    """The layer and the discriminator with the authors' parameters."""
    given = {k[6:]: torch.from_numpy(v) for k, v in arrays.items() if k.startswith("param.")}
    factors, concat = int(arrays["n_latent"]), bool(arrays["cat"])
    channels, width = given["linear.weight"].shape[1], given["linear.weight"].shape[0]

    def every(name: str) -> list[Tensor]:
        return [given[name.format(k)] for k in range(factors)]

    conv = FactorConv(
        channels,
        width * factors if concat else width,
        factors,
        concat,
        return_factors=True,
        variant="released",
    ).double()
    state = {
        "lin.weight": given["linear.weight"],
        "lin.bias": given["linear.bias"],
        "att": torch.cat([*every("att_ls.{}.weight"), *every("att_rs.{}.weight")]),
        "gate_bias": torch.cat(every("att_ls.{}.bias")) + torch.cat(every("att_rs.{}.bias")),
    }
    conv.load_state_dict(state)
    discriminator = FactorDiscriminator(width, factors, "released").double()
    names = {"lin1": "graph_to_feat.linear1", "lin2": "graph_to_feat.linear2"}
    names["classifier"] = "classifier"
    discriminator.load_state_dict(
        {f"{a}.{p}": given[f"{b}.{p}"] for a, b in names.items() for p in ("weight", "bias")}
    )
    return conv, discriminator


def gradient(out: Tensor, x: Tensor, weight: Tensor | None = None) -> Tensor:
    """The gradient by the features."""
    return torch.autograd.grad(out, x, weight, retain_graph=True)[0]


def check(arrays: dict[str, np.ndarray]) -> dict[str, float]:
    """Errors of output, gates, loss and both gradients by the features."""
    modules_: tuple[nn.Module, ...] = modules(arrays)
    conv, discriminator = (module.eval() for module in modules_)
    x = torch.from_numpy(arrays["x"]).requires_grad_()
    edge_index, batch = (torch.from_numpy(arrays[name]) for name in ("edge_index", "batch"))
    out, gate = conv(x, edge_index)
    loss = discriminator(conv.project(x), edge_index, gate, batch)
    return {
        "out": relative_error(out, arrays["out"]),
        "factor": relative_error(gate, arrays["factor"]),
        "loss": relative_error(loss, arrays["loss"]),
        "grad_x": relative_error(
            gradient(out, x, torch.from_numpy(arrays["grad_out"])), arrays["grad_x"]
        ),
        "grad_x_loss": relative_error(gradient(loss, x), arrays["grad_x_loss"]),
    }
