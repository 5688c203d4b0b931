"""What the lattice of a NetGraft's hybrids is good for: judging hybrids unseen, and an order.

A network of many blocks is grafted block by block; its hybrids and how far each is from the
teacher, on images without labels, are the adapter's graph.

Of ``known`` hybrids drawn at random the distance is given, that of all others is asked for:
``error_…`` is the mean absolute error and ``rank_…`` Spearman's correlation of a GNN on the
lattice (``graph``), the same layers without edges (``alone``), ridge regression on the bits
(``linear``), a random forest (``forest``) and the mean of the known (``mean``), averaged over
draws. ``gain_linear`` is the error of ``linear`` less that of ``graph``, ``gain_edges`` that of
``alone`` less it.

``accuracy_…`` is that of the student when blocks are joined in the order of the shortest path
(``path``), from the first to the last as in the paper (``front``) or at random (``random``), after
the same number of steps from the same weights; the lattice of the path is measured on the few
samples alone. ``gain_order`` is the path's less that of the paper's order, ``gain_random`` less
that of the random one. ``joined`` is the accuracy of all blocks before that.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from scipy.stats import spearmanr
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import RidgeCV
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.nn import GCN, MLP
from torch_geometric.utils import to_undirected

from benchmarks.harness.fitting import Fitter
from benchmarks.problems.grafting import learn, load
from graphkit.adapters import GraftLatticeAdapter, graft_order
from graphkit.compress import NetGraft
from graphkit.train import seed_everything

__all__ = ["MAIN", "load", "run"]

MAIN = "gain_order"


def run(
    dataset: dict[str, Any],
    *,
    seed: int,
    fit: Fitter,
    teacher: int = 16,
    student: int = 4,
    shots: int = 1,
    steps: int = 200,
    lr: float = 0.01,
    joint_lr: float = 0.003,
    known: int = 16,
    draws: int = 10,
    epochs: int = 200,
) -> dict[str, float]:
    """One seed; ``teacher`` and ``student`` are widths, ``train`` is the teacher's training."""
    problem = load(**{**dataset, "seed": seed})
    seed_everything(seed)
    master = problem.network(teacher, 0.0)
    fit(master, problem.task, tag="teacher")
    seed_everything(seed)
    net = NetGraft(master, problem.network(student, 0.0), problem.x, **problem.context)
    rows, count = problem.few(shots, seed), len(master)
    for mask in net.stages()[:count]:
        learn(fit, net, problem.task_of(mask, rows, steps), lr)
    adapter = GraftLatticeAdapter(net)
    lattice = adapter(problem.x, labels=problem.y, **problem.context)
    metrics = {"teacher": problem.judge(master), "joined": float(lattice.score[-1])}
    metrics |= guessed(lattice, known, draws, epochs, seed)
    few = problem.x[rows] if not problem.context else problem.x
    few_rows = None if not problem.context else rows
    orders = {
        "front": list(range(count)),
        "path": graft_order(adapter(few, rows=few_rows, **problem.context)),
        "random": torch.randperm(count, generator=torch.Generator().manual_seed(seed)).tolist(),
    }
    start = copy.deepcopy(net.state_dict())
    for name, order in orders.items():
        net.load_state_dict(start)
        seed_everything(seed)
        for mask in net.stages(order)[count:]:
            learn(fit, net, problem.task_of(mask, rows, steps), joint_lr)
        metrics[f"accuracy_{name}"] = problem.judge(net)
    metrics["gain_order"] = metrics["accuracy_path"] - metrics["accuracy_front"]
    metrics["gain_random"] = metrics["accuracy_path"] - metrics["accuracy_random"]
    return metrics


def guessed(lattice: Data, known: int, draws: int, epochs: int, seed: int) -> dict[str, float]:
    """Errors and rank correlations of the distances of unknown hybrids, averaged over draws."""
    generator = torch.Generator().manual_seed(seed)
    by_draw: dict[str, list[float]] = {}
    for draw in range(draws):
        given = torch.zeros(lattice.num_nodes, dtype=torch.bool)
        given[torch.randperm(lattice.num_nodes, generator=generator)[:known]] = True
        for name, guess in guesses(lattice, given, epochs, draw).items():
            error = (guess - lattice.y)[~given].abs().mean()
            by_draw.setdefault(f"error_{name}", []).append(float(error))
            if name != "mean":
                rank = spearmanr(guess[~given].numpy(), lattice.y[~given].numpy()).statistic
                by_draw.setdefault(f"rank_{name}", []).append(float(rank))
    metrics = {name: sum(values) / draws for name, values in by_draw.items()}
    metrics["gain_linear"] = metrics["error_linear"] - metrics["error_graph"]
    metrics["gain_edges"] = metrics["error_alone"] - metrics["error_graph"]
    return metrics


def guesses(lattice: Data, given: Tensor, epochs: int, seed: int) -> dict[str, Tensor]:
    """The distance of every hybrid as each arm guesses it from those given."""
    bits, edges = lattice.x[:, :-2], to_undirected(lattice.edge_index)
    mean, spread = lattice.y[given].mean(), lattice.y[given].std()
    target = (lattice.y - mean) / spread

    def fitted(model: Any) -> Tensor:
        model.fit(bits[given].numpy(), target[given].numpy())
        return torch.from_numpy(model.predict(bits.numpy())).float()

    def trained(net: nn.Module, call: Callable[[nn.Module], Tensor]) -> Tensor:
        optimizer = torch.optim.Adam(net.parameters(), lr=0.01, weight_decay=1e-3)
        for _ in range(epochs):
            optimizer.zero_grad()
            F.mse_loss(call(net)[given, 0], target[given]).backward()
            optimizer.step()
        with torch.no_grad():
            return call(net)[:, 0]

    seed_everything(seed)
    graph = trained(GCN(bits.size(1), 32, 2, 1), lambda net: net(bits, edges))
    seed_everything(seed)
    alone = trained(MLP([bits.size(1), 32, 1], norm=None), lambda net: net(bits))
    values = {
        "graph": graph,
        "alone": alone,
        "linear": fitted(RidgeCV(alphas=[0.01, 0.1, 1.0, 10.0, 100.0])),
        "forest": fitted(RandomForestRegressor(100, random_state=seed)),
        "mean": torch.zeros_like(target),
    }
    return {name: value * spread + mean for name, value in values.items()}
