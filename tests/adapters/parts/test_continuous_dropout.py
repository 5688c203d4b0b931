import numpy as np
import pytest
import torch
from torch import nn
from torch_geometric.nn import GCN

from graphkit.adapters import CoadaptationGraphAdapter
from graphkit.testing import AdapterSuite


def correlations(hidden):
    """By NumPy; a unit that never changes correlates with itself alone."""
    with np.errstate(invalid="ignore", divide="ignore"):
        table = np.nan_to_num(np.corrcoef(hidden.detach().double().numpy().T))
    np.fill_diagonal(table, 1)
    return table


def make(k=3):
    model = nn.Sequential(nn.Linear(4, 12), nn.ReLU(), nn.Dropout(), nn.Linear(12, 3))
    return CoadaptationGraphAdapter(model, "1", incoming="0", k=k)


class TestCoadaptationGraphAdapter(AdapterSuite):
    def make(self):
        return make()

    def example(self):
        return torch.rand(30, 4), torch.randint(3, (30,))

    def degenerate(self):
        x, y = torch.rand(20, 4), torch.randint(3, (20,))
        return {
            "no sample": (x[:0], y[:0]),
            "one sample": (x[:1], y[:1]),
            "no unit": (x, y, torch.arange(0)),
            "one unit": (x, y, torch.tensor([5])),
            "fewer than k": (x, y, torch.tensor([5, 0])),
        }

    def recovered(self, graph, x, y):
        """Correlations by NumPy, weights, importance by a network without the unit."""
        adapter, _ = self.build()
        first, _, _, last = adapter.model
        hidden = first(x).relu().detach()
        table = correlations(hidden)
        lost = []
        for unit in range(12):
            rest = hidden.clone()
            rest[:, unit] = 0
            before, after = ((last(h).argmax(1) == y).double().mean() for h in (hidden, rest))
            lost.append(before - after)
        near = torch.from_numpy(table)[tuple(graph.edge_index)]
        return {
            "correlation": (graph.edge_weight, near.float()),
            "weights": (graph.x[:, 0], first.weight.norm(dim=1)),
            "means": (graph.x[:, 1], hidden.mean(0)),
            "importance": (graph.y, torch.stack(lost).float()),
            "spectrum": (
                graph.spectrum,
                torch.tensor([np.linalg.eigvalsh(table)[-1] / 12]).float(),
            ),
        }


def test_each_unit_has_its_k_strongest_before_symmetry():
    adapter, (x, y) = make(k=2), (torch.rand(40, 4), torch.randint(3, (40,)))
    graph = adapter(x, y)
    table = np.abs(correlations(adapter.model[0](x).relu()))
    np.fill_diagonal(table, -1)
    wanted = np.zeros((12, 12), dtype=bool)
    for unit in range(12):
        wanted[unit, np.argsort(-table[unit])[:2]] = True
    wanted = (wanted | wanted.T) & (table > 0)
    assert np.array_equal(graph.edge_index.numpy(), np.stack(wanted.nonzero()))


def test_twins_are_found_and_silent_units_are_alone():
    adapter = make()
    with torch.no_grad():
        adapter.model[0].weight[1] = 2 * adapter.model[0].weight[0]
        adapter.model[0].bias[1] = 2 * adapter.model[0].bias[0]
        adapter.model[0].bias[0] = adapter.model[0].bias[0].abs() + 3
        adapter.model[0].bias[1] = 2 * adapter.model[0].bias[0]
        adapter.model[0].bias[7] = -100
    graph = adapter(torch.rand(40, 4), torch.randint(3, (40,)))
    source, target = graph.edge_index
    assert graph.edge_weight[(source == 0) & (target == 1)].item() == pytest.approx(1.0)
    assert not ((source == 7) | (target == 7)).any()
    assert graph.x[7, 2] == 1
    assert graph.y[7] == 0


def test_a_unit_that_answers_one_class_is_selective():
    model = nn.Sequential(nn.Identity(), nn.Linear(2, 2))
    adapter = CoadaptationGraphAdapter(model, "0", incoming="1")
    y = torch.tensor([0, 0, 1, 1])
    x = torch.stack([torch.tensor([1.0, 1.0, 0.0, 0.0]), torch.ones(4)], 1)
    assert adapter(x, y).x[:, 3].tolist() == [1.0, 0.0]


def test_channels_of_images_and_units_of_a_gnn():
    conv = nn.Sequential(nn.Conv2d(1, 6, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 2))
    graph = CoadaptationGraphAdapter(conv, "0")(torch.rand(9, 1, 5, 5), torch.randint(2, (9,)))
    assert graph.num_nodes == 6
    model, edges = GCN(4, 8, 2, 3), torch.randint(20, (2, 60))
    adapter = CoadaptationGraphAdapter(model, "convs.0", incoming="convs.0.lin")
    assert adapter(torch.rand(20, 4), torch.randint(3, (20,)), None, edges).num_nodes == 8


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="'k'"):
        make(k=0)
    with pytest.raises(ValueError, match="'y'"):
        make()(torch.rand(4, 4), torch.zeros(3).long())
    with pytest.raises(ValueError, match="'incoming'"):
        CoadaptationGraphAdapter(make().model, "1")(torch.rand(4, 4), torch.zeros(4).long())
