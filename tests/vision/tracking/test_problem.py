"""Candidates, moves and windows on maps that are small enough to count by hand."""

import pytest
import torch

from graphkit.vision.tracking.density import gaussian_rows
from graphkit.vision.tracking.problem import (
    covers,
    memberships,
    possible_moves,
    starts,
    tracking_problem,
    window_counts,
)


def maps():
    """Three frames of 3 x 4 cells with an object each, and noise at the threshold."""
    density = torch.zeros(3, 3, 4)
    density[0, 1, 1], density[1, 1, 2], density[2, 2, 3] = 1.0, 0.5, 0.75
    density[0, 2, 0] = 0.25
    return density


def problem_of(**options):
    given = {"window": (1, 2, 2), "stride": 2, "radius": 1.0, "threshold": 0.25}
    return tracking_problem(maps(), **{**given, **options})


def test_candidates_lie_above_the_threshold():
    problem = problem_of()
    assert problem.frame.tolist() == [0, 1, 2]
    assert problem.position.tolist() == [[1, 1], [1, 2], [2, 3]]
    assert problem.position.dtype == torch.float32
    assert problem.density.tolist() == [1.0, 0.5, 0.75]
    assert (problem.size, problem.ends) == ((3, 3, 4), (0, 2))
    assert len(problem_of(threshold=0.24).frame) == 4


def test_surroundings_are_cells_around_and_none_outside():
    problem = problem_of(patch=3)
    assert problem.patch[0].tolist() == [0, 0, 0, 0, 1, 0, 0.25, 0, 0]
    assert problem.patch[2].tolist() == [0, 0, 0, 0, 0.75, 0, 0, 0, 0]
    assert problem_of().patch.shape == (3, 25)


def test_moves_are_as_long_as_the_radius_at_most():
    assert problem_of().move_index.tolist() == [[0], [1]]
    assert problem_of().square.tolist() == [1.0]
    far = problem_of(radius=2**0.5 + 1e-6)
    assert far.move_index.tolist() == [[0, 1], [1, 2]]
    assert far.square.tolist() == [1.0, 2.0]
    assert problem_of(radius=0.9).move_index.shape == (2, 0)


def test_moves_are_those_of_all_pairs_in_their_order():
    density = torch.rand(4, 6, 9, generator=torch.Generator().manual_seed(0))
    place = (density > 0.7).nonzero()
    moves = possible_moves(place, density.shape, 2.5)
    near = torch.cdist(place[:, 1:].double(), place[:, 1:].double()) <= 2.5
    dense = near & (place[:, 0] == place[:, :1] + 1)
    assert torch.equal(moves, dense.nonzero().t())


def test_windows_begin_outside_and_cover_every_cell_equally_often():
    device = torch.device("cpu")
    assert starts(5, 4, 2, device).tolist() == [-2, 0, 2, 4]
    assert starts(4, 2, 2, device).tolist() == [0, 2]
    inside = covers(5, 4, 2, device)
    assert inside.long().tolist() == [
        *([1, 1, 0, 0], [1, 1, 0, 0], [0, 1, 1, 0], [0, 1, 1, 0], [0, 0, 1, 1]),
    ]


def test_counts_of_windows():
    count, first, area = window_counts(maps().double(), (1, 2, 2), 2)
    # Two rows of two windows a frame: cells (0-1, 0-1), (0-1, 2-3), (2, 0-1), (2, 2-3).
    assert count.tolist() == [1, 0, 0.25, 0, 0, 0.5, 0, 0, 0, 0, 0, 0.75]
    assert first.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert area.tolist() == [4, 4, 2, 2] * 3
    count, first, area = window_counts(maps().double(), (2, 2, 2), 2)
    assert count.tolist() == [0.5, 0.25, 0.125, 0, 0, 0.25, 0, 0.375]
    assert first.tolist() == [0] * 4 + [1] * 4
    # Longer than the video is as long as the video.
    count, first, _ = window_counts(maps().double(), (9, 2, 2), 2)
    assert count.tolist() == pytest.approx([1 / 3, 1 / 6, 1 / 12, 1 / 4])
    assert first.tolist() == [0] * 4


def test_only_windows_that_see_a_candidate_are_kept():
    problem = problem_of()
    assert problem.member_index.tolist() == [[0, 1, 2], [0, 1, 2]]
    assert problem.member_weight.tolist() == [1, 1, 1]
    assert problem.window_count.tolist() == [1.0, 0.5, 0.75]
    assert problem.window_frame.tolist() == [0, 1, 2]
    assert problem.window_area.tolist() == [4, 4, 2]


def test_a_candidate_counts_in_the_slabs_that_hold_its_frame():
    problem = problem_of(window=(2, 2, 2))
    dense = torch.zeros(3, len(problem.window_count))
    dense[problem.member_index[0], problem.member_index[1]] = problem.member_weight
    counted = dict(
        zip(
            zip(problem.window_frame.tolist(), problem.window_count.tolist(), strict=True),
            dense.t().tolist(),
            strict=True,
        )
    )
    assert counted == {
        (0, 0.5): [0.5, 0, 0],
        (0, 0.25): [0, 0.5, 0],
        (1, 0.25): [0, 0.5, 0],
        (1, 0.375): [0, 0, 0.5],
    }


def test_a_gaussian_reaches_into_the_windows_beside():
    place = torch.tensor([[0, 1, 1]])
    index, weight = memberships(place, torch.Size([1, 4, 6]), (1, 2, 3), 2, 1.0)
    rows = gaussian_rows(torch.arange(4.0, dtype=torch.double), 4, 1.0)[1]
    cols = gaussian_rows(torch.arange(6.0, dtype=torch.double), 6, 1.0)[1]
    device = torch.device("cpu")
    both = torch.outer(
        rows @ covers(4, 2, 2, device).double(), cols @ covers(6, 3, 2, device).double()
    ).flatten()
    kept = (both > 1e-4).nonzero().view(-1)
    assert index.tolist() == [[0] * len(kept), kept.tolist()]
    assert torch.allclose(weight.double(), both[kept], atol=1e-7)


def test_no_candidate_is_no_move_and_no_window():
    problem = problem_of(threshold=2.0)
    assert problem.move_index.shape == (2, 0)
    assert problem.member_index.shape == (2, 0)
    assert len(problem.window_count) == 0


def test_columns_beyond_256_in_bfloat16():
    density = torch.zeros(1, 3, 320, dtype=torch.bfloat16)
    density[0, 1, 301] = 1
    problem = tracking_problem(density, (1, 3, 3), 1, 2.0, 0.5)
    assert problem.position.tolist() == [[1, 301]]
