"""Digits that move: patch reordering beside the plain network, and its blocks as a graph.

All networks are trained with the digit in the upper left corner of the canvas, and tested there
(``same``), one block further down and right (``block``), half a block (``half``), at random
places (``random``), and on digits turned by 90 degrees in the upper left corner (``turned``).

The downstream result is a relation of parts: are the four blocks of a feature map where they
were, or shuffled? The convolutions stay as they are, half of the maps of centred digits are
shuffled, and a head tells them apart. ``jigsaw_graph`` reads
:class:`~graphkit.adapters.PatchGraphAdapter`'s graph of single cells, its ``adjacent`` edges by
direction (RGCNConv); ``jigsaw_set`` has the same layers without edges, ``jigsaw_pr`` is the
method's own head behind the reordering: neither can see the difference. ``jigsaw_cnn``, the same
head on the map as it is, can. Seams show in the digits and in the traces that padding leaves.
"""

from __future__ import annotations

from itertools import permutations
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.nn import RGCNConv, global_max_pool

from benchmarks.harness.fitting import Fitter
from benchmarks.problems.images import handwritten, paste
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
    middle = torch.full((len(x), 2), side // 2)
    return {
        "x": paste(x, torch.zeros(len(x), 2, dtype=torch.long), 2 * side),
        "centred": paste(x, middle, 2 * side),
        "centred_test": canvases["half"],
        "y": y,
        "label": label,
        "canvases": canvases,
    }


def run(
    dataset: dict[str, Any],
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
    first = f"pr{levels[0]}"
    metrics |= {f"gain_{k}": metrics[f"{k}_{first}"] - metrics[f"{k}_cnn"] for k in PLACES}
    metrics |= jigsaws(models[levels[0]], data, fit, graph_epochs)
    rivals = metrics["jigsaw_set"], metrics["jigsaw_pr"]
    return metrics | {"graph_gain": metrics["jigsaw_graph"] - max(rivals)}


@torch.no_grad()
def judged(model: nn.Module, data: dict[str, Any]) -> dict[str, float]:
    """Accuracies by place."""
    accuracies = {}
    for place, x in data["canvases"].items():
        right = torch.cat([model(part).argmax(1) for part in x.split(256)]) == data["label"]
        accuracies[place] = float(right.float().mean())
    return accuracies


def jigsaws(
    network: PatchReorderCNN, data: dict[str, Any], fit: Fitter, epochs: int
) -> dict[str, float]:
    """Accuracies of all heads on maps in order and shuffled."""
    with torch.no_grad():
        train, test = (
            torch.cat([network.features(part) for part in data[name].split(256)])
            for name in ("centred", "centred_test")
        )
    channels, side = train.size(1), train.size(2)
    heads: dict[str, nn.Module] = {}
    for name in ("graph", "set", "pr", "cnn"):
        seed_everything(fit.seed)
        heads[name] = (
            FlatHead(channels, side, PatchReorder(2, int(name == "pr")))
            if name in ("pr", "cnn")
            else BlockHead(channels, side, linked=name == "graph")
        )

    def loss(model: nn.Module, maps: Tensor) -> Tensor:
        moved = (torch.rand(len(maps)) < 0.5).long()
        return F.cross_entropy(model(shuffled(maps, moved)), moved)

    metrics = {}
    moved = torch.arange(2 * len(test)) % 2
    torch.manual_seed(0)
    maps = shuffled(test.repeat_interleave(2, 0), moved)
    for name, head in heads.items():
        fitter = Fitter({**fit.train, "epochs": epochs}, fit.seed, fit.fabric, watch=fit.watch)
        fitter(head, TensorTask((train,), loss))
        with torch.no_grad():
            right = torch.cat([head.eval()(part).argmax(1) for part in maps.split(256)]) == moved
        metrics[f"jigsaw_{name}"] = float(right.float().mean())
    return metrics


def shuffled(maps: Tensor, moved: Tensor) -> Tensor:
    """Maps whose four blocks are in another order where ``moved`` is 1."""
    orders = torch.tensor(list(permutations(range(4))))
    order = orders[torch.randint(1, len(orders), (len(maps),)) * moved]
    batch, channels, side, _ = maps.shape
    half = side // 2
    parts = maps.view(batch, channels, 2, half, 2, half).transpose(3, 4).flatten(2, 3)
    parts = parts.gather(2, order.view(batch, 1, 4, 1, 1).expand_as(parts))
    return parts.unflatten(2, (2, 2)).transpose(3, 4).reshape(maps.shape)


class FlatHead(nn.Module):
    """The head of the network, with two classes.

    Args:
        channels, side (int): Of the maps.
        reorder (PatchReorder): What comes before it.
    """

    def __init__(self, channels: int, side: int, reorder: PatchReorder) -> None:
        super().__init__()
        self.reorder = reorder
        self.layers = nn.Sequential(
            nn.Flatten(), nn.Linear(channels * side**2, 64), nn.ReLU(), nn.Linear(64, 2)
        )

    def forward(self, maps: Tensor) -> Tensor:
        """The logits."""
        return self.layers(self.reorder(maps))


class BlockHead(nn.Module):
    """Layers on the graph of a map's cells, with two classes.

    Args:
        channels, side (int): Of the maps.
        linked (bool): Whether the layers see the edges.
        hidden (int, optional): Channels of the layers. (default: :obj:`32`)
    """

    def __init__(self, channels: int, side: int, linked: bool, hidden: int = 32) -> None:
        super().__init__()
        self.linked = linked
        self.adapter = PatchGraphAdapter(PatchReorder(side))
        self.conv1 = RGCNConv(channels, hidden, 4)
        self.conv2 = RGCNConv(hidden, hidden, 4)
        self.lin = nn.Linear(hidden, 2)

    def forward(self, maps: Tensor) -> Tensor:
        """The logits."""
        graph = self.adapter(maps)
        step = graph["adjacent"].edge_attr
        kind = (step[:, 0] + 2 * step[:, 1]).long()
        kind = torch.where(kind > 0, kind - 1, kind + 4)
        edges = graph["adjacent"].edge_index
        if not self.linked:
            edges, kind = edges[:, :0], kind[:0]
        h = graph["block"].x[:, : maps.size(1)]
        h = F.relu(self.conv1(h, edges, kind))
        h = F.relu(self.conv2(h, edges, kind))
        return self.lin(global_max_pool(h, graph["block"].image, len(maps)))
