import pytest
import torch

from graphkit.adapters import TrackGraphAdapter, TrackingAdapter
from graphkit.testing import AdapterSuite
from graphkit.vision import TrackingByCounting, render_density


def solve(points, frame, size, **options):
    density = render_density(points, frame, size)
    return TrackingByCounting(**options).solve(density)


def two_walkers():
    frame = torch.arange(8).repeat(2)
    row = torch.cat([torch.full((8,), 4.0), torch.full((8,), 14.0)])
    col = torch.cat([3.0 + torch.arange(8), 15.0 - torch.arange(8)])
    return torch.stack([row, col], 1), frame, (8, 20, 20)


class TestTrackingAdapter(AdapterSuite):
    def make(self):
        return TrackingAdapter()

    def example(self):
        return (solve(*two_walkers()),)

    def degenerate(self):
        empty = torch.zeros(0, 2), torch.zeros(0, dtype=torch.long)
        point = torch.tensor([[4.0, 4.0]]), torch.tensor([0])
        return {
            "nobody": (solve(*empty, (3, 12, 12)),),
            "one cell in one frame": (solve(*point, (1, 12, 12), threshold=0.07),),
            "one frame": (solve(*point, (1, 12, 12)),),
        }

    not_claimed = {"no_edge": "a candidate always lies in a window"}

    def recovered(self, graph, solution):
        """The tracks, by following the edges between chosen candidates."""
        nodes = graph["candidate"]
        source, target = graph["continues_as"].edge_index
        name = torch.arange(nodes.num_nodes)
        for _ in range(int(nodes.time.max())):
            name[target] = name[source]
        chosen = nodes.y.bool()
        same = name[chosen][:, None] == name[chosen]
        track = solution.track[chosen]
        weight = torch.zeros(nodes.num_nodes, graph["window"].num_nodes)
        weight[tuple(graph["in"].edge_index)] = graph["in"].edge_weight
        counted = weight.t() @ nodes.y.float()
        error = (counted - graph["window"].x[:, 0]).abs().sum()
        moves = graph["moves_to"]
        motion = (moves.edge_attr[:, 2].square() * moves.y).sum()
        cost = error + 0.05 * motion - 3.0 * (nodes.x[:, 0] * nodes.y).sum()
        return {
            "same track": (same, track[:, None] == track),
            "positions": (nodes.pos[chosen], solution.problem.position[solution.chosen]),
            "number of moves": (moves.y.sum(), torch.tensor(14)),
            "objective": (cost, torch.tensor(solution.parts[0].objective)),
        }


class TestTrackGraphAdapter(AdapterSuite):
    def make(self):
        return TrackGraphAdapter(frames=3)

    def example(self):
        points, frame, _ = two_walkers()
        return frame, torch.arange(2).repeat_interleave(8), points + torch.rand_like(points)

    def degenerate(self):
        frame = torch.tensor([0, 0, 9])
        return {
            "nobody": (frame[:0], frame[:0], torch.rand(0, 2)),
            "one": (frame[:1], frame[:1], torch.rand(1, 2)),
            "too far apart": (frame, frame, torch.rand(3, 2)),
        }

    def recovered(self, graph, frame, track, position):
        source, target = graph.edge_index
        step = graph.edge_attr[:, 1:3] * graph.edge_attr[:, :1]
        same = (track[source] == track[target]).float()
        return {
            "positions": (graph.x[:, :2] * torch.tensor([40.0, 54.0]), position),
            "steps": (position[source] + step, position[target]),
            "same track": (graph.edge_attr[:, 5], same),
        }


def test_edges_lead_ahead_within_frames_and_reach():
    frame = torch.randint(0, 12, (40,))
    points = 20 * torch.rand(40, 2)
    graph = TrackGraphAdapter(frames=4, reach=2.0, speed=1.5)(frame, frame, points)
    ahead = frame[None] - frame[:, None]
    far = torch.cdist(points, points)
    expected = (ahead > 0) & (ahead <= 4) & (far <= 2.0 + 1.5 * ahead)
    assert torch.equal(graph.edge_index, expected.nonzero().t())


def test_the_nearest_neighbour_is_of_the_same_frame():
    frame = torch.tensor([0, 0, 0, 1])
    points = torch.tensor([[0.0, 0.0], [0.0, 5.4], [0.0, 2.7], [0.0, 0.1]])
    graph = TrackGraphAdapter()(frame, frame, points)
    assert torch.allclose(graph.x[:, 3], torch.tensor([0.05, 0.05, 0.05, 1.0]))
    assert graph.x[:, 2].tolist() == [3, 3, 3, 1]


def test_wrong_shapes_are_named():
    with pytest.raises(ValueError, match="position"):
        TrackGraphAdapter()(torch.zeros(2).long(), torch.zeros(2).long(), torch.zeros(2, 3))
    with pytest.raises(ValueError, match="frames"):
        TrackGraphAdapter(frames=0)


def test_edges_say_how_far_and_how_fast():
    frame, track = torch.tensor([0, 2, 3]), torch.tensor([7, 7, 8])
    points = torch.tensor([[0.0, 0.0], [3.0, 4.0], [3.0, 4.0]])
    graph = TrackGraphAdapter(reach=9.0)(frame, track, points)
    assert graph.edge_index.tolist() == [[0, 0, 1], [1, 2, 2]]
    third = 1 / 3
    # Frames ahead, the velocity, the speed, the length, the same track.
    wanted = [[2, 1.5, 2, 2.5, 5, 1], [3, 1, 4 * third, 5 * third, 5, 0], [1, 0, 0, 0, 0, 0]]
    torch.testing.assert_close(graph.edge_attr, torch.tensor(wanted))
