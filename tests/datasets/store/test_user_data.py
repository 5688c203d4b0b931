"""Saved graphs and classes of one's own through ``load``."""

from __future__ import annotations

import os
import pickle
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch_geometric.data import Data, InMemoryDataset
from torch_geometric.datasets import KarateClub

from graphkit.datasets import DamagedDataError, MissingDataError, load
from graphkit.testing.damage import make_hole
from tests.spoiled import spoiled


def graph(nodes: int, **changes: object) -> Data:
    edges = torch.stack([torch.arange(nodes), torch.arange(nodes).roll(1)])
    data = Data(x=torch.rand(nodes, 3), y=torch.tensor([nodes % 2]), edge_index=edges)
    for key, value in changes.items():
        data[key] = value
    return data


def same(one: Data, two: Data) -> bool:
    return all(torch.equal(one[key], two[key]) for key in ("x", "y", "edge_index"))


@pytest.mark.parametrize("form", ["graph", "list", "saved", "tuple"])
def test_what_was_saved_is_read(form: str, tmp_path: Path) -> None:
    graphs = [graph(4), graph(5)][: 1 if form == "graph" else 2]
    path = str(tmp_path / "g.pt")
    if form == "saved":
        InMemoryDataset.save(graphs, path)
    else:
        whole = InMemoryDataset.collate(graphs)
        torch.save({"graph": graphs[0], "list": graphs, "tuple": whole}[form], path)
    dataset = load(path)
    assert len(dataset) == len(graphs)
    assert all(map(same, dataset, graphs))
    assert dataset.num_features == 3
    marked = load(path, transform=lambda data: Data(x=data.x * 0))
    assert float(marked[0].x.sum()) == 0


class Runs:
    """What pickle would run."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (os.environ["PLACE"],)


@pytest.mark.parametrize("inside", [False, True])
def test_nothing_in_a_file_is_run(
    inside: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLACE", str(tmp_path / "was_run"))
    path = tmp_path / "g.pt"
    torch.save(graph(4, extra=Runs()) if inside else Runs(), path)
    with pytest.raises(DamagedDataError, match="may run code"):
        load(str(path))
    path.write_bytes(pickle.dumps(Runs()))
    with pytest.raises(DamagedDataError, match="may run code"):
        load(str(path))
    assert not (tmp_path / "was_run").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"edge_index": torch.tensor([[0], [4]])}, "names nodes 0 to 4, there are 4"),
        ({"edge_index": torch.tensor([[-1], [0]])}, "names nodes -1 to 0"),
        ({"edge_index": torch.zeros(3, 2, dtype=torch.long)}, r"int64 \[2, E\], got .*\[3, 2\]"),
        ({"edge_index": torch.zeros(2, 2)}, r"int64 \[2, E\], got torch.float32"),
        ({"x": torch.zeros(4, 3, dtype=torch.long)}, "'x' must be floating point"),
        ({"x": spoiled((4, 3))}, "'x' holds NaN"),
    ],
)
def test_a_graph_that_does_not_fit_together_is_named(
    changes: dict, message: str, tmp_path: Path
) -> None:
    torch.save([graph(4), graph(4, **changes)], tmp_path / "g.pt")
    with pytest.raises(DamagedDataError, match=f"graph 1 of '.*g.pt': .*{message}"):
        load(str(tmp_path / "g.pt"))


@pytest.mark.parametrize("content", [torch.zeros(3), {"x": 1}, [], (1, 2), KarateClub])
def test_what_is_no_graph_is_refused(content: object, tmp_path: Path) -> None:
    path = tmp_path / "g.pt"
    torch.save(content() if content is KarateClub else content, path)
    with pytest.raises(DamagedDataError, match=r"g\.pt"):
        load(str(path))
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(DamagedDataError, match=r"g\.pt"):
        load(str(path))


def test_what_pytorch_knew_as_safe_before_it_knows_afterwards(tmp_path: Path) -> None:
    path = tmp_path / "graph.pt"
    edge_index = torch.tensor([[0, 1], [1, 0]])
    torch.save(Data(x=torch.ones(2, 3), edge_index=edge_index), path)
    before = torch.serialization.get_safe_globals()
    assert Data in before  # PyG says so itself, for the files that it processes.
    load(str(path))
    assert set(torch.serialization.get_safe_globals()) == set(before)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(MissingDataError, match=r"no file '.*g\.pt'"):
        load(str(tmp_path / "g.pt"))


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    text = "from torch_geometric.datasets import KarateClub as Club\n\n"
    text += "def pair(size=2):\n    return [Club()[0]] * size\n\ndef three():\n    return 3\n"
    (tmp_path / "sets_of_mine.py").write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [each for each in sys.path if each != ""])
    yield
    sys.modules.pop("sets_of_mine", None)


@pytest.mark.usefixtures("module")
def test_a_class_or_function_of_ones_own() -> None:
    assert load("sets_of_mine:Club")[0].num_nodes == 34
    assert len(load("sets_of_mine:pair", size=3)) == 3
    assert load("sets_of_mine:Club", transform=lambda data: Data(num_nodes=7))[0].num_nodes == 7
    with pytest.raises(TypeError, match="must give a Data, a list of Data or a dataset, got int"):
        load("sets_of_mine:three")
    with pytest.raises(ImportError, match="data set 'sets_of_mine:four'"):
        load("sets_of_mine:four")


def test_a_hole_in_a_saved_graph_is_named(tmp_path):
    path = tmp_path / "graph.pt"
    graph = Data(x=torch.ones(5000, 2), edge_index=torch.tensor([[0, 1], [1, 0]]))
    torch.save(graph, path)
    assert load(str(path))[0].num_nodes == 5000
    make_hole(path)
    with pytest.raises(DamagedDataError, match=r"graph\.pt"):
        load(str(path))


@pytest.mark.parametrize("label", [-1, torch.inf])
def test_labels_that_are_none_are_named(tmp_path, label):
    path = tmp_path / "graph.pt"
    edges = torch.tensor([[0, 1], [1, 0]])
    torch.save(Data(x=torch.ones(2, 1), edge_index=edges, y=torch.tensor([0, label])), path)
    with pytest.raises(DamagedDataError, match=r"graph 0 of .*label"):
        load(str(path))
