"""GTAN and its fixed-scale ablation on videos whose frames are made of digits.

``spearman`` is the rank correlation, on test videos, between the width 2 sigma of the kernel
under the centre of an action, on the finest level, and the action's true width; no loss compares
the two. ``map_…_graph`` re-scores the proposals by graph attention on the graph of
:class:`~graphkit.adapters.ProposalGraphAdapter`, ``map_…_alone`` by layers of the same widths
that see one proposal at a time, ``map_…_own`` leaves them the detector's own scores;
``quality_…`` is the rank correlation of the foreseen overlaps with the true ones, over the test
videos' proposals.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.nn import GATv2Conv

from benchmarks.harness.fitting import Fitter
from benchmarks.problems.action_frames import Clips, clips
from graphkit.adapters import ProposalGraphAdapter
from graphkit.metrics import spearman, temporal_map
from graphkit.train import GraphTask, seed_everything
from graphkit.vision import GTAN, GTANLoss, TensorTask
from graphkit.vision.actions.gtan import suppress

__all__ = ["MAIN", "Rescorer", "kernel_widths", "load", "run"]

MAIN = "spearman"
OVERLAPS = (0.3, 0.5, 0.7)


def load(
    name: str = "THUMOS14",
    train: int = 400,
    score: int = 200,
    test: int = 100,
    frames: int = 128,
    fps: float = 4.0,
    noise: float = 0.15,
    seed: int = 0,
) -> tuple[Clips, Clips, Clips]:
    """Videos to train detectors on, others of the same split for the scorers, test videos."""
    generator = torch.Generator().manual_seed(seed)
    sizes = (("val", train), ("val", score), ("test", test))
    parts = [clips(name, split, count, frames, fps, noise, generator) for split, count in sizes]
    return parts[0], parts[1], parts[2]


def run(
    dataset: dict[str, Any],
    network: dict[str, Any],
    *,
    seed: int,
    fit: Fitter,
    batch_size: int = 16,
    graph_epochs: int = 20,
    keep: int = 64,
) -> dict[str, float]:
    """One seed: both detectors, then both ways of scoring the first one's proposals anew."""
    learn, score, test = load(**{**dataset, "seed": seed})
    metrics: dict[str, float] = {}
    models: dict[str, Any] = {}
    for arm, fixed in (("gaussian", False), ("fixed", True)):
        seed_everything(seed)
        model = GTAN(learn.x.size(1), learn.classes, fixed_scale=fixed, **network)
        task = TensorTask((learn.x, torch.arange(len(learn.x))), objective(learn), batch_size)
        fit(model, task, tag=arm)
        models[arm] = model.cpu().eval()
        metrics |= named(temporal_map(model.detect(test.x), test.truth, OVERLAPS), arm)
    metrics |= kernel_widths(models["gaussian"], test)
    adapter = ProposalGraphAdapter(network.get("channels", 64), learn.classes, keep)
    graphs = [proposal_graphs(models["gaussian"], adapter, part) for part in (score, test)]
    first_scores = [split_scores(graph, learn.classes) for graph in graphs[1]]
    metrics |= judged(first_scores, graphs[1], test, keep, "own")
    for arm, linked in (("graph", True), ("alone", False)):
        seed_everything(seed)
        scorer = Rescorer(graphs[0][0].x.size(1), learn.classes, linked=linked)
        again = dataclasses.replace(fit, train={**fit.train, "epochs": graph_epochs})
        again(scorer, GraphTask(graphs[0], [], [], batch_size, rescoring, forward=ask), tag=arm)
        scores = rescored(scorer.cpu().eval(), graphs[1])
        metrics |= judged(scores, graphs[1], test, keep, arm)
    for overlap in (50, 70):
        gain = metrics[f"map_{overlap}_graph"] - metrics[f"map_{overlap}_alone"]
        metrics[f"gain_{overlap}_graph"] = gain
    metrics["gain_gaussian"] = metrics["map_50_gaussian"] - metrics["map_50_fixed"]
    return metrics


def objective(part: Clips) -> Any:
    """The detectors' loss of some windows."""
    criterion = GTANLoss()

    def loss(model: nn.Module, x: Tensor, index: Tensor) -> Tensor:
        return criterion(model(x), [part.truth[i] for i in index.tolist()])

    return loss


def named(precisions: dict[float, float], arm: str) -> dict[str, float]:
    """Mean average precisions by the names of metrics."""
    return {f"map_{100 * overlap:.0f}_{arm}": value for overlap, value in precisions.items()}


