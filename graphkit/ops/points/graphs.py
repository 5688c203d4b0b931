"""``knn``, ``radius`` and their graphs under PyG's signatures, without compiled packages."""

from __future__ import annotations

import torch
from torch import Tensor

from graphkit.ops.points.searching import check_flow, check_radius, graph, search, whole

__all__ = ["knn", "knn_graph", "radius", "radius_graph"]


def knn(
    x: Tensor,
    y: Tensor,
    k: int,
    batch_x: Tensor | None = None,
    batch_y: Tensor | None = None,
    cosine: bool = False,
    num_workers: int = 1,
    batch_size: int | None = None,
    backend: str | None = None,
) -> Tensor:
    r"""For each point of ``y`` the :math:`k` nearest points of ``x`` in the same set, as
    :func:`torch_geometric.nn.knn` does.

    .. math::
        \mathcal{E} = \{(i, j) : j \in \operatorname{arg\,min}^k_j \lVert y_i - x_j \rVert_2\}

    Exactness, order, ties, cost and ``backend`` are those of :func:`knn_graph`.

    Args:
        x (torch.Tensor): Points that are searched.
        y (torch.Tensor): Points whose neighbours are sought.
        k (int): Neighbours per point; sets with fewer points give what they have.
        batch_x (torch.Tensor, optional): The set of each point of ``x``, in any order.
            (default: one set)
        batch_y (torch.Tensor, optional): The same for ``y``. (default: one set)
        cosine (bool, optional): Compares angles. (default: :obj:`False`)
        num_workers (int, optional): Threads of the kd-tree; other searches use PyTorch's.
            (default: :obj:`1`)
        batch_size (int, optional): Number of sets. (default: found out)
        backend (str, optional): See :func:`knn_graph`. (default: :obj:`None`)

    Shapes:
        - **input:** points :math:`(N, D)` or :math:`(N)`, and :math:`(M, D)` or :math:`(M)`;
          sets :math:`(N)` and :math:`(M)`
        - **output:** :math:`(2, E)`: row 0 numbers ``y``, row 1 numbers ``x``

    Raises:
        ImportError: If the package behind a ``backend`` is missing.
        ValueError: If shapes or options do not fit, or values are not finite.

    Example:
        >>> import torch
        >>> knn(torch.tensor([[0.0], [1.0], [5.0]]), torch.tensor([[4.0]]), 2)
        tensor([[0, 0],
                [2, 1]])
    """
    count = whole(k, "k")
    if backend == "pyg-lib":
        from torch_geometric.nn import knn as compiled

        return compiled(x, y, k, batch_x, batch_y, cosine, num_workers, batch_size)
    sets = batch_x, batch_y
    return search(x, y, sets, count, torch.inf, False, cosine, num_workers, batch_size, backend)


def knn_graph(
    x: Tensor,
    k: int,
    batch: Tensor | None = None,
    loop: bool = False,
    flow: str = "source_to_target",
    cosine: bool = False,
    num_workers: int = 1,
    batch_size: int | None = None,
    backend: str | None = None,
) -> Tensor:
    r"""Edges from the :math:`k` nearest points of its set to every point, as
    :func:`torch_geometric.nn.knn_graph` makes them, without pyg-lib.

    .. math::
        \mathcal{E} = \{(j, i) : j \in \operatorname{arg\,min}^k_j \lVert x_j - x_i \rVert_2\}

    Edges are sorted by the point whose neighbours they are, nearest first; of equally near ones
    the lower number comes first and is taken first. Distances are compared as sums of squared
    differences in double precision, whatever the type of ``x``: neither large offsets nor half
    precision blur them, and equal points are equally near. Up to ten coordinates are searched by
    a kd-tree in :math:`\mathcal{O}(N \log N)`, more by all distances in
    :math:`\mathcal{O}(N^2 D)`, block by block: memory is :math:`\mathcal{O}(N (D + k))` in both.
    The result is the same from both, at every run. No gradient flows.

    Two differences to PyG: a point is never its own neighbour without ``loop``, also among equal
    points (PyG may take an equal point away in its place), and always the first with ``loop``;
    ``batch`` may be in any order.

    Args:
        x (torch.Tensor): Points.
        k (int): Neighbours per point, itself among them with ``loop``; sets with fewer points
            give what they have.
        batch (torch.Tensor, optional): The set of each point. (default: one set)
        loop (bool, optional): Adds self loops. (default: :obj:`False`)
        flow (str, optional): ``"source_to_target"``: neighbours in row 0, or
            ``"target_to_source"``: in row 1. (default: ``"source_to_target"``)
        cosine (bool, optional): Compares angles; a row of zeros is as far from everything as a
            right angle, as in scikit-learn. (default: :obj:`False`)
        num_workers (int, optional): Threads of the kd-tree; other searches use PyTorch's.
            (default: :obj:`1`)
        batch_size (int, optional): Number of sets. (default: found out)
        backend (str, optional): ``"tree"``, ``"exhaustive"``; ``"approximate"``: pynndescent,
            which finds most of the neighbours, for many points with many coordinates;
            ``"pyg-lib"``: PyG's own, with its ties. (default: the first or second, by the number
            of coordinates)

    Shapes:
        - **input:** points :math:`(N, D)` or :math:`(N)`, sets :math:`(N)`
        - **output:** :math:`(2, E)`, :math:`E \le N k`

    Raises:
        ImportError: If the package behind a ``backend`` is missing.
        ValueError: If shapes or options do not fit, or values are not finite.

    Example:
        >>> import torch
        >>> knn_graph(torch.tensor([[0.0], [1.0], [5.0]]), 1)
        tensor([[1, 0, 1],
                [0, 1, 2]])
    """
    count = whole(k, "k")
    check_flow(flow)
    if backend == "pyg-lib":
        from torch_geometric.nn import knn_graph as compiled

        return compiled(x, k, batch, loop, flow, cosine, num_workers, batch_size)
    edges = graph(x, batch, loop, count, torch.inf, cosine, num_workers, batch_size, backend)
    return edges.flip(0) if flow == "source_to_target" else edges


