"""Does a style that is a texture pass: dynamic kernels beside a scale and a shift.

A style is an operator here, and so its result is known. A random blur, along rows, columns, a
diagonal or all of them, a sharpening, or nothing, of random strength, has been applied to a patch
of one photograph; a network that sees this patch is to do the same to a patch of another one,
which it sees as it was. Both come with scikit-learn, channels are normalised, and patches of the
test lie in another part of the photographs. ``mse_din`` is the error of
:class:`~graphkit.vision.DynamicInstanceNorm` with kernels of 3 x 3 cells, ``mse_affine`` that with
one cell, all else equal, ``mse_copy`` that of the content as it is, ``mse_shuffled`` that of DIN
with the styles of other patches. ``mse_ratio`` is DIN's over the affine's, ``shuffled_ratio`` that
with wrong styles over that with right ones.

Three more, without training: ``adain_error``, the largest difference between AdaIN and the layer
with its moments as kernel; ``graph_error``, between the layer and PyG's NNConv on
:class:`~graphkit.adapters.StyledPixelAdapter`'s graph; ``multiplications_ratio``, what AdaIN's
network on VGG-19 multiplies per image of 256 x 256 pixels over what the content path of
:class:`~graphkit.vision.DINStyleTransfer` does. Downstream, ``homophily`` is the share of edges of
:class:`~graphkit.adapters.StyleGraphAdapter`'s graph between styles of the same kind, beside
``homophily_pixels``, the same of nearest neighbours in pixels.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode
from torch_geometric.nn import NNConv
from torch_geometric.utils import homophily

from benchmarks.harness.fitting import Fitter
from benchmarks.problems.textures import Stylist, transfers
from benchmarks.rivals.styles import AdaIN, adain
from graphkit.adapters import StyledPixelAdapter, StyleGraphAdapter, knn_edges
from graphkit.modes import evaluating
from graphkit.train import TensorTask, seed_everything
from graphkit.vision import (
    DINStyleTransfer,
    DynamicInstanceNorm,
    StyleEncoder,
    StyleKernel,
)

MAIN = "mse_ratio"


def load(train: int = 1500, test: int = 500, seed: int = 0) -> list[dict[str, Tensor]]:
    """Patches to train on and to test with."""
    return [transfers(part, n, seed) for part, n in (("train", train), ("test", test))]


def run(
    dataset: dict[str, Any], *, seed: int, fit: Fitter, batch_size: int = 32
) -> dict[str, float]:
    """One seed of the patches and the networks."""
    data, test = load(**{**dataset, "seed": seed})
    names = ("content", "style", "wanted")
    tensors = tuple(data[name] for name in names)
    models, metrics = {}, {}
    for arm, size in (("affine", 1), ("din", 3)):
        seed_everything(seed)
        models[arm] = Stylist(size)
        task = TensorTask(tensors, lambda m, c, s, w: F.mse_loss(m(c, s), w), batch_size)
        fit(models[arm], task, tag=arm)
        metrics[f"mse_{arm}"] = error(models[arm], *(test[name] for name in names))
    wrong = test["style"].roll(1, 0)
    metrics["mse_shuffled"] = error(models["din"], test["content"], wrong, test["wanted"])
    metrics["mse_copy"] = float(F.mse_loss(test["content"], test["wanted"]))
    metrics["mse_ratio"] = metrics["mse_din"] / metrics["mse_affine"]
    metrics["shuffled_ratio"] = metrics["mse_shuffled"] / metrics["mse_din"]
    styles, kind = test["style"][:500], test["kind"][:500]
    with torch.no_grad():
        graph = StyleGraphAdapter(models["din"], k=5)(styles, kind)
    metrics["homophily"] = homophily(graph.edge_index, kind, method="edge")
    pixels = knn_edges(styles.flatten(1), 5)
    metrics["homophily_pixels"] = homophily(pixels, kind, method="edge")
    metrics |= {"adain_error": adain_error(), "graph_error": graph_error(models["din"], test)}
    return metrics | {"multiplications_ratio": multiplications_ratio()}


@torch.no_grad()
def error(model: nn.Module, content: Tensor, style: Tensor, wanted: Tensor) -> float:
    """Mean squared error."""
    with evaluating(model):
        made = [model(c, s) for c, s in zip(content.split(256), style.split(256), strict=True)]
    return float(F.mse_loss(torch.cat(made), wanted))


def adain_error() -> float:
    """AdaIN against a dynamic layer whose kernel are the style's moments."""
    generator = torch.Generator().manual_seed(0)
    content, style = (torch.randn(4, 16, 12, 12, generator=generator) for _ in range(2))
    style = 3 * style + 1
    mean, deviation = style.mean((2, 3)), (style.var((2, 3), correction=0) + 1e-5).sqrt()
    kernel = StyleKernel(deviation.view(4, 16, 1, 1, 1), mean)
    made = DynamicInstanceNorm(16, 16)(content, kernel)
    return float((made - adain(content, style)).abs().max())


@torch.no_grad()
def graph_error(model: Stylist, data: dict[str, Tensor]) -> float:
    """The dynamic layer against an edge-conditioned convolution on the grid, borders and all."""
    adapter, channels = StyledPixelAdapter(model.din), model.din.channels
    style = model.encoder(data["style"][:2]).relu()
    graph = adapter(data["content"][:2], style)
    conv = NNConv(
        channels,
        channels,
        Diagonal(channels),
        aggr="add",
        root_weight=False,
        bias=False,
    )
    out = conv(graph.x, graph.edge_index, graph.edge_attr)
    return float((out + graph.bias - graph.y).abs().max())


class Diagonal(nn.Module):
    """A diagonal matrix of the last entries of each row, flat."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels

    def forward(self, edge_attr: Tensor) -> Tensor:
        return torch.diag_embed(edge_attr[:, -self.channels :]).flatten(1)


def multiplications_ratio(side: int = 256) -> float:
    """What AdaIN's network multiplies per image, over the content path of DIN; nothing runs."""
    # Tensors without values: the counter reads shapes.
    with torch.device("meta"):
        x, style = torch.empty(1, 3, side, side), torch.empty(1, 512, side // 8, side // 8)
        rival = AdaIN()
        model = DINStyleTransfer(StyleEncoder(), 512)
        kernels = model.kernels(torch.empty(1, 3, side, side))
        return counted(lambda: rival(x, style)) / counted(lambda: model(x, kernels))


def counted(call: Callable[[], Tensor]) -> float:
    """Multiplications of a call."""
    with FlopCounterMode(display=False) as counter:
        call()
    return counter.get_total_flops() / 2
