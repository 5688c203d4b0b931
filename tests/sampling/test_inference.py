import json
from contextlib import suppress
from functools import partial

import pytest
import torch
from torch import nn
from torch_geometric.data import Data
from torch_geometric.nn import GAT, GCN, GIN, GCNConv, GraphSAGE, SAGEConv

from graphkit.sampling import layerwise, open_graph, write_graph
from tests.sampling.graphs import graph, hetero


@pytest.mark.parametrize("kind", [GraphSAGE, GAT, GIN, GCN])
@pytest.mark.parametrize("on_disk", [False, True])
def test_outputs_are_those_of_the_whole_graph(kind, on_disk, tmp_path):
    data = graph()
    data.x = data.x.double()
    torch.manual_seed(0)
    model = kind(6, 8, 3, 4, dropout=0.5, norm="batch_norm").double()
    model.eval()
    wanted = model(data.x, data.edge_index)
    model.train()
    place = open_graph(write_graph(tmp_path / "g", data)) if on_disk else data
    out = layerwise(model, place, tmp_path / "out" if on_disk else None, chunk_size=7)
    torch.testing.assert_close(out, wanted.detach(), rtol=0, atol=1e-10)
    assert model.training


def test_layers_of_ones_own(tmp_path):
    data = graph()
    first, second = SAGEConv(6, 8), GCNConv(8, 3)
    layers = [first, nn.ReLU(), second]
    steps = [lambda x, e: first(x, e).relu(), second]
    wanted = second(first(data.x, data.edge_index).relu(), data.edge_index)
    torch.testing.assert_close(layerwise(steps, data, chunk_size=9), wanted.detach())
    wrong = layerwise(steps, data, chunk_size=9, hops=1)
    assert not torch.allclose(wrong, wanted)
    with pytest.raises(TypeError):
        layerwise(layers, data)
    features = torch.randn(60, 6)
    out = layerwise(steps[:1], data, x=features)
    torch.testing.assert_close(out, first(features, data.edge_index).relu().detach())


class KilledError(Exception):
    """A kill."""


def counted(convs, calls, stop=0):
    """Layers that count their calls together, of which one may be a kill."""

    def layer(x, edges, conv):
        calls[0] += 1
        if calls[0] == stop:
            raise KilledError
        return conv(x, edges)

    return [partial(layer, conv=conv) for conv in convs]


def test_a_run_goes_on_where_it_was_killed(tmp_path):
    data = graph()
    torch.manual_seed(0)
    convs = [SAGEConv(6, 8), SAGEConv(8, 8), SAGEConv(8, 2)]
    wanted = layerwise(convs, data, chunk_size=7)
    calls = [0]

    # Each run tries its three layers on a small graph first.
    for stop in (6, 14, 11):
        calls[0] = 0
        with pytest.raises(KilledError):
            layerwise(counted(convs, calls, stop), data, tmp_path, chunk_size=7, hops=1)
    calls[0] = 0
    out = layerwise(counted(convs, calls), data, tmp_path, chunk_size=7, hops=1)
    assert torch.equal(out, wanted)
    assert calls[0] == 3 + 3 * 9 - 2 - 10 - 7
    calls[0] = 0
    again = layerwise(counted(convs, calls), data, tmp_path, chunk_size=7, hops=1)
    assert calls[0] == 3
    assert torch.equal(again, wanted)
    with pytest.raises(ValueError, match="belongs to another run"):
        layerwise(convs[:2], data, tmp_path, chunk_size=7)
    (tmp_path / "progress.json").write_text("{")
    with pytest.raises(ValueError, match=r"progress\.json': .*delete it"):
        layerwise(convs, data, tmp_path, chunk_size=7)


def moved(data):
    data.edge_index = torch.stack([data.edge_index[0], data.edge_index[1].roll(1)])


OTHERS = {
    "weights": lambda data, convs: convs[1].lin_l.weight.data.mul_(1.01),
    "last weights": lambda data, convs: convs[1].lin_l.bias.data.add_(1e-6),
    "features": lambda data, convs: data.x[-1].add_(1),
    "edges": lambda data, convs: moved(data),
}


