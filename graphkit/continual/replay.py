"""Small graphs of earlier tasks, trained on again: what replay strategies share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.utils import subgraph

from graphkit.catalog import no_method
from graphkit.continual.strategy import LossFn, OutputFn, Strategy, columns_of
from graphkit.refusals import refuse_negative, refuse_outside

Memory = dict[str, Tensor]
"""A small graph: ``x``, ``edge_index``, the ``rows`` with a label, their ``y``, the ``columns``."""


@no_method("what replay strategies share, no method of its own")
class GraphReplay(Strategy, ABC):
    r"""A strategy that keeps a small graph of every task and trains on it again.

    Loss functions do not say what graph is behind them, so there is one call more than in other
    strategies, :meth:`see_task`, before a task is trained.  With :math:`|\mathcal{B}|` labelled
    nodes in memory and :math:`n` in the task:

    .. math::
        \mathcal{L}' = \beta \, \mathcal{L} + (1 - \beta) \, \mathcal{L}_{\mathcal{B}},
        \qquad \beta = \frac{|\mathcal{B}|}{|\mathcal{B}| + n}

    Nodes in memory are scored over the columns of their own task, or of the present one where
    these include them: classes seen so far then compete, as class-incremental learning wants it.
    All memories are run as one graph of separate parts, in the model's own mode: a step costs a
    forward pass over them more.

    Args:
        model (torch.nn.Module): A network ``(x, edge_index) -> [N, C]``.
        memories (int): Labelled nodes kept of each class.
        seed (int): Seed of what is drawn.

    Example:
        >>> from graphkit.continual import ERGNN
        >>> from graphkit.continual.replay import GraphReplay
        >>> issubclass(ERGNN, GraphReplay)
        True
    """

    def __init__(self, model: nn.Module, memories: int, seed: int) -> None:
        super().__init__(model)
        if memories < 1:
            raise ValueError(f"'memories' must be at least 1, got {memories}")
        self.memories, self.seed = memories, seed
        self.kept: list[Memory] = []
        self.present: Memory | None = None

    def see_task(
        self,
        x: Tensor,
        edge_index: Tensor,
        rows: Tensor,
        y: Tensor,
        columns: Tensor | None = None,
    ) -> None:
        """Shows the task that is about to be trained.

        Args:
            x (torch.Tensor): Features ``[N, F]``.
            edge_index (torch.Tensor): Edges ``[2, E]``.
            rows (torch.Tensor): The training nodes ``[n]``.
            y (torch.Tensor): Their labels ``[n]``, as columns of the output.
            columns (torch.Tensor, optional): The columns that compete; :obj:`None` means those
                that are among the labels. (default: :obj:`None`)
        """
        if rows.dim() != 1 or rows.dtype == torch.bool or y.shape != rows.shape or not len(rows):
            raise ValueError(
                f"'rows' and 'y' must be as many node numbers and labels, at least one, got "
                f"{list(rows.shape)} of {rows.dtype} and {list(y.shape)}"
            )
        refuse_outside("rows", rows, len(x))
        refuse_negative("y", y)
        refuse_negative("columns", columns)
        columns = y.unique() if columns is None else columns
        if not bool(torch.isin(y, columns).all()):
            raise ValueError(f"'y' holds labels that are not among 'columns' {columns.tolist()}")
        self.present = {
            "x": x, "edge_index": edge_index, "rows": rows, "y": y, "columns": columns,
        }  # fmt: skip

    def seen(self) -> Memory:
        """The present task, which must have been shown."""
        if self.present is None:
            raise ValueError(
                f"{type(self).__name__} keeps graphs: call see_task(...) before a task is trained"
            )
        return self.present

    def penalty(self, loss: Tensor | None = None, output_fn: OutputFn | None = None) -> Tensor:
        if not self.kept:
            return super().penalty()
        if loss is None:
            raise ValueError(f"{type(self).__name__} needs the present loss: call penalty(loss)")
        size = sum(len(memory["rows"]) for memory in self.kept)
        share = size / (size + len(self.seen()["rows"]))
        return (1 - share) * (self.memory_loss() - loss)

    def memory_loss(self) -> Tensor:
        """The mean cross entropy over all nodes in memory."""
        starts, parts, count = [], [], 0
        for memory in self.kept:
            starts.append(count)
            parts.append(memory["edge_index"] + count)
            count += len(memory["x"])
        out = self.model(torch.cat([m["x"] for m in self.kept]), torch.cat(parts, dim=1))
        losses = []
        for start, memory in zip(starts, self.kept, strict=True):
            columns = self.competing(memory["columns"])
            target = (memory["y"].view(-1, 1) == columns).long().argmax(dim=1)
            scores = columns_of(out[start + memory["rows"]], columns)
            losses.append(F.cross_entropy(scores, target, reduction="none"))
        return torch.cat(losses).mean()

    def competing(self, columns: Tensor) -> Tensor:
        """The columns over which an old task is scored now."""
        present = columns if self.present is None else self.present["columns"]
        return present if bool(torch.isin(columns, present).all()) else columns

    def remember(
        self, loss_fns: list[LossFn], output_fns: list[OutputFn], columns: Tensor | None
    ) -> None:
        task = self.seen()
        picked, nodes = self.choose(task)
        nodes = torch.cat([picked, nodes]).unique()
        edges, _ = subgraph(nodes, task["edge_index"], relabel_nodes=True, num_nodes=len(task["x"]))
        place = torch.searchsorted(nodes, picked)
        order = (task["rows"].view(1, -1) == picked.view(-1, 1)).long().argmax(dim=1)
        self.kept.append(
            {
                "x": task["x"][nodes].clone(),
                "edge_index": edges,
                "rows": place,
                "y": task["y"][order],
                "columns": task["columns"].clone(),
            }
        )
        self.present = None

    @abstractmethod
    def choose(self, task: Memory) -> tuple[Tensor, Tensor]:
        """The training nodes that are remembered, and the nodes that are kept beside them."""

    def per_class(self, task: Memory, score: Tensor) -> Tensor:
        """The training nodes with the smallest scores, so many of each class, ties at random."""
        generator = torch.Generator().manual_seed(self.seed + self.tasks)
        mixed = torch.randperm(len(score), generator=generator).to(score.device)
        order = mixed[score[mixed].argsort(stable=True)]
        picked = [order[task["y"][order] == label][: self.memories] for label in task["y"].unique()]
        return task["rows"][torch.cat(picked)]

    def state_dict(self) -> dict[str, Any]:
        kept = [{name: value.clone() for name, value in memory.items()} for memory in self.kept]
        return {**super().state_dict(), "kept": kept}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.kept = [
            {name: value.clone() for name, value in memory.items()} for memory in state["kept"]
        ]
