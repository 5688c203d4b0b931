"""Tracking by counting against enumeration, conservation laws and scenes with known tracks."""

import itertools

import pytest
import torch
from torch.nn.functional import max_pool2d

from graphkit.metrics import clear_mot
from graphkit.vision import TrackingByCounting, render_density
from graphkit.vision.tracking.problem import tracking_problem
from graphkit.vision.tracking.program import (
    Weights,
    assemble,
    keep_candidates,
    run_solver,
    solve_program,
)
from tests.spoiled import spoiled

PAPER = {"lam_density": 0.0}


def walkers(kind="pass", length=12, size=(20, 26)):
    """Two people who pass each other, or come near and part; in between they are one blob."""
    time = torch.arange(length, dtype=torch.float)
    if kind == "pass":
        one = torch.stack([torch.full_like(time, 8.0), 6 + time], 1)
        two = torch.stack([torch.full_like(time, 11.0), 17 - time], 1)
    else:
        gap = 1.5 + (time - 5.5).abs().sub(1.5).clamp(min=0)
        one, two = torch.stack([10 - gap, 6 + time], 1), torch.stack([10 + gap, 6 + time], 1)
    frame, name = torch.arange(length).repeat(2), torch.arange(2).repeat_interleave(length)
    points = torch.cat([one, two])
    noise = torch.Generator().manual_seed(0)
    density = render_density(points, frame, (length, *size), 1.5, 0.2, 0.002, noise)
    return (frame, name, points), density


def problem_of(density, **options):
    chosen = {"window": (1, 8, 8), "stride": 4, "radius": 2.0, "threshold": 0.02, **options}
    return tracking_problem(density, **chosen)


def test_one_object_costs_its_motion_alone():
    frame = torch.arange(5)
    points = torch.stack([6.0 + 0 * frame, 4.0 + frame], 1)
    density = render_density(points, frame, (5, 14, 16))
    found = TrackingByCounting(counts="kernel", lam_motion=0.1, **PAPER).solve(density)
    assert torch.equal(found.points()[2], points)
    assert found.track.unique().tolist() == [-1, 0]
    assert found.parts[0].objective == pytest.approx(0.1 * 4, abs=2e-3)
    assert found.gap == 0


def test_kernel_counts_are_exact_for_the_true_choice():
    frame = torch.tensor([0, 0, 1])
    points = torch.tensor([[3.0, 4.0], [9.0, 11.0], [5.0, 5.0]])
    density = render_density(points.double(), frame, (2, 14, 16))
    problem = problem_of(density, sigma=1.5, threshold=0.005)
    true = (torch.cdist(problem.position.float(), points) < 0.1) & (problem.frame[:, None] == frame)
    counted = torch.zeros(len(problem.window_count), dtype=torch.double)
    member = true.any(1)[problem.member_index[0]]
    counted.index_add_(0, problem.member_index[1, member], problem.member_weight[member].double())
    assert torch.allclose(counted, problem.window_count, atol=5e-4)


def test_indicator_counts_are_those_of_the_windows():
    density = torch.rand(3, 9, 11) + 0.1
    problem = problem_of(density, window=(2, 4, 6), stride=2)
    dense = torch.zeros(len(problem.window_count), len(problem.frame))
    dense[problem.member_index[1], problem.member_index[0]] = problem.member_weight
    assert torch.allclose(dense @ problem.density, problem.window_count, atol=1e-4)
    per_cell = dense.sum(0).view(3, 9, 11)
    assert torch.allclose(per_cell[1], torch.tensor(6.0)), "a cell is covered equally often"
    assert torch.allclose(dense.sum(1) / 1.0, problem.window_area, atol=1e-4)


def test_moves_join_cells_within_the_radius():
    density = (torch.rand(3, 7, 8) > 0.5).float()
    problem = problem_of(density, radius=2.0)
    apart = torch.cdist(problem.position, problem.position)
    ahead = problem.frame[None] - problem.frame[:, None]
    expected = ((ahead == 1) & (apart <= 2.0)).nonzero().t()
    assert torch.equal(problem.move_index, expected)
    far = apart[problem.move_index[0], problem.move_index[1]].square()
    assert torch.allclose(problem.square, far, atol=1e-3)


