"""A student that is trained against a frozen teacher, by the names of their modules."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.data.data import BaseData
from torch_geometric.utils import is_sparse, to_edge_index

from graphkit.catalog import no_method
from graphkit.distill.loss import DistillationLoss
from graphkit.distill.memo import Memo
from graphkit.lopsided import watch_penalty
from graphkit.modes import evaluating
from graphkit.precision import cast_floats
from graphkit.taps import Call, Tap
from graphkit.words import refuse_class, refuse_classes

Pair = tuple[str, str]
CALL = "call of the student"


@no_method("attaches losses to two models, no method of its own")
class Distiller(nn.Module):
    r"""Attaches distillation losses to any student and any teacher by module names, for static
    and dynamic graphs as in the `"Distilling Knowledge from Graph Convolutional Networks"
    <https://arxiv.org/abs/2003.10477>`_ paper.

    Called like the student, it returns the student's output; in training mode it also reads
    the named features of both networks, and :meth:`penalty` then gives

    .. math::
        \sum_p \lambda_p \, \mathcal{L}_p(s_p, t_p)

    The teacher gets the student's arguments, in the type of its own weights, runs in evaluation
    mode without gradients, and keeps its modes. While all arguments are constants and the same
    unchanged tensors, and the teacher's weights and buffers are unchanged, too, its features are
    kept, so on a static graph it runs once; with any other argument (``Data``, a list, a sparse
    tensor) it runs in every step. It is no submodule: ``parameters()`` are the student's and
    those of the losses.

    Both may be wrapped (``DistributedDataParallel``, ``DataParallel`` on one device, an
    ``AveragedModel``): names are those of the model inside. Both may take a ``Data`` object. Of a
    module that runs several times, the last call is read. A step costs some 120 Python calls
    more than student and losses, and no look-up of names.

    Args:
        student (torch.nn.Module): The model to train.
        teacher (torch.nn.Module): The model to learn from.
        pairs (list): ``(student module, teacher module)`` by name; ``""`` is a model itself,
            that is its output.
        losses (DistillationLoss or list): One for all pairs, or one for each.
        weights (float or list, optional): :math:`\lambda_p`. (default: each loss's
            ``usual_weight``, which is 1 unless its page says another)
        graphs (list, optional): For dynamic graphs: one ``(student module, teacher module)``
            per pair, whose outputs are the edges; losses then see both edge sets.
            (default: the argument ``edge_index``)

    Shapes:
        - **input:** what the student takes
        - **output:** what the student gives

    Raises:
        ValueError: If names are unknown, the lists differ in length, or a model is replicated.
        TypeError: If ``losses`` holds something else, or ``pairs`` is a single pair.
        RuntimeError: If :meth:`penalty` is called without a forward pass in training mode.

    Warns:
        LopsidedWarning: If, in the second step, the gradient of a loss on the student is over
            twice that of all else in the backward pass: of eight losses on Cora and digits all
            that cost over two points were. Says by how much to lower the weight; looks once.

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
        weights: float | Sequence[float] | None = None,
        graphs: Sequence[Pair] | None = None,
    ) -> None:
        super().__init__()
        refuse_classes(student=student, teacher=teacher)
        self.student = student
        # In a tuple the teacher is no submodule: it is not trained, moved or saved with this one.
        self._teacher = (teacher,)
        self.pairs = pairs_of("pairs", pairs)
        if not self.pairs:
            raise ValueError("'pairs' is empty; name at least one pair of modules")
        loss_list: list[Any] = (
            [losses] * len(self.pairs) if isinstance(losses, nn.Module | type) else [*losses]
        )
        if weights is None:
            weights = [getattr(loss, "usual_weight", 1.0) for loss in loss_list]
        self.weights = (
            [float(weights)] * len(self.pairs)
            if isinstance(weights, (int, float))
            else [float(weight) for weight in weights]
        )
        self.graphs = None if graphs is None else pairs_of("graphs", graphs)
        for name, given in (("losses", loss_list), ("weights", self.weights), ("graphs", graphs)):
            if given is not None and len(given) != len(self.pairs):
                raise ValueError(f"'{name}' has {len(given)} entries for {len(self.pairs)} pairs")
        for loss in loss_list:
            check_loss(loss)
        self.losses = nn.ModuleList(loss_list)
        self.memo = Memo()
        self.seen: dict[str, Call] | None = None
        # The names in the models as they are given: wrappers put "module." before each.
        self.full = [
            {name: full_name(model, name) for name in self.names(side)}
            for side, model in enumerate((student, teacher))
        ]
        self.taps = [
            Tap(model, *full.values())
            for model, full in zip((student, teacher), self.full, strict=True)
        ]
        self.arguments = argument_names(unwrapped(student))
        self.parts = parts_of(teacher)

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
        came_in = Call.of(args, kwargs)
        with self.taps[0].open() as record:
            out = self.student(*args, **kwargs)
        self.seen = {name: record[full] for name, full in self.full[0].items()}
        self.seen[CALL] = came_in
        return out

    def penalty(self) -> Tensor:
        """The weighted sum of all losses of the last forward pass in training mode, once."""
        if self.seen is None:
            raise RuntimeError("call the distiller in training mode before each penalty()")
        ours, self.seen = self.seen, None
        call = ours[CALL]
        theirs = self.taught(call)
        arguments = {**dict(zip(self.arguments, call.args, strict=False)), **call.kwargs}
        terms = []
        for place, (pair, loss, weight) in enumerate(
            zip(self.pairs, self.losses, self.weights, strict=True)
        ):
            extra: dict[str, Any] = {}
            if getattr(loss, "takes_edges", False):
                extra |= self.edges(place, ours, theirs, arguments)
            if getattr(loss, "takes_batch", False):
                extra["batch"] = argument(arguments, "batch")
            student, teacher = features(ours, pair[0]), features(theirs, pair[1])
            terms.append(weight * loss(student, teacher, **extra))
        watch_penalty(
            self,
            (
                (f"{type(loss).__name__} of {pair} at weight {weight:g}", term)
                for loss, pair, weight, term in zip(
                    self.losses, self.pairs, self.weights, terms, strict=True
                )
                if not loss.teaches_task
            ),
            self.student.parameters(),
        )
        return torch.stack(terms).sum()

    def taught(self, call: Call) -> dict[str, Call]:
        """The teacher's calls for the arguments of the student's call, kept where they can be."""
        args, kwargs = call.args, call.kwargs
        device = next((item.device.type for item in args if isinstance(item, Tensor)), "cpu")
        mixed = torch.is_autocast_enabled(device), torch.get_autocast_dtype(device)
        watched = [thing for group in self.parts for thing in group.values()]
        inputs = (*mixed, *args, *kwargs, *kwargs.values()) if args or kwargs else ()
        return self.memo(inputs, lambda: self.teach(call), watched)

    @torch.no_grad()
    def teach(self, call: Call) -> dict[str, Call]:
        """The teacher's calls for the arguments of the student's call."""
        teacher = self.teacher
        self.parts = parts_of(teacher)
        weights = (p.dtype for p in teacher.parameters() if p.is_floating_point())
        args, kwargs, dtype = call.args, call.kwargs, next(weights, None)
        if dtype is not None and not any(map(torch.is_autocast_enabled, ("cpu", "cuda"))):
            args, kwargs = cast_floats((args, kwargs), dtype)
        with evaluating(teacher), self.taps[1].open() as record:
            teacher(*args, **kwargs)
        return {name: record[full] for name, full in self.full[1].items()}

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
        edges = argument(arguments, "edge_index")
        edges = argument(arguments, "adj_t") if edges is None else edges
        if is_sparse(edges):
            # Rows of a sparse adjacency are the targets.
            edges = to_edge_index(edges)[0].flip(0)
        if not isinstance(edges, Tensor):
            raise ValueError(
                f"{type(self.student).__name__} was called without a tensor 'edge_index'; "
                "name the modules that build the edges with graphs=[…]"
            )
        return {"edge_index": edges}


