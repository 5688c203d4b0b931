import pytest
import torch
from torch_geometric.data import Batch, Data

from graphkit.datasets import SceneBatch, SyntheticScenes


def scene(x, triples):
    table = torch.tensor(triples, dtype=torch.long).view(-1, 3)
    return Data(
        x=torch.tensor(x, dtype=torch.long),
        edge_index=table[:, [0, 2]].t().contiguous(),
        edge_attr=table[:, 1].contiguous(),
        num_nodes=len(x),
    )


SCENES = [
    scene([3, 1, 2], [(0, 5, 1), (1, 6, 2), (1, 7, 2)]),
    scene([], []),
    scene([4], []),
    scene([0, 0, 1, 2], [(3, 1, 0), (0, 2, 1), (1, 2, 0)]),
]


EMPTY = {"edge_index": torch.zeros(2, 0).long(), "edge_attr": torch.zeros(0).long()}


def same(one, other):
    return all(torch.equal(one[name], other[name]) for name in ("x", "edge_index", "edge_attr"))


def test_union_and_back():
    union = SceneBatch.from_data(SCENES)
    assert union.batch.tolist() == [0, 0, 0, 2, 3, 3, 3, 3]
    assert union.node_ptr.tolist() == [0, 3, 3, 4, 8]
    assert union.edge_ptr.tolist() == [0, 3, 3, 3, 6]
    assert all(map(same, SCENES, union.to_data_list()))


def test_a_pyg_batch_and_a_single_scene_are_unions():
    batch = SceneBatch.from_data(Batch.from_data_list(SCENES))
    assert all(map(same, SCENES, batch.to_data_list()))
    (alone,) = SceneBatch.from_data(SCENES[3]).to_data_list()
    assert same(alone, SCENES[3])
    assert SceneBatch.from_data(SCENES[1]).num_graphs == 1


def test_selection_in_any_order_with_repeats():
    union = SceneBatch.from_data(SCENES)
    chosen = torch.tensor([3, 0, 1, 0])
    found = union.select(chosen).to_data_list()
    assert all(same(SCENES[i], one) for i, one in zip(chosen.tolist(), found, strict=True))


def test_unordered_triples_are_ordered_by_graph():
    batch = torch.tensor([0, 0, 1, 1])
    edge_index = torch.tensor([[2, 0, 3], [3, 1, 2]])
    union = SceneBatch(torch.arange(4), edge_index, torch.tensor([7, 8, 9]), batch, 2)
    assert union.edge_attr.tolist() == [8, 7, 9]
    assert union.edge_index.tolist() == [[0, 2, 3], [1, 3, 2]]
    # The last graph first, and nowhere a step upwards.
    union = SceneBatch(torch.arange(4), edge_index[:, :2], torch.tensor([7, 8]), batch, 2)
    assert union.edge_attr.tolist() == [8, 7]
    assert union.edge_ptr.tolist() == [0, 1, 2]


def test_knock_out_by_hand():
    union = SceneBatch.from_data(SCENES)
    taken = union.knock_out(torch.tensor([1, -1, 3, 4]))
    assert taken.category.tolist() == [1, -1, 4, 0]
    assert taken.rest.x.tolist() == [3, 2, 0, 1, 2]
    assert taken.rest.batch.tolist() == [0, 0, 3, 3, 3]
    assert taken.rest.num_graphs == 4
    assert taken.rest.edge_attr.tolist() == []
    links = {tuple(link) for link in taken.links.t().tolist()}
    assert links == {(0, 1, 5), (1, 0, 6), (1, 0, 7), (4, 1, 1), (2, 0, 2), (2, 1, 2)}


def test_orphans_leave_with_the_object_that_left_them():
    union = SceneBatch.from_data([scene([1, 2, 3, 4], [(0, 0, 1), (1, 0, 2)])])
    kept = union.knock_out(torch.tensor([0]))
    dropped = union.knock_out(torch.tensor([1]), drop_orphans=True)
    assert kept.rest.x.tolist() == [2, 3, 4]
    assert dropped.rest.x.tolist() == [4]
    assert dropped.links.shape == (3, 0)


@pytest.mark.parametrize("drop", [False, True])
def test_leave_one_out_is_each_object_once(drop):
    union = SceneBatch.from_data(list(SyntheticScenes(num_graphs=5)))
    taken = union.leave_one_out(drop)
    assert torch.equal(taken.category, union.x)
    for copy, (graph, node) in enumerate(zip(union.batch, range(union.num_nodes), strict=True)):
        alone = union.select(graph.view(1))
        one = alone.knock_out(torch.tensor([node]) - union.node_ptr[graph], drop)
        mine = taken.rest.to_data_list()[copy]
        assert same(mine, one.rest.to_data_list()[0])


def test_a_self_loop_leaves_without_a_link():
    taken = SceneBatch.from_data(scene([1, 2], [(0, 0, 0), (0, 1, 1)])).knock_out(torch.tensor([0]))
    assert taken.links.tolist() == [[0], [0], [1]]


