"""Tracking by counting as graphs: the program that was solved, and the objects that it found."""

from __future__ import annotations

import torch
from torch import Tensor
from torch_geometric.data import Data, HeteroData

from graphkit.adapters.builders import complete_edges
from graphkit.adapters.graph_adapter import GraphAdapter, Schema
from graphkit.precision import positive
from graphkit.vision.tracking.tracking_by_counting import TrackingSolution

__all__ = ["TrackGraphAdapter", "TrackingAdapter"]

MOVES = ("candidate", "moves_to", "candidate")
TRACK = ("candidate", "continues_as", "candidate")
IN = ("candidate", "in", "window")
COUNTS = ("window", "counts", "candidate")


class TrackingAdapter(GraphAdapter):
    r"""The program of :class:`~graphkit.vision.TrackingByCounting` and its solution as a graph.

    Candidates are the variables, windows the constraints, ``in`` the coefficients; learning to
    classify candidates is learning to solve the program, classifying ``moves_to`` is data
    association. Labels are the solver's choices, not the truth.

    Args:
        patch (int, optional): Side of the density patch that the program remembers.
            (default: :obj:`5`)

    Shapes:
        - **input:** a :class:`~graphkit.vision.tracking.tracking_by_counting.TrackingSolution`
        - **output:** ``candidate.x`` :math:`(N, 5 + P^2)`: density, relaxed choice, row, column
          and frame as shares of the video, density patch; ``window.x`` :math:`(W, 3)`: counted
          objects, area in cells, frame; ``edge_attr`` of ``moves_to`` :math:`(E, 4)`: step in
          rows and columns, length, change of density

    Example:
        >>> import torch
        >>> from graphkit.adapters import TrackingAdapter
        >>> from graphkit.vision import TrackingByCounting, render_density
        >>> frame = torch.arange(4)
        >>> points = torch.stack([5.0 + 0 * frame, 3.0 + frame], 1)
        >>> solution = TrackingByCounting().solve(render_density(points, frame, (4, 12, 12)))
        >>> graph = TrackingAdapter()(solution)
        >>> int(graph["candidate"].y.sum()), graph["continues_as"].num_edges
        (4, 3)
    """

    def __init__(self, patch: int = 5) -> None:
        super().__init__()
        # `in` and `counts` are one relation in both directions, so that a layer per direction
        # can pass messages from windows to candidates as well as back.
        self.schema = Schema(
            node={
                "candidate": "a cell of a density map in which an object may be",
                "window": "a window in space and time with a counted number of objects",
            },
            edge={
                "candidate.moves_to.candidate": "a possible move to the next frame",
                "candidate.in.window": "how much of an object there the window counts",
                "window.counts.candidate": "the reverse of in",
                "candidate.continues_as.candidate": "from an object to itself in the next frame",
            },
            attributes={
                "candidate.x": ("N", 5 + patch**2),
                "candidate.pos": ("N", 2),
                "candidate.time": ("N",),
                "candidate.track": ("N",),
                "candidate.y": ("N",),
                "window.x": ("N", 3),
                "window.time": ("N",),
                "window.y": ("N",),
                "candidate.moves_to.candidate.edge_index": (2, "E"),
                "candidate.moves_to.candidate.edge_attr": ("E", 4),
                "candidate.moves_to.candidate.y": ("E",),
                "candidate.in.window.edge_index": (2, "E"),
                "candidate.in.window.edge_weight": ("E",),
                "window.counts.candidate.edge_index": (2, "E"),
                "window.counts.candidate.edge_weight": ("E",),
                "candidate.continues_as.candidate.edge_index": (2, "E"),
            },
            y="the solver's choice: candidate taken, move made; of a window its rounded count",
        )

    def forward(self, solution: TrackingSolution) -> HeteroData:
        """The graph of one video."""
        problem, data = solution.problem, HeteroData()
        row, col = problem.position.unbind(1)
        frames, height, width = problem.size
        # Places as shares of the image: graphs of images of any size look alike.
        place = torch.stack([row / height, col / width, problem.frame / frames], 1)
        head = torch.stack([problem.density, solution.relaxed], 1)
        data["candidate"].update(
            {
                "x": torch.cat([head, place, problem.patch], 1).float(),
                "pos": problem.position.float(),
                "time": problem.frame,
                "track": solution.track,
                "y": solution.chosen.long(),
                "num_nodes": len(problem.frame),
            }
        )
        window = [problem.window_count, problem.window_area, problem.window_frame / frames]
        data["window"].update(
            {
                "x": torch.stack(window, 1).float(),
                "time": problem.window_frame,
                "y": problem.window_count.round().long(),
                "num_nodes": len(problem.window_count),
            }
        )
        source, target = problem.move_index
        step = problem.position[target] - problem.position[source]
        change = (problem.density[target] - problem.density[source]).abs()
        moves = torch.cat([step, step.norm(dim=1, keepdim=True), change.unsqueeze(1)], 1)
        data[MOVES].edge_index, data[MOVES].edge_attr = problem.move_index, moves.float()
        data[MOVES].y = solution.flow.long()
        data[TRACK].edge_index = problem.move_index[:, solution.flow]
        for kind, index in ((IN, problem.member_index), (COUNTS, problem.member_index.flip(0))):
            # One number per pair of ends sorts edges as `coalesce` would; weights follow them.
            columns = max(data[kind[2]].num_nodes, 1)
            order = (index[0] * columns + index[1]).argsort()
            data[kind].edge_index = index[:, order]
            data[kind].edge_weight = problem.member_weight[order].float()
        return data.detach()


