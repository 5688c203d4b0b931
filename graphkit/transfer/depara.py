"""Which model, or which layer of it, to start from: similarity of attribution graphs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from graphkit.lopsided import watch_spreads
from graphkit.transfer.attribution import Target
from graphkit.transfer.attribution_graph import AttributionGraph
from graphkit.transfer.model_cosines import edge_vector, node_cosines, ranks, zero_maps
from graphkit.words import refuse_classes

__all__ = [
    "Ranked",
    "combine",
    "depara_similarity",
    "edge_similarity",
    "node_similarity",
    "rank_layers",
    "rank_models",
]

COMBINATIONS = ("sum", "ranks", "zscores")


@dataclass(frozen=True)
class Ranked:
    """A model or layer, with what it was ranked by.

    Args:
        name (str): Its name.
        score (float): What counts; larger is better.
        node (float): Similarity of the nodes.
        edge (float): Similarity of the edges.
    """

    name: str
    score: float
    node: float
    edge: float


def check_graph(name: str, value: Any) -> None:
    """Refuses what is no graph of attributions, with what to write."""
    if isinstance(value, Data):
        return
    hint = "; write AttributionGraph.build(model, probes)" if isinstance(value, nn.Module) else ""
    raise TypeError(f"'{name}' must be an AttributionGraph, got {type(value).__name__}{hint}")


def same_probes(a: AttributionGraph, b: AttributionGraph) -> None:
    """Refuses graphs over different numbers of probes."""
    check_graph("a", a)
    check_graph("b", b)
    if a.x.size(0) != b.x.size(0):
        raise ValueError(
            f"both graphs need the same probes, got {a.x.size(0)} and {b.x.size(0)} of them"
        )


def node_similarity(a: AttributionGraph, b: AttributionGraph) -> float:
    r"""How alike two models attribute, averaged over the probes, as in the `"DEPARA"
    <https://arxiv.org/abs/2003.07496>`_ paper.

    .. math::
        s_V(m, n) = \frac{1}{N} \sum_k \cos(a_{mk}, a_{nk})

    Args:
        a (AttributionGraph): A model's graph.
        b (AttributionGraph): Another's, over the same probes.

    Shapes:
        - **output:** a number in [-1, 1]

    Raises:
        ValueError: If the graphs do not fit.

    Example:
        >>> import torch
        >>> a = AttributionGraph(x=torch.eye(3))
        >>> node_similarity(a, AttributionGraph(x=-2 * torch.eye(3)))
        -1.0
    """
    same_probes(a, b)
    cosines, zero = node_cosines([a.x], [b.x])
    zero_maps(zero, ("a", "b"))
    return float(cosines[:, 0, 1].double().mean())


def edge_similarity(a: AttributionGraph, b: AttributionGraph) -> float:
    r"""How alike two models find the probes: Spearman's correlation of all edges, ties sharing
    their rank, as in the `"DEPARA" <https://arxiv.org/abs/2003.07496>`_ paper.

    .. math::
        s_E(m, n) = \rho(e_m, e_n)

    Args:
        a (AttributionGraph): A model's graph.
        b (AttributionGraph): Another's, over the same probes.

    Shapes:
        - **output:** a number in [-1, 1]; 0 where all edges of one are equal

    Raises:
        ValueError: If the graphs do not fit or have fewer than three probes.

    Example:
        >>> import torch
        >>> a = AttributionGraph(x=torch.eye(4), feature=torch.randn(4, 3))
        >>> round(edge_similarity(a, a), 4)
        1.0
    """
    same_probes(a, b)
    first, second = (ranks(edge_vector(graph.feature, centre=False)) for graph in (a, b))
    return float(first.double() @ second.double())


def depara_similarity(a: AttributionGraph, b: AttributionGraph, weight: float = 0.25) -> float:
    r"""Similarity of two attribution graphs from the `"DEPARA: Deep Attribution Graph for Deep
    Knowledge Transferability" <https://arxiv.org/abs/2003.07496>`_ paper.

    .. math::
        s = s_V + \lambda s_E

    Args:
        a (AttributionGraph): A model's graph.
        b (AttributionGraph): Another's, over the same probes.
        weight (float, optional): :math:`\lambda`; the paper's on Taskonomy's own probes.
            (default: :obj:`0.25`)

    Shapes:
        - **output:** a number

    Raises:
        ValueError: If the graphs do not fit.

    Example:
        >>> import torch
        >>> a = AttributionGraph(x=torch.eye(4), feature=torch.randn(4, 3))
        >>> round(depara_similarity(a, a, weight=0.5), 4)
        1.5
    """
    return node_similarity(a, b) + weight * edge_similarity(a, b)


def combine(node: Tensor, edge: Tensor, weight: float = 0.25, how: str = "sum") -> Tensor:
    r"""One score from both similarities of the candidates for each target.

    Args:
        node (torch.Tensor): :math:`s_V` of the candidates.
        edge (torch.Tensor): :math:`s_E` of the candidates.
        weight (float, optional): :math:`\lambda` of the sum. (default: :obj:`0.25`)
        how (str, optional): :obj:`"sum"` as in the paper; free of :math:`\lambda` are the sum of
            :obj:`"ranks"` and that of :obj:`"zscores"`, among the candidates of a target.
            (default: :obj:`"sum"`)

    Shapes:
        - **input:** similarities :math:`(*, M)`; NaN marks what is no candidate
        - **output:** :math:`(*, M)`
    """
    if how not in COMBINATIONS:
        raise ValueError(f"'how' must be one of {list(COMBINATIONS)}, got {how!r}")
    if how == "sum":
        return node + weight * edge
    standard = ranked if how == "ranks" else zscored
    return standard(node) + standard(edge)


def settled(weight: float | None, how: str | None) -> tuple[float, str]:
    """Weight and combination where they are not given: a weight is that of a sum."""
    if how is None:
        how = "zscores" if weight is None else "sum"
    return 0.25 if weight is None else weight, how


def ranked(values: Tensor) -> Tensor:
    """Average ranks along the last dimension, NaN left out."""
    from scipy.stats import rankdata

    return torch.from_numpy(rankdata(values.numpy(), axis=-1, nan_policy="omit"))


def zscored(values: Tensor) -> Tensor:
    """Standardised along the last dimension, NaN left out."""
    gap = values - values.nanmean(-1, keepdim=True)
    spread = gap.square().nanmean(-1, keepdim=True).sqrt()
    return gap / torch.where(spread > 0, spread, 1.0)


def rank_models(
    target: AttributionGraph,
    sources: Mapping[str, AttributionGraph],
    weight: float | None = None,
    how: str | None = None,
) -> list[Ranked]:
    r"""Orders pre-trained models by how well they should transfer, best first.

    The target itself is left out if it is among the sources: by identity, wherever it would
    rank.

    Nodes and edges count alike unless a weight is given: the paper's :math:`\lambda = 0.25` lets
    the nodes decide, which follow the truth less. Mean Spearman's correlation with measured
    transfer, by z-scores and by the paper's sum: .30 and .25 in a zoo of GNNs of one architecture,
    .29 and .20 in one of image networks, .20 and .16 in one of mixed GNNs; all three were known
    when z-scores were chosen, so none of them confirms the choice. What is lost by the first
    choice is not told apart (.011 and .014, .036 and .036, .065 and .046 of accuracy).
    ``python -m benchmarks run "depara-*-zoo"`` has all of these.

    Args:
        target (AttributionGraph): Graph of a model of the target task.
        sources (dict): Graphs of the candidates by name, over the same probes.
        weight (float, optional): :math:`\lambda` of the sum. (default: :obj:`0.25`)
        how (str, optional): As in :func:`combine`. (default: :obj:`"zscores"`, and
            :obj:`"sum"` where a weight is given)

    Shapes:
        - **output:** a list of :class:`Ranked`

    Raises:
        ValueError: If there is no candidate or graphs do not fit.
        TypeError: If something else than graphs is given, such as models.

    Warns:
        LopsidedWarning: If a weight is given and one of the similarities varies over ten times as
            much as the other, weighted, so that it alone gives the order.

    Example:
        >>> import torch
        >>> def graph(): return AttributionGraph(x=torch.randn(4, 9), feature=torch.randn(4, 3))
        >>> near, far = graph(), graph()
        >>> target = AttributionGraph(x=near.x + 0.1, feature=near.feature)
        >>> rank_models(target, {"far": far, "near": near, "self": target})[0].name
        'near'
    """
    check_graph("target", target)
    if not isinstance(sources, Mapping):
        raise TypeError(
            f"'sources' must be a dictionary, got {type(sources).__name__}; write "
            "{'name': AttributionGraph.build(model, probes), …}"
        )
    for name, graph in sources.items():
        check_graph(f"sources[{name!r}]", graph)
    return in_order(target, sources, weight, how, watched=True)


def in_order(
    target: AttributionGraph,
    sources: Mapping[str, AttributionGraph],
    weight: float | None,
    how: str | None,
    watched: bool = False,
) -> list[Ranked]:
    """The candidates in order; watched, it warns where one similarity alone gives it."""
    names = [name for name, graph in sources.items() if graph is not target]
    if not names:
        raise ValueError("'sources' holds no candidate")
    node = torch.tensor([node_similarity(target, sources[name]) for name in names])
    edge = torch.tensor([edge_similarity(target, sources[name]) for name in names])
    weight, how = settled(weight, how)
    if watched and how == "sum":
        watch_spreads(
            node,
            weight * edge,
            ("similarities of nodes", f"those of edges at weight {weight:g}"),
            "leave out 'weight', or take how='zscores' or how='ranks'",
        )
    score = combine(node, edge, weight, how)
    order = score.argsort(descending=True, stable=True).tolist()
    return [Ranked(names[i], float(score[i]), float(node[i]), float(edge[i])) for i in order]


def rank_layers(
    source: nn.Module,
    layers: Sequence[str],
    target: nn.Module,
    target_layer: str | None,
    probes: Tensor,
    method: str = "input_x_gradient",
    *,
    weight: float = 1.0,
    how: str = "sum",
    goal: Target = "sum",
    **settings: Any,
) -> list[Ranked]:
    r"""Orders layers of a source model by how alike they are to the last layer of a model of the
    target task, on samples of the target's domain.

    As in the paper, attributions are averaged over channels by their size, and features are not
    centred. Every layer is attributed anew, so its row does not depend on the others.

    Args:
        source (torch.nn.Module): The pre-trained model.
        layers (list): Names of its layers.
        target (torch.nn.Module): A model of the target task.
        target_layer (str, optional): Its last layer of features. (default: its output)
        probes (torch.Tensor): Samples of the target's domain, without labels.
        method (str, optional): As in :func:`~graphkit.transfer.attribute`.
            (default: :obj:`"input_x_gradient"`)
        weight (float, optional): :math:`\lambda`. (default: :obj:`1.0`)
        how (str, optional): As in :func:`combine`. (default: :obj:`"sum"`)
        goal (optional): ``target`` of :func:`~graphkit.transfer.attribute`.
            (default: :obj:`"sum"`)
        **settings (optional): Further arguments of :meth:`AttributionGraph.build`.

    Shapes:
        - **input:** probes :math:`(N, *)`
        - **output:** a list of :class:`Ranked`

    Raises:
        ValueError: If there is no layer, or a layer is unknown.

    Example:
        >>> import torch
        >>> from torch.nn import Linear, ReLU, Sequential
        >>> _ = torch.manual_seed(0)
        >>> source, target = (Sequential(Linear(6, 6), ReLU(), Linear(6, 6)) for _ in range(2))
        >>> [row.name for row in rank_layers(source, ["2"], target, None, torch.randn(8, 6))]
        ['2']
    """
    refuse_classes(source=source, target=target)
    if isinstance(layers, str):
        raise TypeError(f"'layers' is one name; write [{layers!r}]")
    shared: dict[str, Any] = {"channels": "absolute", "centre": False, **settings, "neighbors": 0}
    goal_graph = AttributionGraph.build(
        target, probes, method, layer=target_layer, target=goal, **shared
    )
    graphs = {
        layer: AttributionGraph.build(source, probes, method, layer=layer, target=goal, **shared)
        for layer in layers
    }
    return in_order(goal_graph, graphs, weight, how)