def enumerate_best(problem, weights):
    """The least cost over all choices, with moves found by trying all sets of them."""
    count, moves = len(problem.frame), problem.move_index.t().tolist()
    last = problem.ends[1]
    dense = torch.zeros(len(problem.window_count), count)
    dense[problem.member_index[1], problem.member_index[0]] = problem.member_weight
    best = float("inf")
    for size in range(len(moves) + 1):
        for made in itertools.combinations(range(len(moves)), size):
            starts = [moves[e][0] for e in made]
            ends = [moves[e][1] for e in made]
            if len(set(starts)) < size or len(set(ends)) < size:
                continue
            used = set(starts) | set(ends)
            for extra in itertools.product((0, 1), repeat=count - len(used)):
                rest = [i for i in range(count) if i not in used]
                on = used | {i for i, take in zip(rest, extra, strict=True) if take}
                x = torch.zeros(count)
                x[list(on)] = 1
                births = sum(int(problem.frame[i]) > 0 and i not in ends for i in on)
                deaths = sum(int(problem.frame[i]) < last and i not in starts for i in on)
                cost = (dense @ x - problem.window_count).abs().sum()
                cost += weights.motion * sum(problem.square[e] for e in made)
                cost += weights.birth * (births + deaths) - weights.density * problem.density @ x
                best = min(best, float(cost))
    return best


@pytest.mark.parametrize("birth", [0.2, 2.0])
def test_the_solver_finds_the_enumerated_optimum(birth):
    density = torch.zeros(3, 6, 6)
    density[0, 1, 1], density[0, 1, 2], density[1, 2, 2] = 0.6, 0.5, 0.9
    density[1, 4, 1], density[2, 2, 3], density[2, 3, 3] = 0.4, 0.7, 0.5
    problem = problem_of(density, window=(1, 4, 4), stride=2)
    weights = Weights(0.1, birth, 0.3)
    result = solve_program(problem, weights, prune=0.0, gap=0.0)
    assert result.objective == pytest.approx(enumerate_best(problem, weights), abs=1e-4)
    assert result.objective >= result.bound - 1e-6
    pruned = solve_program(problem, weights)
    assert pruned.objective >= result.objective - 1e-6


def test_moves_are_whole_without_being_asked():
    _, density = walkers()
    problem = problem_of(density)
    weights = Weights(0.05, 2.0, 3.0)
    fixed = torch.full_like(problem.frame, -1)
    count = len(problem.frame)
    choice = run_solver(assemble(problem, weights, fixed), count, True, 0.0, 30.0).x
    free = run_solver(
        assemble(problem, Weights(0.05, 0.01, 1.0, count=0.0), fixed), count, False, 0.0, None
    ).x
    moves = problem.move_index.size(1)
    for found in (choice[count : count + moves], free[: count + moves]):
        whole = torch.from_numpy(found)
        assert torch.allclose(whole, whole.round(), atol=1e-6)
    assert free[:count].sum() > 2


def test_without_counts_and_reward_nothing_is_gained():
    _, density = walkers()
    result = solve_program(problem_of(density), Weights(0.05, 2.0, count=0.0))
    assert result.objective == pytest.approx(0, abs=1e-9)
    assert not result.flow[problem_of(density).square > 0].any()


@pytest.mark.parametrize("kind", ["pass", "part"])
def test_merged_blobs_keep_their_identities(kind):
    truth, density = walkers(kind)
    high = max_pool2d(density.unsqueeze(1), 3, 1, 1).squeeze(1) == density
    peaks = (high & (density > 0.03)).sum((1, 2))
    assert (peaks == 1).sum() >= 2, "in the middle there is one peak for two people"
    found = TrackingByCounting().solve(density)
    scores = clear_mot(truth, found.points(), radius=2.5)
    assert scores["mota"] == scores["idf1"] == 1.0
    assert int(found.track.max()) == 1


def test_tracks_are_disjoint_paths():
    truth, density = walkers()
    found = TrackingByCounting(frames=7, overlap=3).solve(density)
    moves = found.problem.move_index[:, found.flow]
    assert found.chosen[moves].all()
    for end in moves:
        assert end.bincount().max() == 1
    assert torch.equal(found.track >= 0, found.chosen)
    assert torch.equal(found.track[moves[0]], found.track[moves[1]])
    lengths = found.track[found.chosen].bincount()
    assert int(lengths.sum()) == int(found.chosen.sum()) == len(truth[0])
    assert moves.size(1) == int(found.chosen.sum()) - len(lengths)


