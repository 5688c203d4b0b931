"""Two gloo processes give the gradients and the weights of one."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

SCRIPT = """
import sys, torch
from graphkit.train import Callback, GraphTask, NodeTask, Trainer
from tests.train.problems import LinearGCN, graphs, ring

class Gradients(Callback):
    def __init__(self): self.seen = []
    def penalty(self, run):
        return 0.01 * sum(p.square().sum() for p in run.model.parameters())
    def on_backward_end(self, run):
        self.seen.append(torch.cat([p.grad.view(-1) for p in run.model.parameters()]))

torch.manual_seed(0)
model = LinearGCN().double()
problem, processes = sys.argv[1], int(sys.argv[2])
if problem == "nodes":
    data = ring(33); data.x = data.x.double()
    task = NodeTask(data)
else:
    sets = [graphs(n) for n in (11, 4, 4)]
    for graph in sum(sets, []): graph.x = graph.x.double()
    task = GraphTask(*sets, batch_size=5)
watch = Gradients()
optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
result = Trainer(6, seed=1, devices=processes, callbacks=[watch],
                 strategy="ddp" if processes > 1 else "auto", progress=False).fit(
    model, optimizer, task)
import os
rank = os.environ.get("RANK", "0")
torch.save({"gradients": torch.stack(watch.seen), "metrics": result.metrics,
            "weights": model.state_dict()}, f"{sys.argv[3]}/{processes}-{rank}.pt")
"""


def launch(problem: str, processes: int, folder: Path) -> list[subprocess.Popen[bytes]]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    started = []
    for rank in range(processes):
        place = dict(os.environ, OMP_NUM_THREADS="1")
        if processes > 1:
            place |= {
                "MASTER_ADDR": "127.0.0.1",
                "MASTER_PORT": str(port),
                "RANK": str(rank),
                "LOCAL_RANK": str(rank),
                "WORLD_SIZE": str(processes),
                "GROUP_RANK": "0",
                "LOCAL_WORLD_SIZE": str(processes),
                "TORCHELASTIC_RUN_ID": "test",
            }
        command = [sys.executable, "-c", SCRIPT, problem, str(processes), str(folder)]
        started.append(subprocess.Popen(command, env=place))
    return started


@pytest.mark.parametrize("problem", ["nodes", "graphs"])
def test_two_processes_equal_one(problem: str, tmp_path: Path) -> None:
    processes = launch(problem, 1, tmp_path) + launch(problem, 2, tmp_path)
    assert [process.wait(timeout=600) for process in processes] == [0, 0, 0]
    one, first, second = (
        torch.load(tmp_path / name, weights_only=True) for name in ("1-0.pt", "2-0.pt", "2-1.pt")
    )
    assert one["gradients"].abs().max() > 1e-3
    for other in (first, second):
        assert torch.allclose(one["gradients"], other["gradients"], rtol=0, atol=1e-12)
        assert one["metrics"] == pytest.approx(other["metrics"], abs=1e-9)
        for name, value in one["weights"].items():
            assert torch.allclose(value, other["weights"][name], rtol=0, atol=1e-9)