class TrackGraphAdapter(GraphAdapter):
    r"""Tracked objects as nodes, with an edge to whatever each may be some frames later.

    .. math::
        \mathcal{E} = \{(i, j) : 0 < t_j - t_i \le K, \;
        \lVert p_j - p_i \rVert_2 \le r_0 + r (t_j - t_i)\}

    Learned data association classifies the edges, as in MPNTrack. Any tracker's points will
    do; without a tracker give each point a number of its own.

    Args:
        frames (int, optional): Most frames :math:`K` that an edge leads ahead.
            (default: :obj:`5`)
        reach (float, optional): :math:`r_0`, in cells. (default: :obj:`3.0`)
        speed (float, optional): :math:`r`, in cells per frame. (default: :obj:`1.0`)
        size (tuple of int, optional): Rows and columns of the image, in cells.
            (default: :obj:`(40, 54)`)

    Shapes:
        - **input:** frames :math:`(N)`, numbers of tracks :math:`(N)`, rows and columns
          :math:`(N, 2)`
        - **output:** ``x`` :math:`(N, 4)`: row and column as shares of the image, objects in the
          frame, distance to the nearest of them as a share; ``edge_attr`` :math:`(E, 6)`:
          frames ahead, velocity in rows and columns, its length, distance, whether the tracker
          calls both ends the same object

    Example:
        >>> import torch
        >>> from graphkit.adapters import TrackGraphAdapter
        >>> frame, track = torch.tensor([0, 0, 1]), torch.tensor([0, 1, 0])
        >>> points = torch.tensor([[1.0, 1.0], [9.0, 9.0], [1.0, 2.0]])
        >>> TrackGraphAdapter()(frame, track, points).edge_index
        tensor([[0],
                [2]])
    """

    schema = Schema(
        node="an object in a frame",
        edge="may be the same object in a later frame",
        attributes={
            "x": ("N", 4),
            "pos": ("N", 2),
            "time": ("N",),
            "track": ("N",),
            "edge_index": (2, "E"),
            "edge_attr": ("E", 6),
        },
        differentiable=("x", "pos", "edge_attr"),
    )

    def __init__(
        self,
        frames: int = 5,
        reach: float = 3.0,
        speed: float = 1.0,
        size: tuple[int, int] = (40, 54),
    ) -> None:
        super().__init__()
        if frames < 1:
            raise ValueError(f"'frames' must be at least 1, got {frames}")
        self.frames, self.reach, self.speed, self.size = frames, reach, speed, size

    def forward(self, frame: Tensor, track: Tensor, position: Tensor) -> Data:
        """The graph of one video."""
        if not len(frame) == len(track) == len(position) or position.shape[1:] != (2,):
            raise ValueError(
                f"'frame' {list(frame.shape)}, 'track' {list(track.shape)} and 'position' "
                f"{list(position.shape)} must be [N], [N] and [N, 2]"
            )
        edges = later_edges(frame, self.frames)
        ahead = frame[edges[1]] - frame[edges[0]]
        far = (position[edges[1]] - position[edges[0]]).detach().norm(dim=1)
        near = far <= self.reach + self.speed * ahead
        edges, ahead = edges[:, near], ahead[near].to(position.dtype)
        step = position[edges[1]] - position[edges[0]]
        length = positive(step.square().sum(1)).sqrt()
        same = (track[edges[0]] == track[edges[1]]).to(position.dtype)
        velocity = step / ahead.unsqueeze(1)
        attr = [ahead, *velocity.unbind(1), length / ahead, length, same]
        extent = position.new_tensor(self.size)
        crowd = frame.bincount()[frame].to(position.dtype) if len(frame) else ahead.new_empty(0)
        return Data(
            x=torch.cat(
                [position / extent, crowd[:, None], alone(frame, position, extent)], 1
            ).float(),
            pos=position.float(),
            time=frame,
            track=track,
            edge_index=edges,
            edge_attr=torch.stack(attr, 1).float(),
            num_nodes=len(frame),
        )


def later_edges(frame: Tensor, most: int) -> Tensor:
    """Edges from each object to all objects of the next ``most`` frames, coalesced."""
    order = frame.argsort(stable=True)
    when = frame[order].contiguous()
    first = torch.searchsorted(when, when, right=True)
    behind = torch.searchsorted(when, when + most, right=True)
    count = behind - first
    source = torch.arange(len(frame), device=frame.device).repeat_interleave(count)
    begin = (count.cumsum(0) - count).repeat_interleave(count)
    target = torch.arange(len(source), device=frame.device) - begin + first[source]
    edges = torch.stack([order[source], order[target]])
    return edges[:, (edges[0] * max(len(frame), 1) + edges[1]).argsort()]


def alone(frame: Tensor, position: Tensor, extent: Tensor) -> Tensor:
    """Distance to the nearest object of the same frame, in widths of the image, at most 1."""
    edges = complete_edges(frame)
    apart = positive((position[edges[0]] - position[edges[1]]).square().sum(1)).sqrt()
    nearest = position.new_full((len(frame),), 1.0)
    nearest = nearest.scatter_reduce(0, edges[0], apart / extent[1], "amin")
    return nearest.unsqueeze(1)
