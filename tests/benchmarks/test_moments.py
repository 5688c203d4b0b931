"""The protocols on moments in time: made-up videos, re-scoring, association."""

import pytest
import torch
from torch_geometric.data import Data

from benchmarks.harness.fitting import Fitter
from benchmarks.problems import action_frames
from benchmarks.protocols import moment_localization, temporal_actions, track_association
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


def test_background_in_context_shows_the_nearest_action_and_actions_stay():
    generator = torch.Generator().manual_seed(0)
    blank = torch.zeros(1, 64, 128)
    truth = [(torch.tensor([[0.25, 0.375], [0.75, 0.875]]), torch.tensor([1, 0]))]
    parts = [
        action_frames.in_context(
            "val", action_frames.Clips(blank, truth, 2), [3, 8], share, 0.0, generator
        ).x[0]
        for share in (0.5, 0.25)
    ]
    assert (blank == 0).all()
    pixels, labels = action_frames.digit_images("val")
    for part, share in zip(parts, (0.5, 0.25), strict=True):
        # Inside, three frames from the edges, nothing is added.
        assert (part[:, 35:45] == 0).all()
        assert (part[:, 99:109] == 0).all()
        for frame, digit in ((0, 8), (60, 8), (76, 3), (127, 3)):
            shown = part[:, frame] / share
            assert torch.cdist(shown[None], pixels[labels == digit]).min() < 1e-5
    with pytest.raises(ValueError, match="'context' must be in"):
        action_frames.in_context(
            "val", action_frames.Clips(blank, truth, 2), [3, 8], 1.0, 0.0, generator
        )


def test_videos_without_context_are_those_of_before():
    videos, shown, judged, seen = moment_localization.load(train=3, test=2, seed=5)
    generator = torch.Generator().manual_seed(5)
    for got, split, count, actions in (
        (videos, "val", 3, range(5)),
        (shown, "val", 3, range(5, 10)),
        (judged, "test", 2, range(5, 10)),
        (seen, "val", 3, range(5, 10)),
    ):
        if got is shown:
            x, _ = action_frames.moments("digits", split, count, 64, 0.15, generator, actions)
            assert torch.equal(got[0], x)
        else:
            again = action_frames.clips("digits", split, count, 128, 4.0, 0.15, generator, actions)
            assert torch.equal(got.x, again.x)
    mixed, *_ = moment_localization.load(train=3, test=2, seed=5, context=0.5)
    assert not torch.equal(mixed.x, videos.x)
    assert all(torch.equal(a[0], b[0]) for a, b in zip(mixed.truth, videos.truth, strict=True))


def test_made_up_actions_keep_apart_and_have_log_uniform_lengths():
    generator = torch.Generator().manual_seed(0)
    lengths = []
    for _ in range(200):
        segments, action = action_frames.runs(128, torch.arange(10), generator)
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


def test_moments_are_trimmed_and_of_the_actions_asked_for():
    generator = torch.Generator().manual_seed(0)
    x, kind = action_frames.moments("digits", "val", 12, 64, 0.0, generator, [7, 9])
    assert x.shape == (12, 64, 64)
    assert set(kind.tolist()) <= {0, 1}
    pixels, labels = action_frames.digit_images("val")
    middle = {d: pixels[labels == d].mean(0) for d in (7, 9)}
    near = torch.stack([(x.mean(2) - middle[d]).norm(dim=1) for d in (7, 9)], 1)
    assert torch.equal(near.argmin(1), kind)
    with pytest.raises(ValueError, match="'actions' must be of 10"):
        action_frames.moments("digits", "val", 1, 64, 0.0, generator, [10])


def test_videos_of_some_actions_show_no_other():
    generator = torch.Generator().manual_seed(0)
    part = action_frames.clips("digits", "val", 20, 128, 4.0, 0.0, generator, [3, 8])
    kinds = torch.cat([kinds for _, kinds in part.truth])
    assert part.classes == 2
    assert set(kinds.tolist()) == {0, 1}
    video = ActionVideo("v", torch.rand(3, 2), torch.tensor([1, 5, 1]), 9.0)
    assert action_frames.only(video, [5]).action.tolist() == [5]


def test_the_moments_protocol_runs_with_all_its_arms():
    sizes = []
    found = moment_localization.run(
        {"name": "digits", "train": 12, "test": 6},
        seed=0,
        note_size=sizes.append,
        network={"channels": 8, "num_levels": 2},
        steps=2,
        batch_size=4,
    )
    for arm in (*moment_localization.ARMS, "oracle"):
        assert 0 <= found[f"map_70_{arm}"] <= found[f"map_30_{arm}"] <= 1
    gain = found["map_50_adversarial"] - found["map_50_none"]
    assert found["gain_context"] == pytest.approx(gain)
    assert found["gain_gcn"] == pytest.approx(found["cosine_gcn"] - found["cosine_mlp"])
    assert 0 <= found["deceived"] <= 1
    assert len(sizes) == 7
    with pytest.raises(ValueError, match="base"):
        moment_localization.load(base=10)


def test_transfers_begin_as_the_identity_and_neighbours_count():
    torch.manual_seed(0)
    x, edges = torch.rand(4, 3), torch.tensor([[0, 1], [1, 0]])
    for hops in (0, 1):
        transfer = moment_localization.Transfer(3, hops)
        assert torch.allclose(transfer(x, edges, torch.ones(2)), x)
        for parameter in transfer.parameters():
            torch.nn.init.normal_(parameter)
        changed = x.clone()
        changed[1] += 1
        before, after = (transfer(one, edges, torch.ones(2))[0] for one in (x, changed))
        assert torch.allclose(before, after) == (hops == 0)
