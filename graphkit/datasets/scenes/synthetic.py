"""Scenes from a grammar whose best possible guess is known."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor
from torch_geometric.data import Data, InMemoryDataset

from graphkit.datasets.scenes.vocabulary import SceneVocabulary

__all__ = ["SyntheticScenes"]

Shares = dict[str, float]
GRAMMAR: dict[str, tuple[Shares, dict[str, tuple[float, Shares]]]] = {
    "horse": (
        {"grass": 0.6, "sand": 0.3, "road": 0.1},
        {
            "ride": (0.6, {"hat": 0.7, "rope": 0.2, "flag": 0.1}),
            "feed": (0.4, {"carrot": 0.8, "bucket": 0.2}),
        },
    ),
    "boat": (
        {"sea": 0.7, "lake": 0.3},
        {
            "steer": (0.5, {"rope": 0.5, "flag": 0.3, "hat": 0.2}),
            "paint": (0.5, {"brush": 0.75, "bucket": 0.25}),
        },
    ),
    "table": (
        {"floor": 0.8, "grass": 0.2},
        {
            "sit at": (0.7, {"cup": 0.5, "book": 0.35, "phone": 0.15}),
            "paint": (0.3, {"brush": 0.9, "cup": 0.1}),
        },
    ),
    "car": (
        {"road": 0.85, "sand": 0.15},
        {
            "drive": (0.75, {"map": 0.6, "phone": 0.4}),
            "wash": (0.25, {"bucket": 0.7, "hose": 0.3}),
        },
    ),
    "bed": (
        {"floor": 1.0},
        {
            "lie on": (0.8, {"book": 0.55, "phone": 0.45}),
            "make": (0.2, {"pillow": 1.0}),
        },
    ),
    "tent": (
        {"grass": 0.5, "sand": 0.35, "snow": 0.15},
        {
            "sleep in": (0.6, {"pillow": 0.65, "lamp": 0.35}),
            "build": (0.4, {"rope": 0.55, "hammer": 0.45}),
        },
    ),
}
ROLES = 4


class SyntheticScenes(InMemoryDataset):
    r"""Scenes of a seeded grammar, for which the best possible guess of a missing object is
    known.

    .. math::
        p(a, t, g, m) = p(a) \, p(t \mid a) \, p(g \mid a) \, p(m \mid a, t)

    A scene holds one to :obj:`max_anchors` different anchors :math:`a` (a horse, a boat, …). On
    each of them a person does something :math:`t` (*person ride horse*) and holds something
    :math:`m` (*person hold hat*), and the anchor is on some ground :math:`g` (*horse on grass*).
    What the person holds depends on the predicate: the same objects with *person feed horse*
    make *carrot* likely, so that a model which only sees the set of objects must lose.

    If one object that is no anchor is taken away with its triples, the rest of the scene says
    which slot is empty, and the distribution of the object is that of the slot,
    :attr:`posterior`; its largest entries are the Bayes optimum of recall.

    Nothing is written to disk; 20,000 scenes take well under a second.

    Args:
        num_graphs (int, optional): Number of scenes. (default: :obj:`4000`)
        max_anchors (int, optional): Most anchors in a scene. (default: :obj:`3`)
        seed (int, optional): Seed of the generator. (default: :obj:`0`)
        transform (callable, optional): Applied at every access. (default: :obj:`None`)

    Shapes:
        - **output:** per scene of :math:`k` anchors object categories :obj:`x` :math:`(4k)`,
          :obj:`edge_index` :math:`(2, 3k)`, predicates :obj:`edge_attr` :math:`(3k)`, and
          :obj:`slot` :math:`(4k)`, the row of :attr:`posterior` for each object, -1 for anchors

    Raises:
        ValueError: If a number is out of range.

    Example:
        >>> from graphkit.datasets import SyntheticScenes, format_scene
        >>> scenes = SyntheticScenes(num_graphs=10)
        >>> format_scene(scenes[1], scenes.vocabulary)
        'person sit at table; table on floor; person hold cup'
        >>> [len(part) for part in scenes.splits()]
        [7, 1, 2]
    """

    def __init__(
        self,
        num_graphs: int = 4000,
        max_anchors: int = 3,
        seed: int = 0,
        transform: Callable[[Data], Data] | None = None,
    ) -> None:
        super().__init__(None, transform)
        if not 1 <= max_anchors <= len(GRAMMAR):
            raise ValueError(
                f"'max_anchors' must be between 1 and {len(GRAMMAR)}, got {max_anchors}"
            )
        if num_graphs < 1:
            raise ValueError(f"'num_graphs' must be at least 1, got {num_graphs}")
        generator = torch.Generator().manual_seed(seed)
        self.data, self.slices = draw(num_graphs, max_anchors, generator)

    @property
    def vocabulary(self) -> SceneVocabulary:
        """The names of categories and predicates."""
        return grammar_vocabulary()

    @property
    def posterior(self) -> Tensor:
        """The distribution of the object in each slot, ``[S, C]``."""
        return slot_table()

    @property
    def num_classes(self) -> int:
        """The number of object categories."""
        return self.vocabulary.num_objects

    def bayes_recall(self, slot: Tensor, k: int = 1) -> float:
        """The best possible recall at ``k`` when objects of these slots are guessed."""
        if (slot < 0).any():
            raise ValueError("'slot' holds -1: the grammar says nothing about missing anchors")
        return float(self.posterior.topk(k).values.sum(1)[slot].mean())

    def splits(self) -> tuple[InMemoryDataset, InMemoryDataset, InMemoryDataset]:
        """Training, validation and test scenes: 70, 10 and 20 % in the order of generation."""
        first, second = int(0.7 * len(self)), int(0.8 * len(self))
        return self[:first], self[first:second], self[second:]


@cache
def grammar_vocabulary() -> SceneVocabulary:
    """Categories in the order in which the grammar names them, and its predicates."""
    names = [*GRAMMAR, "person"]
    for grounds, actions in GRAMMAR.values():
        names += [*grounds, *(item for _, items in actions.values() for item in items)]
    verbs = [verb for _, actions in GRAMMAR.values() for verb in actions]
    return SceneVocabulary(
        tuple(dict.fromkeys(names)), tuple(dict.fromkeys(["on", "hold", *verbs]))
    )


@cache
def slot_table() -> Tensor:
    """Rows: the person, then the ground of each anchor, then the item of each anchor and action."""
    vocabulary = grammar_vocabulary()
    rows: list[Shares] = [{"person": 1.0}]
    rows += [grounds for grounds, _ in GRAMMAR.values()]
    rows += [items for _, actions in GRAMMAR.values() for _, items in actions.values()]
    table = torch.zeros(len(rows), vocabulary.num_objects)
    for row, shares in zip(table, rows, strict=True):
        for name, share in shares.items():
            row[vocabulary.object_id(name)] = share
    return table


@cache
def action_table() -> tuple[Tensor, Tensor]:
    """Shares and predicates of the two actions of each anchor, ``[A, 2]``."""
    vocabulary = grammar_vocabulary()
    pairs = [list(actions.items()) for _, actions in GRAMMAR.values()]
    shares = torch.tensor([[share for _, (share, _) in row] for row in pairs])
    verbs = torch.tensor([[vocabulary.predicate_id(verb) for verb, _ in row] for row in pairs])
    return shares, verbs


def draw(
    num_graphs: int, max_anchors: int, generator: torch.Generator
) -> tuple[Data, dict[str, Tensor]]:
    """All scenes behind one another, as :class:`InMemoryDataset` keeps them."""
    anchors = len(GRAMMAR)
    count = torch.randint(1, max_anchors + 1, (num_graphs,), generator=generator)
    # The first `count` of a random permutation: anchors without repetition, all at once.
    order = torch.rand(num_graphs, anchors, generator=generator).argsort(1)
    anchor = order[torch.arange(anchors) < count[:, None]]
    shares, verbs = action_table()
    action = torch.multinomial(shares[anchor], 1, generator=generator)[:, 0]
    groups = anchor.numel()
    # Each role draws from its own row of the table; -1 is the anchor, which is given.
    slot = torch.stack(
        [
            torch.zeros_like(anchor),
            torch.full_like(anchor, -1),
            1 + anchor,
            1 + anchors + 2 * anchor + action,
        ],
        dim=1,
    )
    x = torch.multinomial(slot_table()[slot.clamp(min=0).flatten()], 1, generator=generator).view(
        groups, ROLES
    )
    x[:, 1] = anchor
    first = ROLES * (torch.arange(groups) - group_start(count))[:, None]
    ends = torch.tensor([[0, 1], [1, 2], [0, 3]])
    edge_index = (first[:, :, None] + ends).flatten(0, 1).t().contiguous()
    on, hold = grammar_vocabulary().predicate_id("on"), grammar_vocabulary().predicate_id("hold")
    verb = verbs[anchor, action]
    predicates = torch.stack([verb, torch.full_like(verb, on), torch.full_like(verb, hold)], 1)
    data = Data(
        x=x.flatten(), edge_index=edge_index, edge_attr=predicates.flatten(), slot=slot.flatten()
    )
    steps = torch.cat([count.new_zeros(1), count.cumsum(0)])
    nodes, edges = ROLES * steps, 3 * steps
    return data, {"x": nodes, "edge_index": edges, "edge_attr": edges, "slot": nodes}


def group_start(count: Tensor) -> Tensor:
    """For every anchor, the number of anchors in the scenes before its own."""
    return (count.cumsum(0) - count).repeat_interleave(count)
