"""Skeletons: known bones, partitions against loops over joints, graphs and back."""

from collections import deque

import pytest
import torch
from torch_geometric.data import Batch

from graphkit.data.skeleton_layouts import LAYOUTS
from graphkit.nn import SkeletonGraph

FORK = [(1, 0), (2, 1), (3, 1), (4, 3)]


def distances(graph):
    """Breadth first from every joint."""
    near = {joint: set() for joint in range(graph.num_joints)}
    for child, parent in graph.bones:
        near[child].add(parent)
        near[parent].add(child)
    table = torch.full((graph.num_joints, graph.num_joints), float("inf"))
    for start in near:
        table[start, start], queue = 0, deque([start])
        while queue:
            joint = queue.popleft()
            for other in near[joint]:
                if table[start, other] == float("inf"):
                    table[start, other] = table[start, joint] + 1
                    queue.append(other)
    return table


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_are_trees_with_two_equal_sides(layout):
    graph = SkeletonGraph(layout)
    joints = int(layout.split("-")[-1])
    assert graph.num_joints == len(set(graph.joints)) == joints
    assert graph.edge_index.shape == (2, 2 * (joints - 1))
    assert distances(graph).isfinite().all()
    assert graph.parents[graph.center] == graph.center
    assert (graph.parents != torch.arange(joints)).sum() == joints - 1
    assert torch.equal(graph.mirror[graph.mirror], torch.arange(joints))
    swapped = [
        name.replace("left", "R").replace("right", "left").replace("R", "right")
        for name in graph.joints
    ]
    assert [graph.joints[m] for m in graph.mirror] == swapped
    assert torch.equal(graph.parents[graph.mirror], graph.mirror[graph.parents])


def test_bones_of_ntu_are_the_published_ones():
    published = (
        "1-2 2-21 3-21 4-3 5-21 6-5 7-6 8-7 9-21 10-9 11-10 12-11 13-1 14-13 15-14 16-15 17-1 "
        "18-17 19-18 20-19 22-23 23-8 24-25 25-12"
    )
    pairs = {tuple(int(joint) - 1 for joint in pair.split("-")) for pair in published.split()}
    assert set(SkeletonGraph("ntu-25").bones) == pairs


def test_both_kinect_orders_are_one_body():
    one, other = (SkeletonGraph(name) for name in ("kinect-20", "utd-mhad-20"))

    def named(graph):
        return {(graph.joints[child], graph.joints[parent]) for child, parent in graph.bones}

    assert named(one) == named(other)
    assert one.joints[one.center] == other.joints[other.center] == "shoulder_center"


def test_spatial_partition():
    identity, parents, children = SkeletonGraph(FORK).adjacency
    assert torch.equal(identity, torch.eye(5))
    x = torch.randn(5)
    assert torch.allclose(x @ parents, torch.stack([x.new_zeros(()), x[0], x[1], x[1], x[3]]))
    heard = [x[1], (x[2] + x[3]) / 2, x.new_zeros(()), x[4], x.new_zeros(())]
    assert torch.allclose(x @ children, torch.stack(heard))


@pytest.mark.parametrize("max_hop", [1, 2])
@pytest.mark.parametrize("strategy", ["uniform", "distance", "stgcn_spatial"])
def test_partitions_of_one_average(strategy, max_hop):
    graph = SkeletonGraph("coco-17", strategy, max_hop)
    hops = distances(graph)
    total = graph.adjacency.sum(dim=0)
    assert torch.equal(total > 0, hops <= max_hop)
    assert torch.allclose(total.sum(dim=0), torch.ones(17))
    counts = {"uniform": 1, "distance": max_hop + 1, "stgcn_spatial": 3}
    assert len(graph.adjacency) == counts[strategy]
    depth = hops[graph.center]
    for k, source, target in graph.adjacency.nonzero().tolist():
        if strategy == "distance":
            assert hops[source, target] == k
        elif strategy == "stgcn_spatial":
            assert torch.sign(depth[source] - depth[target]) == (0, 1, -1)[k]


def test_own_pairs_with_names_and_center():
    graph = SkeletonGraph([(0, 1), (2, 1)], center=2, joints=("left_eye", "nose", "right_eye"))
    assert graph.mirror.tolist() == [2, 1, 0]
    assert graph.parents.tolist() == [1, 1, 2]
    assert repr(graph) == "SkeletonGraph('own', strategy='spatial', num_joints=3)"
    assert SkeletonGraph(FORK).mirror.tolist() == list(range(5))


