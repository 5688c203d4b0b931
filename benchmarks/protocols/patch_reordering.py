"""Digits that move: patch reordering beside the plain network, and its blocks as a graph.

All networks are trained with the digit in the upper left corner of the canvas, and tested there
(``same``), one block further down and right (``block``), half a block (``half``), at random
places (``random``), and on digits turned by 90 degrees in the upper left corner (``turned``).

``graph`` and ``set`` are the downstream pair: the convolutions of the ``pr1`` network stay as they
are, and two layers with a pooling over blocks read :class:`~graphkit.adapters.PatchGraphAdapter`'s
graph of single cells, with its ``adjacent`` edges by direction (RGCNConv) or with none of them.
Both have the same parameters and see digits in the upper left corner alone.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.nn import RGCNConv, global_max_pool

from benchmarks.fitting import Fitter
from benchmarks.image_data import handwritten, paste
from graphkit.adapters import PatchGraphAdapter
from graphkit.train import seed_everything
from graphkit.vision import PatchReorder, PatchReorderCNN, TensorTask

MAIN = "gain_block"
PLACES = ("same", "block", "half", "random", "turned")


def load(name: str = "digits", train: int | None = None, test: int | None = None) -> dict[str, Any]:
    """Training digits, and test canvases by place."""
    x, y = handwritten(name, "train", train)
    other, label = handwritten(name, "test", test)
    pad = 8 * -(-x.size(2) // 8) - x.size(2)
    x, other = (F.pad(part, (pad // 2, pad - pad // 2) * 2) for part in (x, other))
    side = x.size(2)
    generator = torch.Generator().manual_seed(0)
    corner = torch.zeros(len(other), 2, dtype=torch.long)
    anywhere = torch.randint(side + 1, (len(other), 2), generator=generator)
    corners = {"same": corner, "block": corner + side, "half": corner + side // 2}
    corners |= {"random": anywhere}
    canvases = {place: paste(other, where, 2 * side) for place, where in corners.items()}
    canvases["turned"] = paste(other.rot90(1, (2, 3)), corner, 2 * side)
    return {
        "x": paste(x, torch.zeros(len(x), 2, dtype=torch.long), 2 * side),
        "y": y,
        "label": label,
        "canvases": canvases,
    }


def run(
    dataset: dict[str, Any],
    train: dict[str, Any],
    *,
    seed: int,
    fit: Fitter,
    levels: tuple[int, ...] = (1, 2),
    graph_epochs: int = 10,
) -> dict[str, float]:
    """One seed of all networks; ``levels`` are those of patch reordering."""
    data = load(**dataset)
    metrics: dict[str, float] = {}
    models: dict[int, PatchReorderCNN] = {}
    for level in (0, *levels):
        seed_everything(seed)
        model = PatchReorderCNN(1, 10, data["x"].size(2), reorder=PatchReorder(2, level))
        task = TensorTask((data["x"], data["y"]), lambda m, x, y: F.cross_entropy(m(x), y))
        fit(model, task, tag=f"levels{level}")
        models[level] = model.eval()
        arm = "cnn" if level == 0 else f"pr{level}"
        metrics |= {f"{k}_{arm}": v for k, v in judged(model, data).items()}
    for arm, linked in (("graph", True), ("set", False)):
        seed_everything(seed)
        head = BlockHead(models[levels[0]], linked)
        task = TensorTask((data["x"], data["y"]), lambda m, x, y: F.cross_entropy(m(x), y))
        shorter = Fitter({**fit.train, "epochs": graph_epochs}, seed, fit.fabric, watch=fit.watch)
        shorter(head, task)
        metrics |= {f"{k}_{arm}": v for k, v in judged(head.eval(), data).items()}
    first = f"pr{levels[0]}"
    metrics |= {f"gain_{k}": metrics[f"{k}_{first}"] - metrics[f"{k}_cnn"] for k in PLACES}
    metrics |= {f"graph_gain_{k}": metrics[f"{k}_graph"] - metrics[f"{k}_set"] for k in PLACES}
    return metrics


@torch.no_grad()
def judged(model: nn.Module, data: dict[str, Any]) -> dict[str, float]:
    """Accuracies by place."""
    found = {}
    for place, x in data["canvases"].items():
        right = torch.cat([model(part).argmax(1) for part in x.split(256)]) == data["label"]
        found[place] = float(right.float().mean())
    return found


class BlockHead(nn.Module):
    """Layers on the graph of a network's cells.

    Args:
        network (PatchReorderCNN): The trained network, which stays as it is.
        linked (bool): Whether the layers see the edges.
        channels (int, optional): Of the layers. (default: :obj:`32`)
    """

    def __init__(self, network: PatchReorderCNN, linked: bool, channels: int = 32) -> None:
        super().__init__()
        self.network, self.linked = network.requires_grad_(False), linked
        cells = network.lin1.in_features // network.conv2.out_channels
        self.adapter = PatchGraphAdapter(PatchReorder(int(cells**0.5)))
        self.conv1 = RGCNConv(network.conv2.out_channels, channels, 4)
        self.conv2 = RGCNConv(channels, channels, 4)
        self.lin = nn.Linear(channels, 10)

    def forward(self, x: Tensor) -> Tensor:
        """The logits."""
        graph = self.adapter(self.network.features(x))
        step = graph["adjacent"].edge_attr
        kind = (step[:, 0] + 2 * step[:, 1]).long()
        kind = torch.where(kind > 0, kind - 1, kind + 4)
        edges = graph["adjacent"].edge_index
        if not self.linked:
            edges, kind = edges[:, :0], kind[:0]
        h = graph["block"].x[:, : self.conv1.in_channels_l]
        h = F.relu(self.conv1(h, edges, kind))
        h = F.relu(self.conv2(h, edges, kind))
        return self.lin(global_max_pool(h, graph["block"].image, len(x)))
