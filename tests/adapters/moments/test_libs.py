import pytest
import torch
from torch import nn
from torch_geometric.nn import HGTConv

from graphkit.adapters import AlignmentGraphAdapter
from graphkit.metrics import character_error_rate
from graphkit.testing import AdapterSuite
from graphkit.vision import LIBS, AttentionSeq2Seq, Padded, SequenceEncoder, pad_symbols


def make(direction="audio", **options):
    student, teacher = (AttentionSeq2Seq(SequenceEncoder(n, n + 1), 5, 7) for n in (3, 4))
    model = LIBS(student, teacher, direction=direction, max_length=6)
    return AlignmentGraphAdapter(model, **options)


class TestAlignmentGraphAdapter(AdapterSuite):
    def make(self):
        return make()

    def example(self):
        return torch.rand(6, 3), torch.rand(9, 4), torch.tensor([2, 0, 4])

    def degenerate(self):
        video, sound, target = torch.rand(6, 3), torch.rand(9, 4), torch.tensor([2, 0, 4])
        return {
            "silence": (video, sound[:0], target),
            "darkness": (video[:0], sound[:1], target),
            "no symbol": (video, sound, target[:0]),
            "nothing": (video[:0], sound[:0], target[:0]),
            "one of each": (video[:1], sound[:1], target[:1]),
        }

    not_claimed = {"no_edge": "the teacher reads symbols off a frame, and they are linked to it"}

    def recovered(self, graph, video, sound, target):
        """Symbols, states and attention, as the networks say."""
        model = self.build()[0].model
        eye, ear = (Padded(x[None], torch.tensor([len(x)])) for x in (video, sound))
        out = model.student(eye, target[None])
        read = model.teacher.read(ear, max_length=6).best()[0]
        weights = torch.zeros(6, 3)
        store = graph["video", "attended_by", "token"]
        weights[tuple(store.edge_index)] = store.edge_weight
        return {
            "symbols": (graph["token"].y, target),
            "the teacher's": (graph["teacher_token"].y, torch.tensor(read)),
            "video": (graph["video"].x, out.sources[0].states[0]),
            "attention": (weights, out.attention[0][0, :3].t()),
        }


class TestDirectionOfVideo(TestAlignmentGraphAdapter):
    def make(self):
        return make("video")


def test_alignment_goes_from_sound_to_video():
    for direction in ("audio", "video"):
        adapter = make(direction, threshold=0.0)
        video, sound, target = torch.rand(6, 3), torch.rand(9, 4), torch.tensor([2])
        store = adapter(video, sound, target)["audio", "aligns", "video"]
        weights = torch.zeros(9, 6)
        weights[tuple(store.edge_index)] = store.edge_weight
        over = 1 if direction == "audio" else 0
        torch.testing.assert_close(weights.sum(over), torch.ones(weights.shape[1 - over]))
        source, to = store.edge_index
        apart = (to + 0.5) / 6 - (source + 0.5) / 9
        torch.testing.assert_close(store.edge_attr[:, 0], apart)


def test_small_weights_are_no_edges():
    args = torch.rand(6, 3), torch.rand(9, 4), torch.tensor([2, 1])
    adapter = make(threshold=0.0)
    every = adapter(*args)["video", "attended_by", "token"]
    adapter.threshold = float(every.edge_weight.median())
    store = adapter(*args)["video", "attended_by", "token"]
    assert store.edge_weight.min() > adapter.threshold
    assert len(store.edge_weight) == int((every.edge_weight > adapter.threshold).sum())


def test_agreement_and_errors_are_those_of_the_readings():
    adapter = make()
    video, sound = torch.rand(6, 3), torch.rand(9, 4)
    ear = Padded(sound[None], torch.tensor([9]))
    read = adapter.model.teacher.read(ear, max_length=6).best()[0]
    target = torch.tensor([(read[0] + 1) % 5, *read])
    graph = adapter(video, sound, target)
    edges = graph["teacher_token", "matches", "token"].edge_index
    assert edges.tolist() == [list(range(len(read))), list(range(1, len(read) + 1))]
    assert torch.equal(graph["teacher_token"].y[edges[0]], graph["token"].y[edges[1]])
    eye = Padded(video[None], torch.tensor([6]))
    own = adapter.model.student.read(eye, max_length=6).best()
    assert float(graph.cer) == pytest.approx(character_error_rate(own, [target.tolist()]))
    out = adapter.model.student(eye, target[None])
    assert torch.equal(graph["token"].read, out.logits[0, :-1].argmax(1) == target)


def test_a_transformer_for_mixed_graphs_learns_on_it():
    graph = make()(torch.rand(6, 3), torch.rand(9, 4), torch.tensor([2, 0, 4]))
    for kind in graph.node_types:
        graph[kind].x = nn.functional.pad(graph[kind].x, (0, 16 - graph[kind].x.size(1)))
    layer = HGTConv(16, 10, graph.metadata(), heads=2)
    out = layer(graph.x_dict, graph.edge_index_dict)
    nn.functional.cross_entropy(out["token"], graph["token"].y).backward()
    assert any(p.grad is not None and p.grad.any() for p in layer.parameters())


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="'threshold'"):
        make(threshold=1.0)
    for target in (pad_symbols([[1]]), torch.tensor([-1])):
        with pytest.raises(ValueError, match="'target' must hold the symbols of one"):
            make()(torch.rand(6, 3), torch.rand(9, 4), target)
