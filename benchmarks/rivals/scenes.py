"""What scene-graph enrichment has to beat: priors, retrieval, and a transformer without triples."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.nn import MLP
from torch_geometric.utils import to_dense_batch

from graphkit.datasets import KnockOut, SceneBatch
from graphkit.metrics import hits_at_k, relation_hits
from graphkit.nn.models.scene_graph_enricher import Proposal


class FrequencyPrior:
    r"""Guesses by how often objects and relations occur in the training graphs.

    .. math::
        p(c) \propto n_c + 1, \qquad p(d, r) \propto n_{d, r} + 1

    for the direction :math:`d` and the predicate :math:`r`, or none, of all pairs of an object
    that was taken out and one that stayed.
    """

    def __init__(self, train: KnockOut, num_objects: int, num_predicates: int) -> None:
        self.objects = (torch.bincount(train.category, minlength=num_objects) + 1.0).log()
        links = torch.zeros(2, num_predicates + 1)
        links.index_put_((train.links[1], train.links[2]), torch.ones(()), accumulate=True)
        links[:, -1] = train.rest.num_nodes - links.sum(1)
        self.relations = ((links + 1) / (links + 1).sum(1, keepdim=True)).log()

    def object_logits(self, rest: SceneBatch) -> Tensor:
        """Scores of the missing object, ``[B, C]``."""
        return self.objects.expand(rest.num_graphs, -1)

    def relation_logits(self, rest: SceneBatch, category: Tensor) -> Tensor:
        """Scores of its relations, ``[N, 2, P + 1]``."""
        return self.relations.expand(rest.num_nodes, -1, -1)


class CooccurrencePrior(FrequencyPrior):
    r"""Naive Bayes over the categories that are present, and relations given both categories.

    .. math::
        \log p(c \mid O) = \log p(c) + \lambda \sum_{o \in O} \log p(o \mid c), \qquad
        p(d, r \mid c, o) = \frac{n_{c, o, d, r} + \beta \, p(d, r)}{n_{c, o} + \beta}

    with :math:`p(o \mid c)` smoothed by :math:`\alpha` times the frequency of :math:`o`.  The
    validation graphs choose :math:`\alpha`, :math:`\lambda` and :math:`\beta`, the best recall at
    5 (objects) and 20 (relations): plain naive Bayes, :math:`\lambda = 1`, is among the choices.
    """

    def __init__(
        self, train: KnockOut, val: KnockOut, num_objects: int, num_predicates: int
    ) -> None:
        super().__init__(train, num_objects, num_predicates)
        there = present(train.rest, num_objects)
        self.counts = torch.zeros(num_objects, num_objects).index_add_(0, train.category, there)
        self.shares = there.mean(0) + 1e-6
        pairs = torch.zeros(num_objects, num_objects, 2, num_predicates + 1)
        removed = train.category[train.rest.batch]
        one = torch.ones(())
        pairs[..., -1].index_put_((removed, train.rest.x), one.expand(2), accumulate=True)
        old, direction, predicate = train.links
        where = (removed[old], train.rest.x[old], direction)
        pairs.index_put_((*where, predicate), one, accumulate=True)
        pairs[..., -1] = (pairs[..., -1] - pairs[..., :-1].sum(-1)).clamp(min=0)
        self.pairs = pairs
        self.alpha, self.power = max(
            ((alpha, power) for alpha in (1.0, 10.0, 30.0) for power in (0.3, 0.5, 0.7, 1.0)),
            key=lambda choice: self.object_recall(val, *choice),
        )
        self.beta = max((0.5, 2.0, 8.0, 32.0), key=lambda beta: self.relation_recall(val, beta))

    def object_recall(self, val: KnockOut, alpha: float, power: float) -> float:
        """Recall at 5 with given smoothing."""
        self.alpha, self.power = alpha, power
        return recall_at_5(self.object_logits(val.rest), val.category)

    def relation_recall(self, val: KnockOut, beta: float) -> float:
        """Recall at 20 with given smoothing."""
        self.beta = beta
        hits = []
        for part in val.split():
            logits = self.relation_logits(part.rest, part.category)[..., :-1]
            rest = part.rest
            hits.append(relation_hits(logits, part.links, rest.batch, rest.num_graphs, 20))
        return float(torch.cat(hits).float().mean())

    def object_logits(self, rest: SceneBatch) -> Tensor:
        smooth = self.counts + self.alpha * self.shares
        given = (smooth / smooth.sum(1, keepdim=True)).log()
        return self.objects + self.power * present(rest, given.size(0)) @ given.t()

    def relation_logits(self, rest: SceneBatch, category: Tensor) -> Tensor:
        counts = self.pairs[category[rest.batch], rest.x]
        total = counts.sum(-1, keepdim=True)
        return ((counts + self.beta * self.relations.exp()) / (total + self.beta)).log()


class NearestNeighbour:
    r"""Retrieves the training graphs that are most similar and asks what they lost.

    .. math::
        s(c) = \sum_{j \in \mathrm{top}_K} \cos(\mathbf{f}(O), \mathbf{f}(O_j)) \, [c_j = c]

    with the categories present, weighed by their inverse frequency, as features; the validation
    graphs choose :math:`K`.
    """

    def __init__(self, train: KnockOut, val: KnockOut, num_objects: int) -> None:
        there = present(train.rest, num_objects)
        self.weight = (1 / (there.mean(0) + 1e-3)).log().clamp(min=0.1)
        self.keys = F.normalize(there * self.weight, dim=1)
        self.lost = train.category
        self.fallback = torch.bincount(train.category, minlength=num_objects) / len(self.lost)
        self.neighbours = 10
        self.neighbours = max((100, 300), key=lambda k: self.recall(val, k))

    def recall(self, val: KnockOut, neighbours: int) -> float:
        """Recall at 5 with given neighbours."""
        self.neighbours = neighbours
        return recall_at_5(self.object_logits(val.rest), val.category)

    def object_logits(self, rest: SceneBatch) -> Tensor:
        """Scores of the missing object, ``[B, C]``."""
        queries = F.normalize(present(rest, self.keys.size(1)) * self.weight, dim=1)
        scores = []
        for part in queries.split(256):
            near, index = (part @ self.keys.t()).topk(min(self.neighbours, len(self.keys)))
            votes = torch.zeros(len(part), self.keys.size(1))
            scores.append(votes.scatter_add(1, self.lost[index], near))
        return (torch.cat(scores) + 1e-3 * self.fallback).log()


class SetTransformer(nn.Module):
    """A transformer over the objects of a scene, without their triples; a query asks what is
    missing, and pairs of it with each object what relates them.

    Args:
        num_objects (int): Number of object categories.
        num_predicates (int): Number of predicates.
        hidden_channels (int, optional): Width. (default: :obj:`64`)
        num_layers (int, optional): Number of layers. (default: :obj:`2`)
        heads (int, optional): Number of heads. (default: :obj:`4`)
        dropout (float, optional): Dropout. (default: :obj:`0.0`)
    """

    def __init__(
        self,
        num_objects: int,
        num_predicates: int,
        hidden_channels: int = 64,
        num_layers: int = 2,
        heads: int = 4,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.num_objects, self.num_predicates = num_objects, num_predicates
        width = hidden_channels
        self.embed = nn.Embedding(num_objects, width)
        self.query = nn.Parameter(torch.randn(width))
        layer = nn.TransformerEncoderLayer(
            width, heads, 2 * width, dropout, batch_first=True, norm_first=True
        )
        self.layers = nn.TransformerEncoder(layer, num_layers, enable_nested_tensor=False)
        self.object_head = MLP([width, width, num_objects + 1], norm=None)
        self.relation_head = MLP([4 * width, width, 2 * (num_predicates + 1)], norm=None)

    def forward(self, scenes: SceneBatch, category: Tensor | None = None) -> Proposal:
        """Scores as those of :class:`~graphkit.nn.SceneGraphEnricher`."""
        embedded = self.embed(scenes.x)
        dense, mask = to_dense_batch(embedded, scenes.batch, batch_size=scenes.num_graphs)
        query = self.query.expand(scenes.num_graphs, 1, -1)
        mask = F.pad(mask, (1, 0), value=True)
        out = self.layers(torch.cat([query, dense], 1), src_key_padding_mask=~mask)
        new, objects = out[:, 0], torch.cat([out[:, 1:][mask[:, 1:]], embedded], 1)
        category = scenes.x.new_zeros(scenes.num_graphs) if category is None else category
        asked = torch.cat([new, self.embed(category.clamp(min=0))], 1)
        pairs = torch.cat([asked[scenes.batch], objects], 1)
        relations = self.relation_head(pairs).unflatten(-1, (2, self.num_predicates + 1))
        return Proposal(self.object_head(new), relations, new, objects)


def recall_at_5(scores: Tensor, target: Tensor) -> float:
    """Recall at 5, or at the number of categories if there are fewer."""
    return float(hits_at_k(scores, target, min(5, scores.size(1))).float().mean())


def present(scenes: SceneBatch, num_objects: int) -> Tensor:
    """Which categories each graph holds, ``[B, C]``."""
    there = torch.zeros(scenes.num_graphs, num_objects)
    there[scenes.batch, scenes.x] = 1.0
    return there
