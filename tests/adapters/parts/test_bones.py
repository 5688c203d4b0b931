import pytest
import torch

from graphkit.adapters import FaceGraphAdapter
from graphkit.nn import STIGCN, SkeletonGraph
from graphkit.testing import AdapterSuite
from graphkit.vision import FaceBones


def frames(count):
    face = FaceBones.standard()
    return face.draw(count, torch.Generator().manual_seed(2)) + 0.01


class TestFaceGraphAdapter(AdapterSuite):
    not_claimed = {
        "single_node": "a face has seventeen bones",
        "no_edge": "bones hang on each other",
    }

    def make(self):
        return FaceGraphAdapter(FaceBones.standard())

    def example(self):
        return frames(3), torch.rand(3, 8)

    def degenerate(self):
        return {
            "no frame": (frames(0),),
            "one frame": (frames(1),),
            "nothing known": (frames(2),),
        }

    def recovered(self, graph, parameters, intensities):
        face = FaceBones.standard()
        told = face.split(parameters)
        drives = graph["drives"]
        # What drives the bones, summed at the bones, is their shift and turn and growth.
        offsets = torch.zeros(51, 7)
        for kind, source in (("drives", "action"), ("shapes", "identity")):
            row, bone = graph[kind].edge_index
            offsets.index_add_(0, bone, graph[kind].edge_attr * graph[source].x[row])
        places = graph["bone"].x[:, :3] + graph["bone"].x[:, 3:6]
        return {
            "actions": (graph["action"].x[:, 0], told.action.flatten()),
            "known": (graph["action"].y, intensities.flatten()),
            "places": (places, face.bones(parameters).flatten(0, 1)),
            "offsets": (offsets, face.offsets(parameters).flatten(0, 1)),
            "lengths": (drives.edge_weight, drives.edge_attr.norm(dim=1)),
        }


def test_the_tree_and_the_mirror_are_those_of_the_layout():
    graph, skeleton = FaceGraphAdapter(FaceBones.standard())(frames(2)), SkeletonGraph("face-17")
    child, parent = graph["parent"].edge_index
    assert len(child) == 2 * 16
    assert torch.equal(skeleton.parents[child % 17], parent % 17)
    assert torch.equal(child // 17, parent // 17)
    one, other = graph["mirror"].edge_index
    assert torch.equal(skeleton.mirror[one % 17], other % 17)
    now, then = graph["next"].edge_index
    assert torch.equal(now + 17, then)
    assert len(now) == 17


def test_mirror_edges_map_a_symmetric_face_onto_itself():
    p = frames(1)
    p[:, -6:] = 0
    graph = FaceGraphAdapter(FaceBones.standard())(p)
    one, other = graph["mirror"].edge_index
    flip = torch.tensor([-1, 1, 1, -1, 1, 1, 1, -1, -1, 1.0])
    assert torch.allclose(graph["bone"].x[one], flip * graph["bone"].x[other], atol=1e-5)


def test_stigcn_reads_a_clip_of_faces():
    adapter, p = FaceGraphAdapter(FaceBones.standard()), frames(8)
    clip = adapter.clip(p)
    assert clip.x.shape == (17, 3, 8)
    model = STIGCN(3, 4, SkeletonGraph("face-17"), 4, (1, 1), num_person=1).eval()
    scores = model(clip)
    dense = adapter.face.bones(p).permute(2, 0, 1)[None, ..., None]
    assert torch.allclose(scores, model(dense), atol=1e-5)


def test_wrong_arguments_are_named():
    adapter = FaceGraphAdapter(FaceBones.standard())
    with pytest.raises(ValueError, match="parameters"):
        adapter(torch.zeros(19))
    with pytest.raises(ValueError, match="intensities"):
        adapter(frames(2), torch.zeros(2, 3))
    with pytest.raises(ValueError, match="least"):
        FaceGraphAdapter(FaceBones.standard(), -1.0)
    with pytest.raises(TypeError, match="'face' is the class FaceBones"):
        FaceGraphAdapter(FaceBones)
