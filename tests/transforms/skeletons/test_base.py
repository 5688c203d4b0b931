"""Transforms and sets of clips know which joints the data has."""

from __future__ import annotations

import re

import pytest
import torch
from torch import Tensor
from torch_geometric.data import Data

from graphkit.data.skeleton_graph import SkeletonGraph
from graphkit.datasets import SkeletonDataset, SyntheticSkeletons
from graphkit.transforms import (
    PadByRepetition,
    RandomSkeletonRotation,
    SkeletonNormalize,
    SkeletonStream,
    UniformSampleFrames,
)

BONES = [(1, 0), (2, 1), (3, 1), (4, 3)]
JOINTS = ["hip", "chest", "left_hand", "right_hand", "right_thumb"]


def clip(layout: str, persons: int, frames: int = 6) -> Data:
    graph = SkeletonGraph(layout)
    return graph.to_data(torch.rand(3, frames, graph.num_joints, persons))


@pytest.mark.parametrize("transform", [SkeletonStream("b"), SkeletonNormalize()])
def test_five_persons_of_twenty_joints_are_no_four_of_twenty_five(transform: object) -> None:
    with pytest.raises(ValueError, match="has not the bones of the layout 'ntu-25' with 25 joints"):
        transform(clip("kinect-20", 5))  # type: ignore[operator]


def test_joints_in_another_order_are_refused() -> None:
    with pytest.raises(ValueError, match="has not the bones of the layout 'kinect-20'"):
        SkeletonStream("b", "kinect-20")(clip("utd-mhad-20", 1))


@pytest.mark.parametrize("persons", [1, 2, 5])
def test_the_right_layout_passes_with_further_edges(persons: int) -> None:
    data = clip("kinect-20", persons)
    loops = torch.arange(data.num_nodes).repeat(2, 1)
    data.edge_index = torch.cat([loops, data.edge_index], dim=1)
    graph = SkeletonGraph("kinect-20")
    clips = data.x.unflatten(0, (-1, 20))
    bones = clips - clips[:, graph.parents]
    assert torch.equal(SkeletonStream("b", graph)(data).x, bones.flatten(0, 1))


@pytest.mark.parametrize("layout", ["kinect-20", "coco-17"])
def test_transforms_of_all_joints_alike_need_no_number_of_joints(layout: str) -> None:
    data = clip(layout, 2)
    frames = torch.arange(9) % 6
    assert torch.equal(PadByRepetition(9)(data.clone()).x, data.x[..., frames])
    assert UniformSampleFrames(4)(data.clone()).x.shape == (data.num_nodes, 3, 4)
    generators = [torch.Generator().manual_seed(3) for _ in range(2)]
    turned = RandomSkeletonRotation(generator=generators[0])(data.clone()).x
    graph = SkeletonGraph(layout)
    told = RandomSkeletonRotation(num_joints=graph.num_joints, generator=generators[1])
    assert torch.allclose(turned, told(data.clone()).x, atol=1e-6)
    with pytest.raises(ValueError, match=r"persons \* 9"):
        PadByRepetition(9, num_joints=9)(data.clone())


class Mine(SkeletonDataset):
    """Clips of a skeleton of one's own."""

    def __init__(self, frames: Tensor, transform: object = None, **kwargs: object) -> None:
        super().__init__(transform=transform, **kwargs)
        store = {"frames": frames, "offsets": torch.tensor([0, 2, 5]), "y": torch.tensor([0, 1])}
        self.keep({**store, "name": ["a", "b"]})


def test_a_set_takes_a_skeleton_with_names_and_centre() -> None:
    graph = SkeletonGraph(BONES, joints=JOINTS, center=1)
    frames = torch.rand(5, 2, 5, 3)
    dataset = Mine(frames, graph=graph, transform=SkeletonStream("b", graph))
    assert dataset.graph is graph
    assert dataset.graph.joints[dataset.graph.center] == "chest"
    people = dataset[1].x.unflatten(0, (2, 5))
    assert torch.equal(people[:, 1], torch.zeros(2, 3, 3))
    assert torch.allclose(people[:, 4], (frames[2:, :, 4] - frames[2:, :, 3]).permute(1, 2, 0))
    assert Mine(torch.rand(5, 1, 20, 3), graph="kinect-20")[0].num_nodes == 20
    star = SkeletonGraph([(joint, 0) for joint in range(1, 5)])
    with pytest.raises(ValueError, match="has not the bones of the layout 'own' with 5 joints"):
        Mine(frames, graph=graph, transform=SkeletonStream("b", star))[0]


def test_made_up_clips_take_a_skeleton() -> None:
    graph = SkeletonGraph("ntu-25", strategy="distance")
    assert SyntheticSkeletons(2, layout=graph).graph is graph


def test_clips_that_are_none_are_named() -> None:
    transform = PadByRepetition(3, num_joints=2)
    assert transform([1]) == [1]
    wrong = (None, torch.zeros(2, 3), torch.zeros(0, 3, 4), torch.zeros(3, 3, 4))
    for x in wrong:
        shape = None if x is None else list(x.shape)
        words = re.escape(f"'data.x' must be [persons * 2, channels, frames], got {shape}")
        with pytest.raises(ValueError, match=words):
            transform(Data(x=x))
    with pytest.raises(ValueError, match=r"\[persons \* joints, channels"):
        PadByRepetition(3)(Data(x=torch.zeros(2, 3)))
    out = transform(Data(x=torch.arange(24.0).view(4, 3, 2))).x
    assert out.is_contiguous()
    assert out[3, 2].tolist() == [22, 23, 22]


def test_one_score_among_several_clips_is_a_score() -> None:
    data = Data(x=torch.rand(25, 3, 4), scored=torch.tensor([False, True]))
    with pytest.raises(ValueError, match=r"use SkeletonStream\(…, score=True\)"):
        SkeletonStream("b")(data)
    data.scored = torch.tensor([False, False])
    assert SkeletonStream("b")(data).x.shape == (25, 3, 4)
