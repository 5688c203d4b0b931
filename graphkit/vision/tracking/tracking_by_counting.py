"""Tracking as network flow under counts in sliding windows."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from rich.console import Console
from rich.progress import track
from torch import Tensor

from graphkit.catalog import method
from graphkit.vision.tracking.problem import TrackingProblem, tracking_problem
from graphkit.vision.tracking.program import ProgramResult, Weights, solve_program, sub_problem

__all__ = ["TrackingByCounting", "TrackingSolution"]


@dataclass(frozen=True)
class TrackingSolution:
    """Tracks, and everything they were chosen from.

    Args:
        problem (TrackingProblem): Candidates, moves and windows.
        chosen (torch.Tensor): Whether a candidate is an object, ``[N]``.
        relaxed (torch.Tensor): The same in the linear relaxation, ``[N]``.
        flow (torch.Tensor): Whether a move is made, ``[E]``.
        track (torch.Tensor): Number of each candidate's track, -1 without one, ``[N]``.
        parts (tuple): What the solver said about each part of the video.
    """

    problem: TrackingProblem
    chosen: Tensor
    relaxed: Tensor
    flow: Tensor
    track: Tensor
    parts: tuple[ProgramResult, ...]

    @property
    def seconds(self) -> float:
        """Time in the solver."""
        return sum(part.seconds for part in self.parts)

    @property
    def gap(self) -> float:
        """The largest gap at which the solver stopped in any part."""
        return max((part.gap for part in self.parts), default=0.0)

    def points(self) -> tuple[Tensor, Tensor, Tensor]:
        """Frame, track and position of every object, by track and frame."""
        rows = self.chosen.nonzero().squeeze(1)
        rows = rows[self.problem.frame[rows].argsort(stable=True)]
        rows = rows[self.track[rows].argsort(stable=True)]
        return self.problem.frame[rows], self.track[rows], self.problem.position[rows]


@method(
    paper="arXiv:2007.09509",
    title="Tracking-by-Counting: Using Network Flows on Crowd Density Maps for Tracking "
    "Multiple Targets",
    authors="Weihong Ren, Xinchao Wang, Jiandong Tian, Yandong Tang, Antoni B. Chan",
    venue="IEEE Transactions on Image Processing, 2020",
    year=2020,
    code=None,
    licence="none",
    takes="density maps of a video",
    gives="tracks of the counted objects",
    deviations=[
        "written from the abstract and the project page, there is no released code: weights, "
        "window and radius are ours",
        "solved by HiGHS, with candidates pruned by the linear relaxation; what is pruned is not "
        "covered by the solver's gap",
        "a small reward for density (lam_density), to choose among the cells that windows on a "
        "stride cannot tell apart",
        "no appearance cost: moves cost their squared length",
        "long videos are solved in overlapping parts, each continuing the tracks of the one before",
        "counts='kernel' spreads a candidate over its neighbourhood before counting; the paper "
        "counts it where it is",
    ],
    verified_by="tests/vision/tracking/test_tracking_by_counting.py",
    limits=[
        "sharp detections at hand: from published ones it gains 0.05 to 0.06 MOTA over linked "
        "peaks only",
    ],
)
class TrackingByCounting:
    r"""Joint detection and tracking on density maps, from the `"Tracking-by-Counting: Using
    Network Flows on Crowd Density Maps for Tracking Multiple Targets"
    <https://arxiv.org/abs/2007.09509>`_ paper: the objects in every sliding window shall be as
    many as the density map says, and every object lies on a path through the frames.

    .. math::
        \min_{x, f} \; \sum_w \Big| \sum_{i} A_{wi} x_i - c_w \Big|
        + \lambda_m \sum_{e} \lVert p_{\mathrm{to}(e)} - p_{\mathrm{from}(e)} \rVert^2 f_e
        + \lambda_b \sum_i (s_i + z_i) - \lambda_d \sum_i D(p_i) x_i

    .. math::
        s_i = x_i - \sum_{e \to i} f_e \ge 0, \quad z_i = x_i - \sum_{i \to e} f_e \ge 0, \quad
        x_i \in \{0, 1\}, \; f_e \in [0, 1]

    with counts :math:`c_w = \sum_{p \in w} D(p)`, births :math:`s` and deaths :math:`z`, free in
    the first and the last frame. Only :math:`x` has to be integer: for given :math:`x` the rest
    is a network flow. There is neither a detection threshold nor non-maximum suppression.

    Memory grows with :math:`N r^2` for the moves and with the windows per candidate; time with
    that of the integer program, linearly in the number of parts.

    Args:
        window (tuple of int, optional): Frames, rows and columns of a counting window. Rows and
            columns should be four times ``sigma`` and more. (default: :obj:`(1, 8, 8)`)
        stride (int, optional): Cells from a window to the next one. (default: :obj:`4`)
        radius (float, optional): Longest move between two frames, in cells.
            (default: :obj:`2.0`)
        threshold (float, optional): Least density of a candidate, in objects per cell.
            (default: :obj:`0.02`)
        lam_motion (float, optional): :math:`\lambda_m`. (default: :obj:`0.05`)
        lam_birth (float, optional): :math:`\lambda_b`; must stay below the number of windows
            that cover a cell, or leaving out an object is cheaper than a short track.
            (default: :obj:`2.0`)
        lam_density (float, optional): :math:`\lambda_d`, the reward of an object per density at
            its candidate; 0 is the program without it. (default: :obj:`3.0`)
        counts (str, optional): ``"indicator"``: :math:`A_{wi}` is 1 inside the window; or
            ``"kernel"``: the mass of a Gaussian at the candidate inside the window.
            (default: ``"indicator"``)
        sigma (float, optional): Width of that Gaussian, in cells. (default: :obj:`1.5`)
        frames (int, optional): Frames that are solved at once. (default: :obj:`24`)
        overlap (int, optional): Frames of a part that the next one solves again.
            (default: :obj:`8`)
        prune (float, optional): Candidates below this in the linear relaxation are left out;
            0 keeps all. (default: :obj:`0.02`)
        gap (float, optional): Relative gap at which the solver may stop. (default: :obj:`0.01`)
        time_limit (float, optional): Seconds per part. (default: :obj:`60.0`)
        max_candidates (int, optional): More candidates in a part are refused.
            (default: :obj:`20000`)
        progress (bool, optional): Whether a terminal shows a bar over the parts.
            (default: :obj:`True`)

    Shapes:
        - **input:** density maps :math:`(T, H, W)`, in objects per cell
        - **output:** a :class:`TrackingSolution`, on the CPU

    Raises:
        ValueError: If an option or the maps are wrong, or there are too many candidates.
        RuntimeError: If the solver finds nothing in time.

    Example:
        >>> import torch
        >>> from graphkit.vision import TrackingByCounting, render_density
        >>> frame = torch.arange(6)
        >>> points = torch.stack([4.0 + 0 * frame, 3.0 + frame], 1)
        >>> solution = TrackingByCounting().solve(render_density(points, frame, (6, 12, 12)))
        >>> frame, track, position = solution.points()
        >>> track.tolist(), position[:, 1].tolist()
        ([0, 0, 0, 0, 0, 0], [3.0, 4.0, 5.0, 6.0, 7.0, 8.0])
    """

    def __init__(
        self,
        window: tuple[int, int, int] = (1, 8, 8),
        stride: int = 4,
        radius: float = 2.0,
        threshold: float = 0.02,
        lam_motion: float = 0.05,
        lam_birth: float = 2.0,
        lam_density: float = 3.0,
        counts: str = "indicator",
        sigma: float = 1.5,
        frames: int = 24,
        overlap: int = 8,
        prune: float = 0.02,
        gap: float = 0.01,
        time_limit: float = 60.0,
        max_candidates: int = 20_000,
        progress: bool = True,
    ) -> None:
        if len(window) != 3 or min(window) < 1 or not 1 <= stride <= min(window[1:]):
            raise ValueError(
                f"'window' must be three positive sizes and 'stride' at most the smaller side, "
                f"got {window} and {stride}"
            )
        if counts not in ("indicator", "kernel"):
            raise ValueError(f"'counts' must be 'indicator' or 'kernel', got {counts!r}")
        if not window[0] <= overlap < frames:
            raise ValueError(
                f"'overlap' must be at least window[0] and less than 'frames', got {overlap}, "
                f"{window[0]} and {frames}"
            )
        self.window, self.stride, self.radius, self.threshold = window, stride, radius, threshold
        self.weights = Weights(lam_motion, lam_birth, lam_density)
        self.sigma = sigma if counts == "kernel" else None
        self.frames, self.overlap, self.max_candidates = frames, overlap, max_candidates
        self.prune, self.gap, self.time_limit = prune, gap, time_limit
        self.progress = progress

    def solve(self, density: Tensor) -> TrackingSolution:
        """The tracks on density maps.

        Args:
            density (torch.Tensor): Density maps.
        """
        if density.dim() != 3 or not density.is_floating_point() or density.size(0) == 0:
            raise ValueError(
                f"'density' must hold floats [T, H, W], got {density.dtype} {list(density.shape)}"
            )
        if not density.isfinite().all() or (density < 0).any():
            raise ValueError("'density' holds NaN, infinite or negative values")
        problem = tracking_problem(
            density.detach().cpu(),
            self.window,
            self.stride,
            self.radius,
            self.threshold,
            self.sigma,
        )
        taken = torch.zeros(len(problem.frame), dtype=torch.bool)
        relaxed, flow = torch.zeros(len(taken)), torch.zeros(problem.square.numel()).bool()
        parts = []
        console, cuts = Console(stderr=True), self.cuts(density.size(0))
        hidden = not (self.progress and console.is_terminal and len(cuts) > 1)
        for begin, end, commit in track(
            cuts, "tracking", console=console, transient=True, disable=hidden
        ):
            result = self.solve_part(problem, begin, end, taken)
            parts.append(result)
            # A part decides its frames but the last few, where it does not know what comes: the
            # next part sees these again, and begins with the last frame that is decided.
            inside = (problem.frame >= begin) & (problem.frame < end)
            decided = problem.frame[inside] < commit
            rows = inside.nonzero().squeeze(1)
            taken[rows[decided]] = result.chosen[decided]
            relaxed[rows[decided]] = result.relaxed[decided]
            # A move is decided when the frame it leads to is.
            moves = inside[problem.move_index].all(0).nonzero().squeeze(1)
            inner = problem.frame[problem.move_index[1, moves]] < commit
            flow[moves[inner]] = result.flow[inner]
        number = follow(problem.move_index[:, flow], taken)
        return TrackingSolution(problem, taken, relaxed, flow, number, tuple(parts))

    def cuts(self, length: int) -> list[tuple[int, int, int]]:
        """First frame of each part, the frame behind its last, and behind those it decides."""
        parts, begin = [], 0
        while True:
            end = min(begin + self.frames, length)
            commit = length if end == length else end - self.overlap + 1
            parts.append((begin, end, commit))
            if end == length:
                return parts
            # One frame in common, in which the parts are tied together.
            begin = commit - 1

    def solve_part(
        self, problem: TrackingProblem, begin: int, end: int, taken: Tensor
    ) -> ProgramResult:
        """Some frames; what the part before has decided in the first of them is given."""
        part, inside = sub_problem(problem, begin, end)
        if len(part.frame) > self.max_candidates:
            raise ValueError(
                f"frames {begin} … {end - 1} have {len(part.frame)} candidates, more than "
                f"'max_candidates' = {self.max_candidates}; raise 'threshold' or lower 'frames'"
            )
        fixed = None
        if begin > 0:
            given = taken[inside].long()
            fixed = torch.where(part.frame == begin, given, -1)
        return solve_program(part, self.weights, fixed, self.prune, self.gap, self.time_limit)


def follow(moves: Tensor, taken: Tensor) -> Tensor:
    """Numbers of the paths that the moves make, in order of their first candidate, else -1."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    # At most one move leads to an object and one leaves it, so a path is a connected component.
    size = len(taken)
    pairs = coo_matrix((torch.ones(moves.size(1)), tuple(moves)), shape=(size, size))
    path = torch.from_numpy(connected_components(pairs, directed=False)[1]).long()
    track = torch.full((size,), -1)
    track[taken] = path[taken].unique(return_inverse=True)[1]
    return track
