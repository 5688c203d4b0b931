"""What a layer's test supplies, and how the checks build and call the layer."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn

from graphkit.testing.asserts import GraphFn, assert_close
from graphkit.testing.graphs import example_graph
from graphkit.testing.suite import Suite, seed_everything


class LayerBase(Suite, ABC):
    """Settings and tools shared by the checks of :class:`LayerSuite`."""

    in_channels: int = 8
    """Width of the node features the checks make."""
    hops: int | None = 1
    """How far one call reaches, in edges; :obj:`None` for a layer that sees the whole graph."""
    directed: bool = True
    """Set to :obj:`False` for layers defined on undirected graphs: both directions are given."""
    jitter: float = 0.1
    """Noise added to fresh parameters, so that zero-initialised ones count, too."""

    @abstractmethod
    def make(self) -> nn.Module:
        """Builds the layer with its real constructor."""

    @abstractmethod
    def dense_reference(
        self, layer: nn.Module, x: Tensor, edge_index: Tensor, **edge_inputs: Tensor
    ) -> Tensor:
        """The same output from dense algebra and the layer's own parameters, differentiable."""

    def edge_inputs(self, edge_index: Tensor, dtype: torch.dtype) -> dict[str, Tensor]:
        """Further inputs with one row per edge, as keyword arguments, such as ``edge_weight``."""
        return {}

    def call(
        self, layer: nn.Module, x: Tensor, edge_index: Tensor, **edge_inputs: Tensor
    ) -> Tensor:
        """Calls the layer and returns its one output tensor, a row per node."""
        return layer(x, edge_index, **edge_inputs)

    def features(self, num_nodes: int, dtype: torch.dtype = torch.float64) -> Tensor:
        """Random node features."""
        return torch.randn(num_nodes, self.in_channels, dtype=torch.float64).to(dtype)

    def graph(self, name: str) -> tuple[Tensor, int]:
        """An example graph by name, as ``(edge_index, num_nodes)``."""
        edge_index, num_nodes = example_graph(name)
        if self.directed:
            return edge_index, num_nodes
        both = torch.cat([edge_index, edge_index.flip(0)], dim=1)
        return (both if name == "duplicates" else both.unique(dim=1)), num_nodes

    def remake(self, **changes: Any) -> nn.Module:
        """Builds the layer as :meth:`make` does, with other or further constructor arguments.

        Raises:
            TypeError: If the constructor takes no such argument.
        """
        kind = type(self.make())
        original = kind.__init__
        signature = inspect.signature(original)

        def changed_init(module: nn.Module, *args: Any, **kwargs: Any) -> None:
            bound = signature.bind(module, *args, **kwargs)
            further = {key: v for key, v in changes.items() if key not in signature.parameters}
            named = {key: v for key, v in changes.items() if key in signature.parameters}
            bound.arguments.update(named)
            original(*bound.args, **{**bound.kwargs, **further})

        with mock.patch.object(kind, "__init__", changed_init):
            return self.make()

    def make_lazy(self) -> nn.Module:
        """Builds the layer with ``in_channels=-1``, by calling :meth:`make` with that change."""
        kind = type(self.make())
        assert "in_channels" in inspect.signature(kind.__init__).parameters, (
            f"{kind.__name__} has no argument 'in_channels': override make_lazy, or decline "
            "'lazy_channels' in not_claimed"
        )
        wide = getattr(self.make(), "in_channels", -1)
        return self.remake(in_channels=(-1, -1) if isinstance(wide, tuple) else -1)

    def build(self, dtype: torch.dtype = torch.float64, seed: int = 0, **changes: Any) -> nn.Module:
        """A seeded layer in eval mode whose parameters are all off their initial values.

        With ``changes`` it is the same layer by :meth:`remake`.
        """
        seed_everything(seed)
        if changes:
            layer = self.remake(**changes).to(dtype).eval()
            layer.load_state_dict(self.build(dtype, seed).state_dict(), strict=False)
            return layer
        layer = self.make().to(dtype).eval()
        with torch.no_grad():
            for parameter in layer.parameters():
                if parameter.is_floating_point():
                    parameter.add_(torch.randn_like(parameter), alpha=self.jitter)
        return layer

    def sample(
        self, name: str = "plain", dtype: torch.dtype = torch.float64
    ) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """Node features, edge indices and further edge inputs for an example graph."""
        edge_index, num_nodes = self.graph(name)
        return self.features(num_nodes, dtype), edge_index, self.edge_inputs(edge_index, dtype)

    def bound(self, layer: nn.Module, edge_inputs: dict[str, Tensor]) -> GraphFn:
        """The layer as a function of ``(x, edge_index)`` alone."""
        return lambda x, edge_index: self.call(layer, x, edge_index, **edge_inputs)

    def gradients(
        self, out: Tensor, layer: nn.Module, leaves: dict[str, Tensor]
    ) -> dict[str, Tensor]:
        """Gradients of a fixed random projection of ``out``, by name; absent ones are zeros."""
        generator = torch.Generator().manual_seed(1)
        weight = torch.randn(out.shape, generator=generator, dtype=torch.float64).to(out)
        wanted = {**leaves, **{f"layer.{n}": p for n, p in layer.named_parameters()}}
        wanted = {name: t for name, t in wanted.items() if t.requires_grad}
        assert out.requires_grad, "the output does not require a gradient"
        grads = torch.autograd.grad(
            (out * weight).sum(), list(wanted.values()), allow_unused=True, materialize_grads=True
        )
        return dict(zip(wanted, grads, strict=True))

    def compare_with_dense(self, name: str, dtype: torch.dtype = torch.float64) -> None:
        """Output and all gradients on an example graph against :meth:`dense_reference`."""
        layer = self.build(dtype)
        x, edge_index, extra = self.sample(name, dtype)
        self.compare(layer, x, edge_index, extra, dense=True)

    def compare(
        self,
        layer: nn.Module,
        x: Tensor,
        edge_index: Tensor,
        extra: dict[str, Tensor],
        dense: bool = False,
        other: GraphFn | None = None,
    ) -> None:
        """Values and gradients of the layer against the dense oracle or another function."""
        names = [k for k, v in extra.items() if dense and v.is_floating_point()]
        floating = {k: extra[k].clone().requires_grad_() for k in names}
        leaves = {"x": x.clone().requires_grad_(), **floating}
        inputs = {**extra, **floating}
        out = self.call(layer, leaves["x"], edge_index, **inputs)
        if dense:
            expected = self.dense_reference(layer, leaves["x"], edge_index, **inputs)
        else:
            assert other is not None
            expected = other(leaves["x"], edge_index)
        assert out.shape == expected.shape, f"output has shape {out.shape}, not {expected.shape}"
        assert_close(out, expected, "outputs")
        if out.numel() == 0:
            return
        grads = self.gradients(out, layer, leaves)
        for key, value in self.gradients(expected, layer, leaves).items():
            assert_close(grads[key], value, f"gradients of {key}")


class CalledBy(nn.Module):
    """A layer as a module that calls it the way its suite does."""

    def __init__(self, suite: LayerBase, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer
        self.suite = suite

    def forward(self, x: Tensor, edge_index: Tensor, extra: dict[str, Tensor]) -> Tensor:
        return self.suite.call(self.layer, x, edge_index, **extra)
