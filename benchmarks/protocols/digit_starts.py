"""Which of a few small networks to start from on a new task, asked before any is fine-tuned.

GCN encoders are pre-trained on questions about one half of the digits' graph: odd or even, small
or large, and so on; one is given random labels, one is not trained. The task is to tell ten digits
apart with few labels of the other half. ``log_me`` is the accuracy after fine-tuning the network
that LogME puts first, ``random`` the mean over all networks, ``best`` that of the best one;
``rho_log_me`` is Spearman's correlation of LogME's scores with all accuracies.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.nn import GCN

from benchmarks.problems.nodes import load as load_graph
from graphkit.modes import evaluating
from graphkit.nn import accelerate
from graphkit.train import seed_everything
from graphkit.transfer import log_me

__all__ = ["MAIN", "load", "run"]

MAIN = "log_me"
QUESTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "odd": lambda y: y % 2,
    "large": lambda y: (y > 4).long(),
    "thirds": lambda y: y % 3,
    "zero": lambda y: (y == 0).long(),
    "loops": lambda y: torch.tensor([1, 0, 0, 0, 1, 0, 1, 0, 2, 1])[y],
    "pairs": lambda y: y // 2,
    "random_labels": lambda y: torch.randint(0, 10, y.shape),
}


def load(name: str = "digits", few: int = 3, seed: int = 0) -> Data:
    """The graph; ``train_mask`` are the ``few`` labels of each digit of the second half."""
    data = load_graph(name, "random", False, few, 1, seed=seed)
    data.second_half = torch.rand(data.num_nodes, generator=draws(seed)) < 0.5
    mask = torch.zeros_like(data.second_half)
    for label in range(int(data.y.max()) + 1):
        rows = (data.second_half & (data.y == label)).nonzero()[:, 0]
        mask[rows[torch.randperm(len(rows), generator=draws(seed))[:few]]] = True
    data.train_mask, data.test_mask = mask, data.second_half & ~mask
    return data


def draws(seed: int) -> torch.Generator:
    """A source of random numbers."""
    return torch.Generator().manual_seed(seed)


def run(
    dataset: dict[str, Any],
    *,
    seed: int,
    note_size: Callable[[nn.Module], None],
    channels: int = 32,
    steps: int = 60,
    fine_tuning: int = 40,
) -> dict[str, float]:
    """One draw of halves and labels; all networks have the same weights before their training."""
    from scipy.stats import spearmanr

    data = load(**{**dataset, "seed": seed})
    seed_everything(seed)
    start = accelerate(GCN(data.num_features, channels, 2, channels)).model
    note_size(start)
    networks = {"untrained": start}
    for name, question in QUESTIONS.items():
        networks[name] = copy.deepcopy(start)
        learn(networks[name], data, question(data.y), ~data.second_half, steps)
    scores, accuracy = [], []
    for network in networks.values():
        with torch.no_grad(), evaluating(network):
            features = network(data.x, data.edge_index).relu()
        scores.append(float(log_me(features[data.train_mask], data.y[data.train_mask])))
        head = learn(network, data, data.y, data.train_mask, fine_tuning)
        with torch.no_grad(), evaluating(network):
            out = head(network(data.x, data.edge_index).relu())
        right = (out.argmax(1) == data.y)[data.test_mask]
        accuracy.append(float(right.float().mean()))
    return {
        "log_me": accuracy[max(range(len(scores)), key=scores.__getitem__)],
        "random": sum(accuracy) / len(accuracy),
        "best": max(accuracy),
        "untrained": accuracy[0],
        "rho_log_me": float(spearmanr(scores, accuracy).statistic),
    }


def learn(network: nn.Module, data: Data, y: Tensor, rows: Tensor, steps: int) -> nn.Linear:
    """Trains an encoder with a new head on some nodes; returns the head."""
    head = nn.Linear(network(data.x, data.edge_index).size(1), int(y.max()) + 1)
    parameters = [*network.parameters(), *head.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=0.01, weight_decay=5e-4)
    for _ in range(steps):
        optimizer.zero_grad()
        out = head(network(data.x, data.edge_index).relu())
        F.cross_entropy(out[rows], y[rows]).backward()
        optimizer.step()
    return head
