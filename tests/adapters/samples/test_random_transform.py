import pytest
import torch
from torch import nn
from torch_geometric.utils import get_laplacian, to_dense_adj

from graphkit.adapters import OrbitGraphAdapter, orbit_energy
from graphkit.testing import AdapterSuite
from graphkit.vision import transform2d

TURNS = torch.tensor([[angle, 1.0, 0.0, 0.0] for angle in (-30.0, 0.0, 30.0)])


def network():
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 5)
    )


class TestOrbitGraphAdapter(AdapterSuite):
    def make(self):
        return OrbitGraphAdapter(network(), TURNS, k=2)

    def example(self):
        return torch.rand(6, 1, 8, 8), torch.randint(5, (6,))

    def degenerate(self):
        x, y = torch.rand(6, 1, 8, 8), torch.randint(5, (6,))
        return {"no image": (x[:0], y[:0]), "one image": (x[:1], y[:1]), "two": (x[:2],)}

    def recovered(self, graph, x, y):
        adapter, _ = self.build()
        model = adapter.model.eval()
        images = torch.stack(
            [transform2d(x[i : i + 1], g[None])[0] for i in range(6) for g in TURNS]
        )
        logits = model(images)
        steps = graph.edge_index[:, graph.edge_type == 0]
        edges, weight = get_laplacian(steps, num_nodes=18)
        table = to_dense_adj(edges, edge_attr=weight, max_num_nodes=18)[0]
        # The Laplacian counts each pair once.
        form = (logits.t() @ table @ logits).trace()
        centred = logits - logits.mean(0)
        return {
            "logits": (graph.x, logits),
            "classes": (graph.y, y.repeat_interleave(3)),
            "energy": (graph.energy, (form / centred.square().sum()).view(1)),
            "transforms": (graph.transform, TURNS.repeat(6, 1)),
        }

    not_claimed = {
        "single_node": "a node for each of three transforms; one transform is tested below",
        "no_edge": "an image is linked to itself; one transform is tested below",
        "large_k": "a node for each of three transforms; one transform is tested below",
    }


class TestOneTransform(TestOrbitGraphAdapter):
    """Orbits of length one: no steps."""

    def make(self):
        return OrbitGraphAdapter(network(), TURNS[:1], k=2)

    def recovered(self, graph, x, y):
        adapter, _ = self.build()
        logits = adapter.model.eval()(transform2d(x, TURNS[:1].repeat(6, 1)))
        return {"logits": (graph.x, logits), "energy": (graph.energy, torch.zeros(1))}

    not_claimed = {"differentiable": "without steps there is no energy, and no gradient of it"}


def test_steps_chains_and_rings():
    images = torch.rand(2, 1, 8, 8)
    chain = OrbitGraphAdapter(network(), TURNS)(images)
    pairs = {tuple(pair) for pair in chain.edge_index.t().tolist()}
    one_way = {(0, 1), (1, 2), (3, 4), (4, 5)}
    assert pairs == one_way | {(b, a) for a, b in one_way}
    assert torch.equal(chain.orbit, torch.tensor([0, 0, 0, 1, 1, 1]))
    ring = OrbitGraphAdapter(network(), TURNS, ring=True)(images)
    more = {tuple(pair) for pair in ring.edge_index.t().tolist()} - pairs
    assert more == {(0, 2), (2, 0), (3, 5), (5, 3)}
    wrap = (ring.edge_index[0] == 0) & (ring.edge_index[1] == 2)
    assert ring.edge_attr[wrap].tolist() == [[60.0, 0.0, 0.0, 0.0]]


def test_differences_are_of_logarithms():
    family = torch.tensor([[0.0, 1.0, 0.0, 0.0], [10.0, 2.0, 0.1, -0.2]])
    graph = OrbitGraphAdapter(network(), family)(torch.rand(1, 1, 8, 8))
    wanted = [10.0, 0.6931, 0.1, -0.2]
    assert graph.edge_attr[0].tolist() == pytest.approx(wanted, abs=1e-4)
    assert graph.edge_attr[1].tolist() == pytest.approx([-v for v in wanted], abs=1e-4)


def test_neighbours_are_under_the_same_transform():
    graph = OrbitGraphAdapter(network(), TURNS, k=1)(torch.rand(5, 1, 8, 8))
    alike = graph.edge_index[:, graph.edge_type == 1]
    assert alike.numel()
    assert torch.equal(alike[0] % 3, alike[1] % 3)
    assert (alike[0] != alike[1]).all()


def test_a_network_that_does_not_see_the_transform_has_no_energy():
    blind = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    quarter = torch.tensor([[90.0 * k, 1.0, 0.0, 0.0] for k in range(4)])
    images = torch.rand(5, 3, 6, 6)
    assert OrbitGraphAdapter(blind, quarter, ring=True)(images).energy < 1e-9
    assert OrbitGraphAdapter(network(), TURNS, "0")(images[:, :1].repeat(1, 1, 2, 2)[..., :8, :8])
    x = torch.randn(4, 3)
    both = torch.tensor([[0, 1, 2, 3], [1, 0, 3, 2]])
    assert orbit_energy(x, both) == pytest.approx(float(orbit_energy(x, both[:, ::2])))
    assert orbit_energy(torch.ones(3, 2), both[:, :2]) == 0
    assert orbit_energy(x[:0], both[:, :0]) == 0


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="'transforms'"):
        OrbitGraphAdapter(network(), TURNS[:, :3])
    with pytest.raises(ValueError, match="'transforms'"):
        OrbitGraphAdapter(network(), TURNS[:0])
    with pytest.raises(ValueError, match="'k'"):
        OrbitGraphAdapter(network(), TURNS, k=-1)
    with pytest.raises(ValueError, match="'y'"):
        OrbitGraphAdapter(network(), TURNS)(torch.rand(2, 1, 8, 8), torch.zeros(3).long())
