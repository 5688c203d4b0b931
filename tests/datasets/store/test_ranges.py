import pytest
import torch
from torch_geometric.data import Data, HeteroData, InMemoryDataset

from graphkit.datasets import DamagedDataError, DatasetCard, load
from graphkit.datasets.store.in_place import InPlace

EDGES = torch.tensor([[0, 1], [1, 0]])
GOOD = Data(x=torch.ones(2, 1), edge_index=EDGES, y=torch.tensor([0, 1]))


class Own(InPlace, InMemoryDataset):
    """Two graphs, the second of which a test chooses."""

    second: Data

    def __init__(self, root, **kwargs):
        super().__init__(root, **kwargs)
        self.load(self.processed_paths[0])

    @property
    def processed_file_names(self):
        return "data.pt"

    def process(self):
        first, second = GOOD.clone(), type(self).second
        if isinstance(first, Data):
            first.y = torch.zeros_like(second.y)
        self.save([first, second], self.processed_paths[0])


def card(classes=None):
    return DatasetCard(
        name="own",
        about="somebody's own",
        loader="tests.datasets.store.test_ranges:Own",
        folder="own",
        files=("own.dat",),
        raw="",
        counts={} if classes is None else {"classes": classes},
        checked=False,
    )


def loaded(root, monkeypatch, graph, classes=None):
    (root / "own").mkdir()
    (root / "own" / "own.dat").write_text("x")
    monkeypatch.setattr(Own, "second", graph, raising=False)
    return load(card(classes), root=root)


def changed(**values):
    graph = GOOD.clone()
    graph.update(values)
    return graph


@pytest.mark.usefixtures("cache")
@pytest.mark.parametrize(
    ("graph", "message"),
    [
        (changed(edge_index=EDGES + 1), "edges of the nodes 1 to 2, but 2 nodes"),
        (changed(edge_index=EDGES - 1), "edges of the nodes -1 to 0"),
        (changed(edge_index=EDGES * 10**12), "1000000000000"),
        (changed(y=torch.tensor([0, -1])), "labels from -1 to 0"),
        (changed(y=torch.tensor([0, 2])), "labels from 0 to 2, expected whole numbers from 0 to 1"),
        (changed(y=torch.tensor([0.0, torch.inf])), "labels from 0.0 to inf"),
        (changed(y=torch.tensor([0.0, 0.5])), "labels from 0.0 to 0.5"),
        (changed(y=torch.tensor([[0, 1], [1, 2]])), "labels from 0 to 2"),
    ],
)
def test_what_is_out_of_range_is_named(root, monkeypatch, graph, message):
    with pytest.raises(DamagedDataError, match=f"'own' in .*: graph 1 has .*{message}"):
        loaded(root, monkeypatch, graph, classes=2)


@pytest.mark.usefixtures("cache")
@pytest.mark.parametrize(
    ("graph", "classes"),
    [
        (changed(y=torch.tensor([0.0, torch.nan])), 2),
        (changed(y=torch.tensor([[0.0, torch.nan], [1.0, 1.0]])), 2),
        (changed(y=torch.tensor([-1.5, 7.0])), None),
        (changed(y=torch.tensor([5, 0])), None),
        (changed(edge_index=torch.empty(2, 0, dtype=torch.long)), 2),
    ],
)
def test_what_is_right_passes(root, monkeypatch, graph, classes):
    assert len(loaded(root, monkeypatch, graph, classes)) == 2


@pytest.mark.usefixtures("cache")
@pytest.mark.parametrize("label", [-1, torch.inf])
def test_labels_without_published_classes(root, monkeypatch, label):
    with pytest.raises(DamagedDataError, match="graph 1 has"):
        loaded(root, monkeypatch, changed(y=torch.tensor([0, label])))


@pytest.mark.usefixtures("cache")
def test_edges_between_two_kinds_of_nodes(root, monkeypatch):
    graph = HeteroData()
    graph["a"].x, graph["b"].x = torch.ones(2, 1), torch.ones(1, 1)
    graph["a", "to", "b"].edge_index = torch.tensor([[0, 1], [0, 1]])
    monkeypatch.setattr("tests.datasets.store.test_ranges.GOOD", graph)
    with pytest.raises(DamagedDataError, match="edges of the nodes 0 to 1, but 1 nodes"):
        loaded(root, monkeypatch, graph)


class Embedded(InMemoryDataset):
    """One graph that a test chooses, and no files."""

    graph: Data

    def __init__(self, transform=None):
        super().__init__(None, transform)
        self.data, self.slices = self.collate([GOOD, type(self).graph])


WRONG = {
    "beyond": {"edge_index": EDGES + 1},
    "counted down": {"edge_index": EDGES - 1},
    "turned": {"edge_index": torch.tensor([[0, 1], [1, 0], [0, 0]])},
    "fractions": {"edge_index": EDGES.float()},
    "label": {"y": torch.tensor([0, -1])},
    "complex": {"y": torch.tensor([0, 1j])},
    "attributes": {"edge_attr": torch.ones(1, 3)},
    "weights": {"edge_weight": torch.ones(5)},
}


@pytest.mark.usefixtures("cache")
@pytest.mark.parametrize("kind", ["class", "card", "saved"])
@pytest.mark.parametrize("wrong", WRONG)
def test_sets_without_files_are_looked_at_as_well(tmp_path, monkeypatch, kind, wrong):
    """``module:Class``, a card of one's own without files, and saved graphs."""
    loader = f"{__name__}:Embedded"
    source = {"class": loader, "saved": str(tmp_path / "a.pt")}.get(
        kind, DatasetCard(name="mine", about="mine", loader=loader)
    )
    for graph, right in ((GOOD, True), (changed(**WRONG[wrong]), False)):
        torch.save([GOOD, graph], tmp_path / "a.pt")
        # PyG cannot put every wrong graph behind another: alone it can.
        monkeypatch.setattr(Embedded, "graph", graph, raising=False)
        monkeypatch.setattr(Embedded, "collate", lambda self, graphs: alone(graphs[1]))
        if right:
            assert len(load(source)) in (1, 2)
            continue
        with pytest.raises(DamagedDataError, match=r"graph [01]"):
            load(source)


def alone(graph):
    return graph, None
