"""Checks of the ways to run a layer: compiled, on each backend of the kernels, on a GPU."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor

from graphkit.testing.asserts import assert_close
from graphkit.testing.decorators import needs_cuda
from graphkit.testing.layer.base import CalledBy, LayerBase


class ExecutionChecks(LayerBase):
    """Does every way of running it give the same numbers and gradients?"""

    compile_backend: str = "aot_eager"
    """The backend of :func:`torch.compile`; ``"inductor"`` is slower and checks more."""

    def test_compile(self) -> None:
        """``torch.compile(fullgraph=True)`` gives the eager outputs and gradients."""
        torch.compiler.reset()
        layer = self.build(torch.float32)
        x, edge_index, extra = self.sample("self_loops", torch.float32)
        compiled = torch.compile(
            lambda x, edge_index, extra: self.call(layer, x, edge_index, **extra),
            fullgraph=True,
            backend=self.compile_backend,
        )
        self.compare(layer, x, edge_index, extra, other=lambda x, edges: compiled(x, edges, extra))
        torch.compiler.reset()

    def test_compiled_sizes(self) -> None:
        """In compiled code no size depends on values: two such layers could not be trained.

        ``inductor`` fails in the backward pass of the second when it meets such a size.
        """

        def backend(graph: torch.fx.GraphModule, _: list[Tensor]) -> Callable:
            for node in graph.graph.nodes:
                value = node.meta.get("example_value")
                fixed = not isinstance(value, Tensor) or all(type(s) is int for s in value.shape)
                assert fixed, f"{node} has shape {tuple(value.shape)} when compiled"
            return graph.forward

        torch.compiler.reset()
        layer = self.build(torch.float32).train()
        x, edge_index, extra = self.sample("self_loops", torch.float32)
        torch.compile(
            lambda x, edge_index, extra: self.call(layer, x, edge_index, **extra),
            fullgraph=True,
            dynamic=False,
            backend=backend,
        )(x, edge_index, extra)
        torch.compiler.reset()

    def test_export(self) -> None:
        """``torch.export`` takes the layer, and what it exports gives the same numbers."""
        layer = self.build(torch.float32)
        x, edge_index, extra = self.sample("self_loops", torch.float32)
        module = CalledBy(self, layer)
        program = torch.export.export(module, (x, edge_index, extra))
        assert_close(
            program.module()(x, edge_index, extra), module(x, edge_index, extra), "outputs"
        )

    def test_every_backend(self) -> None:
        """Each installed CPU backend of ``graphkit.ops`` gives the reference's numbers."""
        from graphkit import ops

        layer = self.build()
        x, edge_index, extra = self.sample("self_loops")
        for name in ("numba", "torch", "torch_scatter"):
            if find_spec(name) is None:
                continue

            def on_backend(x: Tensor, edge_index: Tensor, name: str = name) -> Tensor:
                with ops.backend(name):
                    return self.call(layer, x, edge_index, **extra)

            with ops.backend("reference"):
                self.compare(layer, x, edge_index, extra, other=on_backend)

    def test_noncontiguous_input(self) -> None:
        """Strided views of features and edges give what their copies give."""
        layer = self.build()
        x, edge_index, extra = self.sample()
        expected = self.call(layer, x, edge_index, **extra)
        strided = torch.stack([x, x], dim=-1)[..., 0]
        edges = torch.stack([edge_index, edge_index], dim=-1)[..., 0]
        assert_close(self.call(layer, strided, edges, **extra), expected, "outputs")

    def test_negated_views(self) -> None:
        """Features and gradients whose sign PyTorch is yet to change count with the sign.

        The imaginary part of a conjugate is the memory of the number itself, marked.
        """
        layer = self.build()
        x, edge_index, extra = self.sample("self_loops")

        def marked(value: Tensor) -> Tensor:
            return torch.complex(torch.zeros_like(value), -value).conj().imag

        assert marked(x).is_neg()

        def between(x: Tensor, edge_index: Tensor) -> Tensor:
            out = self.call(layer, marked(x), edge_index, **extra)
            return out.clone() if not out.requires_grad else _MarkedGradient.apply(out)

        self.compare(layer, x, edge_index, extra, other=between)

    def test_follows_device(self) -> None:
        """Tensors are made on the device of the arguments, not on the default device."""
        layer = self.build()
        x, edge_index, extra = self.sample("self_loops")

        def elsewhere(x: Tensor, edge_index: Tensor) -> Tensor:
            with torch.device("meta"):
                # Another tensor: nothing that is remembered of the first is of use.
                out = self.call(layer, x, edge_index.clone(), **extra)
            assert out.device.type == "cpu", "the output is on the default device"
            return out

        self.compare(layer, x, edge_index, extra, other=elsewhere)

    @needs_cuda
    def test_cuda(self) -> None:
        """On the GPU the float64 output and gradients equal the CPU's."""
        layer = self.build()
        x, edge_index, extra = self.sample("self_loops")
        leaf = x.clone().requires_grad_()
        out = self.call(layer, leaf, edge_index, **extra)
        expected = self.gradients(out, layer, {"x": leaf})
        layer.cuda()
        moved = {name: value.cuda() for name, value in extra.items()}
        leaf = x.cuda().requires_grad_()
        out_cuda = self.call(layer, leaf, edge_index.cuda(), **moved)
        assert_close(out_cuda.cpu(), out, "outputs")
        for name, value in self.gradients(out_cuda, layer, {"x": leaf}).items():
            assert_close(value.cpu(), expected[name].cpu(), f"gradients of {name}")


class _MarkedGradient(torch.autograd.Function):
    """The identity, whose gradient comes with a sign that is yet to be changed."""

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        return value.clone()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        return torch.complex(torch.zeros_like(grads[0]), -grads[0]).conj().imag
