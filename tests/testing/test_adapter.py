"""The adapter suite on sound toy adapters, and on one broken adapter per check."""

import dataclasses

import numpy as np
import torch
from torch import nn
from torch_geometric.data import Data, HeteroData

from graphkit.adapters import GraphAdapter, Schema, chain_edges
from graphkit.testing import AdapterSuite
from tests.testing.faults import FaultList


class Windows(GraphAdapter):
    """Consecutive windows of a signal; a window is a node, an edge leads to the next one."""

    schema = Schema(
        node="a window of four values",
        edge="from a window to the next",
        attributes={
            "x": ("N", 3),
            "edge_index": (2, "E"),
            "edge_weight": ("E",),
            "start": ("N",),
        },
        differentiable=("x",),
    )

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(4, 3)

    def forward(self, signal: torch.Tensor) -> Data:
        windows = signal[: len(signal) // 4 * 4].view(-1, 4)
        place = torch.arange(len(windows), device=signal.device)
        edge_index = chain_edges(torch.zeros_like(place))
        return Data(
            x=self.embed(windows),
            edge_index=edge_index,
            edge_weight=torch.ones(edge_index.size(1), device=signal.device),
            start=place * 4,
            num_nodes=len(windows),
        )


class WindowsSuite(AdapterSuite):
    def make(self):
        return Windows()

    def example(self):
        return (torch.rand(21),)

    def degenerate(self):
        return {"one window": (torch.rand(4),), "none": (torch.rand(3),)}

    def recovered(self, graph, signal):
        return {"length": (graph.start[-1] + 4, torch.tensor(len(signal) // 4 * 4))}


class TestWindows(WindowsSuite):
    """A sound adapter passes."""


class Boxes(GraphAdapter):
    """Boxes in an image as two node types."""

    schema = Schema(
        node={"box": "a box", "image": "the image"},
        edge={"box.in.image": "a box lies in the image"},
        attributes={
            "box.x": ("N", "D"),
            "image.x": ("N", "D"),
            "box.in.image.edge_index": (2, "E"),
        },
    )

    def forward(self, boxes: torch.Tensor, generator: torch.Generator) -> HeteroData:
        count = len(boxes)
        data = HeteroData()
        noise = torch.rand(boxes.shape, generator=generator, device=boxes.device)
        data["box"].x = (boxes + noise).detach()
        data["box"].num_nodes = count
        data["image"].x = boxes.detach().sum(0, keepdim=True)
        data["image"].num_nodes = 1
        rows = torch.arange(count, device=boxes.device)
        data["box", "in", "image"].edge_index = torch.stack([rows, torch.zeros_like(rows)])
        return data


class TestBoxes(AdapterSuite):
    """A sound heterogeneous adapter that draws random numbers passes."""

    def make(self):
        return Boxes()

    def example(self):
        return (torch.rand(3, 4),)

    not_claimed = {"no_edge": "a box always lies in the image"}

    def degenerate(self):
        return {"no box": (torch.rand(0, 4),), "one box": (torch.rand(1, 4),)}

    def recovered(self, graph, boxes):
        return {"sum of boxes": (graph["image"].x[0], boxes.sum(0))}


def suite_of(kind: type) -> type[AdapterSuite]:
    own = {name: getattr(kind, name) for name in SUITE_SIDE if name in vars(kind)}
    return type(f"{kind.__name__}Suite", (WindowsSuite,), {"make": lambda self: kind(), **own})


SUITE_SIDE = ("degenerate", "recovered")
"""Methods of a fault that belong to its test: the test itself is broken."""


FAULTS = FaultList(suite_of)


class Changed(Windows):
    """A graph that is changed on its way out."""

    def forward(self, signal):
        data = super().forward(signal)
        self.spoil(data)
        return data

    def spoil(self, data):
        raise ValueError("a fault to be planted")


@FAULTS.caught_by("valid")
class GivesATuple(Windows):
    def forward(self, signal):
        data = super().forward(signal)
        return data.x, data.edge_index


@FAULTS.caught_by("valid", "degenerate")
class HidesNumNodes(Changed):
    def spoil(self, data):
        del data.num_nodes


@FAULTS.caught_by("valid")
class PointsOutside(Changed):
    def spoil(self, data):
        data.edge_index = data.edge_index + 1


@FAULTS.caught_by("nodes")
class DoubleFeatures(Changed):
    def spoil(self, data):
        data.x = data.x.double()


@FAULTS.caught_by("nodes")
class NotFinite(Changed):
    def spoil(self, data):
        data.x = data.x / 0


@FAULTS.caught_by("edges")
class DoubledEdges(Changed):
    def spoil(self, data):
        data.edge_index = data.edge_index.repeat(1, 2)
        data.edge_weight = data.edge_weight.repeat(2)


@FAULTS.caught_by("edges")
class ShortEdges(Changed):
    def spoil(self, data):
        data.edge_index = data.edge_index.int()


@FAULTS.caught_by("edges")
class NoEdgeAtAll(Changed):
    def spoil(self, data):
        data.edge_index, data.edge_weight = data.edge_index[:, :0], data.edge_weight[:0]


@FAULTS.caught_by("edges")
class WeightOfNoEdge(Changed):
    def spoil(self, data):
        data.edge_weight = data.edge_weight[1:]


@FAULTS.caught_by("undirected")
class BothWays(Changed):
    def spoil(self, data):
        both = torch.cat([data.edge_index, data.edge_index.flip(0)], 1)
        data.edge_index = both[:, (both[0] * 100 + both[1]).argsort()]
        data.edge_weight = data.edge_weight.repeat(2)


@FAULTS.caught_by("schema")
class Undeclared(Changed):
    def spoil(self, data):
        data.extra = torch.ones(2)


@FAULTS.caught_by("schema")
class OtherShape(Changed):
    def spoil(self, data):
        data.start = data.start[:, None]


@FAULTS.caught_by("schema")
class Speechless(Windows):
    schema = dataclasses.replace(Windows.schema, edge="")


@FAULTS.caught_by("deterministic", "copies")
class Noisy(Changed):
    def spoil(self, data):
        data.x = data.x + torch.rand_like(data.x)


@FAULTS.caught_by("deterministic")
class SeedsTheWorld(Windows):
    def forward(self, signal):
        torch.manual_seed(0)
        return super().forward(signal)


@FAULTS.caught_by("deterministic")
class DrawsFromNumpy(Windows):
    def forward(self, signal):
        np.random.rand()  # noqa: NPY002
        return super().forward(signal)


@FAULTS.caught_by("batches")
class SparseWeights(Changed):
    def spoil(self, data):
        data.edge_weight = data.edge_weight.to_sparse()


@FAULTS.caught_by("input_not_mutated")
class ScalesItsInput(Windows):
    def forward(self, signal):
        with torch.no_grad():
            signal.mul_(0.5)
        return super().forward(signal)


@FAULTS.caught_by("never_trains")
class Trains(Windows):
    def forward(self, signal):
        with torch.no_grad():
            self.embed.bias += 1
        return super().forward(signal)


@FAULTS.caught_by("never_trains")
class LeavesGradients(Windows):
    def forward(self, signal):
        data = super().forward(signal)
        data.x.sum().backward(retain_graph=True)
        return data


@FAULTS.caught_by("never_trains")
class LeavesEvalMode(Windows):
    def forward(self, signal):
        self.eval()
        return super().forward(signal)


@FAULTS.caught_by("differentiable")
class CutsTheGradient(Changed):
    def spoil(self, data):
        data.x = data.x * 0


@FAULTS.caught_by("schema")
class UnexplainedLabel(Windows):
    schema = Schema(
        **{
            **vars(Windows.schema),
            "attributes": {**Windows.schema.attributes, "y": ("N",)},
            "y": " ",
        }
    )

    def forward(self, signal):
        data = super().forward(signal)
        data.y = torch.zeros_like(data.start)
        return data


@FAULTS.caught_by("differentiable")
class Detached(Changed):
    def spoil(self, data):
        data.x = data.x.detach()


@FAULTS.caught_by("differentiable")
class UndeclaredGradient(Windows):
    schema = dataclasses.replace(Windows.schema, differentiable=())


@FAULTS.caught_by("degenerate", "batches")
class ForgetsWeights(Changed):
    def spoil(self, data):
        if data.num_nodes < 2:
            del data.edge_weight


@FAULTS.caught_by("degenerate", "batches")
class OtherTypeWhenSmall(Changed):
    def spoil(self, data):
        data.start = data.start.float() if data.num_nodes < 2 else data.start


@FAULTS.caught_by("degenerate")
class NeedsTwoWindows(Changed):
    def spoil(self, data):
        data.x = data.x / (data.x.std(0, correction=0) if len(data.x) else 1)


@FAULTS.caught_by("degenerate")
class NeedsAWindow(Changed):
    def spoil(self, data):
        data.x = data.x - data.x.amax()


@FAULTS.caught_by("no_node")
class NoEmptyCase(Windows):
    def degenerate(self):
        return {"one window": (torch.rand(4),)}


@FAULTS.caught_by("single_node", "no_edge")
class NoSingleCase(Windows):
    def degenerate(self):
        return {"two windows": (torch.rand(8),), "none": (torch.rand(0),)}


@FAULTS.caught_by("large_k")
class NoLargeK(Windows):
    k = 3


@FAULTS.caught_by("recovers")
class ForgetsWhere(Changed):
    def spoil(self, data):
        data.start = data.start + 1


@FAULTS.caught_by("recovers")
class ReadsNothing(Windows):
    def recovered(self, graph, signal):
        return {}


@FAULTS.caught_by("round_trip")
class HoldsAModule(Changed):
    def spoil(self, data):
        data.network = self.embed


@FAULTS.caught_by("follows_device")
class DefaultDevice(Changed):
    def spoil(self, data):
        data.start = torch.arange(data.num_nodes) * 4


@FAULTS.caught_by("follows_device")
class FollowsDefault(Changed):
    def spoil(self, data):
        data.x = data.x + float(torch.get_default_device().type == "meta")


@FAULTS.caught_by("trains_a_layer")
class HugeFeatures(Changed):
    def spoil(self, data):
        data.x = data.x * 1e30


@FAULTS.caught_by("copies")
class HoldsAFunction(Windows):
    def __init__(self):
        super().__init__()
        self.scale = lambda x: x


@FAULTS.parametrize()
def test_fault_is_caught(kind, check):
    FAULTS.assert_caught(kind, check)


def test_every_check_has_a_fault():
    assert FAULTS.unproven(AdapterSuite) == {"cuda", "arrays", "single_sample"}
