"""A student that is trained against a frozen teacher, by the names of their modules."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from graphkit.catalog import no_method
from graphkit.distill.loss import DistillationLoss
from graphkit.distill.memo import Memo
from graphkit.modes import evaluating
from graphkit.taps import Call, tap

Pair = tuple[str, str]


@no_method("attaches losses to two models, no method of its own")
class Distiller(nn.Module):
    r"""Attaches distillation losses to any student and any teacher by module names, for static
    and dynamic graphs as in the `"Distilling Knowledge from Graph Convolutional Networks"
    <https://arxiv.org/abs/2003.10477>`_ paper.

    Called like the student, it returns the student's output; in training mode it also reads
    the named features of both networks, and :meth:`penalty` then gives

    .. math::
        \sum_p \lambda_p \, \mathcal{L}_p(s_p, t_p)

    The teacher gets the student's arguments, runs in evaluation mode without gradients, and
    keeps its modes. Its features are kept while the same unchanged tensors come in, so on a
    static graph it runs once; call :meth:`forget` after changing its weights. It is no
    submodule: ``parameters()`` are the student's and those of the losses.

    Args:
        student (torch.nn.Module): The model to train.
        teacher (torch.nn.Module): The model to learn from.
        pairs (list): ``(student module, teacher module)`` by name; ``""`` is a model itself,
            that is its output.
        losses (DistillationLoss or list): One for all pairs, or one for each.
        weights (float or list, optional): :math:`\lambda_p`. (default: :obj:`1.0`)
        graphs (list, optional): For dynamic graphs: one ``(student module, teacher module)``
            per pair, whose outputs are the edges; losses then see both edge sets.
            (default: the argument ``edge_index``)

    Shapes:
        - **input:** what the student takes
        - **output:** what the student gives

    Raises:
        ValueError: If names are unknown or the lists differ in length.
        RuntimeError: If :meth:`penalty` is called without a forward pass in training mode.

    Example:
        >>> import torch
        >>> from torch_geometric.nn import GCN
        >>> from graphkit.distill import Distiller, LocalStructureLoss
        >>> student, teacher = GCN(8, 4, 2, 3), GCN(8, 64, 3, 3)
        >>> pairs = [("convs.0", "convs.1")]
        >>> model = Distiller(student, teacher, pairs, LocalStructureLoss(), weights=100.0)
        >>> edge_index = torch.tensor([[0, 1, 2, 3], [1, 0, 0, 1]])
        >>> loss = model(torch.rand(4, 8), edge_index).mean() + model.penalty()
        >>> loss.backward()
    """

    def __init__(
        self,
        student: nn.Module,
        teacher: nn.Module,
        pairs: Sequence[Pair],
        losses: DistillationLoss | Sequence[DistillationLoss],
        weights: float | Sequence[float] = 1.0,
        graphs: Sequence[Pair] | None = None,
    ) -> None:
        super().__init__()
        self.student = student
        self._teacher = (teacher,)
        self.pairs = [(str(ours), str(theirs)) for ours, theirs in pairs]
        if not self.pairs:
            raise ValueError("'pairs' is empty; name at least one pair of modules")
        loss_list = [losses] * len(self.pairs) if isinstance(losses, nn.Module) else list(losses)
        self.weights = (
            [float(weights)] * len(self.pairs)
            if isinstance(weights, (int, float))
            else [float(weight) for weight in weights]
        )
        self.graphs = None if graphs is None else [(str(a), str(b)) for a, b in graphs]
        for name, given in (("losses", loss_list), ("weights", self.weights), ("graphs", graphs)):
            if given is not None and len(given) != len(self.pairs):
                raise ValueError(f"'{name}' has {len(given)} entries for {len(self.pairs)} pairs")
        for loss in loss_list:
            if not isinstance(loss, DistillationLoss):
                raise TypeError(f"'losses' must hold DistillationLoss, got {type(loss).__name__}")
        self.losses = nn.ModuleList(loss_list)
        self.memo = Memo()
        self.seen: dict[str, Call] | None = None
        for model, names in ((student, self.names(0)), (teacher, self.names(1))):
            with tap(model, *names):
                continue

    @property
    def teacher(self) -> nn.Module:
        """The model to learn from."""
        return self._teacher[0]

    def names(self, side: int) -> list[str]:
        """The modules read in the student (0) or the teacher (1)."""
        return list(dict.fromkeys(pair[side] for pair in [*self.pairs, *(self.graphs or [])]))

    def forget(self) -> None:
        """Drops the teacher's features, so that it runs again."""
        self.memo.forget()

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The student's output."""
        self.seen = None
        if not self.training:
            return self.student(*args, **kwargs)
        with tap(self.student, "", *self.names(0)) as record:
            out = self.student(*args, **kwargs)
        self.seen = dict(record)
        return out

    def penalty(self) -> Tensor:
        """The weighted sum of all losses of the last forward pass in training mode, once."""
        if self.seen is None:
            raise RuntimeError("call the distiller in training mode before each penalty()")
        ours, self.seen = self.seen, None
        theirs = self.memo(
            (*ours[""].args, *ours[""].kwargs.values()), lambda: self.teach(ours[""])
        )
        arguments = bound(self.student, ours[""])
        terms = []
        for place, (pair, loss, weight) in enumerate(
            zip(self.pairs, self.losses, self.weights, strict=True)
        ):
            extra: dict[str, Any] = {}
            if getattr(loss, "takes_edges", False):
                extra |= self.edges(place, ours, theirs, arguments)
            if getattr(loss, "takes_batch", False):
                extra["batch"] = arguments.get("batch")
            student, teacher = features(ours, pair[0]), features(theirs, pair[1])
            terms.append(weight * loss(student, teacher, **extra))
        return torch.stack(terms).sum()

    @torch.no_grad()
    def teach(self, call: Call) -> dict[str, Call]:
        """The teacher's calls for the arguments of the student's call."""
        with evaluating(self.teacher), tap(self.teacher, *self.names(1)) as record:
            self.teacher(*call.args, **call.kwargs)
        return dict(record)

    def edges(
        self,
        place: int,
        ours: dict[str, Call],
        theirs: dict[str, Call],
        arguments: dict[str, Any],
    ) -> dict[str, Tensor]:
        """The edges of one pair: those that came in, or those of each network."""
        if self.graphs is not None:
            left, right = self.graphs[place]
            return {
                "edge_index": features(ours, left),
                "edge_index_teacher": features(theirs, right),
            }
        if not isinstance(arguments.get("edge_index"), Tensor):
            raise ValueError(
                f"{type(self.student).__name__} was called without a tensor 'edge_index'; "
                "name the modules that build the edges with graphs=[…]"
            )
        return {"edge_index": arguments["edge_index"]}


def bound(model: nn.Module, call: Call) -> dict[str, Any]:
    """The arguments of a call by the names of the model's ``forward``."""
    return dict(inspect.signature(model.forward).bind(*call.args, **call.kwargs).arguments)


def features(calls: dict[str, Call], name: str) -> Tensor:
    """The tensor that a module returned, or the first of several."""
    output = calls[name].output
    output = output[0] if isinstance(output, tuple) else output
    if not isinstance(output, Tensor):
        raise TypeError(f"module {name!r} returned {type(output).__name__}, not a tensor")
    return output
