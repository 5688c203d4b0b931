"""The protocols on moments in time: made-up videos, re-scoring, association."""

import pytest
import torch
from torch_geometric.data import Data

from benchmarks.harness.fitting import Fitter
from benchmarks.problems import action_frames
from benchmarks.protocols import temporal_actions, track_association
from graphkit.adapters import TrackGraphAdapter
from graphkit.datasets import ActionVideo

TRAIN = {"epochs": 1, "lr": 0.001, "monitor": None}


def test_windows_hold_an_action_and_cut_it():
    video = ActionVideo(
        "v", torch.tensor([[10.0, 14.0], [50.0, 90.0]]), torch.tensor([3, 12]), 99.0
    )
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        segments, action = action_frames.window([video], 32.0, generator)
        assert ((segments >= 0) & (segments <= 1)).all()
        assert set(action.tolist()) <= {3, 12}
        short = segments[action == 3]
        assert ((short[:, 1] - short[:, 0]) * 32 >= 2 - 1e-3).all()


def test_frames_show_the_digits_of_the_action():
    pixels = torch.stack([torch.full((64,), float(d)) for d in range(10)])
    generator = torch.Generator().manual_seed(0)
    segments = torch.tensor([[8.0, 24.0]])
    x = action_frames.draw(segments, torch.tensor([13]), 32, 2, pixels, torch.arange(10), generator)
    assert x.shape == (128, 32)
    assert torch.allclose(x[:64, 12:20], torch.tensor(3.0))
    assert torch.allclose(x[64:, 12:20], torch.tensor(1.0))
    assert not torch.allclose(x[:64, :6], torch.tensor(3.0))


def test_made_up_actions_keep_apart_and_have_log_uniform_lengths():
    generator = torch.Generator().manual_seed(0)
    lengths = []
    for _ in range(200):
        segments, action = action_frames.runs(128, generator)
        segments = 128 * segments[segments[:, 0].argsort()]
        assert 1 <= len(action) == len(segments) <= 3
        assert (segments[1:, 0] > segments[:-1, 1]).all()
        assert segments.min() >= 0
        assert segments.max() <= 128
        lengths.append(segments[:, 1] - segments[:, 0])
    lengths = torch.cat(lengths)
    assert lengths.min() >= 6
    assert lengths.max() <= 56
    assert 15 < lengths.median() < 22


def test_unknown_timelines_are_refused():
    with pytest.raises(ValueError, match="'digits' or 'THUMOS14', got 'films'"):
        action_frames.clips("films", "val", 1, 128, 4.0, 0.1, torch.Generator())


def test_the_actions_protocol_runs_on_made_up_timelines():
    found = temporal_actions.run(
        {"name": "digits", "train": 16, "score": 8, "test": 8},
        {"channels": 16, "num_levels": 2},
        seed=0,
        fit=Fitter(TRAIN, 0),
        graph_epochs=1,
    )
    assert -1 <= found["spearman"] == found["spearman_level_0"] <= 1
    for arm in ("gaussian", "fixed", "own", "graph", "alone"):
        assert 0 <= found[f"map_70_{arm}"] <= found[f"map_30_{arm}"] <= 1
    for arm in ("own", "graph", "alone"):
        assert -1 <= found[f"quality_{arm}"] <= 1
    gain = found["map_70_graph"] - found["map_70_alone"]
    assert found["gain_70_graph"] == pytest.approx(gain)


def test_training_and_test_images_are_disjoint():
    ours, theirs = (action_frames.digit_images(split)[0] for split in ("val", "test"))
    assert len(ours) + len(theirs) == 1797
    assert (torch.cdist(ours, theirs) > 0).all()


def moving(count=6):
    """Two people in lanes far apart, without mistakes."""
    frame = torch.arange(count).repeat(2)
    person = torch.arange(2).repeat_interleave(count)
    points = torch.stack([10.0 * person, frame.float()], 1)
    return frame, person, points


def test_edges_are_labelled_by_the_nearest_person():
    frame, person, points = moving()
    adapter = TrackGraphAdapter(frames=2)
    graph = track_association.labelled(adapter(frame, frame, points + 0.1), (frame, person, points))
    source, target = graph.edge_index
    assert torch.equal(graph.y.bool(), person[source] == person[target])
    nobody = torch.zeros(0, dtype=torch.long)
    alone = track_association.labelled(
        adapter(frame, frame, points), (nobody, nobody, torch.zeros(0, 2))
    )
    assert not alone.y.any()


def test_links_make_chains_over_gaps():
    frame = torch.tensor([0, 1, 3, 3])
    attr = torch.tensor([[1.0], [2.0], [2.0], [3.0]])
    edges = torch.tensor([[0, 1, 1, 0], [1, 2, 3, 3]])
    graph = Data(time=frame, edge_index=edges, edge_attr=attr, num_nodes=4)
    answer = torch.tensor([0.9, 0.8, 0.7, 0.6])
    assert track_association.link(graph, answer).tolist() == [0, 0, 0, 1]
    assert track_association.link(graph, 0 * answer).unique().numel() == 4


def test_cut_messages_leave_an_edge_with_its_ends():
    torch.manual_seed(0)
    frame, person, points = moving()
    graph = TrackGraphAdapter(frames=2, reach=20.0)(frame, person, points)
    for passes in (True, False):
        model = track_association.Associator(4, 8, 2, passes).eval()
        before = model(graph.x, graph.edge_index, graph.edge_attr)
        changed = graph.edge_attr.clone()
        changed[1] += 3.0
        after = model(graph.x, graph.edge_index, changed)
        rest = torch.arange(len(before)) != 1
        assert torch.allclose(before[rest], after[rest]) != passes


@pytest.mark.data
@pytest.mark.usefixtures("data_root")
def test_both_protocols_run():
    found = temporal_actions.run(
        {"train": 16, "score": 8, "test": 8},
        {"channels": 16, "num_levels": 3},
        seed=0,
        fit=Fitter(TRAIN, 0),
        graph_epochs=1,
    )
    assert -1 <= found["spearman"] <= 1
    for arm in ("gaussian", "fixed", "own", "graph", "alone"):
        assert 0 <= found[f"map_70_{arm}"] <= found[f"map_30_{arm}"] <= 1
    dataset = {"learn": "TUD-Campus", "judge": "TUD-Campus", "frames": 6}
    found = track_association.run(dataset, seed=0, fit=Fitter(TRAIN, 0))
    assert 0 <= found["ap_graph"] <= 1
    assert found["gain_ap"] == pytest.approx(found["ap_graph"] - found["ap_alone"])