def pairs_of(name: str, pairs: Sequence[Pair]) -> list[Pair]:
    """Pairs of names as strings, or an error that says what to write."""
    pairs = list(pairs)
    if any(isinstance(pair, str) or len(pair) != 2 for pair in pairs):
        hint = f"; write [{tuple(pairs)}]" if len(pairs) == 2 and isinstance(pairs[0], str) else ""
        raise TypeError(f"'{name}' must be a list of pairs of names, got {pairs}{hint}")
    return [(str(ours), str(theirs)) for ours, theirs in pairs]


def check_loss(loss: Any) -> None:
    """Raises unless something is a distillation loss, made and not only named."""
    refuse_class("losses", loss)
    if not isinstance(loss, DistillationLoss):
        raise TypeError(
            f"'losses' must hold DistillationLoss, got {type(loss).__name__}; "
            "derive your loss from graphkit.distill.DistillationLoss"
        )


def unwrapped(model: nn.Module) -> nn.Module:
    """The model inside wrappers, which pass on whatever comes and hold it as ``module``."""
    while True:
        if isinstance(model, nn.DataParallel) and len(model.device_ids) > 1:
            raise ValueError(
                "DataParallel runs a copy of the model on each device, and the features of the "
                "copies are lost; use DistributedDataParallel, or one device"
            )
        inner = getattr(model, "module", None)
        if argument_names(model) or not isinstance(inner, nn.Module):
            return model
        model = inner


def argument_names(model: nn.Module) -> list[str]:
    """The names of the arguments that may be given by position."""
    parameters = inspect.signature(model.forward).parameters.values()
    return [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]


def full_name(model: nn.Module, name: str) -> str:
    """The name of a module of the model inside wrappers, in the wrapped one."""
    inner, prefix = unwrapped(model), ""
    outer = model
    while outer is not inner:
        prefix, outer = f"{prefix}module.", outer.module  # type: ignore[assignment]
    modules = dict(inner.named_modules(remove_duplicate=False))
    return prefix + name if name and name in modules else name


def parts_of(model: nn.Module) -> list[dict[str, Any]]:
    """The dictionaries in which a model's modules hold their weights, buffers and children."""
    kinds = ("_parameters", "_buffers", "_modules")
    return [vars(module)[kind] for module in model.modules() for kind in kinds]


def argument(arguments: dict[str, Any], name: str) -> Any:
    """An argument by its name, or an attribute of a graph among the arguments."""
    if name in arguments:
        return arguments[name]
    graphs = (value for value in arguments.values() if isinstance(value, BaseData))
    return next((graph[name] for graph in graphs if name in graph), None)


def features(calls: dict[str, Call], name: str) -> Tensor:
    """The tensor that a module returned, or the first of several."""
    output = calls[name].output
    output = output[0] if isinstance(output, tuple) else output
    if not isinstance(output, Tensor):
        raise TypeError(f"module {name!r} returned {type(output).__name__}, not a tensor")
    return output
