"""What a training run optimises and how it is judged."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from graphkit.metrics import accuracy
from graphkit.words import refuse_class

if TYPE_CHECKING:
    from torch_geometric.data import Data

Criterion = Callable[[Tensor, Tensor], Tensor]
Metric = Callable[[Tensor, Tensor], Tensor]
Samples = TypeVar("Samples", Tensor, list[int])
Sharded = TypeVar("Sharded", bound="ShardedTask")


class Task:
    r"""The contract between somebody's problem and :class:`~graphkit.train.Trainer`.

    A task yields training batches, turns a model and a batch into a mean loss, and
    evaluates a model.  :meth:`shard` gives the share of one process among several;
    :meth:`size` is the number of samples behind a batch's mean loss, from which the
    trainer rebuilds the exact mean over all processes.
    """

    def batches(self, seed: int) -> Iterable[Any]:
        """The batches of one epoch; :obj:`seed` fixes their order, alike in all processes."""
        raise NotImplementedError

    def loss(self, model: nn.Module, batch: Any) -> Tensor:
        """Mean loss of one batch."""
        raise NotImplementedError

    def size(self, batch: Any) -> int:
        """Number of samples that :meth:`loss` averages over."""
        raise NotImplementedError

    def evaluate(self, model: nn.Module) -> dict[str, float]:
        """Metrics of a model in evaluation mode, such as ``val_loss`` and ``test_accuracy``."""
        raise NotImplementedError

    def shard(self, rank: int, world_size: int) -> Task:
        """The part of this task that process :obj:`rank` of :obj:`world_size` trains on."""
        raise NotImplementedError

    def to(self, device: torch.device) -> Task:
        """Moves the task's tensors to a device."""
        return self


class ShardedTask(Task):
    r"""A task of which several processes share each batch.

    All processes draw the same batches; of each, process :math:`r` of :math:`n` takes the samples
    :math:`r, r + n, \ldots`, so that every process takes as many steps as the others.  A
    subclass draws its batches without regard to processes and takes :meth:`mine` of each.

    Example:
        >>> import torch
        >>> from graphkit.train import ShardedTask
        >>> part = ShardedTask().shard(rank=1, world_size=2)
        >>> part.mine(torch.arange(5))
        (tensor([1, 3]), False)
        >>> part.mine(torch.arange(1))
        (tensor([0]), True)
    """

    rank, world_size = 0, 1

    def shard(self: Sharded, rank: int, world_size: int) -> Sharded:
        part = copy.copy(self)
        part.rank, part.world_size = rank, world_size
        return part

    def mine(self, samples: Samples) -> tuple[Samples, bool]:
        """This process's share of a batch, and whether it is left without one.

        A process must not skip a step that others take.  Left without a share, it gets another's
        first sample, whose loss must be 0 and whose :meth:`~Task.size` must be 0.
        """
        share = samples[self.rank :: self.world_size]
        return (share, False) if len(share) else (samples[:1], True)


class Share(tuple):
    """The tensors of one process's share of a batch; :obj:`idle` where none was left for it."""

    idle = False

    @classmethod
    def of(cls, tensors: Iterable[Tensor], idle: bool) -> Share:
        """A share of some tensors."""
        share = cls(tensors)
        share.idle = idle
        return share


def is_idle(batch: tuple[Tensor, ...]) -> bool:
    """Whether a batch stands in for none; any tuple but a :class:`Share` is taken for one."""
    return isinstance(batch, Share) and batch.idle


def check_mask(data: Data, name: str) -> Tensor:
    """The node indices of ``data[name]``, or an error naming what is wrong with it."""
    mask = data.get(name, None)
    if mask is None:
        raise ValueError(f"data has no '{name}'; add a split (graphkit.datasets.class_split)")
    if mask.dtype != torch.bool or mask.shape != (data.num_nodes,):
        raise ValueError(
            f"'{name}' must be a bool tensor of shape [{data.num_nodes}], "
            f"got {mask.dtype} of shape {list(mask.shape)}"
        )
    if not mask.any():
        raise ValueError(f"'{name}' selects no node")
    return mask.nonzero().view(-1)


def check_functions(criterion: Any, metric: Any) -> None:
    """Raises if a class stands where a function or a module is meant."""
    refuse_class("criterion", criterion)
    refuse_class("metric", metric)


def memory_of(graph: Data) -> tuple[Any, ...]:
    """Where the tensors of a graph lie: the same for the same graph, also in another object."""
    return tuple(
        (name, value.data_ptr(), tuple(value.shape))
        for name, value in sorted(graph.to_dict().items())
        if isinstance(value, Tensor) and value.numel() > 0
    )