@torch.no_grad()
def kernel_widths(model: GTAN, part: Clips) -> dict[str, float]:
    """Rank correlations of kernels' widths with those of the actions above them, by level."""
    metrics = {}
    for level, feature in enumerate(model.pyramid(part.x)):
        sigma = model.sigma(feature, level)
        cells, ours, theirs = sigma.size(1), [], []
        for row, (segments, _) in zip(sigma, part.truth, strict=True):
            under = (segments.mean(1) * cells).long().clamp(max=cells - 1)
            ours.append(2 * row[under])
            theirs.append(segments[:, 1] - segments[:, 0])
        metrics[f"spearman_level_{level}"] = float(spearman(torch.cat(ours), torch.cat(theirs)))
    return {"spearman": metrics["spearman_level_0"], **metrics}


@torch.no_grad()
def proposal_graphs(model: GTAN, adapter: ProposalGraphAdapter, part: Clips) -> list[Data]:
    """The graphs of all windows; ``y`` is the action and its overlap."""
    graphs = []
    for x, truth in zip(part.x, part.truth, strict=True):
        graph = adapter(model(x.unsqueeze(0)), truth)
        graph.y = torch.stack([graph.y.float(), graph.y_iou], 1)
        graphs.append(graph)
    return graphs


def split_scores(graph: Data, classes: int) -> tuple[Tensor, Tensor]:
    """The detector's probabilities of actions and foreseen overlap, read back from the nodes."""
    return graph.x[:, -6 - classes : -6], graph.x[:, -2]


def judged(
    scores: list[tuple[Tensor, Tensor]], graphs: list[Data], test: Clips, keep: int, arm: str
) -> dict[str, float]:
    """Mean average precision of proposals scored by actions and overlap; how right overlaps are."""
    detections = [
        suppress(graph.span, actions * overlap.unsqueeze(1), 0.4, keep)
        for graph, (actions, overlap) in zip(graphs, scores, strict=True)
    ]
    foreseen = torch.cat([overlap for _, overlap in scores])
    true = torch.cat([graph.y_iou for graph in graphs])
    quality = {f"quality_{arm}": float(spearman(foreseen, true))}
    return named(temporal_map(detections, test.truth, OVERLAPS), arm) | quality


class Rescorer(nn.Module):
    """Scores proposals: actions and background, and overlap.

    Args:
        in_channels (int): Width of the nodes.
        num_classes (int): Number of actions.
        hidden (int, optional): Width of two layers. (default: :obj:`64`)
        linked (bool, optional): Graph attention, or layers that see one node at a time.
            (default: :obj:`True`)
    """

    def __init__(
        self, in_channels: int, num_classes: int, hidden: int = 64, linked: bool = True
    ) -> None:
        super().__init__()
        self.linked, self.norm = linked, nn.BatchNorm1d(in_channels)
        self.own = nn.ModuleList([nn.Linear(in_channels, hidden), nn.Linear(hidden, hidden)])
        self.near = nn.ModuleList(
            GATv2Conv(width, hidden // 4, heads=4, edge_dim=6, add_self_loops=False)
            for width in ((in_channels, hidden) if linked else ())
        )
        self.out = nn.Linear(hidden, num_classes + 2)

    def forward(self, x: Tensor, edge_index: Tensor, edge_attr: Tensor) -> Tensor:
        """Logits of the actions, of background and of the overlap."""
        x, edge_attr = self.norm(x), edge_attr.clamp(-5, 5)
        for layer, itself in enumerate(self.own):
            h = itself(x)
            x = (h + self.near[layer](x, edge_index, edge_attr) if self.linked else h).relu()
        return self.out(x)


def ask(model: nn.Module, batch: Any) -> Tensor:
    """The scorer's answer for a batch of graphs."""
    return model(batch.x, batch.edge_index, batch.edge_attr)


def rescoring(out: Tensor, y: Tensor) -> Tensor:
    """Cross entropy of the actions and squared error of the overlap."""
    quality = (out[:, -1].sigmoid() - y[:, 1]).square().mean()
    return F.cross_entropy(out[:, :-1], y[:, 0].long()) + 10 * quality


@torch.no_grad()
def rescored(scorer: nn.Module, graphs: list[Data]) -> list[tuple[Tensor, Tensor]]:
    """The scorer's probabilities of actions and foreseen overlap."""
    answers = [ask(scorer, graph) for graph in graphs]
    return [(out[:, :-1].softmax(1)[:, :-1], out[:, -1].sigmoid()) for out in answers]