@pytest.mark.parametrize(
    ("other", "functions"),
    [
        *((other, False) for other in OTHERS),
        # A change smaller than what threads change is not seen behind a function.
        *((other, True) for other in OTHERS if other != "last weights"),
    ],
)
def test_what_others_gave_is_never_taken(tmp_path, other, functions):
    """Weights inside of functions cannot be read; their outputs on a small graph tell."""
    data = graph()
    torch.manual_seed(0)
    convs = [SAGEConv(6, 8), SAGEConv(8, 2)]
    layers = [lambda x, e, conv=conv: conv(x, e) for conv in convs] if functions else convs
    first = layerwise(layers, data, tmp_path, chunk_size=7).clone()
    OTHERS[other](data, convs)
    with pytest.raises(ValueError, match="belongs to another run: other layers, weights"):
        layerwise(layers, data, tmp_path, chunk_size=7)
    wanted = layerwise(layers, data, chunk_size=7)
    found = layerwise(layers, data, tmp_path, chunk_size=7, resume=False)
    assert torch.equal(found, wanted)
    assert not torch.equal(found, first)


def test_marks_of_older_versions_are_of_other_runs(tmp_path):
    (tmp_path / "progress.json").write_text('{"shape": [60, 1, 7], "done": [1, 0]}')
    with pytest.raises(ValueError, match="belongs to another run"):
        layerwise([SAGEConv(6, 2)], graph(), tmp_path, chunk_size=7)


@pytest.mark.parametrize("stop", [8, 14, 30])
def test_damaged_rows_and_marks_are_named(tmp_path, stop):
    """In the layer before, in the layer in progress, and in the one that is returned."""
    data = graph()
    torch.manual_seed(0)
    convs = [SAGEConv(6, 8), SAGEConv(8, 2)]
    with suppress(KilledError):
        layerwise(counted(convs, [0], stop), data, tmp_path, chunk_size=7, hops=1)
    layers = counted(convs, [0])
    mark = tmp_path / "progress.json"
    done = json.loads(mark.read_text())["done"]
    last = tmp_path / f"layer-{done[0] - (done[1] == 0)}.npy"
    content, before = bytearray(last.read_bytes()), mark.read_text()
    content[140] ^= 1
    last.write_bytes(content)
    with pytest.raises(ValueError, match=rf"{last.name}' or the mark beside it is damaged"):
        layerwise(layers, data, tmp_path, chunk_size=7, hops=1)
    content[140] ^= 1
    last.write_bytes(content)
    for wrong in ([done[0], done[1] + 1], [done[0] + 1, 0], [7, 0]):
        mark.write_text(before.replace(f'"done": {done}', f'"done": {wrong}'))
        with pytest.raises(ValueError, match="damaged"):
            layerwise(layers, data, tmp_path, chunk_size=7, hops=1)
    mark.write_text(before)
    wanted = layerwise(convs, data, chunk_size=7)
    assert torch.equal(layerwise(layers, data, tmp_path, chunk_size=7, hops=1), wanted)


def test_what_is_wrong_is_refused():
    data = graph()
    for layers, options, words in (
        ([], {}, "'layers' is empty"),
        (GraphSAGE(6, 8, 2, jk="cat"), {}, "jk='cat'"),
        (SAGEConv(6, 8), {}, "is one SAGEConv"),
        ([lambda x, e: x.sum(0)], {}, "a layer gave"),
        ([lambda x, e: x + torch.randn_like(x)], {}, "reads further than 3 hops"),
        ([SAGEConv(6, 8)], {"chunk_size": 0}, "'chunk_size'"),
        ([SAGEConv(6, 8)], {"x": "z"}, "no 'z'"),
        ([SAGEConv(6, 8)], {"x": torch.ones(3, 6)}, "'x' has 3 rows"),
    ):
        with pytest.raises(ValueError, match=words):
            layerwise(layers, data, **options)
    with pytest.raises(ValueError, match="homogeneous"):
        layerwise([SAGEConv(5, 8)], hetero())


def test_hops_tell_runs_apart_and_must_be_positive(tmp_path):
    data = Data(x=torch.rand(12, 3), edge_index=torch.randint(12, (2, 40)))
    layers = [GCNConv(3, 4).eval()]
    layerwise(layers, data, tmp_path, hops=1, chunk_size=5, progress=False)
    with pytest.raises(ValueError, match=r"another run.*'hops'"):
        layerwise(layers, data, tmp_path, chunk_size=5, progress=False)
    with pytest.raises(ValueError, match="'hops' must be at least 1, got -1"):
        layerwise(layers, data, hops=-1, progress=False)


def test_bfloat16_layers_are_refused() -> None:
    data = Data(x=torch.rand(6, 3).bfloat16(), edge_index=torch.randint(6, (2, 9)))
    with pytest.raises(ValueError, match="a layer gave bfloat16"):
        layerwise([GCNConv(3, 4).bfloat16().eval()], data, hops=2, progress=False)