def radius(
    x: Tensor,
    y: Tensor,
    r: float,
    batch_x: Tensor | None = None,
    batch_y: Tensor | None = None,
    max_num_neighbors: int | None = 32,
    num_workers: int = 1,
    batch_size: int | None = None,
    backend: str | None = None,
) -> Tensor:
    r"""For each point of ``y`` the points of ``x`` in the same set that are at most ``r`` away, as
    :func:`torch_geometric.nn.radius` does.

    .. math::
        \mathcal{E} = \{(i, j) : \lVert y_i - x_j \rVert_2 \le r\}

    Exactness, order, cost and what ``max_num_neighbors`` leaves out are those of
    :func:`radius_graph`.

    Args:
        x (torch.Tensor): Points that are searched.
        y (torch.Tensor): Points whose neighbours are sought.
        r (float): The distance.
        batch_x (torch.Tensor, optional): The set of each point of ``x``, in any order.
            (default: one set)
        batch_y (torch.Tensor, optional): The same for ``y``. (default: one set)
        max_num_neighbors (int, optional): Most neighbours of a point. (default: :obj:`32`)
        num_workers (int, optional): Threads of the kd-tree; other searches use PyTorch's.
            (default: :obj:`1`)
        batch_size (int, optional): Number of sets. (default: found out)
        backend (str, optional): ``"tree"``, ``"exhaustive"`` or ``"pyg-lib"``.
            (default: the first or second, by the number of coordinates)

    Shapes:
        - **input:** points :math:`(N, D)` or :math:`(N)`, and :math:`(M, D)` or :math:`(M)`;
          sets :math:`(N)` and :math:`(M)`
        - **output:** :math:`(2, E)`: row 0 numbers ``y``, row 1 numbers ``x``

    Raises:
        ImportError: If ``backend`` is ``"pyg-lib"`` and that is missing.
        ValueError: If shapes or options do not fit, or values are not finite.

    Example:
        >>> import torch
        >>> radius(torch.tensor([[0.0], [1.0], [5.0]]), torch.tensor([[0.5], [9.0]]), 1.0)
        tensor([[0, 0],
                [0, 1]])
    """
    distance, count = check_radius(r, max_num_neighbors, backend)
    if backend == "pyg-lib":
        from torch_geometric.nn import radius as compiled

        return compiled(x, y, r, batch_x, batch_y, max_num_neighbors, num_workers, batch_size)
    sets = batch_x, batch_y
    return search(x, y, sets, count, distance, False, False, num_workers, batch_size, backend)


def radius_graph(
    x: Tensor,
    r: float,
    batch: Tensor | None = None,
    loop: bool = False,
    max_num_neighbors: int | None = 32,
    flow: str = "source_to_target",
    num_workers: int = 1,
    batch_size: int | None = None,
    backend: str | None = None,
) -> Tensor:
    r"""Edges between all points of a set that are at most ``r`` apart, as
    :func:`torch_geometric.nn.radius_graph` makes them, without pyg-lib.

    .. math::
        \mathcal{E} = \{(j, i) : \lVert x_j - x_i \rVert_2 \le r\}

    Order, ties, precision and cost are those of :func:`knn_graph`. Where a point has more than
    ``max_num_neighbors`` the nearest ones are taken; PyG takes any.

    Args:
        x (torch.Tensor): Points.
        r (float): The distance.
        batch (torch.Tensor, optional): The set of each point, in any order. (default: one set)
        loop (bool, optional): Adds self loops. (default: :obj:`False`)
        max_num_neighbors (int, optional): Most neighbours of a point, itself among them with
            ``loop``; :obj:`None` for all, in memory that grows with their number.
            (default: :obj:`32`)
        flow (str, optional): ``"source_to_target"``: neighbours in row 0, or
            ``"target_to_source"``: in row 1. (default: ``"source_to_target"``)
        num_workers (int, optional): Threads of the kd-tree; other searches use PyTorch's.
            (default: :obj:`1`)
        batch_size (int, optional): Number of sets. (default: found out)
        backend (str, optional): ``"tree"``, ``"exhaustive"`` or ``"pyg-lib"``.
            (default: the first or second, by the number of coordinates)

    Shapes:
        - **input:** points :math:`(N, D)` or :math:`(N)`, sets :math:`(N)`
        - **output:** :math:`(2, E)`

    Raises:
        ImportError: If ``backend`` is ``"pyg-lib"`` and that is missing.
        ValueError: If shapes or options do not fit, or values are not finite.

    Example:
        >>> import torch
        >>> radius_graph(torch.tensor([[0.0], [1.0], [5.0]]), 1.0)
        tensor([[1, 0],
                [0, 1]])
    """
    distance, count = check_radius(r, max_num_neighbors, backend)
    check_flow(flow)
    if backend == "pyg-lib":
        from torch_geometric.nn import radius_graph as compiled

        return compiled(x, r, batch, loop, max_num_neighbors, flow, num_workers, batch_size)
    edges = graph(x, batch, loop, count, distance, False, num_workers, batch_size, backend)
    return edges.flip(0) if flow == "source_to_target" else edges
