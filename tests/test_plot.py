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


def test_what_lies_on_what_and_looks_how():
    axes = plot.over_image(scene(), torch.rand(3, 8, 9), color="track", title="a scene", size=9.0)
    (picture,) = axes.images
    marks, lines = (
        [c for c in axes.collections if hasattr(c, name)] for name in ("get_sizes", "get_segments")
    )
    assert picture.get_array().shape == (8, 9, 3)
    assert picture.get_zorder() < min(line.get_zorder() for line in lines)
    assert max(line.get_zorder() for line in lines) <= marks[0].get_zorder()
    assert marks[0].get_array().tolist() == [0, 0, 4]
    assert marks[0].get_cmap().name == "viridis"
    assert marks[0].get_sizes().tolist() == [9.0]
    assert lines[0].get_alpha() == 0.5
    assert lines[0].get_linewidths() == [1.0, 1.0]
    assert (axes.get_title(), axes.get_xlabel(), axes.get_ylabel()) == ("a scene", "column", "row")
    names = axes.get_legend().get_texts()
    assert [name.get_text() for name in names] == ["next", "box"]
    assert names[0].get_fontsize() < pyplot.rcParams["font.size"]


def test_gray_images_and_pictures_without_one():
    data = Data(pos=torch.tensor([[1.0, 2.0]]), edge_index=torch.empty(2, 0).long(), num_nodes=1)
    for image in (torch.rand(4, 5), torch.rand(4, 5, 1), torch.rand(4, 5, 3)):
        (picture,) = plot.over_image(data, image).images
        assert picture.get_array().shape[:2] == (4, 5)
        assert picture.get_cmap().name == "gray"
    axes = plot.over_image(data)
    assert axes.yaxis_inverted()
    assert axes.get_legend() is None
    # What is drawn on it once more leaves rows downwards.
    assert plot.over_image(data, axes=axes) is axes
    assert axes.yaxis_inverted()
    (marks, *_), _ = parts(axes)
    assert marks.tolist() == [[2, 1]]
    shown = next(c for c in axes.collections if hasattr(c, "get_sizes"))
    assert shown.get_sizes().tolist() == [25.0]
    assert shown.get_facecolor().tolist() == [[0, 0, 0, 1]]


def test_edges_are_as_wide_as_their_weight():
    axes = plot.over_time(scene(), width="edge_weight", edges=("next",))
    (lines,) = [c for c in axes.collections if hasattr(c, "get_segments")]
    assert np.allclose(lines.get_linewidths(), [1.5, 3.0])
    graph = scene()
    graph["box", "next", "box"].edge_weight = torch.tensor([-4.0, 2.0])
    axes = plot.over_time(graph, width="edge_weight", edges=("next",))
    (lines,) = [c for c in axes.collections if hasattr(c, "get_segments")]
    assert np.allclose(lines.get_linewidths(), [3.0, 1.5])
    graph["box", "next", "box"].edge_weight = torch.zeros(2)
    axes = plot.over_time(graph, width="edge_weight", edges=("next",))
    (lines,) = [c for c in axes.collections if hasattr(c, "get_segments")]
    assert np.allclose(lines.get_linewidths(), 0)


def test_types_are_chosen_and_have_marks_and_colours_of_their_own():
    axes = plot.as_layout(scene(), color={"box": torch.tensor([3, 2, 1])})
    marks = [c for c in axes.collections if hasattr(c, "get_sizes")]
    lines = [c for c in axes.collections if hasattr(c, "get_segments")]
    assert marks[0].get_array().tolist() == [3, 2, 1]
    assert marks[1].get_array() is None
    shapes = [mark.get_paths()[0].vertices.shape for mark in marks]
    assert shapes[0] != shapes[1]
    assert not np.allclose(lines[0].get_color(), lines[1].get_color())
    assert axes.get_xticks().tolist() == axes.get_yticks().tolist() == []
    alone, lines = parts(plot.as_layout(scene(), nodes=("box",)))
    assert [len(m) for m in alone] == [3]
    assert [len(seg) for seg in lines] == [2]
    places = parts(plot.as_layout(scene()))[0][0]
    assert np.allclose(places, parts(plot.as_layout(scene(), seed=0))[0][0])
    assert not np.allclose(places, parts(plot.as_layout(scene(), seed=1))[0][0])


def test_one_colour_for_the_edges_of_one_type():
    data = Data(pos=torch.rand(2, 2), edge_index=torch.tensor([[0], [1]]), num_nodes=2)
    (lines,) = [c for c in plot.over_image(data).collections if hasattr(c, "get_segments")]
    gray = matplotlib.colors.to_rgba("gray", 0.5)
    assert np.allclose(lines.get_color(), [gray])