def test_clips_become_graphs_and_come_back():
    graph, clips = SkeletonGraph(FORK), torch.randn(3, 2, 7, 5, 2)
    clips[1, ..., 1] = 0
    datas = [graph.to_data(clips[0]), graph.to_data(clips[1, ..., 0]), graph.to_data(clips[2])]
    assert all(data.validate() for data in datas)
    batch = Batch.from_data_list(datas)
    assert batch.x.shape == (25, 2, 7)
    assert torch.equal(batch.x[6], clips[0, :, :, 1, 1])
    assert datas[0].edge_index.max() == 9
    assert not ((datas[0].edge_index // 5).diff(dim=0) != 0).any()
    assert torch.equal(graph.to_dense(batch.x, batch.batch, 3, 2), clips)
    assert torch.equal(graph.to_dense(datas[1].x, None, 1, 2), clips[1:2])


def test_clips_of_another_skeleton_are_refused():
    graph = SkeletonGraph(FORK)
    with pytest.raises(ValueError, match=r"'x' must be \[C, T, 5\]"):
        graph.to_data(torch.rand(3, 4, 6))
    with pytest.raises(ValueError, match=r"'x' of a graph must be \[nodes, C, T\]"):
        graph.to_dense(torch.rand(5, 3), None, 1, 1)
    for nodes in (6, 15):
        with pytest.raises(ValueError, match=rf"'batch' holds graphs of \[{nodes}\] nodes"):
            graph.to_dense(torch.rand(nodes, 3, 4), None, 1, 2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"layout": "ntu"}, "'layout' must be one of"),
        ({"layout": []}, "'layout' holds no pair"),
        ({"layout": [(1, 1), (1, 0)]}, r"'layout' has loops: \[\(1, 1\)\]"),
        ({"layout": [(1, 0), (1, 0)]}, "'layout' has repeated pairs"),
        ({"layout": [(3, 0), (1, 0)]}, r"'layout' has gaps at joints: \[2\]"),
        ({"layout": [(-1, 0), (1, 0)]}, r"'layout' has gaps at joints: \[-1\]"),
        ({"layout": [(-1, 0), (1, 0), (3, 1)]}, r"gaps at joints: \[-1, 2\]"),
        ({"layout": [(1, 0), (3, 2)]}, r"give 'center': joints without a parent are \[0, 2\]"),
        ({"layout": FORK, "center": 5}, "'center' must be a joint of 5, got 5"),
        ({"layout": FORK, "joints": ("a",)}, "'joints' has 1 names for 5 joints"),
        ({"layout": "coco-17", "strategy": "random"}, "'strategy' must be one of"),
        ({"layout": "coco-17", "strategy": "distance", "max_hop": 0}, "'max_hop'"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        SkeletonGraph(**arguments)


PYSKL = {
    "coco-17": (
        "15-13 13-11 16-14 14-12 11-5 12-6 9-7 7-5 10-8 8-6 5-0 6-0 1-0 3-1 2-0 4-2",
        "0-0 1-0 2-0 3-1 4-2 5-0 6-0 7-5 8-6 9-7 10-8 11-0 12-0 13-11 14-12 15-13 16-14",
        0,
    ),
    "openpose-18": (
        "4-3 3-2 7-6 6-5 13-12 12-11 10-9 9-8 11-5 8-2 5-1 2-1 0-1 15-0 14-0 17-15 16-14",
        "0-0 1-0 2-1 3-2 4-3 5-1 6-5 7-6 8-2 9-8 10-9 11-5 12-11 13-12 14-0 15-0 16-14 17-15",
        1,
    ),
}


def published(text):
    return {tuple(map(int, pair.split("-"))) for pair in text.split()}


@pytest.mark.parametrize("layout", PYSKL)
def test_graphs_and_streams_of_bones_are_the_published_ones(layout):
    """The two differ: hips of COCO are measured from the nose, OpenPose's neck is, too."""
    bones, streams, center = PYSKL[layout]
    graph = SkeletonGraph(layout)
    assert set(graph.bones) == published(bones)
    assert set(enumerate(graph.towards.tolist())) == published(streams)
    assert graph.center == center


def test_other_streams_go_towards_the_parents():
    for layout in set(LAYOUTS) - set(PYSKL):
        graph = SkeletonGraph(layout)
        assert torch.equal(graph.towards, graph.parents)


def test_mediapipe_is_a_tree_in_its_connections():
    """All published connections but those that close a circle; mouth and shoulders on the nose."""
    connections = (
        "0-1 1-2 2-3 3-7 0-4 4-5 5-6 6-8 9-10 11-12 11-13 13-15 15-17 15-19 15-21 17-19 12-14 "
        "14-16 16-18 16-20 16-22 18-20 11-23 12-24 23-24 23-25 24-26 25-27 26-28 27-29 28-30 "
        "29-31 30-32 27-31 28-32"
    )
    graph = SkeletonGraph("mediapipe-33")
    bones = {(parent, child) for child, parent in graph.bones}
    assert bones - published(connections) == {(0, 9), (0, 10), (0, 11), (0, 12)}
    names = {0: "nose", 7: "left_ear", 15: "left_wrist", 24: "right_hip", 31: "left_foot_index"}
    assert {number: graph.joints[number] for number in names} == names


def test_a_layout_from_names():
    joints = ("hand", "left_tip", "right_tip")
    graph = SkeletonGraph([("left_tip", "hand"), ("right_tip", "hand")], joints=joints)
    assert graph.bones == [(1, 0), (2, 0)]
    assert graph.mirror.tolist() == [0, 2, 1]
    mixed = SkeletonGraph([("left_tip", 0), (2, "hand")], joints=joints)
    assert mixed.bones == graph.bones
    for pairs, names, word in (
        ([("tip", "hand")], joints, "names a joint 'tip'"),
        ([("left_tip", "hand")], None, "give 'joints'"),
        ([(1, 0)], ("a", "a"), "'joints' must hold different names"),
    ):
        with pytest.raises(ValueError, match=word):
            SkeletonGraph(pairs, joints=names)
