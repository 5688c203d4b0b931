"""Streams of tasks made from data with several labels per sample, for continual learning."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.data import Batch, Data

from graphkit.metrics import micro_f1
from graphkit.modes import evaluating

__all__ = ["LabelBatch", "LabelSequence", "LabelTask", "masked_bce", "random_parts"]

PARTS = ("train", "val", "test")
Metric = Callable[[Tensor, Tensor], Tensor]


def masked_bce(out: Tensor, y: Tensor) -> Tensor:
    r"""Binary cross entropy of every sample, the mean over those of its labels that are known.

    .. math::
        \ell_i = \frac{1}{|\mathcal{K}_i|} \sum_{c \in \mathcal{K}_i}
        - y_{ic} \log \sigma(o_{ic}) - (1 - y_{ic}) \log (1 - \sigma(o_{ic})), \qquad
        \mathcal{K}_i = \{ c : y_{ic} \ne \mathrm{NaN} \}

    Unknown labels have no influence on value or gradient.  A sample without any counts 0.

    Args:
        out (torch.Tensor): Logits.
        y (torch.Tensor): 0, 1 or NaN.

    Shapes:
        - **input:** both :math:`(n, C)`
        - **output:** :math:`(n)`

    Raises:
        ValueError: If the shapes differ.

    Example:
        >>> y = torch.tensor([[1.0, torch.nan], [0.0, 1.0]])
        >>> masked_bce(torch.zeros(2, 2), y)
        tensor([0.6931, 0.6931])
    """
    if out.shape != y.shape or out.dim() != 2:
        raise ValueError(
            f"'out' and 'y' must both be [n, C], got {list(out.shape)} and {list(y.shape)}"
        )
    known = ~y.isnan()
    target = torch.where(known, y, 0.0).to(out.dtype)
    entries = F.binary_cross_entropy_with_logits(out, target, reduction="none")
    return (entries * known).sum(dim=1) / known.sum(dim=1).clamp(min=1)


@dataclass(frozen=True)
class LabelBatch:
    r"""Some graphs, with the samples among them that have a label of one task.

    Args:
        graph (Batch): The graphs; their labels are not in it.
        level (str): :obj:`"node"` or :obj:`"graph"`: what a sample is.
        rows (torch.Tensor): Rows of the model's output that belong to the samples.
        columns (torch.Tensor): Columns of the output that belong to the task.
        y (torch.Tensor): The task's labels, 0, 1 or NaN, ``[n, c]``.
    """

    graph: Batch
    level: str
    rows: Tensor
    columns: Tensor
    y: Tensor

    def output(self, model: nn.Module) -> Tensor:
        """The model's output for the samples, all columns, ``[n, C]``."""
        return run(model, self.graph, self.level)[self.rows]

    def losses(self, model: nn.Module) -> Tensor:
        """:func:`masked_bce` of every sample over the task's columns, ``[n]``."""
        return masked_bce(self.output(model)[:, self.columns], self.y)

    def loss(self, model: nn.Module) -> Tensor:
        """Mean of :meth:`losses`."""
        return self.losses(model).mean()


@dataclass(frozen=True)
class LabelTask:
    r"""One task of a :class:`LabelSequence`: what a learner may see while it learns the task.

    The lists of functions are what :meth:`graphkit.continual.Strategy.finish_task` takes.

    Args:
        number (int): Place in the sequence, from 0.
        labels (list of int): The task's labels, as the data set numbers them.
        columns (torch.Tensor): The output columns that belong to them.
        batches (dict): The :class:`LabelBatch` objects of each part.
    """

    number: int
    labels: list[int]
    columns: Tensor
    batches: dict[str, list[LabelBatch]]

    def losses(self, model: nn.Module) -> Tensor:
        """The losses of all training samples, ``[n]``."""
        return torch.cat([batch.losses(model) for batch in self.batches["train"]])

    def output(self, model: nn.Module) -> Tensor:
        """The model's output for all training samples, all columns, ``[n, C]``."""
        return torch.cat([batch.output(model) for batch in self.batches["train"]])

    def loss(self, model: nn.Module) -> Tensor:
        """Mean of :meth:`losses`."""
        return self.losses(model).mean()


