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
    whole = part.member_index[1].bincount(minlength=len(part.window_count))
    before = problem.member_index[1].bincount(minlength=len(problem.window_count))
    windows = (whole == before) & (whole > 0)
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


def keep_candidates(problem: TrackingProblem, kept: Tensor) -> TrackingProblem:
    """The problem with fewer candidates; windows stay, also those left without any."""
    number = kept.cumsum(0) - 1
    move = kept[problem.move_index].all(0)
    member = kept[problem.member_index[0]]
    index = problem.member_index[:, member]
    return replace(
        problem,
        frame=problem.frame[kept],
        position=problem.position[kept],
        density=problem.density[kept],
        patch=problem.patch[kept],
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
    value, bound = torch.zeros(count), float(weights.count * problem.window_count.sum())
    if count:
        relaxed = run_solver(assemble(problem, weights, fixed), count, False, gap, None)
        value, bound = torch.from_numpy(relaxed.x[:count]).float(), float(relaxed.fun)
    kept = (value > prune) | (fixed == 1)
    chosen, flow = torch.zeros_like(kept), torch.zeros(problem.square.numel(), dtype=torch.bool)
    if not kept.any():
        cost, status = float(weights.count * problem.window_count.sum()), "nothing to choose from"
        seconds = time.perf_counter() - began
        return ProgramResult(chosen, value, flow, cost, bound, 0.0, status, seconds)
    size, possible = int(kept.sum()), kept[problem.move_index].all(0)
    small = assemble(keep_candidates(problem, kept), weights, fixed[kept])
    found = run_solver(small, size, True, gap, time_limit)
    if found.x is None:
        raise RuntimeError(
            f"the solver found no solution of {size} candidates in {time_limit} s "
            f"({found.message}); raise 'time_limit', 'threshold' or 'stride'"
        )
    chosen[kept] = torch.from_numpy(found.x[:size]) > 0.5
    flow[possible] = torch.from_numpy(found.x[size : size + int(possible.sum())]) > 0.5
    gap_left, seconds = float(found.mip_gap or 0.0), time.perf_counter() - began
    cost, status = float(found.fun), str(found.message)
    return ProgramResult(chosen, value, flow, cost, bound, gap_left, status, seconds)


def assemble(problem: TrackingProblem, weights: Weights, fixed: Tensor) -> dict[str, Any]:
    r"""Costs, bounds and constraints over candidates, moves and the counts' slacks.

    Births and deaths are not variables: :math:`s_i = x_i - \sum_{e \to i} f_e \ge 0`.
    """
    import scipy.sparse as sparse

    count, moves, windows = (
        len(problem.frame),
        problem.move_index.size(1),
        len(problem.window_count),
    )
    born = weights.birth * ((problem.frame > problem.ends[0]) & (fixed != 1)).double()
    dies = weights.birth * (problem.frame < problem.ends[1]).double()
    reward = weights.density * problem.density.double()
    source, target = problem.move_index.numpy()
    move_cost = weights.motion * problem.square.double() - dies[source] - born[target]
    edge = np.arange(moves)
    ones = np.ones(moves)
    into = sparse.csr_matrix((ones, (target, edge)), shape=(count, moves))
    out = sparse.csr_matrix((ones, (source, edge)), shape=(count, moves))
    member, window = problem.member_index.numpy()
    counted = sparse.csr_matrix(
        (problem.member_weight.double().numpy(), (window, member)), shape=(windows, count)
    )
    one, slack = sparse.identity(count), sparse.identity(windows)
    rows = sparse.bmat(
        [[-one, into, None, None], [-one, out, None, None], [counted, None, slack, -slack]],
        format="csc",
    )
    target_count = problem.window_count.double().numpy()
    wide = np.full(2 * count, -np.inf), np.zeros(2 * count)
    open_ = (fixed < 0).numpy()
    given = fixed.clamp(min=0).double().numpy()
    size = rows.shape[1]
    upper = np.full(size, np.inf)
    upper[: count + moves] = 1.0
    lower = np.zeros(size)
    lower[:count], upper[:count] = np.where(open_, 0.0, given), np.where(open_, 1.0, given)
    return {
        "cost": np.concatenate(
            [(born + dies - reward).numpy(), move_cost.numpy(), np.full(2 * windows, weights.count)]
        ),
        "rows": rows,
        "below": np.concatenate([wide[0], target_count]),
        "above": np.concatenate([wide[1], target_count]),
        "lower": lower,
        "upper": upper,
    }


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
