import pytest
import torch

from graphkit.adapters import StyleGraphAdapter
from graphkit.testing import AdapterSuite
from graphkit.vision import DINStyleTransfer, StyleEncoder


def network():
    encoder = StyleEncoder(widths=(4, 4, 4, 6))
    model = DINStyleTransfer(encoder, 6, widths=(4, 6))
    for norm in model.norms:
        # Fresh kernels hardly differ, and cosines of what rounding leaves mean nothing.
        for net in (norm.weight_net, norm.bias_net):
            torch.nn.init.normal_(net[0].weight)
            torch.nn.init.normal_(net[-1].weight)
    for layer in encoder:
        if isinstance(layer, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(layer.weight)
    return model


class TestStyleGraphAdapter(AdapterSuite):
    def make(self):
        return StyleGraphAdapter(network(), k=2)

    def example(self):
        return torch.rand(7, 3, 16, 16), torch.randint(3, (7,))

    def degenerate(self):
        x, y = torch.rand(3, 3, 16, 16), torch.randint(3, (3,))
        return {"none": (x[:0], y[:0]), "one": (x[:1], y[:1]), "no more than k": (x[:2],)}

    def recovered(self, graph, style, y):
        adapter, _ = self.build()
        rows = []
        for image in style:
            kernels = adapter.model.kernels(image[None])
            rows.append(torch.cat([part.flatten() for kernel in kernels for part in kernel]))
        x = torch.stack(rows)
        cosine = torch.nn.functional.cosine_similarity(
            *(x[end] - x.mean(0) for end in graph.edge_index)
        )
        return {"kernels": (graph.x, x), "cosine": (2 * graph.edge_weight - 1, cosine)}


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="'k'"):
        StyleGraphAdapter(network(), k=0)
    with pytest.raises(ValueError, match="'y'"):
        StyleGraphAdapter(network())(torch.rand(2, 3, 16, 16), torch.zeros(3).long())


def test_one_neighbour_is_enough():
    graph = StyleGraphAdapter(network(), k=1)(torch.rand(6, 3, 16, 16))
    degree = graph.edge_index[1].bincount(minlength=6)
    assert degree.min() == 1
    assert graph.edge_index.size(1) <= 2 * 6