def test_parts_continue_each_other():
    truth, density = walkers()
    parts = TrackingByCounting(frames=8, overlap=5).solve(density)
    assert len(parts.parts) == 3
    scores = clear_mot(truth, parts.points(), radius=2.5)
    assert scores["idf1"] == 1.0
    cuts = TrackingByCounting(frames=5, overlap=2).cuts(10)
    assert cuts == [(0, 5, 4), (3, 8, 7), (6, 10, 10)]


def test_shifted_maps_give_shifted_tracks():
    frame = torch.arange(4)
    points = torch.stack([8.0 + 0 * frame, 7.0 + frame], 1)
    shift = torch.tensor([4.0, 4.0])
    one, two = (
        TrackingByCounting(counts="kernel", **PAPER).solve(render_density(p, frame, (4, 26, 26)))
        for p in (points, points + shift)
    )
    assert torch.equal(one.points()[2] + shift, two.points()[2])
    assert one.parts[0].objective == pytest.approx(two.parts[0].objective, abs=1e-3)


@pytest.mark.parametrize("size", [(1, 5, 5), (4, 3, 9)])
def test_nobody_is_no_track(size):
    found = TrackingByCounting().solve(torch.zeros(size))
    assert len(found.track) == len(found.points()[0]) == 0
    assert found.gap == 0


def test_frames_without_anybody_are_no_ends():
    """A person in the middle of a video is born and dies at a cost."""
    frame, points = torch.arange(1, 3), torch.tensor([[6.0, 6.0], [6.0, 6.0]])
    density = render_density(points, frame, (4, 14, 14))
    options = {"counts": "kernel", "lam_density": 0.0, "lam_birth": 0.5}
    found = TrackingByCounting(**options).solve(density)
    assert found.points()[0].tolist() == [1, 2]
    assert found.parts[0].objective == pytest.approx(1.0, abs=2e-3)


def test_pruning_keeps_the_problem_aligned():
    problem = problem_of(torch.rand(2, 6, 6))
    kept = torch.rand(len(problem.frame)) > 0.4
    small = keep_candidates(problem, kept)
    assert torch.equal(small.position, problem.position[kept])
    step = small.position[small.move_index[1]] - small.position[small.move_index[0]]
    assert torch.allclose(step.square().sum(1), small.square)
    assert len(small.window_count) == len(problem.window_count)


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"window": (1, 8)}, "window"),
        ({"stride": 9}, "stride"),
        ({"counts": "boxes"}, "counts"),
        ({"overlap": 24}, "overlap"),
        ({"overlap": 0}, "overlap"),
    ],
)
def test_wrong_options_are_named(options, name):
    with pytest.raises(ValueError, match=name):
        TrackingByCounting(**options)


@pytest.mark.parametrize(
    "density",
    [
        torch.zeros(3, 4),
        torch.zeros(2, 4, 4).long(),
        spoiled((1, 4, 4)),
        -torch.ones(1, 4, 4),
        torch.zeros(0, 4, 4),
    ],
)
def test_wrong_maps_are_named(density):
    with pytest.raises(ValueError, match="density"):
        TrackingByCounting().solve(density)


def test_too_many_candidates_are_refused():
    with pytest.raises(ValueError, match="max_candidates"):
        TrackingByCounting(max_candidates=10).solve(torch.ones(2, 5, 5))


def test_out_of_time_is_an_error():
    with pytest.raises(RuntimeError, match="time_limit"):
        TrackingByCounting(time_limit=0.0).solve(torch.rand(3, 12, 12))


@pytest.mark.parametrize("scale", [0.0, 1.0])
def test_time_in_the_solver_is_the_difference_of_two_readings(scale, counting_clock):
    """A clock's own reading would be far more, or less than nothing."""
    result = TrackingByCounting().solve(scale * torch.rand(3, 12, 12))
    assert result.seconds == 3 * len(result.parts) > 0
