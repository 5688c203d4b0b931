import pytest
import torch

from graphkit.datasets import SyntheticSkeletons
from graphkit.nn import SkeletonGraph
from graphkit.transforms import STREAMS, SkeletonStream


def clips(layout="ntu-25", channels=3, persons=2):
    joints = SkeletonGraph(layout).num_joints
    return torch.randn(4, channels, 6, joints, persons)


@pytest.mark.parametrize("layout", ["ntu-25", "kinect-20", "utd-mhad-20", "coco-17"])
def test_streams_joint_by_joint(layout):
    x, graph = clips(layout), SkeletonGraph(layout)
    found = {name: SkeletonStream(name, layout).dense(x) for name in STREAMS}
    parents = graph.towards.tolist()
    assert torch.equal(found["j"], x)
    for joint, parent in enumerate(parents):
        wanted = x[..., joint, :] - x[..., parent, :]
        assert torch.equal(found["b"][..., joint, :], wanted)
    assert found["b"][..., graph.center, :].abs().max() == 0
    for still, moving in (("j", "jm"), ("b", "bm")):
        assert torch.equal(found[moving][:, :, :-1], found[still].diff(dim=2))
        assert found[moving][:, :, -1].abs().max() == 0


def test_a_still_clip_has_no_motion_and_one_frame_is_enough():
    still = clips()[:, :, :1].expand(-1, -1, 5, -1, -1)
    assert SkeletonStream("bm").dense(still).abs().max() == 0
    assert SkeletonStream("jm").dense(still[:, :, :1]).shape == (4, 3, 1, 25, 2)


def test_scores_are_averaged():
    x = clips("coco-17").abs()
    graph = SkeletonGraph("coco-17")
    b, jm = (SkeletonStream(s, graph, score=True).dense(x) for s in ("b", "jm"))
    assert torch.allclose(b[:, 2], (x[:, 2] + x[:, 2][:, :, graph.towards]) / 2)
    assert torch.allclose(b[:, :2], x[:, :2] - x[:, :2][..., graph.towards, :])
    assert torch.allclose(jm[:, 2, :-1], (x[:, 2, 1:] + x[:, 2, :-1]) / 2)
    assert jm[:, :, -1].abs().max() == 0


def test_a_graph_is_a_batch_of_one():
    plain = SyntheticSkeletons(8, num_person=2)
    moved = SyntheticSkeletons(8, num_person=2, transform=SkeletonStream("bm"))
    clip = plain[1].x.view(2, 25, 3, -1).permute(2, 3, 1, 0).unsqueeze(0)
    wanted = SkeletonStream("bm").dense(clip)[0].permute(3, 2, 0, 1).flatten(0, 1)
    assert torch.equal(moved[1].x, wanted)
    assert torch.equal(moved[1].edge_index, plain[1].edge_index)


def test_what_does_not_fit_is_named():
    with pytest.raises(ValueError, match=r"'stream'.*'mj'"):
        SkeletonStream("mj")
    with pytest.raises(ValueError, match="25, persons"):
        SkeletonStream("b").dense(clips("coco-17"))
    data = SyntheticSkeletons(8)[0]
    data.x = data.x[:24]
    with pytest.raises(ValueError, match=r"persons \* 25.*\[24, 3"):
        SkeletonStream("b")(data)
