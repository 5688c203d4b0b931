"""What is on the picture is what is in the graph."""

import sys

import matplotlib
import numpy as np
import pytest
import torch
from matplotlib import pyplot
from torch_geometric.data import Data, HeteroData

from graphkit import plot
from graphkit.adapters import chain_edges

matplotlib.use("Agg")


@pytest.fixture(autouse=True)
def _closed():
    yield
    pyplot.close("all")


def scene():
    graph = HeteroData()
    graph["box"].update({"pos": torch.tensor([[1.0, 5.0], [2.0, 6.0], [3.0, 7.0]])})
    graph["box"].update({"time": torch.arange(3), "track": torch.tensor([0, 0, 4]), "num_nodes": 3})
    graph["image"].num_nodes = 1
    graph["box", "next", "box"].edge_index = chain_edges(torch.zeros(3, dtype=torch.long))
    graph["box", "next", "box"].edge_weight = torch.tensor([1.0, 2.0])
    graph["box", "in", "image"].edge_index = torch.tensor([[0, 1, 2], [0, 0, 0]])
    return graph


def parts(axes):
    """The marks and the lines of a picture."""
    marks = [c.get_offsets() for c in axes.collections if hasattr(c, "get_sizes")]
    lines = [c.get_segments() for c in axes.collections if hasattr(c, "get_segments")]
    return marks, lines


def test_rows_and_columns_are_where_they_are():
    marks, lines = parts(plot.over_image(scene(), torch.rand(3, 8, 9), color="track"))
    assert np.allclose(marks[0], [[5, 1], [6, 2], [7, 3]])
    assert np.allclose(lines[0], [[[5, 1], [6, 2]], [[6, 2], [7, 3]]])
    assert len(lines) == 1, "the edge type to a node without place is left out"


def test_time_runs_to_the_right_and_lanes_are_chosen():
    axes = plot.over_time(scene(), lane="track", width="edge_weight", edges=("next",))
    marks, lines = parts(axes)
    assert np.allclose(marks[0], [[0, 0], [1, 0], [2, 4]])
    assert len(lines[0]) == 2
    assert axes.get_xlabel() == "time"


def test_spans_are_bars():
    data = Data(span=torch.tensor([[0.0, 4.0], [1.0, 2.0]]), num_nodes=2)
    data.edge_index = torch.empty(2, 0, dtype=torch.long)
    _, lines = parts(plot.over_time(data))
    assert np.allclose(lines[-1], [[[0, 0], [4, 0]], [[1, 1], [2, 1]]])


def test_a_layout_needs_no_place_and_draws_all():
    marks, lines = parts(plot.as_layout(scene()))
    assert [len(m) for m in marks] == [3, 1]
    assert [len(seg) for seg in lines] == [2, 3]


@pytest.mark.parametrize("draw", [plot.over_image, plot.over_time, plot.as_layout])
def test_nothing_to_draw_is_drawn(draw):
    empty = torch.empty(0)
    data = Data(pos=torch.empty(0, 2), time=empty, num_nodes=0)
    data.edge_index = torch.empty(2, 0, dtype=torch.long)
    draw(data)


def test_a_graph_without_places_is_refused():
    data = Data(edge_index=torch.zeros(2, 1, dtype=torch.long), num_nodes=1)
    with pytest.raises(ValueError, match="'pos'"):
        plot.over_image(data)
    with pytest.raises(ValueError, match="'time'"):
        plot.over_time(data)


def test_curves_are_drawn_by_name_and_leave_gaps():
    history = [{"a": 1.0, "b": 2.0}, {"a": float("inf")}, {"a": 3.0, "b": 4.0}]
    first, second = plot.as_curves(history)
    assert (first.get_ylabel(), second.get_ylabel()) == ("a", "b")
    assert second.get_xlabel() == "reading"
    more = plot.as_curves([{"a": 1.0, "b": 2.0, "c": 3.0, "d": 4.0}])
    heights = [axes[0].figure.get_figheight() for axes in ((first, second), more)]
    assert heights[1] - heights[0] == pytest.approx(2 * 1.6)
    assert np.array_equal(first.lines[0].get_ydata(), [1, np.nan, 3], equal_nan=True)
    assert np.array_equal(second.lines[0].get_ydata(), [2, np.nan, 4], equal_nan=True)
    assert [axes.get_ylabel() for axes in plot.as_curves(history, ["b"])] == ["b"]
    for wrong in ((history, ["c"]), ([], None), (history, [])):
        with pytest.raises(ValueError, match="'names' must be some of"):
            plot.as_curves(*wrong)


def test_without_matplotlib_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"graphkit\[bench\]"):
        plot.as_curves([{"a": 1.0}])
    with pytest.raises(ImportError, match=r"graphkit\[bench\]"):
        plot.over_image(scene())
