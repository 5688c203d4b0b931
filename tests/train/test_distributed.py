"""Two gloo processes give the gradients and the weights of one."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
import torch

from tests.processes import Process

SCRIPT = """
import os, sys, torch
from graphkit.train import Callback, GraphTask, NodeTask, Trainer
from tests.train.problems import LinearGCN, graphs, ring

class Gradients(Callback):
    def __init__(self): self.seen = []
    def penalty(self, run):
        return 0.01 * sum(p.square().sum() for p in run.model.parameters())
    def on_backward_end(self, run):
        self.seen.append(torch.cat([p.grad.view(-1) for p in run.model.parameters()]))

data = ring(33); data.x = data.x.double()
sets = [graphs(n) for n in (11, 4, 4)]
for graph in sum(sets, []): graph.x = graph.x.double()
processes, rank = int(sys.argv[1]), os.environ.get("RANK", "0")
for problem, task in {"nodes": NodeTask(data), "graphs": GraphTask(*sets, batch_size=5)}.items():
    torch.manual_seed(0)
    model, watch = LinearGCN().double(), Gradients()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    trainer = Trainer(6, seed=1, devices=processes, callbacks=[watch],
                      strategy="ddp" if processes > 1 else "auto", progress=False)
    result = trainer.fit(model, optimizer, task)
    torch.save({"gradients": torch.stack(watch.seen), "metrics": result.metrics,
                "weights": model.state_dict()}, f"{sys.argv[2]}/{problem}-{processes}-{rank}.pt")
"""


def launch(processes: int, folder: Path, script: str = SCRIPT) -> list[Process]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    started = []
    for rank in range(processes):
        place = {
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(port),
            "RANK": str(rank),
            "LOCAL_RANK": str(rank),
            "WORLD_SIZE": str(processes),
            "GROUP_RANK": "0",
            "LOCAL_WORLD_SIZE": str(processes),
            "TORCHELASTIC_RUN_ID": "test",
        }
        started.append(Process(script, processes, folder, env=place if processes > 1 else None))
    return started


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder where one process and two have left what they reached in both problems."""
    folder = tmp_path_factory.mktemp("runs")
    for process in launch(1, folder) + launch(2, folder):
        done = process.wait()
        assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize("problem", ["nodes", "graphs"])
def test_two_processes_equal_one(problem: str, runs: Path) -> None:
    one, first, second = (
        torch.load(runs / f"{problem}-{name}.pt", weights_only=True)
        for name in ("1-0", "2-0", "2-1")
    )
    assert one["gradients"].abs().max() > 1e-3
    for other in (first, second):
        assert torch.allclose(one["gradients"], other["gradients"], rtol=0, atol=1e-12)
        assert one["metrics"] == pytest.approx(other["metrics"], abs=1e-9)
        for name, value in one["weights"].items():
            assert torch.allclose(value, other["weights"][name], rtol=0, atol=1e-9)
