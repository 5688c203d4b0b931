"""Graph prompts on a frozen network, one per task: nothing is replayed and nothing forgotten."""

from __future__ import annotations

import re
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.utils import dropout_edge

from graphkit.catalog import method
from graphkit.continual.task_prototypes import CARD, TaskPrototypes
from graphkit.precision import normalize, wide
from graphkit.refusals import refuse_fraction
from graphkit.words import refuse_class


class GraphPrompt(nn.Module):
    r"""Learned tokens that every node adds to its features, each in its own mixture.

    .. math::
        \mathbf{x}_i' = \mathbf{x}_i + \sum_{j=1}^{k}
        \operatorname{softmax}_j(\mathbf{w}_j^{\top} \mathbf{x}_i + b_j) \, \mathbf{t}_j

    Args:
        channels (int): Width of the features.
        tokens (int): :math:`k`.
    """

    def __init__(self, channels: int, tokens: int) -> None:
        super().__init__()
        self.tokens = nn.Parameter(torch.empty(tokens, channels))
        self.choose = nn.Linear(channels, tokens)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws the tokens and their weights anew."""
        nn.init.xavier_uniform_(self.tokens)
        self.choose.reset_parameters()

    def forward(self, x: Tensor) -> Tensor:
        return x + self.choose(x).softmax(dim=1) @ self.tokens


@method(
    takes="a graph network, the graph of each task",
    gives="class scores of a task that it finds out itself; old tasks stay as they were, exactly",
    deviations=[
        "contrastive pre-training compares a random part of the nodes in every step",
        "isolated nodes are tied to no random node, neither for prototypes nor for scores",
        "prototypes and prompts take any network for nodes, not only SGC",
    ],
    verified_by="tests/continual/test_tpp.py",
    limits=[
        "test nodes that come one by one, or from several tasks in one graph",
        "tasks with the same nodes: their prototypes are the same",
    ],
    **CARD,
)
class TPP(nn.Module):
    r"""Task profiling and prompting from the `"Replay-and-Forget-Free Graph Class-Incremental
    Learning: A Task Profiling and Prompting Approach" <https://arxiv.org/abs/2410.10341>`_ paper.

    A network :math:`f` is trained once, without labels, on the graph of the first task, and frozen.
    Each task then learns a prompt, tokens that are added to the features, and a classifier:

    .. math::
        \hat{\mathbf{Y}} = \mathbf{W}_t \, f \bigl( \mathbf{X} + \operatorname{softmax}(
        \mathbf{X} \mathbf{U}_t + \mathbf{b}_t) \, \mathbf{P}_t, \; \mathbf{A} \bigr), \qquad
        t = \text{the nearest of the } \texttt{TaskPrototypes}

    (the first task has no prompt: the network has seen its graph).  The task is found by
    :class:`~graphkit.continual.TaskPrototypes`, for all nodes that are asked about at once.
    Scores of other tasks' classes are :math:`-\infty`, so an ordinary cross entropy over all
    columns is that over the task's own.  Nothing that belongs to an old task is touched again.

    A step costs what one of :math:`f` costs, with a gradient that reaches the features; memory
    grows by :math:`2 k F + C_t H` numbers a task.

    The loop is anybody's: pre-train by :meth:`contrast`, then for each task :meth:`add_task` and a
    cross entropy of ``tpp(x, edge_index, task=t)``.

    Args:
        model (torch.nn.Module): :math:`f`, any network ``(x, edge_index) -> [N, hidden_channels]``.
        in_channels (int): Width of the features.
        hidden_channels (int): Width of what the network gives.
        prompts (int, optional): Tokens :math:`k` of a task. (default: :obj:`3`)
        steps (int, optional): Steps of smoothing behind a prototype. (default: :obj:`3`)
        temperature (float, optional): That of the contrast. (default: :obj:`0.5`)
        drop_edge (float, optional): Share of edges that a view loses. (default: :obj:`0.2`)
        drop_feature (float, optional): Share of features that a view loses. (default: :obj:`0.2`)
        samples (int, optional): Nodes that are compared in a step. (default: :obj:`512`)

    Shapes:
        - **input:** features :math:`(N, F)`, edges :math:`(2, |\mathcal{E}|)`
        - **output:** scores :math:`(N, C_1 + \dots + C_T)` over the classes of all tasks so far

    Raises:
        TypeError: If ``model`` is no module, or ``classes`` no whole number.
        ValueError: If an option is out of range, there is no task yet, the task is not there, or
            :meth:`contrast` is called after the network was frozen.

    Example:
        >>> import torch
        >>> from torch_geometric.nn import GCN
        >>> from graphkit.continual import TPP
        >>> x, ring = torch.rand(3, 4), torch.tensor([[0, 1, 2], [1, 2, 0]])
        >>> tpp = TPP(GCN(4, 8, num_layers=2), 4, 8)
        >>> tpp.contrast(x, ring).backward()
        >>> tpp.add_task(x, ring, classes=2), tpp.add_task(x + 1, ring, classes=2)
        (0, 1)
        >>> tpp.eval()(x + 1, ring).isfinite()[0]
        tensor([False, False,  True,  True])
    """

    def __init__(
        self,
        model: nn.Module,
        in_channels: int,
        hidden_channels: int,
        prompts: int = 3,
        steps: int = 3,
        temperature: float = 0.5,
        drop_edge: float = 0.2,
        drop_feature: float = 0.2,
        samples: int = 512,
    ) -> None:
        super().__init__()
        refuse_class("model", model)
        if not isinstance(model, nn.Module):
            raise TypeError(f"'model' must be a torch.nn.Module, got {type(model).__name__}")
        least = {"in_channels": in_channels, "hidden_channels": hidden_channels, "prompts": prompts}
        for name, value in {**least, "samples": samples - 1}.items():
            if value < 1:
                raise ValueError(f"'{name}' is too small: {value + (name == 'samples')}")
        if not 0 < temperature < float("inf"):
            raise ValueError(f"'temperature' must be positive and finite, got {temperature}")
        for name, share in (("drop_edge", drop_edge), ("drop_feature", drop_feature)):
            if not 0 <= share < 1:
                raise ValueError(f"'{name}' must be at least 0 and below 1, got {share}")
        self.model, self.profiles = model, TaskPrototypes(steps)
        self.in_channels, self.hidden_channels, self.prompts = in_channels, hidden_channels, prompts
        self.temperature, self.samples = temperature, samples
        self.drop_edge, self.drop_feature = drop_edge, drop_feature
        self.project = nn.Sequential(
            nn.Linear(hidden_channels, 2 * hidden_channels),
            nn.ELU(),
            nn.Linear(2 * hidden_channels, hidden_channels),
        )
        self.prompt, self.head = nn.ModuleList(), nn.ModuleList()
        self.register_load_state_dict_pre_hook(make_room)

    @property
    def tasks(self) -> int:
        """How many tasks there are."""
        return len(self.head)

    @property
    def classes(self) -> list[int]:
        """How many classes each task has."""
        return [head.out_features for head in self.head]  # type: ignore[misc]

    def contrast(self, x: Tensor, edge_index: Tensor) -> Tensor:
        """The loss that trains the network without labels: two views of a node resemble each other
        more than any two nodes, as in `GRACE <https://arxiv.org/abs/2006.04131>`_."""
        if self.tasks:
            raise ValueError("the network is frozen: contrast(...) comes before the first task")
        one, two = (self.view(x, edge_index) for _ in range(2))
        chosen = torch.randperm(x.size(0), device=x.device)[: self.samples]
        one, two = one[chosen], two[chosen]
        return (self.one_way(one, two) + self.one_way(two, one)) / 2

    def view(self, x: Tensor, edge_index: Tensor) -> Tensor:
        """What the network gives where some edges and some features are missing, projected."""
        edges, _ = dropout_edge(edge_index, self.drop_edge)
        present = torch.rand(x.size(1), device=x.device) >= self.drop_feature
        return normalize(wide(self.project(self.model(x * present, edges))))

    def one_way(self, one: Tensor, two: Tensor) -> Tensor:
        """Cross entropy of finding a node's other view among both views of all nodes."""
        same = torch.eye(len(one), dtype=torch.bool, device=one.device)
        within = (one @ one.t()).masked_fill(same, -torch.inf)
        scores = torch.cat([one @ two.t(), within], dim=1) / self.temperature
        return F.cross_entropy(scores, torch.arange(len(one), device=one.device))

    def add_task(
        self, x: Tensor, edge_index: Tensor, rows: Tensor | None = None, *, classes: int
    ) -> int:
        """Begins a task: its prototype is taken, its prompt and classifier are made.

        From the first task on the network is frozen, and with every task those before it.

        Args:
            x (torch.Tensor): Features of the task's graph.
            edge_index (torch.Tensor): Its edges.
            rows (torch.Tensor, optional): The training nodes; :obj:`None` means all.
                (default: :obj:`None`)
            classes (int): Number of the task's classes.
        """
        refuse_fraction("classes", classes)
        if classes < 1:
            raise ValueError(f"'classes' must be at least 1, got {classes}")
        if x.dim() != 2 or x.size(1) != self.in_channels:
            raise ValueError(f"'x' must be [N, {self.in_channels}], got {list(x.shape)}")
        self.profiles.add(x, edge_index, rows)
        for parameter in self.parameters():
            parameter.requires_grad_(False)
            parameter.grad = None
        self.append(classes, x)
        self.train(self.training)
        return self.tasks - 1

    def append(self, classes: int, like: Tensor) -> None:
        """A prompt, from the second task on, and a classifier, where and as a tensor is."""
        prompt = GraphPrompt(self.in_channels, self.prompts) if self.tasks else nn.Identity()
        self.prompt.append(prompt.to(like))
        self.head.append(nn.Linear(self.hidden_channels, classes).to(like))

    def train(self, mode: bool = True) -> TPP:
        """As always, but a frozen network stays in evaluation mode: no dropout, no statistics."""
        super().train(mode)
        if self.tasks:
            self.model.eval()
        return self

    def predict_task(self, x: Tensor, edge_index: Tensor, rows: Tensor | None = None) -> int:
        """The task that some nodes, or all, belong to."""
        return self.profiles.predict(x, edge_index, rows)

    def forward(self, x: Tensor, edge_index: Tensor, task: int | None = None) -> Tensor:
        """
        Args:
            x (torch.Tensor): The features.
            edge_index (torch.Tensor): The edges.
            task (int, optional): The task; :obj:`None` finds it out from the whole graph.
                (default: :obj:`None`)
        """
        if not self.tasks:
            raise ValueError("there is no task yet; call add_task(...) first")
        if task is None:
            task = self.predict_task(x, edge_index)
        if not 0 <= task < self.tasks:
            raise ValueError(f"'task' must be between 0 and {self.tasks - 1}, got {task}")
        scores = self.head[task](self.model(self.prompt[task](x), edge_index))
        before, after = sum(self.classes[:task]), sum(self.classes[task + 1 :])
        return F.pad(scores, (before, after), value=-torch.inf)

    def get_extra_state(self) -> Tensor:
        """The prototypes, which belong to the state and are no parameters."""
        known = self.profiles.prototypes
        return torch.empty(0, self.in_channels) if known is None else known.clone()

    def set_extra_state(self, state: Tensor) -> None:
        """Takes back what :meth:`get_extra_state` gave."""
        self.profiles.prototypes = state.clone() if len(state) else None


def make_room(module: TPP, state: dict[str, Any], prefix: str, *_: Any) -> None:
    """Makes the prompts and classifiers of the tasks in a state that is about to be loaded."""
    pattern = re.compile(re.escape(prefix) + r"head\.(\d+)\.weight")
    heads = {int(m[1]): state[key] for key in state if (m := pattern.fullmatch(key))}
    for number in range(module.tasks, len(heads)):
        module.append(heads[number].size(0), next(module.parameters()))
    if heads:
        for part in (module.model, module.project, *module.prompt[:-1], *module.head[:-1]):
            part.requires_grad_(False)
        module.train(module.training)
