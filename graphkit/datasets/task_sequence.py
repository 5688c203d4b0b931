"""Streams of tasks made from any labelled graph or set of graphs, for continual learning."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.data import Batch, Data

from graphkit.datasets.splits import class_split
from graphkit.metrics import accuracy
from graphkit.modes import evaluating

__all__ = ["StreamTask", "TaskSequence"]

PARTS = ("train", "val", "test")
Metric = Callable[[Tensor, Tensor], Tensor]


def run(model: nn.Module, data: Data) -> Tensor:
    """The model's output: per graph for a batch of graphs, per node otherwise."""
    if isinstance(data, Batch):
        return model(data.x, data.edge_index, data.batch)
    return model(data.x, data.edge_index)


@dataclass(frozen=True)
class StreamTask:
    r"""One task of a :class:`TaskSequence`: what a learner may see while it learns the task.

    :meth:`losses`, :meth:`output` and :attr:`columns` are what a
    :class:`~graphkit.continual.Strategy` asks for.

    Args:
        number (int): Place in the sequence, from 0.
        classes (list of int): The task's classes, as the data set numbers them.
        columns (torch.Tensor): The output columns that are scored.
        graphs (dict): The visible graph (or batch of graphs) behind each part.
        rows (dict): Rows of the output that belong to each part.
        y (dict): Their labels, as positions within ``columns``.
    """

    number: int
    classes: list[int]
    columns: Tensor
    graphs: dict[str, Data]
    rows: dict[str, Tensor]
    y: dict[str, Tensor]

    @property
    def data(self) -> Data:
        """The graph that is visible while the task is learned."""
        return self.graphs["train"]

    def output(self, model: nn.Module) -> Tensor:
        """The model's output for the training samples, all columns, ``[n, C]``."""
        return run(model, self.data)[self.rows["train"]]

    def losses(self, model: nn.Module) -> Tensor:
        """Cross entropy of every training sample over the task's columns, ``[n]``."""
        out = self.output(model)[:, self.columns]
        return F.cross_entropy(out, self.y["train"], reduction="none")

    def loss(self, model: nn.Module) -> Tensor:
        """Mean of :meth:`losses`."""
        return self.losses(model).mean()


