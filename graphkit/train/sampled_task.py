"""Classification of nodes by mini-batches with sampled neighbourhoods."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.data import Data

from graphkit.metrics import accuracy
from graphkit.sampling import NeighborLoader, NeighborSampler, layerwise
from graphkit.sampling.pruning import pruned
from graphkit.train.task import Criterion, Metric, ShardedTask, check_functions, check_mask

SPLITS = ("train", "val", "test")


class SampledNodeTask(ShardedTask):
    r"""Node classification by mini-batches, on a graph in memory or on disk.

    Several processes share each batch of seeds: all sample it alike, and each keeps what lies
    behind its own seeds, so that gradients are those of one process whatever is drawn. Batches of
    an epoch follow from the trainer's seed, for any number of workers and of processes.

    Args:
        data (Data or (FeatureStore, GraphStore)): A homogeneous graph with ``x`` and ``y``.
        num_neighbors (list of int): Neighbours per hop, :obj:`-1` for all.
        batch_size (int, optional): Seeds per step, over all processes. (default: :obj:`1024`)
        splits (dict, optional): Nodes of ``"train"``, ``"val"`` and ``"test"``.
            (default: the graph's masks)
        layers (callable, optional): ``model -> layers`` for :func:`~graphkit.sampling.layerwise`,
            by which the model is evaluated in chunks of nodes. (default: on the whole graph)
        criterion, metric, metric_name: As in :class:`~graphkit.train.NodeTask`.
        forward (callable, optional): ``(model, batch) -> out``.
            (default: ``model(batch.x, batch.edge_index)``)
        num_workers (int, optional): Processes that sample ahead. (default: :obj:`0`)
        **kwargs (optional): Arguments of :class:`~graphkit.sampling.NeighborSampler`.

    Raises:
        ValueError: If a split is missing or empty, a node is both trained on and tested, or a graph
            on disk has no :obj:`layers` to evaluate it by.
        TypeError: If ``criterion`` or ``metric`` is a class.

    Example:
        >>> from torch_geometric.datasets import KarateClub
        >>> from torch_geometric.nn import GraphSAGE
        >>> from graphkit.train import SampledNodeTask, Trainer
        >>> data = KarateClub()[0]
        >>> splits = {"train": torch.arange(20), "val": torch.arange(20, 27), "test": [27, 33]}
        >>> task = SampledNodeTask(data, [5, 5], batch_size=8, splits=splits)
        >>> model = GraphSAGE(34, 8, 2, 4)
        >>> optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
        >>> Trainer(epochs=2, seed=0, progress=False).fit(model, optimizer, task).epochs
        2
    """

    def __init__(
        self,
        data: Any,
        num_neighbors: list[int],
        batch_size: int = 1024,
        splits: dict[str, Any] | None = None,
        layers: Callable[[nn.Module], Sequence[Any] | nn.Module] | None = None,
        criterion: Criterion = F.cross_entropy,
        metric: Metric = accuracy,
        metric_name: str = "accuracy",
        forward: Callable[[nn.Module, Any], Tensor] | None = None,
        num_workers: int = 0,
        **kwargs: Any,
    ) -> None:
        check_functions(criterion, metric)
        if batch_size < 1:
            raise ValueError(f"'batch_size' must be at least 1, got {batch_size}")
        self.sampler = NeighborSampler(data, num_neighbors, **kwargs)
        if self.sampler.is_hetero:
            raise ValueError("'data' must be a homogeneous graph")
        self.data, self.batch_size, self.layers, self.forward = data, batch_size, layers, forward
        self.criterion, self.metric, self.metric_name = criterion, metric, metric_name
        self.num_workers, self.device = num_workers, torch.device("cpu")
        in_memory = isinstance(data, Data)
        if splits is None:
            if not in_memory:
                raise ValueError("a graph on disk needs 'splits'")
            splits = {split: check_mask(data, f"{split}_mask") for split in SPLITS}
        self.splits = {split: nodes_of(splits, split, self.sampler.num_nodes) for split in SPLITS}
        both = int(torch.isin(self.splits["train"], self.splits["test"]).sum())
        if both:
            raise ValueError(f"'train' and 'test' share {both} nodes")
        if not in_memory and layers is None:
            raise ValueError("a graph on disk needs 'layers' to evaluate a model by")
        self.y = data.y if in_memory else data[0].get_tensor(None, "y", index=None)

    def out(self, model: nn.Module, batch: Any) -> Tensor:
        """The model's output for every node of a batch."""
        if self.forward is not None:
            return self.forward(model, batch)
        return model(batch.x, batch.edge_index)

    def batches(self, seed: int) -> Iterator[Any]:
        seeds = self.splits["train"]
        loader = NeighborLoader(
            self.data,
            self.sampler.num_neighbors,
            seeds,
            neighbor_sampler=self.sampler,
            batch_size=self.batch_size,
            shuffle=True,
            generator=torch.Generator().manual_seed(seed),
            transform_sampler_output=self.share_of if self.world_size > 1 else None,
            num_workers=self.num_workers,
        )
        for number, batch in enumerate(loader):
            here = min(self.batch_size, seeds.numel() - number * self.batch_size)
            batch.empty_share = self.rank >= here
            yield batch.to(self.device)

    def share_of(self, out: Any) -> Any:
        """This process's part of a batch that all have sampled."""
        num_seeds = out.metadata[0].numel()
        own, _ = self.mine(torch.arange(num_seeds))
        return pruned(out, own, num_seeds)

    def loss(self, model: nn.Module, batch: Any) -> Tensor:
        out = self.out(model, batch)[: batch.batch_size]
        loss = self.criterion(out, batch.y[: batch.batch_size])
        return loss * 0.0 if batch.empty_share else loss

    def size(self, batch: Any) -> int:
        return 0 if batch.empty_share else batch.batch_size

    def evaluate(self, model: nn.Module) -> dict[str, float]:
        if self.layers is not None:
            out = layerwise(self.layers(model), self.data)
        else:
            out = self.out(model, self.data.to(self.device))
        metrics: dict[str, float] = {}
        for split in ("val", "test"):
            nodes = self.splits[split]
            part, y = out[nodes.to(out.device)], self.y[nodes].to(out.device)
            if split == "val":
                metrics["val_loss"] = float(self.criterion(part, y))
            metrics[f"{split}_{self.metric_name}"] = float(self.metric(part, y))
        return metrics

    def to(self, device: torch.device) -> SampledNodeTask:
        self.device = device
        return self


def nodes_of(splits: dict[str, Any], split: str, num_nodes: int) -> Tensor:
    """The nodes of a split, as numbers."""
    if splits.get(split) is None:
        raise ValueError(f"'splits' has no '{split}'")
    nodes = torch.as_tensor(splits[split])
    if nodes.dtype == torch.bool:
        nodes = nodes.nonzero().view(-1)
    if nodes.numel() == 0:
        raise ValueError(f"the split '{split}' holds no node")
    if not 0 <= int(nodes.min()) <= int(nodes.max()) < num_nodes:
        raise ValueError(f"the split '{split}' must hold nodes from 0 to {num_nodes - 1}")
    return nodes.long()
