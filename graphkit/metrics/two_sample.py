"""Can a fresh graph network tell two sets of scene graphs apart?"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.nn import MLP, GINEConv, global_add_pool

from graphkit.data.scene_batch import SceneBatch

__all__ = ["two_sample_accuracy"]


class Judge(nn.Module):
    """Two layers of GIN with edge features over both directions of every triple."""

    def __init__(self, num_objects: int, num_predicates: int, width: int = 32) -> None:
        super().__init__()
        self.objects = nn.Embedding(num_objects, width)
        self.predicates = nn.Embedding(2 * num_predicates, width)
        self.convs = nn.ModuleList(GINEConv(MLP([width, width, width])) for _ in range(2))
        self.read = nn.Linear(3 * width, 1)

    def forward(self, scenes: SceneBatch) -> Tensor:
        """A score per graph."""
        half = self.predicates.num_embeddings // 2
        both = torch.cat([scenes.edge_index, scenes.edge_index.flip(0)], dim=1)
        links = self.predicates(torch.cat([scenes.edge_attr, scenes.edge_attr + half]))
        states = [self.objects(scenes.x)]
        for conv in self.convs:
            states.append(conv(states[-1], both, links).relu())
        pooled = global_add_pool(torch.cat(states, 1), scenes.batch, scenes.num_graphs)
        return self.read(pooled)[:, 0]


def two_sample_accuracy(
    real: SceneBatch,
    fake: SceneBatch,
    num_objects: int,
    num_predicates: int,
    epochs: int = 15,
    seed: int = 0,
) -> float:
    r"""The accuracy of a classifier two-sample test, as in the `"Revisiting Classifier Two-Sample
    Tests" <https://arxiv.org/abs/1610.06545>`_ paper, with a graph isomorphism network.

    .. math::
        \hat{t} = \frac{1}{|\mathcal{D}_{te}|} \sum_{(s, y) \in \mathcal{D}_{te}}
        [\, [f(s) > 0] = y \,]

    A fresh network :math:`f` learns on half of both sets to tell them apart and is judged on
    the other half, the larger set cut to the size of the smaller one: one half is what nothing
    to tell apart gives.  The generators of the caller are left as they were.  Graphs ``real[i]``
    and ``fake[i]`` go to the same half, so that a set and its changed copy can be compared.

    Args:
        real, fake (SceneBatch): The two sets.
        num_objects (int): Number of object categories.
        num_predicates (int): Number of predicates.
        epochs (int, optional): Epochs of training. (default: :obj:`15`)
        seed (int, optional): Seed of the halves and the network. (default: :obj:`0`)

    Shapes:
        - **input:** scene graphs
        - **output:** a number between 0 and 1

    Raises:
        ValueError: If a set has fewer than four graphs.

    Example:
        >>> from graphkit.datasets import SceneBatch, SyntheticScenes
        >>> from graphkit.metrics import two_sample_accuracy
        >>> one, two = (SceneBatch.from_data(list(SyntheticScenes(80, seed=s))) for s in (0, 1))
        >>> two_sample_accuracy(one, two, 28, 13, epochs=2) < 0.75
        True
    """
    size = min(real.num_graphs, fake.num_graphs)
    if size < 4:
        raise ValueError(f"each set needs four graphs or more, got {size}")
    with torch.enable_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        train, test = torch.randperm(size).split((size + 1) // 2)
        model = Judge(num_objects, num_predicates)
        optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
        for _ in range(epochs):
            for part in train[torch.randperm(train.numel())].split(64):
                optimizer.zero_grad()
                scores = [model(scenes.select(part)) for scenes in (real, fake)]
                loss = F.softplus(-scores[0]).mean() + F.softplus(scores[1]).mean()
                loss.backward()
                optimizer.step()
    model.eval()
    with torch.no_grad():
        right = [(model(real.select(test)) > 0), (model(fake.select(test)) <= 0)]
    return float(torch.cat(right).float().mean())
