import pytest
import torch
from torch_geometric.data import Batch

from benchmarks.harness.fitting import Fitter
from benchmarks.problems import folds
from benchmarks.problems.factors import FactorTask
from benchmarks.protocols import factor_classification, factor_graphs
from benchmarks.protocols.factor_graphs import judge, run, usage
from benchmarks.rivals.nodes import build
from benchmarks.speed import factor as speed
from graphkit.datasets import SyntheticFactorGraphs
from graphkit.nn import FactorConv

TRAIN = {"epochs": 2, "lr": 0.005, "monitor": "val_f1"}
DATA = {"num_factors": 3, "num_graphs": 60}
OURS = {"name": "FactorGCN", "hidden_channels": 12, "num_factors": 3, "head": "pool"}


@pytest.mark.parametrize("objective", ["discriminator", "balance"])
def test_reports_everything_the_issue_asks_for(objective):
    metrics = run(DATA, {**OURS, "objective": objective}, seed=0, fit=Fitter(TRAIN, 0))
    for ranking in ("gate", "score"):
        for name in ("ged", "c", "t", "p", "ged_untrained", "c_untrained"):
            assert f"{name}_by_{ranking}" in metrics
    assert {"ged_random_gate", "c_random_gate", "ged_single_graph", "saturated"} <= {*metrics}
    shares = [metrics[f"gates_{i / 10:.1f}"] for i in range(10)]
    assert sum(shares) == pytest.approx(1.0, abs=1e-5)
    assert len([name for name in metrics if name.startswith("factor_mean")]) == 3


@pytest.mark.parametrize("conv", ["mlp", "gcn", "gat", "gin", "disen"])
def test_baselines_run_and_attention_is_judged(conv):
    model = {"name": "PooledGNN", "conv": conv, "hidden_channels": 12, "heads": 3}
    metrics = run(DATA, model, seed=0, fit=Fitter(TRAIN, 0))
    assert 0 <= metrics["test_f1"] <= 1
    assert ("ged_by_gate" in metrics) == (conv in ("gat", "disen"))


def test_penalty_enters_the_loss():
    graphs = list(SyntheticFactorGraphs(3, 10))
    network = build(OURS, 15, 3).train()
    criterion = torch.nn.functional.binary_cross_entropy_with_logits
    losses = []
    for penalty in (0.0, 2.0):
        task = FactorTask(penalty, graphs, graphs, [], 10, criterion)
        batch = next(iter(task.batches(0)))
        losses.append(task.loss(network, batch))
    _, factors = network(batch.x, batch.edge_index, batch.batch, return_factors=True)
    assert torch.allclose(losses[1] - losses[0], 2 * factors.penalty)


def test_judging_leaves_out_added_self_loops():
    batch = Batch.from_data_list(list(SyntheticFactorGraphs(3, 10)))
    network = build(OURS, 15, 3)
    metrics = judge(network, batch)
    layer, edges = network.convs[0], batch.edge_index.size(1)
    gate = layer(batch.x, batch.edge_index, True)[1][1]
    assert gate.shape == (edges, 3)
    assert metrics | usage(gate.detach()) == metrics


def test_ten_folds_train_with_the_penalty(monkeypatch):
    graphs = list(SyntheticFactorGraphs(3, 40))
    for i, graph in enumerate(graphs):
        graph.y = torch.tensor([i % 2])
    halves = [(torch.arange(20).numpy(), torch.arange(20, 40).numpy())]
    monkeypatch.setattr(folds, "load", lambda name: (graphs, halves))
    seen = []

    class Spy(Fitter):
        def __call__(self, model, task, callbacks=(), tag="fit"):
            seen.append((type(task), task.penalty))
            return super().__call__(model, task, callbacks, tag)

    train = {"epochs": 2, "lr": 0.01}
    metrics = factor_classification.run(
        {"name": "any"}, OURS, seed=0, fit=Spy(train, 0), penalty=0.7
    )
    assert seen == [(FactorTask, 0.7)] * 2
    assert {"test_accuracy", "gin_test_accuracy"} <= {*metrics}


def test_other_data_is_refused():
    with pytest.raises(ValueError, match="SyntheticFactorGraphs"):
        factor_graphs.load("Cora")


def test_timed_loop_computes_what_the_layer_computes():
    conv = FactorConv(8, 12, num_factors=3, gate_bias=False)
    x, edge_index = torch.randn(9, 8), torch.randint(9, (2, 30))
    assert torch.allclose(conv(x, edge_index), speed.Loop(conv)(x, edge_index), atol=1e-6)
