"""A machine that writes user scripts: any steps in any order, some of which are wrong."""

from __future__ import annotations

import copy
import pickle
import tempfile
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.nn import GAT, GCN

from graphkit import taps
from graphkit.adapters import ChannelGraphAdapter, CoadaptationGraphAdapter, OrbitGraphAdapter
from graphkit.continual import EWC, GEM, MAS, TWP, LwF
from graphkit.modes import evaluating
from graphkit.nn import FusedGATConv, FusedGATv2Conv, FusedTransformerConv, knn_graph
from graphkit.sampling import NeighborLoader, PathLoader, PathSampler
from graphkit.testing import count_hooks
from graphkit.train import Callback, NodeTask, Trainer
from tests.soak.traces import traces

WIDTH, CLASSES = 6, 4
LAYERS = (FusedGATConv, FusedGATv2Conv, FusedTransformerConv)
STRATEGIES = (EWC, GEM, LwF, MAS, TWP)


class Stop(Callback):
    """Breaks a training off in an epoch, as a user's own callback may.

    Args:
        epoch (int): The epoch.
    """

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def on_epoch_end(self, run: Any) -> None:
        if run.epoch == self.epoch:
            raise RuntimeError("broken off")


class Scripts(RuleBasedStateMachine):
    """Layers, loaders, strategies, trainer and adapters on one graph and one model."""

    @initialize(nodes=st.integers(8, 40), seed=st.integers(0, 9), attends=st.booleans())
    def begin(self, nodes: int, seed: int, attends: bool) -> None:
        """A graph and an untouched model of PyG."""
        self.before = traces()
        self.folder = tempfile.TemporaryDirectory()
        torch.manual_seed(seed)
        x, y = torch.randn(nodes, WIDTH), torch.arange(nodes) % CLASSES
        self.graph = Data(x=x, y=y, edge_index=torch.randint(nodes, (2, 4 * nodes)))
        for part, name in enumerate(("train_mask", "val_mask", "test_mask")):
            self.graph[name] = torch.arange(nodes) % 3 == part
        self.model: nn.Module = (GAT if attends else GCN)(WIDTH, 8, 2, CLASSES)
        self.strategy: Any = None

    def losses(self, model: nn.Module) -> Tensor:
        """A loss of every node that is trained on."""
        rows = self.graph.train_mask
        out = model(self.graph.x, self.graph.edge_index)[rows]
        return F.cross_entropy(out, self.graph.y[rows], reduction="none")

    @rule(kind=st.sampled_from(LAYERS), heads=st.integers(1, 4), learn=st.booleans())
    def layer(self, kind: Any, heads: int, learn: bool) -> None:
        """A layer there and back, or there alone."""
        conv = kind(WIDTH, 5, heads=heads)
        with torch.set_grad_enabled(learn):
            out = conv(self.graph.x, self.graph.edge_index)
        if learn:
            out.sum().backward()
        assert out.shape == (self.graph.num_nodes, 5 * heads)

    @rule(kind=st.sampled_from(LAYERS), wrong=st.sampled_from(("width", "index", "type")))
    def wrong_layer(self, kind: Any, wrong: str) -> None:
        """Input that does not fit."""
        x, edges = self.graph.x, self.graph.edge_index
        if wrong == "width":
            x = x[:, 1:]
        elif wrong == "index":
            edges = edges + self.graph.num_nodes
        else:
            edges = edges.double()
        try:
            kind(WIDTH, 5)(x, edges)
        except (ValueError, TypeError, IndexError, RuntimeError):
            return
        raise AssertionError(f"{kind.__name__} took a wrong {wrong}")

    @rule(breaks=st.booleans())
    def tap(self, breaks: bool) -> None:
        """Inner features, also of a pass that breaks off."""
        try:
            with taps.tap(self.model, "convs.0") as record:
                self.model(self.graph.x[:, 1:] if breaks else self.graph.x, self.graph.edge_index)
            assert len(record) > 0
        except (RuntimeError, ValueError):
            assert breaks

    @rule(size=st.integers(1, 9), fan=st.integers(1, 3), take=st.integers(1, 5))
    def neighbours(self, size: int, fan: int, take: int) -> None:
        """Some batches of sampled neighbours; the rest is left."""
        loader = NeighborLoader(self.graph, [fan, fan], batch_size=size, shuffle=True)
        for number, batch in enumerate(loader):
            self.model(batch.x, batch.edge_index)
            if number == take:
                break

    @rule(size=st.integers(2, 9))
    def paths(self, size: int) -> None:
        """A batch of shortest paths."""
        loader = PathLoader(self.graph, PathSampler(self.graph, ratio=1.0), batch_size=size)
        next(iter(loader))

    @rule(kind=st.sampled_from(STRATEGIES))
    def other_strategy(self, kind: Any) -> None:
        """Another strategy takes over."""
        self.strategy = kind(self.model)

    @precondition(lambda self: self.strategy is not None)
    @rule()
    def step(self) -> None:
        """One step with the strategy's penalty."""
        self.model.zero_grad()
        loss = self.losses(self.model).mean()
        if isinstance(self.strategy, LwF):
            loss = loss + self.strategy.penalty(output_fn=self.output)
        elif isinstance(self.strategy, TWP):
            loss = loss + self.strategy.penalty(loss)
        else:
            loss = loss + self.strategy.penalty()
        loss.backward()
        self.strategy.before_step()
        with torch.no_grad():
            for value in self.model.parameters():
                if value.grad is not None:
                    value -= 0.01 * value.grad.clamp(-1, 1)

    def output(self, model: nn.Module) -> Tensor:
        """What a model says of all nodes."""
        return model(self.graph.x, self.graph.edge_index)

    @precondition(lambda self: self.strategy is not None)
    @rule(breaks=st.booleans())
    def finish_task(self, breaks: bool) -> None:
        """The strategy keeps what the task was, unless its loss breaks off."""

        def losses(model: nn.Module) -> Tensor:
            if breaks:
                raise RuntimeError("broken off")
            return self.losses(model)

        more: dict[str, Any] = {}
        if isinstance(self.strategy, LwF):
            more = {"columns": torch.arange(CLASSES)}
        elif isinstance(self.strategy, MAS):
            more = {"output_fn": lambda model: self.output(model)[self.graph.train_mask]}
        try:
            self.strategy.finish_task(losses, **more)
        except RuntimeError:
            assert breaks
        # GEM keeps the function and asks it in later steps, in which nothing breaks off.
        breaks = False

    @rule(epochs=st.integers(1, 4), stop=st.integers(0, 4), keep=st.booleans())
    def fit(self, epochs: int, stop: int, keep: bool) -> None:
        """A training, perhaps broken off by a callback, perhaps with a checkpoint."""
        file = Path(self.folder.name) / "a.pt" if keep else None
        options: dict[str, Any] = {"checkpoint": file, "checkpoint_seconds": 0.0} if keep else {}
        trainer = Trainer(epochs, progress=False, callbacks=[Stop(stop)], **options)
        optimizer = torch.optim.Adam(self.model.parameters(), lr=0.01)
        try:
            trainer.fit(self.model, optimizer, NodeTask(self.graph))
        except RuntimeError:
            assert 1 <= stop <= epochs
        if file is not None:
            file.unlink(missing_ok=True)

    @rule(kind=st.sampled_from(("channels", "orbit", "dropout")))
    def adapter(self, kind: str) -> None:
        """A graph from a model or from images."""
        if kind == "channels":
            adapter: Any = ChannelGraphAdapter(
                self.model, copy.deepcopy(self.model), ("convs.0",) * 2
            )
            made = adapter(self.graph.x, self.graph.edge_index)
        elif kind == "orbit":
            flat = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
            turns = torch.tensor([[angle, 1.0, 0.0, 0.0] for angle in (-20.0, 0.0, 20.0)])
            made = OrbitGraphAdapter(flat, turns)(torch.rand(2, 1, 4, 4))
        else:
            flat = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
            adapter = CoadaptationGraphAdapter(flat, "1", incoming="0", k=3)
            made = adapter(torch.rand(20, 4), torch.randint(3, (20,)))
        assert made.validate()

    @rule(k=st.integers(1, 5))
    def points(self, k: int) -> None:
        """A graph of nearest points."""
        assert knn_graph(self.graph.x, k).size(1) == self.graph.num_nodes * k

    @rule(breaks=st.booleans())
    def copied(self, breaks: bool) -> None:
        """A copy and a pickle; a mode for the length of a block."""
        training = self.model.training
        try:
            with evaluating(self.model):
                pickle.loads(pickle.dumps(copy.deepcopy(self.model)))
                if breaks:
                    raise KeyError("broken off")
        except KeyError:
            pass
        assert self.model.training == training

    def teardown(self) -> None:
        """Nothing is left: hooks, threads, files, processes, settings."""
        if not hasattr(self, "model"):
            return
        self.strategy = None
        hooks = count_hooks(self.model)
        self.folder.cleanup()
        del self.model, self.graph
        after = traces()
        assert hooks == 0, f"{hooks} hooks are left"
        for kind, value in self.before.items():
            assert after[kind] == value, f"{kind}: {value} before, {after[kind]} after"
