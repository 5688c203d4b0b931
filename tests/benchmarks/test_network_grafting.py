"""The protocols of network grafting: what they compare, and that they run."""

import pytest
import torch
from torch_geometric.data import Data

from benchmarks.harness.fitting import Fitter
from benchmarks.problems import grafting
from benchmarks.protocols import graft_lattice, network_grafting
from graphkit.adapters import lattice_edges

TRAIN = {"epochs": 1, "lr": 0.001, "monitor": None}


def test_shifts_move_each_image_by_a_pixel_at_most():
    torch.manual_seed(0)
    x = torch.full((40, 1, 8, 8), -1.0)
    x[:, 0, 4, 3] = 1
    moved = grafting.shift(x)
    assert (moved == 1).sum() == 40
    place = (moved[:, 0] == 1).nonzero()[:, 1:] - torch.tensor([4, 3])
    assert place.abs().max() == 1
    assert len(place.unique(dim=0)) == 9
    x = torch.full((40, 1, 8, 8), -1.0)
    x[:, 0, 0, 0] = 1
    assert (grafting.shift(x) == 1).sum() < 40


def test_networks_halve_the_image_twice():
    x = torch.rand(2, 1, 8, 8)
    for layers in (3, 6):
        blocks = list(grafting.convolutions(4, layers))
        sizes = []
        for block in blocks[:-1]:
            x = block(x)
            sizes.append(tuple(x.shape[1:]))
        assert blocks[-1](x).shape == (2, 10)
        assert sizes[0] == (4, 8, 8)
        assert len(blocks) == layers
        x = torch.rand(2, 1, 8, 8)
    assert sizes == [(4, 8, 8)] * 3 + [(8, 4, 4)] * 2


def test_the_few_are_drawn_per_class_from_the_pool():
    problem = grafting.load("digits", gnn="GCN", seed=1)
    rows = problem.few(3, seed=5)
    assert problem.y[rows].bincount().tolist() == [3] * 10
    assert torch.isin(rows, problem.pool).all()
    assert torch.equal(rows, problem.few(3, seed=5))
    assert not torch.equal(rows, problem.few(3, seed=6))
    with pytest.raises(ValueError, match="'mnist'"):
        grafting.load("mnist")


@pytest.mark.parametrize("gnn", [None, "GAT"])
def test_grafting_runs_beside_distillation(gnn):
    dataset = {"name": "digits", "gnn": gnn}
    found = network_grafting.run(
        dataset,
        seed=0,
        fit=Fitter(TRAIN, 0),
        teacher=8,
        student=2,
        shots=[1],
        steps=2,
    )
    assert found["gain"] == found["gain_1"] == found["netgraft_1"] - found["kd_1"]
    assert found["netgraft_1"] == pytest.approx(found["adapters_1"], abs=0.005)
    assert found["blocks_1"] == min(found[f"block_{level}_1"] for level in range(3))
    assert 0 < found["parameters"] < 0.3


def test_a_sum_of_bits_is_guessed_without_the_graph_and_the_mean_is_wrong():
    number = torch.arange(16).unsqueeze(1)
    bits = (number >> torch.arange(3, -1, -1) & 1).float()
    x = torch.cat([bits, torch.ones(16, 2)], 1)
    lattice = Data(
        x=x, y=bits @ torch.tensor([1.0, 2.0, 3.0, 4.0]), edge_index=lattice_edges([2] * 4)
    )
    lattice.num_nodes = 16
    found = graft_lattice.guessed(lattice, known=10, draws=2, epochs=30, seed=0)
    assert found["error_linear"] < 0.1 * found["error_mean"]
    assert found["rank_linear"] > 0.99
    assert found["gain_linear"] == pytest.approx(found["error_linear"] - found["error_graph"])


def test_the_lattice_runs():
    found = graft_lattice.run(
        {"name": "digits", "layers": 3},
        seed=0,
        fit=Fitter(TRAIN, 0),
        teacher=4,
        student=2,
        steps=1,
        known=4,
        draws=1,
        epochs=2,
    )
    assert found["gain_order"] == found["accuracy_path"] - found["accuracy_front"]
    assert found["gain_random"] == found["accuracy_path"] - found["accuracy_random"]
    assert 0 <= found["accuracy_path"] <= 1
