"""Scene graphs that tests share: ordinary, empty, alone, without triples."""

from __future__ import annotations

import torch
from torch_geometric.data import Data

from graphkit.datasets import SceneBatch, SyntheticScenes
from graphkit.nn import SceneGraphEnricher

OBJECTS, PREDICATES = 28, 13
SMALL = {"hidden_channels": 16, "triple_channels": 24, "num_layers": 2}


def scene(x: list[int], triples: list[tuple[int, int, int]]) -> Data:
    """A scene graph of ``(subject, predicate, object)`` numbers."""
    table = torch.tensor(triples, dtype=torch.long).view(-1, 3)
    return Data(
        x=torch.tensor(x, dtype=torch.long),
        edge_index=table[:, [0, 2]].t().contiguous(),
        edge_attr=table[:, 1].contiguous(),
        num_nodes=len(x),
    )


def some_scenes() -> list[Data]:
    """Grammar scenes with an empty one, a lone object, and objects without triples between."""
    drawn = list(SyntheticScenes(num_graphs=4))
    odd = [scene([], []), scene([5], []), scene([3, 3, 7], []), scene([1, 2], [(0, 0, 0)])]
    return [*drawn[:2], *odd, *drawn[2:]]


def union() -> SceneBatch:
    """All of them in one batch."""
    return SceneBatch.from_data(some_scenes())


def enricher(**options: object) -> SceneGraphEnricher:
    """A small model in float64 and evaluation mode."""
    torch.manual_seed(0)
    settings: dict = {**SMALL, "noise_channels": 4, **options}
    return SceneGraphEnricher(OBJECTS, PREDICATES, **settings).double().eval()
