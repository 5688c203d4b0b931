"""The integer program of tracking by counting, solved by HiGHS through scipy."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from graphkit.vision.tracking.problem import TrackingProblem

__all__ = ["ProgramResult", "Weights", "solve_program", "sub_problem"]


@dataclass(frozen=True)
class Weights:
    """Weights of the objective: an error of one in a window's count costs 1.

    Args:
        motion (float): Cost of a move per squared cell.
        birth (float): Cost of a track's beginning and of its end, but at the first and last frame.
        density (float): Reward of an object per density at its candidate.
        count (float, optional): Factor of the counts. (default: :obj:`1.0`)
    """

    motion: float
    birth: float
    density: float = 0.0
    count: float = 1.0


@dataclass(frozen=True)
class ProgramResult:
    """What the solver found.

    Args:
        chosen (torch.Tensor): Whether a candidate is an object, ``[N]``.
        relaxed (torch.Tensor): The same in the linear relaxation, in [0, 1], ``[N]``.
        flow (torch.Tensor): Whether a move is made, ``[E]``.
        objective (float): Cost of the solution.
        bound (float): Cost of the relaxation; a bound, in general a loose one.
        gap (float): Relative gap at which the solver stopped; it knows only the candidates that
            the relaxation left in.
        status (str): What the solver said.
        seconds (float): Time in the solver.
    """

    chosen: Tensor
    relaxed: Tensor
    flow: Tensor
    objective: float
    bound: float
    gap: float
    status: str
    seconds: float


def sub_problem(problem: TrackingProblem, begin: int, end: int) -> tuple[TrackingProblem, Tensor]:
    """The part of a problem in frames ``begin`` to ``end - 1``, and which candidates it has."""
    inside = (problem.frame >= begin) & (problem.frame < end)
    part = keep_candidates(problem, inside)
    # A window that loses a candidate to another part would count too few: only those stay that lie
    # in this part whole.
    here = part.member_index[1].bincount(minlength=len(part.window_count))
    everywhere = problem.member_index[1].bincount(minlength=len(problem.window_count))
    windows = (here == everywhere) & (here > 0)
    member = windows[part.member_index[1]]
    number = windows.cumsum(0) - 1
    index = part.member_index[:, member]
    return replace(
        part,
        ends=(begin, end - 1),
        window_count=part.window_count[windows],
        window_frame=part.window_frame[windows],
        window_area=part.window_area[windows],
        member_index=torch.stack([index[0], number[index[1]]]),
        member_weight=part.member_weight[member],
    ), inside


def keep_candidates(problem: TrackingProblem, mask: Tensor) -> TrackingProblem:
    """The problem with fewer candidates; windows stay, also those left without any."""
    number = mask.cumsum(0) - 1
    move = mask[problem.move_index].all(0)
    member = mask[problem.member_index[0]]
    index = problem.member_index[:, member]
    return replace(
        problem,
        frame=problem.frame[mask],
        position=problem.position[mask],
        density=problem.density[mask],
        patch=problem.patch[mask],
        move_index=number[problem.move_index[:, move]],
        square=problem.square[move],
        member_index=torch.stack([number[index[0]], index[1]]),
        member_weight=problem.member_weight[member],
    )


def solve_program(
    problem: TrackingProblem,
    weights: Weights,
    fixed: Tensor | None = None,
    prune: float = 0.02,
    gap: float = 0.01,
    time_limit: float = 60.0,
) -> ProgramResult:
    """The linear relaxation, then the integer program on the candidates that it leaves in.

    Args:
        problem (TrackingProblem): What to choose from.
        weights (Weights): The objective.
        fixed (torch.Tensor, optional): 1 or 0 where a choice is given, -1 where it is open;
            a given choice costs no birth. (default: all open)
        prune (float, optional): Candidates below this in the relaxation are left out.
            (default: :obj:`0.02`)
        gap (float, optional): Relative gap at which the solver may stop. (default: :obj:`0.01`)
        time_limit (float, optional): Seconds for the integer program. (default: :obj:`60.0`)

    Raises:
        RuntimeError: If the solver finds no solution in time.
    """
    began = time.perf_counter()
    count = len(problem.frame)
    fixed = problem.frame.new_full((count,), -1) if fixed is None else fixed
    empty = float(weights.count * problem.window_count.sum())
    share, bound = torch.zeros(count), empty
    if count:
        relaxed = run_solver(assemble(problem, weights, fixed), count, False, gap, None)
        share, bound = torch.from_numpy(relaxed.x[:count]).float(), float(relaxed.fun)
    # A given candidate stays even where the relaxation would rather do without it.
    likely = (share > prune) | (fixed == 1)
    taken, flow = torch.zeros_like(likely), torch.zeros(problem.square.numel(), dtype=torch.bool)
    if not likely.any():
        # Without an object every window's whole count is an error.
        seconds, status = time.perf_counter() - began, "nothing to choose from"
        return ProgramResult(taken, share, flow, empty, bound, 0.0, status, seconds)
    # Integers on all candidates take minutes; almost all of them are near 0 in the relaxation.
    size, possible = int(likely.sum()), likely[problem.move_index].all(0)
    small = assemble(keep_candidates(problem, likely), weights, fixed[likely])
    solution = run_solver(small, size, True, gap, time_limit)
    if solution.x is None:
        raise RuntimeError(
            f"the solver found no solution of {size} candidates in {time_limit} s "
            f"({solution.message}); raise 'time_limit', 'threshold' or 'stride'"
        )
    # The solver's numbers are integers up to its tolerance: they are rounded, not compared.
    taken[likely] = torch.from_numpy(solution.x[:size]) > 0.5
    flow[possible] = torch.from_numpy(solution.x[size : size + int(possible.sum())]) > 0.5
    gap_left, seconds = float(solution.mip_gap or 0.0), time.perf_counter() - began
    cost, status = float(solution.fun), str(solution.message)
    return ProgramResult(taken, share, flow, cost, bound, gap_left, status, seconds)


def assemble(problem: TrackingProblem, weights: Weights, fixed: Tensor) -> dict[str, Any]:
    r"""Costs, bounds and constraints over candidates, moves and the counts' slacks.

    The variables are, in this order, candidates :math:`x_i`, moves :math:`f_e`, and for each window
    by how much its count is too small and by how much too large.  Births and deaths are not
    variables: :math:`b_i = x_i - \sum_{e \to i} f_e \ge 0` is an object that no move leads to,
    :math:`d_i = x_i - \sum_{i \to e} f_e \ge 0` one that no move leaves.
    """
    count, moves, windows = sizes = (
        len(problem.frame),
        problem.move_index.size(1),
        len(problem.window_count),
    )
    counts = problem.window_count.double().numpy()
    # Moves at an object are at most the object, minus infinity to 0; counts are met exactly, by
    # the slacks.
    unbounded, nothing = np.full(2 * count, -np.inf), np.zeros(2 * count)
    lower, upper = np.zeros(count + moves + 2 * windows), np.ones(count + moves + 2 * windows)
    upper[count + moves :] = np.inf
    given = (fixed >= 0).numpy()
    # A candidate that is given has no room between its bounds.
    lower[:count][given] = upper[:count][given] = fixed[fixed >= 0].numpy()
    return {
        "cost": costs(problem, weights, fixed),
        "rows": constraints(problem, sizes),
        "below": np.concatenate([unbounded, counts]),
        "above": np.concatenate([nothing, counts]),
        "lower": lower,
        "upper": upper,
    }


def costs(problem: TrackingProblem, weights: Weights, fixed: Tensor) -> np.ndarray:
    """What each variable costs.

    Births and deaths are written out by objects and moves: an object pays for its birth and its
    death, and each move gives back the death where it begins and the birth where it ends.
    """
    # In a part of a video tracks come in at the first frame and go on behind the last; and a given
    # object was born in the part before.
    birth = weights.birth * ((problem.frame > problem.ends[0]) & (fixed != 1)).double()
    death = weights.birth * (problem.frame < problem.ends[1]).double()
    reward = weights.density * problem.density.double()
    source, target = problem.move_index
    move = weights.motion * problem.square.double() - death[source] - birth[target]
    slack = np.full(2 * len(problem.window_count), weights.count)
    return np.concatenate([(birth + death - reward).numpy(), move.numpy(), slack])


def constraints(problem: TrackingProblem, sizes: tuple[int, int, int]) -> Any:
    """The sparse matrix of moves in and out per candidate, and of counts per window."""
    import scipy.sparse as sparse

    count, moves, windows = sizes
    source, target = problem.move_index.numpy()
    move, ones = np.arange(moves), np.ones(moves)
    into = sparse.csr_matrix((ones, (target, move)), shape=(count, moves))
    out = sparse.csr_matrix((ones, (source, move)), shape=(count, moves))
    member, window = problem.member_index.numpy()
    counted = sparse.csr_matrix(
        (problem.member_weight.double().numpy(), (window, member)), shape=(windows, count)
    )
    candidate, slack = sparse.identity(count), sparse.identity(windows)
    return sparse.bmat(
        [
            [-candidate, into, None, None],
            [-candidate, out, None, None],
            [counted, None, slack, -slack],
        ],
        format="csc",
    )


def run_solver(
    program: dict[str, Any], count: int, integer: bool, gap: float, time_limit: float | None
) -> Any:
    """HiGHS on the program; only the candidates are integer, moves then are by themselves."""
    from scipy.optimize import Bounds, LinearConstraint, milp

    whole = np.zeros(len(program["cost"]))
    whole[:count] = integer
    options: dict[str, Any] = {"mip_rel_gap": gap}
    if time_limit is not None:
        options["time_limit"] = time_limit
    return milp(
        program["cost"],
        integrality=whole,
        bounds=Bounds(program["lower"], program["upper"]),
        constraints=LinearConstraint(program["rows"], program["below"], program["above"]),
        options=options,
    )