class NodeTask(Task):
    r"""Full-batch node classification on one graph with a train/val/test split.

    Args:
        data (Data): A graph with ``x``, ``edge_index``, ``y`` and the boolean
            ``train_mask``, ``val_mask`` and ``test_mask``.
        criterion (callable, optional): ``(out, y) -> mean loss``.
            (default: cross entropy)
        metric (callable, optional): ``(out, y) -> scalar``. (default: accuracy)
        metric_name (str, optional): Its name in the results. (default: :obj:`"accuracy"`)
        forward (callable, optional): ``(model, data) -> out``.
            (default: ``model(data.x, data.edge_index)``)

    Raises:
        ValueError: If a mask is missing, empty or of the wrong shape, or a node is both trained
            on and tested.
        TypeError: If ``criterion`` or ``metric`` is a class.
    """

    def __init__(
        self,
        data: Data,
        criterion: Criterion = F.cross_entropy,
        metric: Metric = accuracy,
        metric_name: str = "accuracy",
        forward: Callable[[nn.Module, Data], Tensor] | None = None,
    ) -> None:
        check_functions(criterion, metric)
        self.data, self.criterion, self.metric = data, criterion, metric
        self.metric_name, self.forward = metric_name, forward
        self.train_index = check_mask(data, "train_mask")
        self.splits = {split: check_mask(data, f"{split}_mask") for split in ("val", "test")}
        both = int((data.train_mask & data.test_mask).sum())
        if both:
            raise ValueError(f"'train_mask' and 'test_mask' share {both} nodes")

    def out(self, model: nn.Module, data: Data) -> Tensor:
        """The model's output for every node."""
        if self.forward is not None:
            return self.forward(model, data)
        return model(data.x, data.edge_index)

    def batches(self, seed: int) -> Iterable[Data]:
        return (self.data,)

    def loss(self, model: nn.Module, batch: Data) -> Tensor:
        out = self.out(model, batch)
        if self.train_index.numel() == 0:
            return out.sum() * 0.0
        return self.criterion(out[self.train_index], batch.y[self.train_index])

    def size(self, batch: Data) -> int:
        return self.train_index.numel()

    def evaluate(self, model: nn.Module) -> dict[str, float]:
        out, metrics = self.out(model, self.data), {}
        for split, index in self.splits.items():
            part, y = out[index], self.data.y[index]
            if split == "val":
                metrics["val_loss"] = float(self.criterion(part, y))
            metrics[f"{split}_{self.metric_name}"] = float(self.metric(part, y))
        return metrics

    def shard(self, rank: int, world_size: int) -> NodeTask:
        part = copy.copy(self)
        part.train_index = self.train_index[rank::world_size]
        return part

    def to(self, device: torch.device) -> NodeTask:
        self.data = self.data.to(device)
        self.train_index = self.train_index.to(device)
        self.splits = {split: index.to(device) for split, index in self.splits.items()}
        return self


class GraphTask(ShardedTask):
    r"""Mini-batch classification of whole graphs.

    Args:
        train, val, test (sequence of Data): The graphs of each part.  ``val`` may be
            empty for protocols that have none.
        batch_size (int, optional): Graphs per step, over all processes.
            (default: :obj:`32`)
        criterion, metric, metric_name: As in :class:`NodeTask`.
        forward (callable, optional): ``(model, batch) -> out``.
            (default: ``model(batch.x, batch.edge_index, batch.batch)``)

    Raises:
        ValueError: If ``train`` is empty, ``batch_size`` is not positive, or a graph is both
            trained on and tested: the same tensors in memory, not equal ones.
        TypeError: If ``criterion`` or ``metric`` is a class.
    """

    def __init__(
        self,
        train: Sequence[Data],
        val: Sequence[Data],
        test: Sequence[Data],
        batch_size: int = 32,
        criterion: Criterion = F.cross_entropy,
        metric: Metric = accuracy,
        metric_name: str = "accuracy",
        forward: Callable[[nn.Module, Data], Tensor] | None = None,
    ) -> None:
        check_functions(criterion, metric)
        if len(train) == 0:
            raise ValueError("'train' holds no graph")
        if batch_size < 1:
            raise ValueError(f"'batch_size' must be at least 1, got {batch_size}")
        self.parts = {"train": list(train), "val": list(val), "test": list(test)}
        both = len({key for key in map(memory_of, train) if key} & {*map(memory_of, test)})
        if both:
            raise ValueError(f"'train' and 'test' share {both} graphs")
        self.batch_size, self.criterion, self.metric = batch_size, criterion, metric
        self.metric_name, self.forward = metric_name, forward
        self.device = torch.device("cpu")
        self.collated: dict[str, list[Any]] = {}

    def out(self, model: nn.Module, batch: Any) -> Tensor:
        """The model's output for every graph of a batch."""
        if self.forward is not None:
            return self.forward(model, batch)
        return model(batch.x, batch.edge_index, batch.batch)

    def batches(self, seed: int) -> Iterator[Any]:
        from torch_geometric.data import Batch

        graphs = self.parts["train"]
        order = torch.randperm(len(graphs), generator=torch.Generator().manual_seed(seed)).tolist()
        for start in range(0, len(order), self.batch_size):
            mine, idle = self.mine(order[start : start + self.batch_size])
            batch = Batch.from_data_list([graphs[i] for i in mine])
            batch.empty_share = idle
            yield batch.to(self.device)

    def loss(self, model: nn.Module, batch: Any) -> Tensor:
        loss = self.criterion(self.out(model, batch), batch.y)
        return loss * 0.0 if batch.empty_share else loss

    def size(self, batch: Any) -> int:
        return 0 if batch.empty_share else batch.num_graphs

    def evaluation_batches(self, split: str) -> list[Any]:
        """Batches of an evaluation part, collated once and kept."""
        from torch_geometric.data import Batch

        if split not in self.collated:
            graphs, step = self.parts[split], max(self.batch_size, 512)
            self.collated[split] = [
                Batch.from_data_list(graphs[i : i + step]).to(self.device)
                for i in range(0, len(graphs), step)
            ]
        return self.collated[split]

    def evaluate(self, model: nn.Module) -> dict[str, float]:
        metrics: dict[str, float] = {}
        for split in ("val", "test"):
            batches = self.evaluation_batches(split)
            if not batches:
                continue
            out = torch.cat([self.out(model, batch) for batch in batches])
            y = torch.cat([batch.y for batch in batches])
            if split == "val":
                metrics["val_loss"] = float(self.criterion(out, y))
            metrics[f"{split}_{self.metric_name}"] = float(self.metric(out, y))
        return metrics

    def to(self, device: torch.device) -> GraphTask:
        self.device, self.collated = device, {}
        return self
