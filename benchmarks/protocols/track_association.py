"""Who is who later: learned association on the graph of tracked objects.

Objects come from tracking by counting on density maps of one sequence to learn from and of
another to be judged on. Every edge of :class:`~graphkit.adapters.TrackGraphAdapter` is to be
classified: is it the same person? ``graph`` passes messages between objects and edges;
``alone`` is the same network with the messages cut, so that it sees one edge and its ends;
``tracker`` is what the tracker says. ``idf1_…`` is after linking objects by the answers.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.utils import scatter

from benchmarks.harness.fitting import Fitter
from benchmarks.problems import tracking
from benchmarks.rivals.tracking import Points, match
from graphkit.adapters import TrackGraphAdapter
from graphkit.metrics import clear_mot
from graphkit.train import GraphTask, seed_everything
from graphkit.vision import TrackingByCounting

__all__ = ["MAIN", "Associator", "link", "load", "run"]

MAIN = "gain_ap"
RADIUS = 3.0


def load(
    learn: str = "TUD-Stadtmitte",
    judge: str = "TUD-Campus",
    maps: tuple[str, ...] = ("groundtruth", "detections"),
    frames: int | None = None,
    ahead: int = 6,
    seed: int = 0,
) -> tuple[list[Data], list[Data], list[Points]]:
    """Graphs to learn from and to judge on, and the truth of the latter."""
    adapter = TrackGraphAdapter(frames=ahead)
    parts: list[list[Data]] = []
    truths: list[Points] = []
    for role, name in (("learn", learn), ("judge", judge)):
        graphs = []
        for source in maps:
            scene = tracking.load(name, source, frames, seed=seed)
            points = TrackingByCounting().solve(scene.density).points()
            graphs.append(labelled(adapter(*points), scene.truth))
            truths += [scene.truth] if role == "judge" else []
        parts.append(graphs)
    return parts[0], parts[1], truths


def labelled(graph: Data, truth: Points) -> Data:
    """The graph with ``y``: whether both ends are the same person, by the nearest annotation."""
    person = torch.full((graph.num_nodes,), -1)
    for t in truth[0].unique().tolist():
        here, there = (truth[0] == t).nonzero()[:, 0], (graph.time == t).nonzero()[:, 0]
        ours, theirs = match(truth[2][here].numpy(), graph.pos[there].numpy(), RADIUS)
        person[there[theirs]] = truth[1][here[ours]]
    ends = person[graph.edge_index]
    graph.y = ((ends[0] == ends[1]) & (ends[0] >= 0)).float()
    return graph


def run(
    dataset: dict[str, Any],
    *,
    seed: int,
    fit: Fitter,
    hidden: int = 32,
    rounds: int = 3,
) -> dict[str, float]:
    """One seed of the noise and of the networks."""
    from sklearn.metrics import average_precision_score

    learn, judge, truths = load(**{**dataset, "seed": seed})
    metrics, answers = {}, {"tracker": [graph.edge_attr[:, 5] for graph in judge]}
    for arm, passes in (("graph", True), ("alone", False)):
        seed_everything(seed)
        model = Associator(learn[0].x.size(1) - 2, hidden, rounds, passes)
        fit(
            model,
            GraphTask(learn, [], [], 1, F.binary_cross_entropy_with_logits, forward=ask),
            tag=arm,
        )
        model.cpu().eval()
        with torch.no_grad():
            answers[arm] = [ask(model, graph).sigmoid() for graph in judge]
    # All graphs at once: the average precision of few edges would be noise.
    y = torch.cat([graph.y for graph in judge])
    for arm, answer in answers.items():
        metrics[f"ap_{arm}"] = float(average_precision_score(y, torch.cat(answer)))
        scores = []
        # Tables of points are what trackers give: the networks' edges are linked into tracks first.
        for graph, given, truth in zip(judge, answer, truths, strict=True):
            points = (graph.time, link(graph, given), graph.pos)
            right, merges = tracking.kept_merges(truth, points, RADIUS, RADIUS)
            scores.append({**clear_mot(truth, points, RADIUS), "kept_merges": right * merges})
        for name in ("idf1", "mota", "switches", "kept_merges"):
            values = [score[name] for score in scores]
            whole = (
                sum(values) if name in ("switches", "kept_merges") else sum(values) / len(values)
            )
            metrics[f"{name}_{arm}"] = whole
    metrics["gain_ap"] = metrics["ap_graph"] - metrics["ap_alone"]
    metrics["gain_idf1"] = metrics["idf1_graph"] - metrics["idf1_alone"]
    return metrics


class Associator(nn.Module):
    """Edges and objects inform each other in turn, objects apart from before and behind.

    Args:
        in_channels (int): Width of the objects.
        hidden (int): Width of all states.
        rounds (int): How often.
        passes (bool): Whether objects hear of their edges at all.
    """

    def __init__(self, in_channels: int, hidden: int, rounds: int, passes: bool) -> None:
        super().__init__()
        self.rounds, self.passes = rounds, passes
        self.node = nn.Sequential(nn.BatchNorm1d(in_channels), nn.Linear(in_channels, hidden))
        self.edge = nn.Sequential(nn.BatchNorm1d(6), nn.Linear(6, hidden), nn.ReLU())
        self.edge_update = nn.Sequential(
            nn.Linear(4 * hidden, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU()
        )
        self.node_update = nn.Sequential(nn.Linear(5 * hidden, hidden), nn.ReLU())
        self.out = nn.Linear(hidden, 1)

    def forward(self, x: Tensor, edge_index: Tensor, edge_attr: Tensor) -> Tensor:
        """A score per edge."""
        h, first = self.node(x), self.edge(edge_attr)
        e, (source, target) = first, edge_index
        for _ in range(self.rounds):
            e = self.edge_update(torch.cat([e, first, h[source], h[target]], 1))
            heard = [
                scatter(e if self.passes else 0 * e, end, 0, len(h), reduce)
                for end in (source, target)
                for reduce in ("max", "mean")
            ]
            h = self.node_update(torch.cat([h, *heard], 1))
        return self.out(e).squeeze(1)


def ask(model: nn.Module, batch: Any) -> Tensor:
    """The network's answer for a graph; where in the image an object is stays untold."""
    return model(batch.x[:, 2:], batch.edge_index, batch.edge_attr)


def link(graph: Data, answer: Tensor, least: float = 0.5) -> Tensor:
    """Numbers of the chains that the surest edges make, one before and one behind each object.

    Edges to the next frames go first: a later frame is asked only where no link was made.
    """
    source, target = graph.edge_index.tolist()
    ahead = graph.edge_attr[:, 0]
    order = (ahead * 2 - answer).argsort(stable=True)
    order = order[answer[order] > least].tolist()
    behind: dict[int, int] = {}
    taken: set[int] = set()
    for edge in order:
        if source[edge] not in behind and target[edge] not in taken:
            behind[source[edge]] = target[edge]
            taken.add(target[edge])
    number = torch.full((graph.num_nodes,), -1)
    count = 0
    for node in graph.time.argsort(stable=True).tolist():
        if node not in taken:
            while node is not None:
                number[node], node = count, behind.get(node)
            count += 1
    return number
