"""The distance between two sets of scene graphs by the Weisfeiler-Lehman kernel."""

from __future__ import annotations

import torch
from torch import Tensor

from graphkit.data.scene_batch import SceneBatch

__all__ = ["wl_features", "wl_mmd"]

GOLDEN = -7046029254386353131
MIX = (-4658895280553007687, -7723592293110705685)


def wl_mmd(real: SceneBatch, fake: SceneBatch, iterations: int = 2) -> float:
    r"""The squared maximum mean discrepancy of two sets of scene graphs under the normalised
    kernel of the `"Weisfeiler-Lehman Graph Kernels"
    <https://jmlr.org/papers/v12/shervashidze11a.html>`_ paper.

    .. math::
        \mathrm{MMD}^2 = \frac{1}{n (n - 1)} \sum_{i \ne j} k(x_i, x_j) +
        \frac{1}{m (m - 1)} \sum_{i \ne j} k(y_i, y_j) - \frac{2}{n m} \sum_{i, j} k(x_i, y_j),
        \qquad k(x, y) = \frac{\langle \phi(x), \phi(y) \rangle}{\|\phi(x)\| \|\phi(y)\|}

    The estimate is unbiased and may be negative; it is 0 on average for sets of the same
    distribution.  Graphs without objects have :math:`k = 0`.  No kernel matrix is made: time and
    memory grow with the number of objects and triples.

    Args:
        real, fake (SceneBatch): The two sets.
        iterations (int, optional): How far labels look. (default: :obj:`2`)

    Shapes:
        - **input:** :math:`n` and :math:`m` scene graphs
        - **output:** a number

    Raises:
        ValueError: If a set has fewer than two graphs or :obj:`iterations` is negative.

    Example:
        >>> from graphkit.datasets import SceneBatch, SyntheticScenes
        >>> from graphkit.metrics import wl_mmd
        >>> one, two = (SceneBatch.from_data(list(SyntheticScenes(500, seed=s))) for s in (0, 1))
        >>> abs(wl_mmd(one, two)) < 0.01
        True
    """
    if min(real.num_graphs, fake.num_graphs) < 2:
        raise ValueError(
            f"each set needs two graphs or more, got {real.num_graphs} and {fake.num_graphs}"
        )
    rows, labels, counts = features_of([real, fake], iterations)
    split = real.num_graphs
    graphs = split + fake.num_graphs
    norm = counts.new_zeros(graphs).index_add(0, rows, counts.square()).sqrt()
    value = counts / norm[rows]
    width = int(labels.max()) + 1 if labels.numel() else 1
    sums, within = [], []
    for part, size in ((rows < split, split), (rows >= split, graphs - split)):
        total = counts.new_zeros(width).index_add(0, labels[part], value[part])
        same = value[part].square().sum()
        sums.append(total / size)
        within.append((total.square().sum() - same) / (size * (size - 1)))
    return float(within[0] + within[1] - 2 * sums[0] @ sums[1])


def wl_features(scenes: SceneBatch, iterations: int = 2) -> Tensor:
    r"""How often each Weisfeiler-Lehman label occurs in each graph, :math:`\phi`.

    A label holds the category of an object; from step to step it takes in the labels of its
    neighbours, with predicate and direction.

    Args:
        scenes (SceneBatch): The graphs.
        iterations (int, optional): How far labels look. (default: :obj:`2`)

    Shapes:
        - **input:** :math:`B` scene graphs
        - **output:** sparse :math:`(B, L)`

    Example:
        >>> from graphkit.datasets import SceneBatch, SyntheticScenes
        >>> scenes = SceneBatch.from_data(list(SyntheticScenes(3)))
        >>> int(wl_features(scenes, 0).to_dense().sum()) == scenes.num_nodes
        True
    """
    rows, labels, counts = features_of([scenes], iterations)
    width = int(labels.max()) + 1 if labels.numel() else 1
    return torch.sparse_coo_tensor(
        torch.stack([rows, labels]), counts, (scenes.num_graphs, width), check_invariants=False
    ).coalesce()


def features_of(sets: list[SceneBatch], iterations: int) -> tuple[Tensor, Tensor, Tensor]:
    """Graphs, labels and counts of all sets behind one another."""
    if iterations < 0:
        raise ValueError(f"'iterations' must not be negative, got {iterations}")
    labels_by_step, graphs, shift = [], [], 0
    for scenes in sets:
        label = mix(scenes.x)
        for step in range(iterations + 1):
            labels_by_step.append(mix(label + step))
            graphs.append(scenes.batch + shift)
            label = refine(label, scenes)
        shift += scenes.num_graphs
    _, number = torch.cat(labels_by_step).unique(return_inverse=True)
    pairs = torch.stack([torch.cat(graphs), number])
    unique, counts = pairs.unique(dim=1, return_counts=True)
    return unique[0], unique[1], counts.double()


def refine(label: Tensor, scenes: SceneBatch) -> Tensor:
    """The next label of each object: its own, and the multiset of its neighbours'."""
    subject, object_ = scenes.edge_index
    predicate = mix(scenes.edge_attr + GOLDEN)
    heard = torch.zeros_like(label)
    heard.index_add_(0, object_, mix(label[subject] ^ mix(predicate)))
    heard.index_add_(0, subject, mix(label[object_] + mix(predicate + 1)))
    return mix(3 * label + mix(heard))


def mix(value: Tensor) -> Tensor:
    """Scatters 64-bit numbers over all others (splitmix64), so that sums of them stand for sets."""
    value = value + GOLDEN
    for shift, factor in ((30, MIX[0]), (27, MIX[1])):
        value = (value ^ ((value >> shift) & ((1 << (64 - shift)) - 1))) * factor
    return value ^ ((value >> 31) & ((1 << 33) - 1))