def test_ten_thousand_objects():
    ends = torch.arange(9_999)
    data = Data(
        x=torch.zeros(10_000, dtype=torch.long),
        edge_index=torch.stack([ends, ends + 1]),
        edge_attr=torch.zeros(9_999, dtype=torch.long),
    )
    taken = SceneBatch.from_data(data).knock_out(torch.tensor([5_000]))
    assert taken.rest.num_nodes == 9_999
    assert taken.links.size(1) == 2


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        ({"edge_index": torch.tensor([[0], [3]])}, IndexError, "names object 3, but there are 3"),
        ({"edge_index": torch.tensor([[0], [-1]])}, IndexError, "names object -1"),
        ({"edge_index": torch.tensor([[0, 1, 2]])}, ValueError, "'edge_index' must be"),
        ({"edge_attr": torch.tensor([1, 2])}, ValueError, "'edge_attr' must have a predicate"),
        ({"batch": torch.tensor([0, 1, 1])}, ValueError, "stay in one graph"),
        ({"batch": torch.tensor([1, 1, 0])}, ValueError, "must ascend"),
        ({"batch": torch.tensor([0, 0, 2])}, ValueError, "names graph 2, but there are 2"),
        ({"batch": torch.tensor([0, 0])}, ValueError, "'x' and 'batch' must have shape"),
    ],
)
def test_malformed_unions_are_named(change, kind, message):
    fields = {
        "x": torch.tensor([1, 2, 3]),
        "edge_index": torch.tensor([[0], [1]]),
        "edge_attr": torch.tensor([0]),
        "batch": torch.tensor([0, 0, 0]),
        "num_graphs": 2,
    }
    with pytest.raises(kind, match=message):
        SceneBatch(**{**fields, **change})


def test_unknown_categories_are_named():
    union = SceneBatch.from_data(SCENES)
    union.check_names(5, 8)
    with pytest.raises(ValueError, match="'x' must lie between 0 and 3, got values from 0 to 4"):
        union.check_names(4, 8)
    with pytest.raises(ValueError, match="'edge_attr' must lie between 0 and 6"):
        union.check_names(5, 7)
    with pytest.raises(ValueError, match="'x' must lie between 0 and 4, got values from -1"):
        SceneBatch.from_data(scene([-1], [])).check_names(5, 7)
    with pytest.raises(TypeError, match=r"'x' must hold int64 numbers, got torch\.int32"):
        SceneBatch.from_data(Data(x=torch.zeros(1).int(), **EMPTY)).check_names(5, 7)
    with pytest.raises(ValueError, match="a scene graph needs 'edge_attr'"):
        SceneBatch.from_data(Data(x=torch.arange(2), edge_index=torch.zeros(2, 0)))
    with pytest.raises(ValueError, match="'scenes' holds no scene graph"):
        SceneBatch.from_data([])


def test_soft_rows_go_with_their_triples():
    triples, soft = torch.tensor([[2, 0], [3, 1]]), torch.rand(2, 5)
    fields = (torch.arange(4), triples, torch.tensor([7, 8]), torch.tensor([0, 0, 1, 1]), 2)
    union = SceneBatch(*fields, torch.eye(4), soft).to("cpu")
    assert torch.equal(union.edge_soft, soft.flip(0))
    assert torch.equal(union.x_soft, torch.eye(4))
    hard = SceneBatch(*fields).to(torch.device("cpu"))
    assert hard.x_soft is None is hard.edge_soft


def test_orphans_stay_unless_it_is_said():
    union = SceneBatch.from_data([scene([1, 2], [(0, 0, 1)])])
    assert union.knock_out(torch.tensor([0])).rest.x.tolist() == [2]
    assert union.leave_one_out().rest.x.tolist() == [2, 1]
    assert union.leave_one_out(True).rest.num_nodes == 0


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5])
def test_parts_of_knock_outs_are_those_of_their_graphs(size):
    """Graphs in which the first, the last or no object is taken."""
    union = SceneBatch.from_data(SCENES)
    taken = union.knock_out(torch.tensor([0, -1, 3, 7]))
    parts = taken.split(size)
    assert len(parts) == -(-4 // size)
    assert [len(part.category) for part in parts] == [size] * (4 // size) + [4 % size] * (
        4 % size > 0
    )
    for number, part in enumerate(parts):
        graphs = torch.arange(4)[number * size : (number + 1) * size]
        whole = union.select(graphs)
        first = whole.node_ptr[:-1] - union.node_ptr[graphs]
        node = torch.where(taken.node[graphs] < 0, -1, taken.node[graphs] + first)
        assert torch.equal(part.node, node)
        expected = whole.knock_out(node)
        assert torch.equal(part.category, expected.category)
        assert torch.equal(part.links, expected.links)
        assert part.rest.num_graphs == part.whole.num_graphs == len(graphs)
        for one, other in ((part.rest, expected.rest), (part.whole, whole)):
            assert all(map(same, one.to_data_list(), other.to_data_list()))


def test_parts_hold_256_graphs():
    union = SceneBatch.from_data([scene([1], [])] * 300)
    parts = union.knock_out(torch.full((300,), -1)).split()
    assert [part.rest.num_graphs for part in parts] == [256, 44]


def test_graphs_are_counted_by_the_last_node_where_nothing_else_says():
    data = Data(x=torch.tensor([1, 2, 3]), batch=torch.tensor([0, 0, 2]), **EMPTY)
    assert SceneBatch.from_data(data).num_graphs == 3
