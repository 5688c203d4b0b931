r"""Named access to inner features and attention of any PyTorch or PyG model.

Only public hooks are used, none outlives its ``with`` block, and everything that is collected
stays in the autograd graph.

>>> import torch
>>> from torch_geometric.nn import GAT
>>> model = GAT(8, 4, num_layers=2, out_channels=3, heads=2)
>>> x, edge_index = torch.rand(3, 8), torch.tensor([[0, 1, 1], [1, 1, 2]])
>>> with tap(model, "convs.0") as inner, attention(model) as weights:
...     out = model(x, edge_index)
>>> inner["convs.0"].output.shape
torch.Size([3, 4])
>>> weights["convs.0"].alpha.shape  # one row per edge that came in, one column per head
torch.Size([3, 2])
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map_only
from torch.utils.hooks import RemovableHandle
from torch_geometric.nn import MessagePassing

from graphkit.named_modules import NamedModules
from graphkit.words import refuse_class

__all__ = ["Attention", "Call", "Record", "Tap", "attention", "tap"]

FLAG = "return_attention_weights"
T = TypeVar("T")


@dataclass(frozen=True)
class Call:
    """One call of a submodule.

    Args:
        args (tuple): Its positional arguments.
        kwargs (dict): Its keyword arguments.
        output (Any): What it returned.
        versions (dict, optional): How often each of its tensors had been written to in place
            when it came in or was returned.
    """

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    output: Any
    versions: dict[str, list[int]] = field(default_factory=dict, repr=False)

    @property
    def input(self) -> Any:
        """The first argument, positional or not."""
        return next(iter([*self.args, *self.kwargs.values()]))

    @classmethod
    def of(cls, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call:
        """A call that is about to be made."""
        return cls(args, kwargs, None, {"args": _versions(args), "kwargs": _versions(kwargs)})

    def __getattribute__(self, name: str) -> Any:
        value = super().__getattribute__(name)
        if name in ("args", "kwargs", "output"):
            then = super().__getattribute__("versions").get(name)
            if then is not None and then != _versions(value):
                raise RuntimeError(
                    f"the tapped module's {name} were written to in place since, by a module with "
                    "inplace=True or a line such as x += y: tap what comes before or after it, or "
                    "set inplace=False"
                )
        return value


@dataclass(frozen=True)
class Attention:
    r"""Attention of one call of one layer.

    Args:
        edge_index (torch.Tensor): The edges that came into the layer.
        layer_edge_index (torch.Tensor): The edges the layer attended over, in its own order.
        layer_alpha (torch.Tensor): One row of weights per edge of ``layer_edge_index``.

    Shapes:
        - **input:** edge indices :math:`(2, |\mathcal{E}|)` and :math:`(2, |\mathcal{E}'|)`,
          weights :math:`(|\mathcal{E}'|, H)`
    """

    edge_index: Tensor
    layer_edge_index: Tensor
    layer_alpha: Tensor

    @property
    def alpha(self) -> Tensor:
        r"""The weights aligned with :attr:`edge_index`, :math:`(|\mathcal{E}|, H)`.

        A self loop that came in and was replaced by the layer's own has that one's weight.

        Raises:
            ValueError: If the layer attended over other edges than those that came in.
        """
        if self._unchanged:
            return self.layer_alpha
        keep, first_loop = self._split()
        row = keep.cumsum(0) - 1
        row = torch.where(keep, row, first_loop + self.edge_index[0])
        return self.layer_alpha[row]

    @property
    def self_loops(self) -> Tensor | None:
        """Weights of the self loops the layer added, a row per node; :obj:`None` without any."""
        if self._unchanged:
            return None
        return self.layer_alpha[self._split()[1] :]

    @property
    def _unchanged(self) -> bool:
        return torch.equal(_plain(self.edge_index), _plain(self.layer_edge_index))

    def _split(self) -> tuple[Tensor, int]:
        incoming, layer = _plain(self.edge_index), _plain(self.layer_edge_index)
        keep = incoming[0] != incoming[1]
        first_loop = int(keep.sum())
        loops = torch.arange(layer.size(1) - first_loop, device=layer.device)
        expected = torch.cat([incoming[:, keep], loops.expand(2, -1)], dim=1)
        if not torch.equal(layer, expected):
            raise ValueError(
                f"the layer attends over {layer.size(1)} edges that are not the "
                f"{incoming.size(1)} edges of edge_index plus self loops, so its weights cannot "
                "be given per edge of edge_index; use layer_edge_index and layer_alpha"
            )
        return keep, first_loop


@dataclass
class Record(Mapping[str, T], Generic[T]):
    """What the taps collected in the current forward pass, by module name.

    Indexing gives the last call; :attr:`calls` holds all of them in order, for modules that
    run several times. A new call of the tapped model empties it first.
    """

    names: tuple[str, ...]
    calls: dict[str, list[T]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.clear()

    def __getitem__(self, name: str) -> T:
        if name not in self.calls:
            raise KeyError(f"{name!r} is not tapped; tapped are {list(self.names)}")
        if not self.calls[name]:
            raise KeyError(f"{name!r} has not run since the tap was set or the model was called")
        return self.calls[name][-1]

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)

    def clear(self) -> None:
        """Forgets everything collected so far."""
        self.calls = {name: [] for name in self.names}


class Tap:
    """What :func:`tap` does, with names looked up once, for models tapped in every step.

    Args:
        model, *names: As in :func:`tap`.
    """

    def __init__(self, model: nn.Module, *names: str) -> None:
        self.model, self.named = model, NamedModules(model, names)

    @contextmanager
    def open(self) -> Iterator[Record[Call]]:
        """Collects while the ``with`` block runs."""
        modules = self.named.current()
        record: Record[Call] = Record(tuple(modules))
        handles = [self.model.register_forward_pre_hook(lambda *_: record.clear())]
        try:
            for name, module in modules.items():
                handles += _listen(module, _appender(record, name), module is not self.model)
            yield record
        finally:
            for handle in handles:
                handle.remove()


def tap(model: nn.Module, *names: str) -> AbstractContextManager[Record[Call]]:
    """Collects inputs and outputs of submodules while the ``with`` block runs.

    What a submodule gives is kept, and the model goes on with a copy of it: most networks of
    torchvision write into it in place. So a tap costs one copy of an output. An input that is
    written to in place is not copied; reading it afterwards is an error.

    Args:
        model (torch.nn.Module): Any model.
        *names (str): Names as in :meth:`torch.nn.Module.named_modules`; ``""`` is the model
            itself.

    Raises:
        ValueError: If no name is given, or one is unknown; the nearest names are listed.
        TypeError: If the model, or a part of it on the way to the name, is compiled: hooks
            set after :func:`torch.compile` do not run.

    Example:
        >>> import torch
        >>> model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.ReLU())
        >>> with tap(model, "0") as inner:
        ...     out = model(torch.ones(1, 2))
        >>> inner["0"].output.shape, inner["0"].input.shape
        (torch.Size([1, 3]), torch.Size([1, 2]))
    """
    return Tap(model, *names).open()


@contextmanager
def attention(model: nn.Module, *names: str) -> Iterator[Record[Attention]]:
    """Collects the attention of attention layers, per edge, while the ``with`` block runs.

    Works for every layer whose ``forward`` takes ``return_attention_weights`` (it is asked for
    them, and the caller sees the ordinary output) and for every
    :class:`~torch_geometric.nn.MessagePassing` layer whose ``message`` takes ``alpha``.

    Args:
        model (torch.nn.Module): Any model.
        *names (str): Names of attention layers, as in :meth:`torch.nn.Module.named_modules`.
            (default: all of them)

    Raises:
        ValueError: If a name is unknown (the nearest are listed), names a layer without
            attention weights, or the model has no attention layer.
        TypeError: If the model, or a part of it on the way to a layer, is compiled.

    Example:
        >>> import torch
        >>> from torch_geometric.nn import GATConv
        >>> conv = GATConv(2, 3)
        >>> edge_index = torch.tensor([[0, 1, 1], [1, 1, 0]])
        >>> with attention(conv) as weights:
        ...     out = conv(torch.ones(2, 2), edge_index)
        >>> weights[""].alpha.flatten().detach(), weights[""].self_loops.flatten().detach()
        (tensor([0.5000, 0.5000, 0.5000]), tensor([0.5000, 0.5000]))
    """
    refuse_class("model", model)
    modules = NamedModules(model, names or _attention_layers(model)).modules
    wrong = [name for name, module in modules.items() if not _attends(module)]
    if wrong:
        raise ValueError(f"{wrong} give no attention weights; {_attention_layers(model)} do")
    record: Record[Attention] = Record(tuple(modules))
    with ExitStack() as stack:
        stack.callback(model.register_forward_pre_hook(lambda *_: record.clear()).remove)
        for name, module in modules.items():
            watch = _ask if _takes(module.forward, FLAG) else _overhear
            watch(module, _appender(record, name), stack)
        yield record


def _listen(
    module: nn.Module, store: Callable[[Call], None], copies: bool
) -> list[RemovableHandle]:
    """Stores every call of a module; what comes after it gets a copy of its output."""
    came_in: list[dict[str, list[int]]] = []

    def before(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        came_in.append({"args": _versions(args), "kwargs": _versions(kwargs)})

    def after(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> Any:
        versions = {**came_in.pop(), "output": _versions(output)}
        store(Call(args, kwargs, output, versions))
        if not copies:
            return output
        # The walk through nested outputs takes twenty times as long as what a tensor needs.
        plain = type(output) is Tensor
        return _copy(output) if plain else tree_map_only(Tensor, _copy, output)

    return [
        module.register_forward_pre_hook(before, with_kwargs=True),
        module.register_forward_hook(after, with_kwargs=True),
    ]


def _versions(values: Any) -> list[int]:
    """How often each tensor among some values was written to in place."""
    versions = []
    flat = values.values() if type(values) is dict else values
    for value in flat if type(values) in (tuple, dict) else (values,):
        if isinstance(value, Tensor):
            versions.append(0 if value.is_inference() else value._version)
        elif value is not None and not isinstance(value, int | float | str):
            tensors = [leaf for leaf in tree_leaves(value) if isinstance(leaf, Tensor)]
            versions += [0 if tensor.is_inference() else tensor._version for tensor in tensors]
    return versions


def _copy(tensor: Tensor) -> Tensor:
    """A copy with the same gradient; whole numbers, edge indices above all, stay as they are."""
    return tensor.clone() if tensor.is_floating_point() else tensor


def _ask(layer: nn.Module, store: Callable[[Attention], None], stack: ExitStack) -> None:
    """Asks the layer for its weights and hides them from the caller again."""
    signature = inspect.signature(layer.forward)
    asked: list[bool] = []

    def before(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        bound = signature.bind(*args, **kwargs)
        asked.append(bool(bound.arguments.get(FLAG)))
        bound.arguments[FLAG] = True
        return bound.args, bound.kwargs

    def after(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> Any:
        edge_index = signature.bind(*args, **kwargs).arguments["edge_index"]
        layer_edge_index, alpha = _weights_in(output)
        store(Attention(_checked(edge_index), layer_edge_index, alpha))
        return output if asked.pop() else output[0]

    stack.callback(layer.register_forward_pre_hook(before, with_kwargs=True).remove)
    stack.callback(layer.register_forward_hook(after, with_kwargs=True, prepend=True).remove)


def _overhear(layer: MessagePassing, store: Callable[[Attention], None], stack: ExitStack) -> None:
    """Reads ``alpha`` off the arguments of the layer's first ``message``."""
    heard: list[tuple[Tensor, Tensor]] = []
    edges: list[Tensor] = []
    signature = inspect.signature(layer.forward)

    def before(*_: Any) -> None:
        heard.clear()
        edges.clear()

    def on_propagate(_: nn.Module, inputs: tuple[Any, ...]) -> None:
        edges.append(inputs[0])

    def on_message(_: nn.Module, inputs: tuple[dict[str, Any]], output: Tensor) -> None:
        heard.append((edges[-1], inputs[0]["alpha"]))

    def after(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        arguments = signature.bind(*args, **kwargs).arguments
        layer_edge_index, alpha = heard[0]
        edge_index = arguments.get("edge_index", layer_edge_index)
        store(Attention(_checked(edge_index), layer_edge_index, alpha))

    stack.callback(layer.register_forward_pre_hook(before).remove)
    stack.callback(layer.register_propagate_forward_pre_hook(on_propagate).remove)
    stack.callback(layer.register_message_forward_hook(on_message).remove)
    stack.callback(layer.register_forward_hook(after, with_kwargs=True).remove)


def _appender(record: Record[T], name: str) -> Callable[[T], None]:
    return lambda call: record.calls[name].append(call)


def _takes(function: Callable, name: str) -> bool:
    return name in inspect.signature(function).parameters


def _attends(module: nn.Module) -> bool:
    return _takes(module.forward, FLAG) or (
        isinstance(module, MessagePassing) and _takes(module.message, "alpha")
    )


def _attention_layers(model: nn.Module) -> list[str]:
    layers = [name for name, module in model.named_modules() if _attends(module)]
    if not layers:
        raise ValueError(f"{type(model).__name__} has no attention layer")
    return layers


def _weights_in(output: Any) -> tuple[Tensor, Tensor]:
    pair = output[1] if isinstance(output, tuple) and len(output) == 2 else None
    if not (isinstance(pair, tuple) and len(pair) == 2 and isinstance(pair[0], Tensor)):
        raise TypeError(
            "with return_attention_weights=True the layer must return (out, (edge_index, alpha)) "
            "with edge_index as a tensor; sparse adjacencies have no order of edges to align with"
        )
    return pair


def _checked(edge_index: Any) -> Tensor:
    if not isinstance(edge_index, Tensor) or edge_index.layout != torch.strided:
        raise TypeError(
            f"attention is aligned with edge_index as a [2, E] tensor, got {type(edge_index)}"
        )
    return edge_index


def _plain(edge_index: Tensor) -> Tensor:
    return edge_index.as_tensor() if hasattr(edge_index, "as_tensor") else edge_index