class LabelSequence(Sequence[LabelTask]):
    r"""A stream of tasks, each with labels of its own on the same samples, as PPI and Tox21 are
    learned in the `"Overcoming Catastrophic Forgetting in Graph Neural Networks"
    <https://arxiv.org/abs/2012.06002>`_ paper.

    .. math::
        \mathcal{T}_k = \{ (i, c) : c \in \mathcal{C}_k,\ y_{ic} \ne \mathrm{NaN} \}, \qquad
        \mathcal{C}_k = \{ c_{km}, \dots, c_{km + m - 1} \}

    with :math:`m` labels per task.  Graphs are either for training, for validation or for
    testing, so nothing of a test graph is seen in training.  What arrives with a task is labels:
    the training graphs are the same for all tasks, and samples without a label of the task are
    left out of it.  Neither the graphs nor the samples of a task depend on another task's labels.
    Labels left over by the division are dropped.

    Every batch is collated once and shared by all tasks; an evaluation runs it once for all.

    Args:
        parts (dict): Graphs of the parts :obj:`"train"`, :obj:`"val"` (may be empty) and
            :obj:`"test"`, with labels ``y`` of 0, 1 or NaN.
        labels_per_task (int): Labels of a task.
        level (str): :obj:`"node"` or :obj:`"graph"`: what has labels.
        batch_size (int, optional): Graphs per batch; :obj:`None` takes all at once.
            (default: :obj:`None`)
        label_order (list of int, optional): Order of the labels; :obj:`None` shuffles them.
            (default: :obj:`None`)
        seed (int, optional): Seed of that order and of the batches. (default: :obj:`0`)

    Shapes:
        - **input:** labels :math:`(|\mathcal{V}|, C)` of a graph's nodes, or :math:`(1, C)`
        - **output:** :math:`\lfloor C / m \rfloor` tasks

    Raises:
        ValueError: If labels have the wrong shape or values, an option is out of range, or a task
            has no training or test sample.

    Example:
        >>> from torch_geometric.data import Data
        >>> y = torch.tensor([[0.0, 1.0, torch.nan, 1.0]])
        >>> graphs = [Data(x=torch.ones(2, 1), edge_index=torch.tensor([[0], [1]]), y=y)] * 4
        >>> parts = random_parts(graphs, val_share=0.25, test_share=0.25)
        >>> tasks = LabelSequence(parts, 2, level="graph", label_order=[3, 2, 1, 0])
        >>> tasks, tasks[1].columns
        (LabelSequence(2 x 2 labels, level='graph'), tensor([2, 3]))
    """

    def __init__(
        self,
        parts: Mapping[str, Sequence[Data]],
        labels_per_task: int,
        *,
        level: Literal["node", "graph"],
        batch_size: int | None = None,
        label_order: Sequence[int] | None = None,
        seed: int = 0,
    ) -> None:
        if level not in ("node", "graph"):
            raise ValueError(f"'level' must be 'node' or 'graph', got {level!r}")
        if batch_size is not None and batch_size < 1:
            raise ValueError(f"'batch_size' must be at least 1, got {batch_size}")
        if set(parts) != set(PARTS):
            raise ValueError(f"'parts' must have the keys {list(PARTS)}, got {list(parts)}")
        width = check_labels(parts, level)
        generator = torch.Generator().manual_seed(seed)
        order = torch.randperm(width, generator=generator).tolist()
        order = check_order(order if label_order is None else list(label_order), width)
        if not 1 <= labels_per_task <= len(order):
            raise ValueError(
                f"'labels_per_task' must be between 1 and {len(order)}, got {labels_per_task}"
            )
        self.level, self.labels_per_task = level, labels_per_task
        self.num_labels = len(order) // labels_per_task * labels_per_task
        self.batches: dict[str, list[tuple[Batch, Tensor]]] = {}
        for part in PARTS:
            graphs = list(parts[part])
            if part == "train":
                shuffled = torch.randperm(len(graphs), generator=generator).tolist()
                graphs = [graphs[i] for i in shuffled]
            self.batches[part] = collate(graphs, batch_size, order[: self.num_labels])
        starts = range(0, self.num_labels, labels_per_task)
        self.tasks = [
            self.task(number, order[start : start + labels_per_task], start)
            for number, start in enumerate(starts)
        ]

    def task(self, number: int, labels: list[int], start: int) -> LabelTask:
        """One task, on the shared batches."""
        columns = torch.arange(start, start + len(labels))
        views: dict[str, list[LabelBatch]] = {}
        for part in PARTS:
            views[part] = []
            for graph, y in self.batches[part]:
                mine = y[:, columns]
                rows = (~mine.isnan()).any(dim=1).nonzero().view(-1)
                if len(rows):
                    views[part].append(LabelBatch(graph, self.level, rows, columns, mine[rows]))
            if part != "val" and not views[part]:
                raise ValueError(f"task {number} (labels {labels}) has no labelled {part} sample")
        return LabelTask(number, labels, columns, views)

    def __len__(self) -> int:
        return len(self.tasks)

    def __getitem__(self, number):
        return self.tasks[number]

    def __iter__(self) -> Iterator[LabelTask]:
        return iter(self.tasks)

    @torch.no_grad()
    def evaluate(self, model: nn.Module, split: str = "test", metric: Metric = micro_f1) -> Tensor:
        """Scores of all tasks, learned or not: a row of the performance matrix.

        A task none of whose labels is known in that part scores NaN.

        Args:
            model (torch.nn.Module): The model; its mode is left as it was.
            split (str, optional): Which part to score. (default: :obj:`"test"`)
            metric (callable, optional): ``(out, y) -> scalar`` with logits and labels ``[n, c]``
                of a task's samples, NaN where a label is not known.
                (default: :func:`~graphkit.metrics.micro_f1`)
        """
        with evaluating(model):
            outputs = {id(graph): run(model, graph, self.level) for graph, _ in self.batches[split]}
        unknown = next(iter(outputs.values()), torch.empty(())).new_full((), torch.nan)
        scores = []
        for task in self:
            mine = task.batches[split]
            if not mine:
                scores.append(unknown)
                continue
            out = torch.cat([outputs[id(b.graph)][b.rows][:, b.columns] for b in mine])
            scores.append(metric(out, torch.cat([batch.y for batch in mine])))
        return torch.stack(scores)

    def __repr__(self) -> str:
        return f"LabelSequence({len(self)} x {self.labels_per_task} labels, level={self.level!r})"


