"""Mini-batches in one process and in several, with a worker that is killed."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
import torch
from torch import nn
from torch_geometric.nn import GraphSAGE
from torch_geometric.sampler import NodeSamplerInput

from graphkit.sampling import NeighborSampler, open_graph, write_graph
from graphkit.sampling.pruning import pruned
from graphkit.train import SampledNodeTask, Trainer
from tests.sampling.graphs import graph
from tests.train.test_distributed import launch

PROBLEM = """
import os, signal, sys, torch
from torch_geometric.nn import GraphSAGE
from graphkit.train import Callback, SampledNodeTask, Trainer
from tests.sampling.graphs import graph

def problem(num_neighbors, **options):
    data = graph(); data.x = data.x.double(); data.y = data.y % 3
    # 37 seeds in batches of 9: shares are uneven, and the last seed leaves processes idle.
    splits = {"train": torch.arange(37), "val": torch.arange(37, 50), "test": torch.arange(50, 60)}
    task = SampledNodeTask(data, num_neighbors, batch_size=9, splits=splits, **options)
    torch.manual_seed(0)
    model = GraphSAGE(6, 8, 2, 3).double()
    return model, torch.optim.Adam(model.parameters(), lr=0.05), task
"""
SHARED = (
    PROBLEM
    + """
processes, folder, rank = int(sys.argv[1]), sys.argv[2], os.environ.get("RANK", "0")
for name, counts, options in (("uneven", [4, 2], {}), ("trees", [3, 3], {"disjoint": True})):
    model, optimizer, task = problem(counts, **options)
    trainer = Trainer(3, seed=1, devices=processes, monitor=None, progress=False,
                      strategy="ddp" if processes > 1 else "auto")
    result = trainer.fit(model, optimizer, task)
    state = {"weights": model.state_dict(), "metrics": result.metrics, "history": result.history}
    torch.save(state, f"{folder}/{name}-{processes}-{rank}.pt")
"""
)
KILLED = (
    PROBLEM
    + """
class Watch(Callback):
    epochs = 0
    def on_epoch_end(self, run):
        self.epochs += 1
        if not again and run.epoch == 2 and rank == "1":
            os.kill(os.getpid(), signal.SIGKILL)

folder, rank, again = sys.argv[2], os.environ["RANK"], os.path.exists(f"{sys.argv[2]}/again")
model, optimizer, task = problem([4, 2])
watch = Watch()
trainer = Trainer(3, seed=1, devices=2, monitor=None, progress=False, strategy="ddp",
                  checkpoint=f"{folder}/run.ckpt", checkpoint_seconds=0, resume=True,
                  callbacks=[watch])
trainer.fit(model, optimizer, task)
torch.save({"weights": model.state_dict(), "epochs": watch.epochs}, f"{folder}/end-{rank}.pt")
"""
)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    for processes in (1, 2, 4):
        for process in launch(processes, folder, SHARED):
            done = process.wait()
            assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize("name", ["uneven", "trees"])
@pytest.mark.parametrize("processes", [2, 4])
def test_several_processes_equal_one(name: str, processes: int, runs: Path) -> None:
    one = torch.load(runs / f"{name}-1-0.pt", weights_only=True)
    torch.manual_seed(0)
    fresh = GraphSAGE(6, 8, 2, 3).double().state_dict()
    assert any((one["weights"][k] - fresh[k]).abs().max() > 0.05 for k in fresh)
    for rank in range(processes):
        other = torch.load(runs / f"{name}-{processes}-{rank}.pt", weights_only=True)
        for key, value in one["weights"].items():
            assert torch.allclose(value, other["weights"][key], rtol=0, atol=1e-9)
        assert one["metrics"] == pytest.approx(other["metrics"], abs=1e-9)
        assert len(other["history"]) == 3


def test_a_killed_worker_costs_nothing_but_time(tmp_path: Path, runs: Path) -> None:
    """Started again, as torchrun's agent does, all workers go on from the last checkpoint."""
    first, second = (process.wait() for process in launch(2, tmp_path, KILLED))
    assert second.returncode == -signal.SIGKILL
    assert first.returncode != 0
    assert not list(tmp_path.glob("end-*.pt"))
    (tmp_path / "again").touch()
    for process in launch(2, tmp_path, KILLED):
        done = process.wait()
        assert done.returncode == 0, done.stderr
    for rank in range(2):
        whole = torch.load(runs / f"uneven-2-{rank}.pt", weights_only=True)["weights"]
        end = torch.load(tmp_path / f"end-{rank}.pt", weights_only=True)
        assert 1 <= end["epochs"] < 3
        assert all(torch.equal(whole[key], end["weights"][key]) for key in whole)


