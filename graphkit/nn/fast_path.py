"""When a layer may leave PyG's message passing for a kernel: only while nobody could tell."""

from __future__ import annotations

from collections.abc import Callable
from types import MethodType
from typing import Any, ClassVar

from torch.utils.hooks import RemovableHandle
from torch_geometric.nn import MessagePassing
from torch_geometric.nn.aggr import SumAggregation

from graphkit.nn.hooks import is_heard

WRITTEN = ("message", "aggregate", "update", "message_and_aggregate", "edge_update")
GENERATED = ("propagate", "edge_updater")
PLAIN = tuple(getattr(MessagePassing, name) for name in GENERATED)


class FastPath(MessagePassing):
    r"""Base of the layers that have a kernel beside their definition.

    The definition is what every PyG layer has: :meth:`message`, :meth:`aggregate`,
    :meth:`edge_update` and so on, run by :meth:`propagate`.  The kernel gives

    .. math::
        \mathbf{y}_i = \sum_{j \in \mathcal{N}(i)} \operatorname{message}(\mathbf{x}_j, \ldots)

    in one step, without the messages.  :meth:`may_be_fast` says whether a call may take it.
    It may unless

    * a PyG explainer runs (:obj:`explain`),
    * a hook on propagate, message, aggregate, message_and_aggregate or edge_update hangs on
      the layer, or an ordinary hook on its aggregation or on all modules,
    * a subclass, the instance or a patch has put in another method of the definition,
    * the aggregation is not the sum.

    A layer writes ``class MyConv(FastPath, fast=True)``, takes the kernel only if
    :meth:`may_be_fast`, and :meth:`propagate` otherwise.  ``fast=True`` says that the fast path
    was written for the definition this class has; a subclass that changes the definition does
    not say it.  The test costs a few microseconds.  In compiled code PyG runs no hooks of message
    passing, so there they change nothing.

    Subclasses start from the ``propagate`` of ``MessagePassing``.  PyG puts a version without
    explanations into each class that is instantiated, and a subclass would inherit it: an
    explainer's masks would be ignored in silence.

    Args:
        *args (optional): Arguments of the PyG layer that follows in the order of bases.
        **kwargs (optional): Likewise.

    Example:
        >>> import torch
        >>> from graphkit import ops
        >>> class Sum(FastPath, fast=True):
        ...     def forward(self, x, edge_index):
        ...         if self.may_be_fast():
        ...             return ops.spmm(edge_index, None, x)
        ...         return self.propagate(edge_index, x=x)
        >>> class TwiceTheSum(Sum):
        ...     def message(self, x_j):
        ...         return 2 * x_j
        >>> x, edge_index = torch.ones(2, 1), torch.tensor([[0], [1]])
        >>> Sum()(x, edge_index).tolist(), TwiceTheSum()(x, edge_index).tolist()
        ([[0.0], [1.0]], [[0.0], [2.0]])
        >>> Sum().may_be_fast(), TwiceTheSum().may_be_fast()
        (True, False)
    """

    definition: ClassVar[dict[str, Callable]] = {}
    aggregations: ClassVar[tuple[type, ...]] = (SumAggregation,)
    """The aggregations that the fast path knows."""
    generated: ClassVar[frozenset[str]] = frozenset()
    hooks_to_watch: tuple[Any, ...] = ()

    def __init_subclass__(cls, fast: bool = False, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if fast:
            cls.definition = {name: getattr(cls, name) for name in WRITTEN}
        # PyG renders a template per class, into a module named after the class.
        kinds = [f"{base.__module__}_{base.__name__}" for base in cls.__mro__]
        cls.generated = frozenset(f"{kind}_{name}" for kind in kinds for name in GENERATED)
        if cls.propagate in PLAIN or cls.propagate.__module__ in cls.generated:
            cls.propagate = PLAIN[0]

    def refuse_keywords(self, aggregation: str = "") -> None:
        """Raises for what :class:`MessagePassing` takes and the layer cannot honour.

        Args:
            aggregation (str, optional): Why the layer must sum, if it must; without it one
                other aggregation is fine. (default: :obj:`""`)

        Raises:
            ValueError: If :obj:`decomposed_layers` or :obj:`aggr` is refused.
        """
        if self.decomposed_layers != 1:
            raise ValueError(
                f"'decomposed_layers' must be 1, got {self.decomposed_layers}: it saves the "
                "memory of messages, which are not written out here anyway"
            )
        if isinstance(self.aggr, list):
            raise ValueError(f"'aggr' must be one aggregation, got the list {self.aggr}")
        if aggregation and type(self.aggr_module) is not SumAggregation:
            raise ValueError(f"'aggr' must be 'sum', got {self.aggr!r}: {aggregation}")

    def may_be_fast(self) -> bool:
        """Whether no hook, override, explanation or other aggregation asks for messages."""
        return not (self.explain or self.is_hooked()) and self.is_as_written()

    def is_as_written(self) -> bool:
        """Whether the definition is the one that the fast path was written for."""
        if not self.definition:
            return False
        for name, function in self.definition.items():
            if function_of(self, name) is not function:
                return False
        for name in GENERATED:
            method = function_of(self, name)
            if method not in PLAIN and getattr(method, "__module__", "") not in self.generated:
                return False
        return type(self.aggr_module) in self.aggregations

    def is_hooked(self) -> bool:
        """Whether a message-passing hook hangs on the layer, or any hook hears its aggregation."""
        return any(self.hooks_to_watch) or is_heard(self.aggr_module)

    def watch(self, handle: RemovableHandle) -> RemovableHandle:
        """Keeps the dictionary that the handle takes its hook out of, and returns the handle.

        Copies and pickles of the layer share the copied dictionary with PyG's own reference.
        """
        hooks = handle.hooks_dict_ref()
        if not any(hooks is known for known in self.hooks_to_watch):
            self.hooks_to_watch = (*self.hooks_to_watch, hooks)
        return handle


def function_of(layer: MessagePassing, name: str) -> Any:
    """The function behind a method of the layer, or whatever the instance has in its place."""
    method = getattr(layer, name)
    return method.__func__ if isinstance(method, MethodType) else method


def watching(register: str) -> Callable[..., RemovableHandle]:
    """The PyG method of that name, which also lets the layer watch its hooks."""

    def method(self: FastPath, hook: Callable) -> RemovableHandle:
        return self.watch(getattr(MessagePassing, register)(self, hook))

    method.__name__ = register
    method.__doc__ = getattr(MessagePassing, register).__doc__
    return method


for part in ("propagate", "message", "aggregate", "message_and_aggregate", "edge_update"):
    for when in ("forward_pre_hook", "forward_hook"):
        setattr(FastPath, f"register_{part}_{when}", watching(f"register_{part}_{when}"))
