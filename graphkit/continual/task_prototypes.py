"""Which task a graph belongs to, told by its smoothed features alone."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch_geometric.utils import add_remaining_self_loops

from graphkit import ops
from graphkit.catalog import method

CARD: dict[str, Any] = {
    "paper": "arXiv:2410.10341",
    "title": "Replay-and-Forget-Free Graph Class-Incremental Learning: "
    "A Task Profiling and Prompting Approach",
    "authors": "Chaoxi Niu, Guansong Pang, Ling Chen, Bing Liu",
    "venue": "NeurIPS 2024",
    "year": 2024,
    "code": "https://github.com/mala-lab/TPP",
    "licence": "none",
}


@method(
    takes="the graph of each task, and which of its nodes are trained on",
    gives="which task a graph, or a node, belongs to",
    deviations=[
        "isolated nodes keep their own features; the released program ties each to a random node",
        "nodes can be asked one by one, too, which the paper does not do",
    ],
    verified_by="tests/continual/test_task_prototypes.py",
    limits=[
        "test nodes that come one by one, or from several tasks in one graph: the paper's 100 % "
        "is for all test nodes of one task at once",
    ],
    **CARD,
)
class TaskPrototypes:
    r"""Task profiling from the `"Replay-and-Forget-Free Graph Class-Incremental Learning: A Task
    Profiling and Prompting Approach" <https://arxiv.org/abs/2410.10341>`_ paper.

    A task is remembered by one vector, the mean of its training nodes' features after :math:`s`
    steps of Laplacian smoothing; a graph belongs to the task whose vector is nearest to its own:

    .. math::
        \mathbf{Z} = \left( \hat{\mathbf{D}}^{-1/2} \hat{\mathbf{A}}
        \hat{\mathbf{D}}^{-1/2} \right)^{s} \mathbf{X}, \qquad
        \mathbf{p} = \frac{1}{|\mathcal{V}|} \sum_{i \in \mathcal{V}}
        \hat{d}_i^{-1/2} \, \mathbf{z}_i, \qquad
        \hat{t} = \operatorname*{arg\,min}_t \lVert \mathbf{p}_t - \mathbf{p} \rVert_2

    with :math:`\hat{\mathbf{A}} = \mathbf{A} + \mathbf{I}`.  Nothing is learned: the vectors of
    old tasks never change.  Time grows with :math:`s |\mathcal{E}| F`, memory with :math:`F` per
    task.

    The answer is *one for all nodes that are asked about*: whoever asks must know that they are of
    the same task.  :meth:`predict_nodes` asks for each node alone, and is right less often.

    Args:
        steps (int, optional): :math:`s`. (default: :obj:`3`)

    Shapes:
        - **input:** features :math:`(N, F)`, edges :math:`(2, |\mathcal{E}|)`, rows :math:`(n)`
          or a mask :math:`(N)`
        - **output:** a number from 0, or :math:`(N)` of them

    Raises:
        ValueError: If ``steps`` is negative, features are not finite or of another width than
            before, no node is asked about, or no task was added yet.
        IndexError: If a row is not there.

    Example:
        >>> import torch
        >>> from graphkit.continual import TaskPrototypes
        >>> ring = torch.tensor([[0, 1, 2], [1, 2, 0]])
        >>> profiles = TaskPrototypes()
        >>> profiles.add(torch.zeros(3, 2), ring), profiles.add(torch.ones(3, 2), ring)
        (0, 1)
        >>> profiles.predict(torch.full((3, 2), 0.8), ring)
        1
    """

    def __init__(self, steps: int = 3) -> None:
        if steps < 0:
            raise ValueError(f"'steps' must be at least 0, got {steps}")
        self.steps = steps
        self.prototypes: Tensor | None = None

    def __len__(self) -> int:
        return 0 if self.prototypes is None else len(self.prototypes)

    def profile(self, x: Tensor, edge_index: Tensor) -> Tensor:
        """Smoothed features over the root of the degree, ``[N, F]``: what prototypes average."""
        if not isinstance(x, Tensor) or x.layout != torch.strided or x.dim() != 2:
            shape = f"{x.layout} {list(x.shape)}" if isinstance(x, Tensor) else type(x).__name__
            raise ValueError(f"'x' must be dense features [N, F], got {shape}")
        if not bool(torch.isfinite(x).all()):
            raise ValueError("'x' holds values that are not finite")
        if self.prototypes is not None and x.size(1) != self.prototypes.size(1):
            raise ValueError(
                f"'x' has {x.size(1)} features, those of earlier tasks {self.prototypes.size(1)}"
            )
        edges, _ = add_remaining_self_loops(edge_index, num_nodes=x.size(0))
        # The op counts, and so checks, edges; every node has at least its own.
        root = ops.spmm(edges, None, x.new_ones(x.size(0), 1)).rsqrt()
        weight = root[edges[0], 0] * root[edges[1], 0]
        for _ in range(self.steps):
            x = ops.spmm(edges, weight, x)
        return x * root

    def prototype(self, x: Tensor, edge_index: Tensor, rows: Tensor | None = None) -> Tensor:
        """The mean profile of some nodes, or of all, ``[F]``."""
        profile = self.profile(x, edge_index)
        profile = profile if rows is None else profile[rows]
        if len(profile) == 0:
            raise ValueError("'rows' names no node" if rows is not None else "'x' holds no node")
        return profile.mean(dim=0)

    def add(self, x: Tensor, edge_index: Tensor, rows: Tensor | None = None) -> int:
        """Remembers a task by its training nodes; gives its number."""
        with torch.no_grad():
            new = self.prototype(x, edge_index, rows).view(1, -1)
        known = self.prototypes
        self.prototypes = new if known is None else torch.cat([known.to(new), new])
        return len(self) - 1

    def nearest(self, profile: Tensor) -> Tensor:
        """The number of the nearest prototype of every row."""
        if self.prototypes is None:
            raise ValueError("no task was added yet; call add(...) first")
        # The plain difference: the short cut over dot products loses what tells tasks apart.
        known = self.prototypes.to(profile)
        return torch.cdist(profile, known, compute_mode="donot_use_mm_for_euclid_dist").argmin(
            dim=1
        )

    @torch.no_grad()
    def predict(self, x: Tensor, edge_index: Tensor, rows: Tensor | None = None) -> int:
        """The task of some nodes that are all of one task, or of a whole graph."""
        return int(self.nearest(self.prototype(x, edge_index, rows).view(1, -1)))

    @torch.no_grad()
    def predict_nodes(self, x: Tensor, edge_index: Tensor) -> Tensor:
        """The task of every node alone, ``[N]``."""
        return self.nearest(self.profile(x, edge_index))

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs."""
        known = self.prototypes
        return {"steps": self.steps, "prototypes": None if known is None else known.clone()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes back what :meth:`state_dict` gave."""
        if state["steps"] != self.steps:
            raise ValueError(f"'state' is of steps={state['steps']}, this has steps={self.steps}")
        known = state["prototypes"]
        self.prototypes = None if known is None else known.clone()

    def __repr__(self) -> str:
        return f"{type(self).__name__}(steps={self.steps}, tasks={len(self)})"