def problem(data: object, **options: object) -> tuple[nn.Module, SampledNodeTask]:
    splits = {"train": torch.arange(30), "val": torch.arange(30, 45), "test": torch.arange(45, 60)}
    torch.manual_seed(0)
    model = GraphSAGE(6, 8, 2, 3)
    return model, SampledNodeTask(data, [3, 2], batch_size=8, splits=splits, **options)  # type: ignore[arg-type]


def test_parts_show_their_seeds_what_the_batch_shows() -> None:
    data = graph()
    model = GraphSAGE(6, 8, 2, 3)
    seeds = torch.tensor([5, 5, 59, 0, 7, 31, 2])
    for options in ({}, {"disjoint": True}, {"replace": True}):
        sampler = NeighborSampler(data, [4, 2], seed=1, **options)  # type: ignore[arg-type]
        out = sampler.sample_from_nodes(NodeSamplerInput(torch.arange(7), seeds))
        wanted = model(data.x[out.node], torch.stack([out.row, out.col]))
        for rank in range(3):
            own = torch.arange(7)[rank::3]
            part = pruned(out, own, 7)
            assert part.node.numel() < out.node.numel()
            assert torch.equal(part.node[: own.numel()], seeds[own])
            found = model(data.x[part.node], torch.stack([part.row, part.col]))
            torch.testing.assert_close(found[: own.numel()], wanted[own])
            assert sum(part.num_sampled_nodes) == part.node.numel()
            assert sum(part.num_sampled_edges) == part.row.numel()
            assert torch.equal(part.metadata[0], own)


def test_epochs_differ_and_workers_do_not_matter() -> None:
    data = graph()
    data.y = data.y % 3
    _, task = problem(data)
    _, other = problem(data, num_workers=2)
    first, second = ([b.n_id.tolist() for b in t.batches(5)] for t in (task, other))
    assert first == second
    assert first != [b.n_id.tolist() for b in task.batches(6)]


def test_every_epoch_has_all_seeds_in_an_order_of_its_own() -> None:
    _, task = problem(graph())
    first, second = (
        torch.cat([batch.n_id[: batch.batch_size] for batch in task.batches(seed)])
        for seed in (5, 6)
    )
    assert torch.equal(first.sort().values, torch.arange(30))
    assert torch.equal(second.sort().values, torch.arange(30))
    assert not torch.equal(first, torch.arange(30))
    assert not torch.equal(first, second)


def test_a_graph_on_disk_trains_like_one_in_memory(tmp_path: Path) -> None:
    data = graph()
    data.y = data.y % 3
    order = torch.argsort(data.edge_index[1], stable=True)
    data.edge_index, data.edge_attr = data.edge_index[:, order], data.edge_attr[order]
    stores = open_graph(write_graph(tmp_path / "g", data))
    results = []
    for place, options in ((data, {}), (stores, {"layers": lambda model: model})):
        model, task = problem(place, **options)
        optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
        results.append(Trainer(2, seed=0, progress=False).fit(model, optimizer, task).metrics)
    assert results[0] == pytest.approx(results[1], abs=1e-5)


def test_what_is_wrong_is_refused(tmp_path: Path) -> None:
    data = graph()
    stores = open_graph(write_graph(tmp_path / "g", data))
    parts = {split: torch.arange(i, i + 1) for i, split in enumerate(("train", "val", "test"))}
    for place, splits, options, words in (
        (data, None, {}, "data has no 'train_mask'"),
        (data, {"train": [0]}, {}, "'splits' has no 'val'"),
        (data, {**parts, "val": torch.zeros(60).bool()}, {}, "'val' holds no node"),
        (data, {**parts, "val": [60]}, {}, "from 0 to 59"),
        (data, {**parts, "test": [0]}, {}, "share 1 nodes"),
        (data, parts, {"batch_size": 0}, "'batch_size'"),
        (stores, None, {}, "needs 'splits'"),
        (stores, parts, {}, "needs 'layers'"),
    ):
        with pytest.raises(ValueError, match=words):
            SampledNodeTask(place, [2], splits=splits, **options)  # type: ignore[arg-type]
    task = SampledNodeTask(data, [2], splits=parts, subgraph_type="induced").shard(0, 2)
    with pytest.raises(ValueError, match="only directional"):
        next(iter(task.batches(0)))
