"""The contract of a layer that stands in the place of a PyG layer, as a pytest class to inherit."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize, prune
from torch_geometric.utils import to_torch_csr_tensor

from graphkit.testing.asserts import assert_close, assert_same_signature
from graphkit.testing.graphs import example_graph
from graphkit.testing.suite import Suite, seed_everything

MODULE_HOOKS = ("forward_pre_hook", "forward_hook", "full_backward_pre_hook", "full_backward_hook")
GRAPHS = ("plain", "isolated", "self_loops", "duplicates", "no_edges", "single_node")


class DropInSuite(Suite, ABC):
    """The contract of a layer that is a PyG layer in all but speed.

    A test supplies :meth:`make` and :meth:`twin`, both with the same options, and inherits every
    check listed by :meth:`checks`. Values are compared in float64 and eval mode with one set of
    weights. The checks of :class:`~graphkit.testing.LayerSuite` go beside these.

    Example:
        >>> from torch_geometric.nn import SAGEConv
        >>> class Renamed(SAGEConv):
        ...     pass
        >>> class TestRenamed(DropInSuite):
        ...     not_claimed = {"attention": "a convolution without attention"}
        ...     def make(self, **options):
        ...         return Renamed(8, 5, **options)
        ...     def twin(self, **options):
        ...         return SAGEConv(8, 5, **options)
        >>> TestRenamed.check("signature")()
    """

    in_channels: int = 8
    """Width of the node features."""
    edge_dim: int | None = None
    """Width of the edge features that are handed in as ``edge_attr``; none without."""
    pair_options: ClassVar[dict[str, Any]] = {"add_self_loops": False}
    """Constructor options for graphs between two sets of nodes."""

    @abstractmethod
    def make(self, **options: Any) -> nn.Module:
        """Builds the layer."""

    @abstractmethod
    def twin(self, **options: Any) -> nn.Module:
        """Builds the PyG layer with the same options."""

    def test_signature(self) -> None:
        """Constructor and ``forward`` have the twin's arguments: names, order, defaults."""
        ours, theirs = type(self.make()), type(self.twin())
        assert_same_signature(ours, theirs)
        assert_same_signature(ours.forward, theirs.forward)

    def test_class(self) -> None:
        """The layer is an instance of the twin's class, for code that asks."""
        assert isinstance(self.make(), type(self.twin()))

    def test_state_dict(self) -> None:
        """Weights load from one into the other, both ways."""
        ours, theirs = self.make(), self.twin()
        shapes = [{k: v.shape for k, v in one.state_dict().items()} for one in (ours, theirs)]
        assert list(shapes[0].items()) == list(shapes[1].items()), f"{shapes[0]}, not {shapes[1]}"
        theirs.load_state_dict(ours.state_dict(), strict=True)
        ours.load_state_dict(theirs.state_dict(), strict=True)

    def test_values(self) -> None:
        """Output and gradients are the twin's on every example graph."""
        ours, theirs = self._twins()
        for name in GRAPHS:
            self._agree(name, ours, theirs, *self._inputs(name))

    def test_pair(self) -> None:
        """Pairs of features, also without targets, are read as the twin reads them."""
        ours, theirs = self._twins(**self.pair_options)
        x, edge_index, *rest = self._inputs("plain")
        small = torch.randn(6, self.in_channels, dtype=x.dtype)
        self._agree("a pair", ours, theirs, (x, small), edge_index, *rest)
        self._agree("twice the same", ours, theirs, (x, x), edge_index, *rest)

    def test_missing_targets(self) -> None:
        """Targets without features are taken as the twin takes them."""
        ours, theirs = self._twins(**self.pair_options)
        x, edge_index, *rest = self._inputs("plain")
        self._agree("no targets", ours, theirs, (x, None), edge_index, *rest)

    def test_flow(self) -> None:
        """``flow="target_to_source"`` is the twin's."""
        ours, theirs = self._twins(flow="target_to_source")
        for name in ("plain", "self_loops"):
            self._agree(f"{name} against the flow", ours, theirs, *self._inputs(name))

    def test_aggregations(self) -> None:
        """Other aggregations, and other words for the sum, are the twin's."""
        for aggr in ("sum", "mean", "max"):
            ours, theirs = self._twins(aggr=aggr)
            self._agree(f"aggr={aggr!r}", ours, theirs, *self._inputs("self_loops"))

    def test_sparse_adjacency(self) -> None:
        """A sparse adjacency gives what it gives the twin."""
        ours, theirs = self._twins(**self.pair_options)
        x, edge_index, *_ = self._inputs("plain")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # Products of matrices want values in the dtype of the features.
            values = x.new_ones(edge_index.size(1))
            adjacency = to_torch_csr_tensor(edge_index.flip(0), values, size=x.size(0))
            self._agree("a sparse adjacency", ours, theirs, x, adjacency)

    def test_attention(self) -> None:
        """``return_attention_weights`` gives the twin's edges and weights."""
        ours, theirs = self._twins()
        for name in GRAPHS:
            inputs = self._inputs(name)
            found, wanted = (one(*inputs, return_attention_weights=True) for one in (ours, theirs))
            (out, (edges, alpha)), (expected, (their_edges, their_alpha)) = found, wanted
            assert_close(out, expected, f"{name}: outputs")
            assert torch.equal(edges, their_edges), f"{name}: {edges}, not {their_edges}"
            assert_close(alpha, their_alpha, f"{name}: attention weights")

    def test_hooks(self) -> None:
        """PyG's hooks hear the same, in the same order, and act alike."""
        ours, theirs = self._twins()
        inputs = self._inputs("self_loops")
        both: tuple[Any, ...] = (ours, theirs)
        heard = [self._hear(one, inputs) for one in (ours, theirs)]
        names = [[name for name, _ in calls] for calls in heard]
        assert names[0] == names[1], f"hooks ran as {names[0]}, not {names[1]}"
        for (name, value), (_, expected) in zip(*heard, strict=True):
            assert_close(value, expected, f"what the hook on {name} hears")
        for one in both:
            one.register_message_forward_hook(lambda *args: args[-1] * 3)
        self._agree("messages times three", ours, theirs, *inputs)

    def test_module_hooks(self) -> None:
        """Hooks on all modules at once hear the same parts, forward and backward, and act alike."""
        ours, theirs = self._twins()
        inputs = self._inputs("self_loops")
        calls, expected = (self._hear_modules(one, inputs) for one in (ours, theirs))
        assert calls == expected, f"hooks on all modules heard {calls}, not {expected}"
        with _on_all_modules("forward_hook", lambda module, args, out: out * 3):
            self._agree("outputs of all parts times three", ours, theirs, *inputs)

    def test_rewritten_parameters(self) -> None:
        """Parameters that pruning or a parametrization makes anew in every call are the twin's."""
        names = [name for name, _ in self.make().named_parameters()]
        for rewrite in (_prune, _halve):
            for name in names:
                ours, theirs = self._twins()
                owner, _, leaf = name.rpartition(".")
                for one in (ours, theirs):
                    rewrite(one.get_submodule(owner), leaf)
                what = f"{name} after {rewrite.__name__[1:]}"
                self._agree(what, ours, theirs, *self._inputs("self_loops"))

    def test_subclass(self) -> None:
        """A subclass with a ``message`` of its own does what it does to the twin."""

        ours, theirs = self._twins()
        for one in (ours, theirs):
            kind: Any = type(one)

            def message(self: nn.Module, *args: Any, kind: Any = kind, **kwargs: Any) -> Tensor:
                return kind.message(self, *args, **kwargs).cos()

            one.__class__ = type(kind.__name__, (kind,), {"message": message})
        self._agree("the cosine of messages", ours, theirs, *self._inputs("self_loops"))

    def _twins(self, **options: Any) -> tuple[nn.Module, nn.Module]:
        """Both layers with one set of weights off their initial values."""
        seed_everything()
        ours, theirs = self.make(**options).double().eval(), self.twin(**options).double().eval()
        with torch.no_grad():
            for parameter in ours.parameters():
                parameter.add_(torch.randn_like(parameter), alpha=0.1)
        theirs.load_state_dict(ours.state_dict())
        return ours, theirs

    def _inputs(self, name: str) -> tuple[Any, ...]:
        edge_index, num_nodes = example_graph(name)
        inputs = torch.randn(num_nodes, self.in_channels, dtype=torch.float64), edge_index
        if self.edge_dim is None:
            return inputs
        attr = torch.randn(edge_index.size(1), self.edge_dim, dtype=torch.float64)
        return (*inputs, attr)

    def _hear(self, layer: nn.Module, inputs: tuple[Any, ...]) -> list[tuple[str, Tensor]]:
        """What hooks on the layer hear of outputs, by the name of the part, while it runs."""
        calls: list[tuple[str, Tensor]] = []

        def listener(name: str) -> Callable:
            return lambda *args: calls.append((name, args[-1].detach().clone()))

        handles = [
            getattr(layer, f"register_{name}_forward_hook")(listener(name))
            for name in ("propagate", "message", "aggregate", "edge_update")
        ]
        layer(*inputs)
        for handle in handles:
            handle.remove()
        return calls

    def _hear_modules(self, layer: nn.Module, inputs: tuple[Any, ...]) -> list[tuple[str, str]]:
        """Which hooks on all modules hear which part of the layer, one kind after the other."""
        names = {module: name for name, module in layer.named_modules()}
        calls: list[tuple[str, str]] = []
        # A hook on the backward pass of a part warns where none of its inputs has a gradient.
        leaves = [v.clone().requires_grad_(v.is_floating_point()) for v in inputs]
        for kind in MODULE_HOOKS:

            def listen(module: nn.Module, *args: Any, kind: str = kind) -> None:
                calls.append((kind, names.get(module, type(module).__name__)))

            with _on_all_modules(kind, listen):
                layer(*leaves).sum().backward()
        return calls

    def _agree(self, what: str, ours: nn.Module, theirs: nn.Module, *inputs: Any) -> None:
        """One output and one gradient per parameter, from both."""
        out, expected = ours(*inputs), theirs(*inputs)
        assert_close(out, expected, f"{what}: outputs")
        if not expected.numel():
            return
        weight = torch.randn(expected.shape, dtype=expected.dtype)
        found, wanted = (
            torch.autograd.grad(
                (one * weight).sum(), list(layer.parameters()), materialize_grads=True
            )
            for one, layer in ((out, ours), (expected, theirs))
        )
        for (name, _), grad, other in zip(ours.named_parameters(), found, wanted, strict=True):
            assert_close(grad, other, f"{what}: gradients of {name}")


class _Half(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x / 2


def _halve(module: nn.Module, name: str) -> None:
    parametrize.register_parametrization(module, name, _Half())


def _prune(module: nn.Module, name: str) -> None:
    prune.l1_unstructured(module, name, amount=0.5)


@contextmanager
def _on_all_modules(kind: str, hook: Callable) -> Iterator[None]:
    handle = getattr(nn.modules.module, f"register_module_{kind}")(hook)
    try:
        yield
    finally:
        handle.remove()