class TaskSequence(Sequence[StreamTask]):
    r"""A stream of tasks, each with classes of its own, as in the `"Overcoming Catastrophic
    Forgetting in Graph Neural Networks" <https://arxiv.org/abs/2012.06002>`_ paper.

    .. math::
        \mathcal{T}_k = \{ v : y_v \in \mathcal{C}_k \}, \qquad
        \mathcal{C}_k = \{ c_{\pi(km)}, \dots, c_{\pi(km + m - 1)} \}

    with :math:`m` classes per task and the order :math:`\pi` of classes.  Classes left over by
    the division are removed with their nodes, and so are nodes with a negative label.

    What a learner sees is stated, not implied:

    * ``visible="task"``: nodes of the present task and the edges among them;
    * ``visible="seen"``: nodes of the present and earlier tasks, the growing graph;
    * ``visible="all"``: all nodes from the start; features and edges of *future* nodes take part
      in training, their labels do not;
    * ``inter_task_edges``: whether edges between different tasks exist.

    Args:
        data (Data or sequence of Data): A graph with a label per node, or graphs with one label
            each; features may be sparse.
        classes_per_task (int): Classes of a task.
        visible (str): :obj:`"task"`, :obj:`"seen"` or :obj:`"all"`; sets of graphs have
            :obj:`"task"` only.
        inter_task_edges (bool, optional): Keep edges between tasks. (default: :obj:`False`)
        setting (str, optional): :obj:`"task"` scores the task's own columns, so the task must be
            known when testing; :obj:`"class"` scores the columns of all classes seen so far.
            (default: :obj:`"task"`)
        train_per_class (int, optional): Training samples of a class, drawn at random;
            :obj:`None` takes the graph's ``train_mask``, ``val_mask`` and ``test_mask``.
            (default: :obj:`40`)
        val_per_class (int, optional): Validation samples of a class. (default: :obj:`20`)
        balanced (bool, optional): Whether every class has just so many training and validation
            samples; otherwise their total is drawn from all samples alike, as the TWP authors
            do, and small classes have few. (default: :obj:`True`)
        hops (int, optional): Train on the edges within so many steps of a training sample only.
            Loss and gradient are those of the whole visible graph if the model has no more
            layers (one less for GCN, which reads degrees of neighbours); the topology of
            :class:`~graphkit.continual.TWP` is that of the smaller graph. (default: :obj:`None`)
        class_order (list of int, optional): Order of the classes; :obj:`None` shuffles them.
            (default: :obj:`None`)
        split (int, optional): With masks that hold several splits, ``[N, k]``, and
            ``train_per_class=None``: which column. (default: :obj:`None`)
        seed (int, optional): Seed of order and split. (default: :obj:`0`)

    Shapes:
        - **input:** :math:`|\mathcal{V}|` labelled nodes, or :math:`N` labelled graphs
        - **output:** :math:`\lfloor C / m \rfloor` tasks

    Raises:
        ValueError: If an option is unknown, options contradict each other, labels are no
            integers, or there are too few classes or samples.

    Example:
        >>> from graphkit.datasets import TaskSequence, load
        >>> data = load("KarateClub")[0]
        >>> tasks = TaskSequence(data, 2, visible="task", train_per_class=1, val_per_class=1)
        >>> len(tasks), tasks.num_classes
        (2, 4)
        >>> tasks[1].columns
        tensor([2, 3])
    """

    def __init__(
        self,
        data: Data | Sequence[Data],
        classes_per_task: int,
        *,
        visible: Literal["task", "seen", "all"],
        inter_task_edges: bool = False,
        setting: Literal["task", "class"] = "task",
        train_per_class: int | None = 40,
        val_per_class: int = 20,
        balanced: bool = True,
        hops: int | None = None,
        class_order: Sequence[int] | None = None,
        split: int | None = None,
        seed: int = 0,
    ) -> None:
        check_choice("visible", visible, ("task", "seen", "all"))
        check_choice("setting", setting, ("task", "class"))
        graphs = None if isinstance(data, Data) else list(data)
        if visible == "task" and inter_task_edges:
            raise ValueError("'inter_task_edges' needs visible='seen' or 'all'")
        if graphs is not None and visible != "task":
            raise ValueError(
                f"graphs of a set share no nodes: 'visible' must be 'task', not '{visible}'"
            )
        if hops is not None and (hops < 1 or graphs is not None):
            raise ValueError(f"'hops' must be at least 1 and needs a single graph, got {hops}")
        samples = data if isinstance(data, Data) else label_table(graphs or [])
        check_labels(samples)
        if split is not None and train_per_class is not None:
            raise ValueError("'split' names a column of the masks; it needs train_per_class=None")
        order = class_sequence(samples.y, class_order, seed)
        # Order and split are drawn apart, each by the seed alone: one does not move the other.
        self.visible, self.inter_task_edges, self.setting = visible, inter_task_edges, setting
        self.classes_per_task, self.hops = classes_per_task, hops
        self.groups = group(order, classes_per_task)
        self.num_classes = sum(map(len, self.groups))
        # A sample's output column says its task, too: tasks are runs of equal length.
        self.column = column_of(samples.y, order[: self.num_classes])
        self.task = torch.where(self.column < 0, -1, self.column // classes_per_task)
        if train_per_class is not None and balanced:
            samples = class_split(samples, train_per_class, val_per_class, seed=seed)
        elif train_per_class is not None:
            sizes = (train_per_class * self.num_classes, val_per_class * self.num_classes)
            samples = plain_split(samples, self.column >= 0, *sizes, seed)
        self.positions = {part: mask_index(samples, part, split) for part in PARTS}
        self.data, self.all_graphs = data, graphs
        self.shared: dict[tuple[str, int], tuple[Data, Tensor]] = {}
        self.tasks = [self.view(number, number) for number in range(len(self.groups))]

    def __len__(self) -> int:
        return len(self.tasks)

    def __getitem__(self, number):
        return self.tasks[number]

    def __iter__(self) -> Iterator[StreamTask]:
        return iter(self.tasks)

    def view(self, number: int, at: int) -> StreamTask:
        """Task ``number`` as it is seen while task ``at`` is the latest one."""
        first = 0 if self.setting == "class" else number * self.classes_per_task
        last = (max(at, number) if self.setting == "class" else number) + 1
        columns = torch.arange(first, last * self.classes_per_task, device=self.column.device)
        graphs, rows, y = {}, {}, {}
        for part in PARTS:
            mine = self.positions[part][self.task[self.positions[part]] == number]
            if len(mine) == 0 and part != "val":
                raise ValueError(f"task {number} has no {part} sample; change the split")
            graphs[part], rows[part] = self.place(mine, part, number, at)
            y[part] = self.column[mine] - first
        return StreamTask(number, self.groups[number], columns, graphs, rows, y)

    def place(self, samples: Tensor, part: str, number: int, at: int) -> tuple[Data, Tensor]:
        """The graph in which these samples are seen, and their rows in it; graphs are kept."""
        if self.all_graphs is not None:
            if (part, number) not in self.shared:
                batch = Batch.from_data_list([self.all_graphs[i] for i in samples.tolist()])
                self.shared[part, number] = (batch, torch.arange(len(samples)))
            return self.shared[part, number]
        latest = {"task": number, "seen": max(at, number), "all": -1}[self.visible]
        if ("", latest) not in self.shared:
            self.shared["", latest] = self.visible_graph(latest)
        graph, row = self.shared["", latest]
        if self.hops is None or part != "train":
            return graph, row[samples]
        if (part, number) not in self.shared:
            self.shared[part, number] = near(graph, row[samples], self.hops)
        return self.shared[part, number]

    def visible_graph(self, latest: int) -> tuple[Data, Tensor]:
        """The graph while task ``latest`` is learned, and the row of every original node in it."""
        assert isinstance(self.data, Data)
        nodes = {
            "task": self.task == latest,
            "seen": (self.task >= 0) & (self.task <= latest),
            "all": self.task >= 0,
        }[self.visible]
        source, target = self.data.edge_index
        edges = nodes[source] & nodes[target]
        if not self.inter_task_edges:
            edges &= self.task[source] == self.task[target]
        return part_of(self.data, edges, nodes), nodes.cumsum(0) - 1

    @torch.no_grad()
    def evaluate(
        self, model: nn.Module, after: int, split: str = "test", metric: Metric = accuracy
    ) -> Tensor:
        """Scores of all tasks after task ``after`` was learned: a row of the performance matrix.

        Every visible graph is run once.  Tasks that are still to come are scored as they will
        be seen when they come.

        Args:
            model (torch.nn.Module): The model; its mode is left as it was.
            after (int): The latest task, -1 for none.
            split (str, optional): Which part to score. (default: :obj:`"test"`)
            metric (callable, optional): ``(out, y) -> scalar``. (default: accuracy)
        """
        outputs: dict[int, Tensor] = {}
        scores = []
        with evaluating(model):
            for number in range(len(self)):
                task = self.view(number, max(after, 0))
                graph = task.graphs[split]
                if id(graph) not in outputs:
                    outputs[id(graph)] = run(model, graph)
                out = outputs[id(graph)][task.rows[split]][:, task.columns]
                scores.append(metric(out, task.y[split]))
        return torch.stack(scores)

    def __repr__(self) -> str:
        return (
            f"TaskSequence({len(self)} x {self.classes_per_task} classes, "
            f"setting={self.setting!r}, visible={self.visible!r}, "
            f"inter_task_edges={self.inter_task_edges})"
        )


def check_choice(name: str, value: str, known: Sequence[str]) -> None:
    """Refuses an unknown word, by name."""
    if value not in known:
        raise ValueError(f"'{name}' must be one of {list(known)}, got {value!r}")


def near(graph: Data, rows: Tensor, hops: int) -> tuple[Data, Tensor]:
    """The graph of edges that reach ``rows`` in at most ``hops`` steps, and their rows in it."""
    assert graph.num_nodes is not None
    reached = torch.zeros(graph.num_nodes, dtype=torch.bool, device=rows.device)
    reached[rows] = True
    source, target = graph.edge_index
    for _ in range(hops):
        edges = reached[target]
        reached[source[edges]] = True
    return part_of(graph, edges, reached), (reached.cumsum(0) - 1)[rows]


def part_of(graph: Data, edges: Tensor, nodes: Tensor) -> Data:
    """The graph of some edges and nodes; sparse features, COO or CSR, stay what they are."""
    x = graph.x
    if x is None or x.layout == torch.strided:
        return graph.edge_subgraph(edges).subgraph(nodes)
    plain = copy.copy(graph)
    plain.x, plain.num_nodes = None, x.size(0)
    part = plain.edge_subgraph(edges).subgraph(nodes)
    # Sparse tensors take no masks, and CSR rows cannot be picked at all.
    rows = x.to_sparse_coo().index_select(0, nodes.nonzero().view(-1)).coalesce()
    part.x = rows if x.layout == torch.sparse_coo else rows.to_sparse_csr()
    return part


def label_table(graphs: list[Data]) -> Data:
    """The labels of graphs, as if each graph were a node."""
    if not graphs:
        raise ValueError("'data' holds no graph")
    for number, graph in enumerate(graphs):
        if not isinstance(graph.y, Tensor) or graph.y.numel() != 1:
            raise ValueError(f"graph {number} must have one label 'y', got {graph.y}")
    return Data(y=torch.cat([graph.y.view(1) for graph in graphs]), num_nodes=len(graphs))


def class_sequence(y: Tensor, wanted: Sequence[int] | None, seed: int) -> list[int]:
    """The classes in the order in which tasks take them."""
    known = y[y >= 0].unique().tolist()
    if wanted is None:
        generator = torch.Generator().manual_seed(seed)
        return [known[i] for i in torch.randperm(len(known), generator=generator).tolist()]
    if len(set(wanted)) != len(wanted) or not set(wanted) <= set(known):
        raise ValueError(f"'class_order' must name classes among {known}, each once; got {wanted}")
    return list(wanted)


def group(order: list[int], size: int) -> list[list[int]]:
    """Consecutive groups of ``size`` classes; what is left over is dropped."""
    if not 1 <= size <= len(order):
        raise ValueError(f"'classes_per_task' must be between 1 and {len(order)}, got {size}")
    return [order[i : i + size] for i in range(0, len(order) - size + 1, size)]


def column_of(y: Tensor, order: list[int]) -> Tensor:
    """The output column of every sample; -1 for classes that are not in the stream."""
    table = y.new_full((int(y.max()) + 1,), -1)
    table[torch.tensor(order, device=y.device)] = torch.arange(len(order), device=y.device)
    return torch.where(y >= 0, table[y.clamp(min=0)], -1)


def plain_split(samples: Data, usable: Tensor, train: int, val: int, seed: int) -> Data:
    """Draws training and validation samples from all kept ones alike; the rest is for testing."""
    nodes = usable.nonzero().view(-1)
    if len(nodes) <= train + val:
        raise ValueError(f"{len(nodes)} samples are too few to draw {train} and {val} from")
    order = torch.randperm(len(nodes), generator=torch.Generator().manual_seed(seed))
    nodes, out = nodes[order.to(nodes.device)], copy.copy(samples)
    for part, members in zip(PARTS, nodes.tensor_split([train, train + val]), strict=True):
        mask = torch.zeros_like(usable)
        mask[members] = True
        out[f"{part}_mask"] = mask
    return out


def check_labels(samples: Data) -> None:
    """Refuses labels that are no classes, by name."""
    y = samples.y
    if not isinstance(y, Tensor) or y.dim() != 1 or y.is_floating_point() or y.dtype == torch.bool:
        got = f"{y.dtype} {list(y.shape)}" if isinstance(y, Tensor) else y
        hint = ""
        if isinstance(y, Tensor) and y.is_floating_point():
            hint = "; write data.y = data.y.long() if these are classes"
            if y.dim() == 2 and y.size(1) > 1:
                hint = "; LabelSequence takes several labels per node"
        raise ValueError(f"'y' must hold one integer class per sample, got {got}{hint}")
    if samples.num_nodes is not None and y.numel() != samples.num_nodes:
        raise ValueError(f"'y' has {y.numel()} labels for {samples.num_nodes} samples")
    if not bool((y >= 0).any()):
        raise ValueError("'y' holds no class: all labels are negative, or there is none")


def mask_index(samples: Data, part: str, split: int | None) -> Tensor:
    """Positions of one part of the split, in a column of the masks where there are several."""
    mask = samples.get(f"{part}_mask", None)
    if isinstance(mask, Tensor) and mask.dim() == 2 and mask.dtype == torch.bool:
        if split is None or not 0 <= split < mask.size(1):
            raise ValueError(
                f"'{part}_mask' holds {mask.size(1)} splits; 'split' must name one of them, "
                f"0 to {mask.size(1) - 1}, got {split}"
            )
        mask = mask[:, split]
    if mask is None or mask.dtype != torch.bool or mask.dim() != 1:
        raise ValueError(f"'data' has no boolean '{part}_mask' [n]; give 'train_per_class'")
    return mask.nonzero().view(-1)
