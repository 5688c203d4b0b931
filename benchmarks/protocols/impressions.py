"""Impressions of digits at random places: what they keep, and which images they bring together.

A template network learns five classes; everything is judged on images of the other five.
``psnr_…``: images decoded from the response of one block (``joint1`` …), of all of them
(``joint_all``, ``layerwise``), from the last one block by block (``layerwise_last``), by the
templates without steps (``templates``), and the mean image (``mean``).
``homophily_…`` of 5-nearest-neighbour graphs, of pixels and of impressions of the trained and
the untrained network: each block pooled, all of them (``all``), and the last one place by place
(``flat``). ``styled`` is the distance between channel statistics of a decoded match and its style,
over that of its content.

``graph`` is the downstream result: accuracy on the unseen classes with ``labels`` labels each,
by logistic regression on impressions whose predictions personalised propagation (APPNP) spreads
over the adapter's graph, beside the same predictions as they are (``logistic``) and a nearest
neighbour (``nearest``). ``propagated`` is label propagation on
that graph, ``propagated_pixels`` on the graph of pixels, ``propagated_untrained`` on that of the
untrained network.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.nn import APPNP, LabelPropagation
from torch_geometric.utils import homophily

from benchmarks.harness.fitting import Fitter
from benchmarks.problems.images import handwritten, paste
from graphkit.adapters import ImpressionGraphAdapter
from graphkit.train import seed_everything
from graphkit.vision import ImpressionSpace, TensorTask

MAIN = "graph_gain"
SEEN = 5
VIEWS: dict[str, dict[str, Any]] = {
    "1": {"layers": [0]},
    "2": {"layers": [1]},
    "3": {"layers": [2]},
    "all": {},
    "flat": {"layers": [2], "pool": False},
}


def load(
    name: str = "digits", canvas: int = 14, train: int | None = None, test: int = 400, seed: int = 0
) -> dict[str, Any]:
    """Digits of the seen classes, and canvases of the others; the classes are drawn."""
    x, y = handwritten(name, "train", train)
    other, label = handwritten(name, "test")
    generator = torch.Generator().manual_seed(seed)
    kinds = torch.randperm(10, generator=generator)
    seen, unseen = torch.isin(y, kinds[:SEEN]), torch.isin(label, kinds[SEEN:])
    rank = kinds.argsort()
    rows = unseen.nonzero().squeeze(1)
    rows = rows[torch.randperm(len(rows), generator=generator)[:test]]
    place = torch.randint(canvas - x.size(2) + 1, (len(rows), 2), generator=generator)
    return {
        "x": x[seen],
        "y": rank[y[seen]],
        "canvas": canvas,
        "unseen": paste(other[rows], place, canvas),
        "label": rank[label[rows]] - SEEN,
    }


def template(channels: int = 16) -> tuple[list[nn.Module], nn.Module]:
    """Three strided convolutions as blocks, and a linear head on their average."""
    widths = (1, channels, 2 * channels, 4 * channels)
    blocks: list[nn.Module] = [
        nn.Sequential(nn.Conv2d(a, b, 3, stride, 1), nn.ReLU())
        for a, b, stride in zip(widths, widths[1:], (1, 2, 2), strict=False)
    ]
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(widths[-1], SEEN))
    return blocks, head


def run(
    dataset: dict[str, Any],
    *,
    seed: int,
    fit: Fitter,
    images: int = 16,
    steps: int = 100,
    labels: int = 3,
    draws: int = 20,
    k: int = 5,
) -> dict[str, float]:
    """One seed: five classes are learned, the other five judged."""
    data = load(**{**dataset, "seed": seed})
    seed_everything(seed)
    blocks, head = template()
    untrained = ImpressionSpace(template()[0])
    model = nn.Sequential(*blocks, head)

    def loss(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        corner = torch.randint(data["canvas"] - x.size(2) + 1, (len(x), 2))
        return F.cross_entropy(model(paste(x, corner, data["canvas"])), y)

    fit(model, TensorTask((data["x"], data["y"]), loss, 64))
    space, x = ImpressionSpace(blocks), data["unseen"]
    metrics = decoded(space, x[:images], steps) | {"styled": styled(space, x[: 2 * images], steps)}
    graphs = {"pixels": pixel_graph(x, data["label"], k)}
    for state, one in (("trained", space), ("untrained", untrained)):
        for view, options in VIEWS.items():
            adapter = ImpressionGraphAdapter(one, k=k, **options)
            graphs[f"{state}_{view}"] = adapter(x, data["label"])
    homophilies = {f"homophily_{n}": float(homophily(g.edge_index, g.y)) for n, g in graphs.items()}
    best = {
        s: max(homophilies[f"homophily_{s}_{v}"] for v in VIEWS) for s in ("trained", "untrained")
    }
    homophilies["gain_pixels"] = best["trained"] - homophilies["homophily_pixels"]
    homophilies["gain_untrained"] = best["trained"] - best["untrained"]
    return metrics | homophilies | few_labels(graphs, labels, draws, seed)


def decoded(space: ImpressionSpace, x: Tensor, steps: int) -> dict[str, float]:
    """Peak signal-to-noise ratios of decoded images, in dB."""
    maps, size, last = space(x), x.shape, len(space.blocks) - 1
    alone = [[h if i == level else None for i, h in enumerate(maps)] for level in range(last + 1)]
    images = {f"joint{i + 1}": space.decode_joint(one, size, steps) for i, one in enumerate(alone)}
    images |= {
        "joint_all": space.decode_joint(maps, size, steps),
        "layerwise": space.decode_layerwise(maps, size, steps),
        "layerwise_last": space.decode_layerwise(alone[last], size, steps),
        "templates": space.decode_layerwise(maps, size, 0),
        "mean": x.mean(0, keepdim=True).expand_as(x),
    }
    ratios = {}
    for name, image in images.items():
        error = (image - x).square().mean((1, 2, 3)).clamp(min=1e-10)
        ratios[f"psnr_{name}"] = float((-10 * error.log10()).mean())
    return ratios


def styled(space: ImpressionSpace, x: Tensor, steps: int) -> float:
    """How far a match is from its style, over how far its content was."""
    content, style = x.chunk(2)
    image = space.decode_joint(space.match(space(content), space(style)), content.shape, steps)

    def apart(a: Tensor, b: Tensor) -> float:
        pairs = zip(space(a), space(b), strict=True)
        return float(sum((g.mean((2, 3)) - h.mean((2, 3))).norm() for g, h in pairs))

    return apart(image, style) / apart(content, style)


def pixel_graph(x: Tensor, y: Tensor, k: int) -> Data:
    """The same graph of pixels: an impression space whose only block is the image itself."""
    return ImpressionGraphAdapter(ImpressionSpace([nn.Identity()]), k=k, pool=False)(x, y)


def few_labels(graphs: dict[str, Data], labels: int, draws: int, seed: int) -> dict[str, float]:
    """Accuracies with a few labels of each class, averaged over draws."""
    graph, spread = graphs["trained_all"], LabelPropagation(30, 0.9)
    generator = torch.Generator().manual_seed(seed)
    right: dict[str, list[float]] = {}
    plain, y = graph.x.numpy(), graph.y.numpy()
    smooth = APPNP(10, 0.1)
    for _ in range(draws):
        key = torch.rand(len(graph.y), generator=generator)
        order = (key + (graph.y != torch.arange(SEEN).unsqueeze(1)) * 2.0).argsort(1)
        known = torch.zeros(len(graph.y), dtype=torch.bool)
        known[order[:, :labels]] = True
        guesses = {
            name: spread(g.y, g.edge_index, known).argmax(1)
            for name, g in (
                ("propagated", graph),
                ("propagated_pixels", graphs["pixels"]),
                ("propagated_untrained", graphs["untrained_all"]),
            )
        }
        nearest = KNeighborsClassifier(1, metric="cosine").fit(plain[known], y[known])
        guesses["nearest"] = torch.from_numpy(nearest.predict(plain))
        logistic = LogisticRegression(C=100.0, max_iter=500).fit(plain[known], y[known])
        belief = torch.from_numpy(logistic.predict_proba(plain)).float()
        guesses["logistic"] = belief.argmax(1)
        belief[known] = F.one_hot(graph.y[known], SEEN).float()
        guesses["graph"] = smooth(belief, graph.edge_index).argmax(1)
        for name, guess in guesses.items():
            hit = float((guess[~known] == graph.y[~known]).float().mean())
            right.setdefault(name, []).append(hit)
    means = {name: sum(values) / len(values) for name, values in right.items()}
    return means | {"graph_gain": means["graph"] - max(means["nearest"], means["logistic"])}
