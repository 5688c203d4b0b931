"""Checks of per-edge scores: explainers and attention, aligned with the edges that came in."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch_geometric.explain import AttentionExplainer, Explainer, Explanation, GNNExplainer
from torch_geometric.explain.algorithm import ExplainerAlgorithm
from torch_geometric.explain.algorithm.utils import clear_masks, set_masks

from graphkit import taps
from graphkit.testing.asserts import assert_close, assert_no_trace, jacobian_support, reachable
from graphkit.testing.decorators import needs_package
from graphkit.testing.layer.base import LayerBase

NODE = 1


class ExplainChecks(LayerBase):
    """Do scores of edges belong to the edges they are given for?"""

    def dense_attention(
        self, layer: nn.Module, x: Tensor, edge_index: Tensor, **edge_inputs: Tensor
    ) -> Tensor | None:
        """Optional oracle of the attention: ``result[target, source, head]``."""
        return None

    def test_message_path(self) -> None:
        """The ``message`` path that explainers use gives the fast path's numbers and gradients."""
        layer = self.build()
        x, edge_index, extra = self.sample("plain")

        def by_messages(x: Tensor, edge_index: Tensor) -> Tensor:
            ones = torch.ones(edge_index.size(1), dtype=x.dtype)
            with _masked(layer, ones, edge_index):
                return self.call(layer, x, edge_index, **extra)

        self.compare(layer, x, edge_index, extra, other=by_messages)

    def test_edge_masks_align(self) -> None:
        """A mask entry acts on the messages of its own edge, also after self loops are added."""
        layer = self.build()
        for name in ("plain", "self_loops"):
            x, edge_index, extra = self.sample(name)

            def masked(
                mask: Tensor, edges: Tensor, x: Tensor = x, extra: dict[str, Tensor] = extra
            ) -> Tensor:
                with _masked(layer, mask, edges):
                    return self.call(layer, x, edges, **extra)

            touched = jacobian_support(masked, x.new_full((edge_index.size(1),), 0.7), edge_index)
            no_loop = edge_index[0] != edge_index[1]
            into = edge_index[1] == torch.arange(x.size(0))[:, None]
            missed = (into & no_loop & ~touched).nonzero()
            assert not missed.numel(), f"{name}: (node, edge) pairs without effect: {missed}"
            reach = x.size(0) if self.hops is None else self.hops - 1
            near = reachable(edge_index, x.size(0), reach)[:, edge_index[1]]
            strays = (touched & no_loop & ~near).nonzero()
            assert not strays.numel(), f"{name}: (node, edge) pairs of other edges: {strays}"

    def test_gnn_explainer(self) -> None:
        """PyG's GNNExplainer runs, and scores edges that reach the explained node, only those."""
        self._check_explainer(GNNExplainer(epochs=2, lr=0.1))

    @needs_package("captum")
    def test_captum_explainer(self) -> None:
        """PyG's CaptumExplainer (saliency) runs and scores the edges that reach the node."""
        from torch_geometric.explain import CaptumExplainer

        self._check_explainer(CaptumExplainer("Saliency"))

    def test_attention_explainer(self) -> None:
        """PyG's AttentionExplainer finds the attention, the largest head of each edge."""
        layer = self.build(torch.float32)
        x, edge_index, extra = self.sample("plain", torch.float32)
        alpha = self._attention(layer, x, edge_index, extra)
        explanation = self._explained(layer, AttentionExplainer("max"), x, edge_index, extra)
        scores = alpha.flatten(1).amax(1).detach()
        into = edge_index[1] == NODE
        assert_close(explanation.edge_mask[into], scores[into], "scores by AttentionExplainer")

    def test_attention_alignment(self) -> None:
        """Attention follows ``edge_index`` entry by entry, with or without self loops."""
        layer = self.build()
        for name in ("plain", "self_loops", "duplicates", "no_edges"):
            x, edge_index, extra = self.sample(name)
            alpha = self._attention(layer, x, edge_index, extra)
            assert alpha.size(0) == edge_index.size(1), f"{name}: not one row per edge"
            order = torch.randperm(edge_index.size(1))
            moved = {key: value[order] for key, value in extra.items()}
            shuffled = self._attention(layer, x, edge_index[:, order], moved)
            assert_close(shuffled, alpha[order], f"{name}: attention after reordering the edges")
            self._check_attention_oracle(layer, x, edge_index, extra, alpha)

    def test_attention_locality(self) -> None:
        """The weight of an edge depends on its target and the target's sources, nothing else."""
        layer = self.build()
        x, edge_index, extra = self.sample("plain")
        support = jacobian_support(
            lambda x, edges: self._attention(layer, x, edges, extra), x, edge_index
        )
        near = reachable(edge_index, x.size(0), 1)[edge_index[1]]
        far = (support & ~near).nonzero()
        assert not far.numel(), f"(edge, node) pairs with a gradient but far apart: {far}"

    def test_attention_leaves_no_trace(self) -> None:
        """Collecting attention changes neither the output nor the layer."""
        layer = self.build()
        x, edge_index, extra = self.sample("self_loops")
        expected = self.call(layer, x, edge_index, **extra)
        with assert_no_trace(layer), taps.attention(layer, ""):
            out = self.call(layer, x, edge_index, **extra)
        assert_close(out, expected, "outputs while attention is collected and without")

    def _attention(
        self, layer: nn.Module, x: Tensor, edge_index: Tensor, extra: dict[str, Tensor]
    ) -> Tensor:
        with taps.attention(layer, "") as record:
            self.call(layer, x, edge_index, **extra)
        return record[""].alpha

    def _check_attention_oracle(
        self,
        layer: nn.Module,
        x: Tensor,
        edge_index: Tensor,
        extra: dict[str, Tensor],
        alpha: Tensor,
    ) -> None:
        dense = self.dense_attention(layer, x, edge_index, **extra)
        if dense is not None:
            expected = dense[edge_index[1], edge_index[0]]
            assert_close(alpha, expected.view_as(alpha), "attention weights")

    def _check_explainer(self, algorithm: ExplainerAlgorithm) -> None:
        x, edge_index, extra = self.sample("plain", torch.float32)
        layer = self.build(torch.float32)
        scores = self._explained(layer, algorithm, x, edge_index, extra).edge_mask
        assert scores.shape == (edge_index.size(1),), f"scores of shape {scores.shape}"
        assert scores.isfinite().all(), "scores that are not finite"
        into = edge_index[1] == NODE
        assert scores[into].all(), f"edges into node {NODE} without a score: {scores}"
        far = ~self._reaches(NODE, x, edge_index)
        assert not scores[far].any(), f"edges scored that do not reach node {NODE}: {scores}"

    def _explained(
        self,
        layer: nn.Module,
        algorithm: ExplainerAlgorithm,
        x: Tensor,
        edge_index: Tensor,
        extra: dict[str, Tensor],
    ) -> Explanation:
        explainer = Explainer(
            _Scalar(self, copy.deepcopy(layer), list(extra)),
            algorithm,
            explanation_type="model",
            edge_mask_type="object",
            model_config={"mode": "regression", "task_level": "node", "return_type": "raw"},
        )
        return explainer(x, edge_index, index=NODE, **extra)

    def _reaches(self, node: int, x: Tensor, edge_index: Tensor) -> Tensor:
        """The edges that reach a node within :attr:`hops` steps."""
        steps = x.size(0) if self.hops is None else self.hops - 1
        return reachable(edge_index, x.size(0), steps)[node, edge_index[1]]


class _Scalar(nn.Module):
    """The layer with one output per node, as explainers of regression models expect."""

    def __init__(self, suite: LayerBase, layer: nn.Module, names: list[str]) -> None:
        super().__init__()
        self.suite = suite
        self.layer = layer
        self.names = names

    def forward(self, x: Tensor, edge_index: Tensor, *values: Tensor, **extra: Tensor) -> Tensor:
        extra = {**extra, **dict(zip(self.names, values, strict=False))}
        out = self.suite.call(self.layer, x, edge_index, **extra).flatten(1)
        return (out * torch.linspace(0.5, 1.5, out.size(1))).sum(1, keepdim=True)


@contextmanager
def _masked(layer: nn.Module, mask: Tensor, edge_index: Tensor) -> Iterator[None]:
    set_masks(layer, mask, edge_index, apply_sigmoid=False)
    try:
        yield
    finally:
        clear_masks(layer)
