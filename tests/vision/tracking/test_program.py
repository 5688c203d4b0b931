"""The integer program, written out by hand for three candidates."""

import numpy as np
import pytest
import torch

from graphkit.vision.tracking.problem import TrackingProblem
from graphkit.vision.tracking.program import (
    Weights,
    assemble,
    constraints,
    costs,
    keep_candidates,
    solve_program,
    sub_problem,
)


def line():
    """One candidate in each of three frames, moves between them, a window around each."""
    return TrackingProblem(
        size=(3, 1, 3),
        ends=(0, 2),
        frame=torch.tensor([0, 1, 2]),
        position=torch.tensor([[0.0, 0.0], [0.0, 1.0], [0.0, 3.0]]),
        density=torch.tensor([1.0, 0.5, 0.25]),
        patch=torch.arange(3.0).view(3, 1),
        move_index=torch.tensor([[0, 1], [1, 2]]),
        square=torch.tensor([1.0, 4.0]),
        window_count=torch.tensor([1.0, 0.75, 1.0]),
        window_frame=torch.tensor([0, 1, 2]),
        window_area=torch.tensor([3.0, 3.0, 3.0]),
        member_index=torch.tensor([[0, 1, 2], [0, 1, 2]]),
        member_weight=torch.tensor([1.0, 0.5, 1.0]),
    )


WEIGHTS = Weights(motion=0.1, birth=2.0, density=0.4)
OPEN = torch.full((3,), -1)


def test_costs_by_hand():
    cost = costs(line(), WEIGHTS, OPEN)
    # Birth is free in the first frame, death in the last; a move gives both back where it meets.
    objects = [2 - 0.4, 4 - 0.2, 2 - 0.1]
    moves = [0.1 - 2 - 2, 0.4 - 2 - 2]
    assert cost.tolist() == pytest.approx([*objects, *moves, *[1.0] * 6])
    given = costs(line(), WEIGHTS, torch.tensor([-1, 1, 0]))
    assert given[:3].tolist() == pytest.approx([2 - 0.4, 2 - 0.2, 2 - 0.1])
    assert given[3:5].tolist() == pytest.approx([0.1 - 2, 0.4 - 2 - 2])
    assert costs(line(), Weights(0.1, 2.0, count=3.0), OPEN)[5:].tolist() == [3.0] * 6
    assert costs(line(), Weights(0.1, 2.0), OPEN)[0] == 2.0


def test_constraints_by_hand():
    rows = constraints(line(), (3, 2, 3)).toarray()
    into = [[-1, 0, 0, 0, 0], [0, -1, 0, 1, 0], [0, 0, -1, 0, 1]]
    out = [[-1, 0, 0, 1, 0], [0, -1, 0, 0, 1], [0, 0, -1, 0, 0]]
    counted = [[1, 0, 0, 0, 0], [0, 0.5, 0, 0, 0], [0, 0, 1, 0, 0]]
    assert rows[:, :5].tolist() == [*into, *out, *counted]
    assert not rows[:6, 5:].any()
    assert np.array_equal(rows[6:, 5:], np.hstack([np.eye(3), -np.eye(3)]))


def test_bounds_by_hand():
    program = assemble(line(), WEIGHTS, torch.tensor([-1, 1, 0]))
    assert program["lower"].tolist() == [0, 1, 0, 0, 0, *[0] * 6]
    assert program["upper"].tolist() == [1, 1, 0, 1, 1, *[np.inf] * 6]
    assert program["below"].tolist() == [*[-np.inf] * 6, 1, 0.75, 1]
    assert program["above"].tolist() == [*[0] * 6, 1, 0.75, 1]


def test_a_track_is_found(counting_clock):
    result = solve_program(line(), WEIGHTS)
    assert result.chosen.tolist() == [True] * 3
    assert result.flow.tolist() == [True] * 2
    # Motion, less the reward, and a quarter of an object too few in the middle.
    assert result.objective == pytest.approx(0.5 - 0.7 + 0.25)
    assert result.bound <= result.objective + 1e-9
    assert result.relaxed.tolist() == pytest.approx([1, 1, 1])
    assert result.gap == 0
    assert result.seconds == 3


def test_a_given_choice_is_kept_and_the_rest_follows():
    result = solve_program(line(), WEIGHTS, torch.tensor([-1, 0, -1]))
    assert not result.chosen[1]
    assert not result.flow.any()
    # In the first frame a birth is free and in the last a death: the other costs 2, a miss 1.
    assert result.chosen.tolist() == [False] * 3
    assert result.objective == pytest.approx(1 + 0.75 + 1)
    forced = solve_program(line(), WEIGHTS, torch.tensor([0, 1, 0]))
    assert forced.chosen.tolist() == [False, True, False]
    assert forced.objective == pytest.approx(1 + 0.25 + 1 + 2 - 0.2)


def test_nothing_to_choose_from_is_the_error_of_all_counts(counting_clock):
    empty = keep_candidates(line(), torch.zeros(3, dtype=torch.bool))
    result = solve_program(empty, Weights(0.1, 2.0, count=2.0))
    assert (result.objective, result.bound, result.gap) == (5.5, 5.5, 0.0)
    assert result.status == "nothing to choose from"
    assert (len(result.chosen), len(result.flow)) == (0, 0)
    assert result.seconds == 3
    # The same where the relaxation takes none.
    dear = solve_program(line(), Weights(0.1, 50.0), torch.zeros(3).long())
    assert dear.chosen.tolist() == [False] * 3
    assert dear.objective == 2.75


def test_fewer_candidates_keep_what_is_theirs():
    part = keep_candidates(line(), torch.tensor([False, True, True]))
    assert part.frame.tolist() == [1, 2]
    assert part.position.tolist() == [[0, 1], [0, 3]]
    assert part.density.tolist() == [0.5, 0.25]
    assert part.patch.tolist() == [[1], [2]]
    assert part.move_index.tolist() == [[0], [1]]
    assert part.square.tolist() == [4.0]
    assert part.member_index.tolist() == [[0, 1], [1, 2]]
    assert part.member_weight.tolist() == [0.5, 1.0]
    assert len(part.window_count) == 3, "windows stay"


def test_a_part_has_the_windows_that_lie_in_it_whole():
    problem = line()
    shared = torch.tensor([[0, 0, 1, 1, 2], [0, 1, 1, 2, 2]])
    problem = TrackingProblem(
        **{**vars(problem), "member_index": shared, "member_weight": torch.arange(5.0)}
    )
    part, inside = sub_problem(problem, 0, 2)
    assert inside.tolist() == [True, True, False]
    assert part.ends == (0, 1)
    # The third window counts a candidate of the third frame as well.
    assert part.window_count.tolist() == [1.0, 0.75]
    assert part.window_frame.tolist() == [0, 1]
    assert part.window_area.tolist() == [3.0, 3.0]
    assert part.member_index.tolist() == [[0, 0, 1], [0, 1, 1]]
    assert part.member_weight.tolist() == [0, 1, 2]
    last, inside = sub_problem(problem, 2, 3)
    assert (last.ends, inside.tolist()) == ((2, 2), [False, False, True])
    assert (last.window_count.tolist(), last.member_index.tolist()) == ([], [[], []])
    middle, _ = sub_problem(problem, 1, 3)
    assert middle.window_count.tolist() == [1.0]
    assert middle.member_index.tolist() == [[0, 1], [0, 0]]