def test_lanes_are_columns_then_numbers():
    """By default the column of the place, else the number of the node; bars in the middle."""
    graph = scene()
    assert parts(plot.over_time(graph))[0][0][:, 1].tolist() == [5, 6, 7]
    del graph["box"].pos
    assert parts(plot.over_time(graph))[0][0][:, 1].tolist() == [0, 1, 2]
    assert plot.over_time(graph, lane="track").get_ylabel() == "track"
    assert plot.over_time(graph).get_ylabel() == ""
    data = Data(span=torch.tensor([[0.0, 4.0]]), num_nodes=1)
    data.edge_index = torch.empty(2, 0, dtype=torch.long)
    axes = plot.over_time(data)
    assert parts(axes)[0][0].tolist() == [[2, 0]]
    (bar,) = [c for c in axes.collections if hasattr(c, "get_segments")][1:]
    assert (bar.get_alpha(), bar.get_linewidths().tolist()) == (0.4, [3])


def test_nodes_that_are_not_asked_for_need_no_time():
    graph = scene()
    graph["image"].time = torch.tensor([9])
    (marks, *more), _ = parts(plot.over_time(graph, nodes=("box",)))
    assert len(marks) == 3
    assert not more


def test_curves_share_their_readings():
    axes = plot.as_curves([{"a": 1.0, "b": 2.0}, {"a": 3.0}])
    figure = axes[0].figure
    assert figure.get_size_inches().tolist() == pytest.approx([6.4, 4.0])
    assert axes[0].lines[0].get_xdata().tolist() == [1, 2]
    assert axes[0].lines[0].get_marker() == "."
    assert axes[0].get_shared_x_axes().joined(*axes)
    assert axes[0].get_xlabel() == ""
    assert len(plot.as_curves([{"a": 1.0}])) == 1


@pytest.mark.parametrize("windows", [True, False])
def test_figures_are_shown_or_only_written(monkeypatch, windows):
    chosen = []
    monkeypatch.setattr(matplotlib, "use", chosen.append)
    assert plot.load_pyplot(**{} if windows else {"windows": False}) is pyplot
    assert chosen == ([] if windows else ["Agg"])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"color": "tarck"}, "'color' names no node attribute: .* 'tarck'"),
        ({"color": {"box": torch.ones(2)}}, "'color' must be one value for each of 3 nodes"),
        ({"width": "weight"}, "'width' names no edge attribute: .* 'weight'"),
        ({"width": "three"}, "'width' must be one finite number per edge, as 'three' is not"),
        ({"width": "nan"}, "'width' must be one finite number per edge, as 'nan' is not"),
        ({"nodes": ("bix",)}, "'nodes' names 'bix': did you mean 'box'"),
        ({"edges": ("nxt",)}, "'edges' names 'nxt': did you mean 'next'"),
    ],
)
@pytest.mark.parametrize("draw", [plot.over_image, plot.over_time, plot.as_layout])
def test_what_is_not_in_the_graph_is_refused_by_name(draw, options, words):
    graph = scene()
    graph["box", "next", "box"].update({"three": torch.ones(3), "nan": torch.tensor([1, np.nan])})
    with pytest.raises(ValueError, match=words):
        draw(graph, **options)


def test_an_attribute_of_some_types_is_drawn_where_it_is():
    axes = plot.as_layout(scene(), width="edge_weight", color="track")
    between, into = [c for c in axes.collections if hasattr(c, "get_segments")]
    assert np.allclose(between.get_linewidths(), [1.5, 3.0])
    assert np.allclose(into.get_linewidths(), 1)
    boxes, image = [c for c in axes.collections if hasattr(c, "get_sizes")]
    assert boxes.get_array().tolist() == [0, 0, 4]
    assert image.get_array() is None
    (marks,), _ = parts(plot.over_image(scene(), nodes="box"))
    assert len(marks) == 3


def test_points_without_edges_are_drawn():
    data = Data(pos=torch.rand(3, 2), time=torch.arange(3))
    for draw in (plot.over_image, plot.over_time, plot.as_layout):
        (marks,), (lines,) = parts(draw(data))
        assert (len(marks), len(lines)) == (3, 0)


def test_places_images_lanes_and_edges_that_are_none_are_refused():
    edge_index = torch.tensor([[0], [1]])
    with pytest.raises(ValueError, match=r"'pos' must be \[N, 2\], row and column, got \[2, 3\]"):
        plot.over_image(Data(pos=torch.rand(2, 3), edge_index=edge_index))
    with pytest.raises(ValueError, match="'image' must be"):
        plot.over_image(scene(), torch.rand(1, 3, 4, 4))
    with pytest.raises(ValueError, match="'lane' names 'trak': did you mean 'track'"):
        plot.over_time(scene(), lane="trak")
    with pytest.raises(ValueError, match="no node with a 'pos'"):
        plot.over_image(scene(), nodes=("image",))
    with pytest.raises(ValueError, match="no type of nodes"):
        plot.as_layout(HeteroData())
    adjacency = torch.eye(2).to_sparse()
    with pytest.raises(ValueError, match="adjacencies need"):
        plot.as_layout(Data(x=torch.rand(2, 1), adj_t=adjacency))


def test_half_precision_is_drawn():
    data = Data(pos=torch.tensor([[1.0, 2.0]]).bfloat16(), edge_index=torch.empty(2, 0).long())
    (marks, *_), _ = parts(plot.over_image(data, torch.rand(3, 4, 5).bfloat16()))
    assert marks.tolist() == [[2, 1]]