def run(model: nn.Module, graph: Batch, level: str) -> Tensor:
    """The model's output: per graph or per node."""
    if level == "graph":
        return model(graph.x, graph.edge_index, graph.batch)
    return model(graph.x, graph.edge_index)


def collate(
    graphs: list[Data], batch_size: int | None, order: list[int]
) -> list[tuple[Batch, Tensor]]:
    """Batches of graphs without labels, and their labels in the order of the output columns."""
    batches, step = [], batch_size or max(len(graphs), 1)
    for start in range(0, len(graphs), step):
        members = graphs[start : start + step]
        y = torch.cat([labels_of(graph) for graph in members])[:, order]
        batches.append((Batch.from_data_list(members, exclude_keys=["y"]), y.float()))
    return batches


def labels_of(graph: Data) -> Tensor:
    """A graph's labels."""
    assert isinstance(graph.y, Tensor)
    return graph.y


def check_labels(parts: Mapping[str, Sequence[Data]], level: str) -> int:
    """The number of labels, after a look at the shape and the values of all of them."""
    width = None
    for part, graphs in parts.items():
        for number, graph in enumerate(graphs):
            y, rows = graph.y, graph.num_nodes if level == "node" else 1
            where = f"graph {number} of '{part}'"
            if not isinstance(y, Tensor) or y.dim() != 2 or y.size(0) != rows:
                shape = list(y.shape) if isinstance(y, Tensor) else y
                raise ValueError(f"{where}: 'y' must be [{rows}, C], got {shape}")
            width = y.size(1) if width is None else width
            if y.size(1) != width:
                raise ValueError(f"{where} has {y.size(1)} labels, others have {width}")
            if not bool(((y == 0) | (y == 1) | y.isnan()).all()):
                raise ValueError(f"{where}: 'y' must hold 0, 1 and NaN only")
    if width is None:
        raise ValueError("'parts' holds no graph")
    return width


def check_order(order: list[int], width: int) -> list[int]:
    """An order of labels that exist, each once."""
    if len(set(order)) != len(order) or not set(order) <= set(range(width)):
        raise ValueError(
            f"'label_order' must name labels from 0 to {width - 1}, each once; got {order}"
        )
    return order


def random_parts(
    graphs: Sequence[Data], val_share: float = 0.1, test_share: float = 0.1, seed: int = 0
) -> dict[str, list[Data]]:
    """Draws validation and test graphs; the others are for training.

    Args:
        graphs (sequence of Data): All graphs.
        val_share (float, optional): Share of the validation graphs. (default: :obj:`0.1`)
        test_share (float, optional): Share of the test graphs. (default: :obj:`0.1`)
        seed (int, optional): Seed of the draw. (default: :obj:`0`)

    Raises:
        ValueError: If a share is out of range, or training or test part would be empty.
    """
    if min(val_share, test_share) < 0 or val_share + test_share >= 1:
        raise ValueError(
            "'val_share' and 'test_share' must be at least 0 and together below 1, "
            f"got {val_share} and {test_share}"
        )
    sizes = [round(share * len(graphs)) for share in (test_share, val_share)]
    if sizes[0] == 0 or sum(sizes) >= len(graphs):
        raise ValueError(f"{len(graphs)} graphs are too few for 'test_share' {test_share}")
    order = torch.randperm(len(graphs), generator=torch.Generator().manual_seed(seed))
    test, val, train = order.tensor_split([sizes[0], sum(sizes)])
    parts = {"train": train, "val": val, "test": test}
    return {part: [graphs[i] for i in index.tolist()] for part, index in parts.items()}
