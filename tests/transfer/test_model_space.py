"""ModelSpace: all pairs at once, one model at a time, from files, drawn."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from graphkit.taps import tap
from graphkit.transfer import (
    AttributionGraph,
    ModelSpace,
    depara_similarity,
    edge_similarity,
    node_similarity,
)
from tests import torchvision_networks


def models(count: int = 5, probes: int = 10) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    base = torch.randn(probes, 24)
    return {
        f"m{i}": (base + (0.3 + i) * torch.randn(probes, 24), torch.randn(probes, 3 + i))
        for i in range(count)
    }


def test_all_pairs_are_the_pairs() -> None:
    given = models()
    space = ModelSpace()
    space.extend(given)
    graphs = [AttributionGraph(x=m, feature=f - f.mean(0)) for m, f in given.values()]
    for i, a in enumerate(graphs):
        for j, b in enumerate(graphs):
            assert float(space.node[i, j]) == pytest.approx(node_similarity(a, b), abs=1e-5)
            assert float(space.edge[i, j]) == pytest.approx(edge_similarity(a, b), abs=1e-5)
    assert torch.equal(space.node, space.node.T)
    assert bool((space.node.diagonal() == 1).all())


def test_one_by_one_is_all_at_once() -> None:
    given = models()
    whole, grown = ModelSpace(), ModelSpace()
    whole.extend(given)
    for name in list(given)[:2]:
        grown.add(name, *given[name])
    grown.extend({name: given[name] for name in list(given)[2:4]})
    maps, features = given["m4"]
    grown.add("m4", AttributionGraph(x=maps, feature=features))
    for name in ("node", "edge", "spread"):
        torch.testing.assert_close(getattr(grown, name), getattr(whole, name), atol=1e-6, rtol=0)
    assert grown.names == whole.names


def test_maps_may_lie_in_files(tmp_path) -> None:
    given, files = models(3), {}
    for name, (maps, features) in given.items():
        np.save(tmp_path / f"{name}.npy", maps.numpy().astype(np.float16))
        files[name] = (np.load(tmp_path / f"{name}.npy", mmap_mode="c"), features)
    space, expected = ModelSpace(), ModelSpace()
    space.extend(files)
    expected.extend(given)
    torch.testing.assert_close(space.node, expected.node, atol=2e-3, rtol=0)


def test_ranking_leaves_the_target_out() -> None:
    space = ModelSpace()
    space.extend(models())
    for how in ("sum", "ranks", "zscores"):
        rows = space.rank("m1", how=how)
        assert sorted(name for name, _ in rows) == ["m0", "m2", "m3", "m4"]
        assert [score for _, score in rows] == sorted((s for _, s in rows), reverse=True)
    assert space.similarity(how="ranks").diagonal().isnan().all()
    with pytest.raises(ValueError, match="no model is called 'x'"):
        space.rank("x")


def test_the_graph_of_models() -> None:
    space = ModelSpace()
    space.extend(models())
    graph = space.graph(weight=0.5)
    assert graph.num_nodes == 5
    assert graph.is_undirected()
    score = space.similarity(0.5).float()
    torch.testing.assert_close(graph.edge_weight, score[tuple(graph.edge_index)])
    torch.testing.assert_close(graph.edge_attr[:, 0], space.node[tuple(graph.edge_index)])
    assert bool((graph.edge_attr[:, 1] > 0).all())
    assert 5 <= space.graph(neighbors=1).num_edges <= 8
    with pytest.raises(ValueError, match="'neighbors' must lie between 1 and 4, got 5"):
        space.graph(neighbors=5)


def test_clusters_are_drawn() -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    base, other = torch.randn(2, 10, 24)
    space = ModelSpace()
    for i in range(6):
        maps = (base if i % 2 else other) + 0.1 * torch.randn(10, 24)
        space.add(f"{'ab'[i % 2]}{i}", maps, torch.randn(10, 4))
    tree = space.linkage(weight=0.0)
    assert sorted(tree[-1, :2]) == [8, 9]
    axes = space.plot_heat_map(weight=0.0)
    assert type(axes.figure.get_layout_engine()).__name__ == "ConstrainedLayoutEngine"
    shown = [label.get_text()[0] for label in axes.get_yticklabels()]
    assert shown in (list("aaabbb"), list("bbbaaa"))
    assert [label.get_text()[0] for label in axes.get_xticklabels()] == shown
    axes = space.plot_dendrogram(weight=0.0)
    assert len(axes.get_yticklabels()) == 6
    pyplot.close("all")
    with pytest.raises(ValueError, match="clustering needs two models, there are 0"):
        ModelSpace().linkage()


def test_faults_are_named() -> None:
    space = ModelSpace()
    space.extend({})
    assert len(space) == 0
    space.extend(models(2))
    with pytest.raises(ValueError, match=r"models called \['m0'\] already"):
        space.extend(models(1))
    with pytest.raises(ValueError, match="maps of one shape"):
        space.add("x", torch.randn(10, 7), torch.randn(10, 3))
    with pytest.raises(ValueError, match="'x' has 4 rows of features for 10 maps"):
        space.add("x", torch.randn(10, 24), torch.randn(4, 3))
    assert space.names == ["m0", "m1"]
    with pytest.warns(UserWarning, match="'dead': 10"):
        space.add("dead", torch.zeros(10, 24), torch.randn(10, 3))
    assert bool((space.node[2] == 0).all())


@pytest.mark.vision
def test_a_space_of_torchvision_networks() -> None:
    """Two networks of the same weights are one; architectures of all kinds stand beside them."""
    probes = torchvision_networks.images(6)
    networks = {name: torchvision_networks.network(name) for name in torchvision_networks.NETWORKS}
    networks["again"] = torchvision_networks.network("resnet").train()
    space = ModelSpace()
    for name, model in networks.items():
        space.add(name, AttributionGraph.build(model, probes))
    name, score = space.rank("resnet", 0.25)[0]
    assert name == "again"
    assert score == pytest.approx(1.25, abs=1e-6)
    assert max(score for _, score in space.rank("resnet", 0.25)[1:]) < 1
    assert space.graph(neighbors=2).num_nodes == len(networks)


@pytest.mark.vision
def test_the_layers_of_a_torchvision_network_are_ranked() -> None:
    probes, model = torchvision_networks.images(6), torchvision_networks.network("resnet")
    target = AttributionGraph.build(model, probes, layer="layer2", channels="absolute")
    names = ["layer1", "layer2", "layer3", "bn1"]
    graphs = {
        name: AttributionGraph.build(model, probes, layer=name, channels="absolute")
        for name in names
    }
    scores = {name: depara_similarity(graph, target) for name, graph in graphs.items()}
    assert max(scores, key=scores.get) == "layer2"
    with tap(model, "bn1") as inner:
        model(probes)
    before = model.conv1(probes)
    feature = model.bn1(before).flatten(1)
    assert torch.equal(inner["bn1"].output.flatten(1), feature)
    expected = feature - feature.mean(0)
    torch.testing.assert_close(graphs["bn1"].feature, expected.detach())
