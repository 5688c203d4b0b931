"""A face that bones move."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from graphkit.catalog import method, no_method
from graphkit.ops.dtypes import is_half
from graphkit.precision import positive
from graphkit.refusals import refuse_infinite
from graphkit.vision.faces import rig
from graphkit.vision.faces.strokes import draw_strokes

__all__ = ["FaceBones", "FaceParameters"]

POSES = {"pitch": 0.3, "yaw": 0.5, "roll": 0.3, "scale": 0.15, "column": 0.15, "row": 0.15}
"""Kinds of pose and how far :meth:`FaceBones.draw` goes: radians, logarithm, units."""


@no_method("the parameters of a face by their meaning")
class FaceParameters(NamedTuple):
    """What :class:`FaceBones` is told.

    Args:
        identity (torch.Tensor): What stays of a person, ``[*, I]``.
        action (torch.Tensor): Intensities of action units, ``[*, A]``.
        pose (torch.Tensor): Where and how the head is held, ``[*, P]``.

    Example:
        >>> import torch
        >>> from graphkit.vision import FaceBones
        >>> FaceBones.standard().split(torch.zeros(2, 19)).action.shape
        torch.Size([2, 8])
    """

    identity: Tensor
    action: Tensor
    pose: Tensor


@method(
    paper="arXiv:2008.08862",
    title="Unsupervised Learning Facial Parameter Regressor for Action Unit Intensity Estimation "
    "via Differentiable Renderer",
    authors="Xinhui Song, Tianyang Shi, Zunlei Feng, Mingli Song, Jackie Lin, Chuanjie Lin, "
    "Changjie Fan, Yi Yuan",
    venue="ACM MM 2020",
    year=2020,
    code=None,
    licence="none",
    takes="parameters of identity, action units and pose",
    gives="landmarks, bones, drawings of a face",
    deviations=[
        "there is no released code, and the game's face with its bones is not public: seventeen "
        "bones and 68 landmarks of our own stand for it",
        "what is drawn are lines between landmarks, in torch and with gradients, not textured "
        "skin in a game's engine; Imitator works with any engine",
        "heads are seen from infinitely far away",
    ],
    verified_by="benchmarks/recipes/bdfm-landmarks.yaml, tests/vision/faces/test_bones.py",
    limits=[
        "exact geometry: as many principal components reconstruct landmarks better",
    ],
)
class FaceBones(nn.Module):
    r"""The bone-driven face of the `"Unsupervised Learning Facial Parameter Regressor for Action
    Unit Intensity Estimation via Differentiable Renderer" <https://arxiv.org/abs/2008.08862>`_
    paper: parameters move bones, bones move a skin.

    .. math::
        o_b = \sum_k p_k D^{id}_{kb} + \sum_a p_a D^{au}_{ab}, \qquad
        G_b = G_{\pi(b)} \, T(o_b), \qquad
        v = \Pi_{pose} \sum_b w_{vb} G_b \, \bar v

    An offset is a shift, a turn and the logarithm of a growth about the bone's place;
    :math:`\pi(b)` is the bone's parent, :math:`\bar v` a point of the skin at rest, :math:`\Pi`
    a turn of the head, a scale and a shift in the image. The offsets are linear in the
    parameters; without parameters the face is at rest. Rest, :math:`D^{id}` and :math:`D^{au}`
    are parameters of the module, so :func:`~graphkit.vision.fit_faces` can learn them; bones
    that are not a tree are refused. Time and memory grow with faces times points times bones.

    Args:
        rest (torch.Tensor): The skin at rest: columns, rows, depth towards the viewer.
        places (torch.Tensor): Where the bones are at rest.
        parents (sequence of int): The parent of each bone; the root is its own.
        weights (torch.Tensor): The share of each bone in each point's motion.
        identities (torch.Tensor): :math:`D^{id}`.
        actions (torch.Tensor): :math:`D^{au}`.
        pose (sequence of str, optional): What the head may do, of ``"pitch"``, ``"yaw"``,
            ``"roll"`` (radians), ``"scale"`` (logarithm), ``"column"`` and ``"row"``.
            (default: all)
        strokes (sequence, optional): Pairs of points between which :meth:`render` draws lines.

    Shapes:
        - **rest, places:** :math:`(V, 3)`, :math:`(B, 3)`; **weights:** :math:`(V, B)`
        - **identities, actions:** :math:`(I, B, 7)`, :math:`(A, B, 7)`
        - **input:** parameters :math:`(N, I + A + P)`, in that order
        - **output:** points :math:`(N, V, 2)`, columns and rows

    Raises:
        ValueError: If shapes do not fit, the bones are no tree, a name is unknown, or parameters
            are not finite.

    Example:
        >>> import torch
        >>> from graphkit.vision import FaceBones
        >>> face = FaceBones.standard(pose=("yaw",))
        >>> face.num_parameters, face(torch.zeros(1, 14)).shape
        (14, torch.Size([1, 68, 2]))
        >>> face.render(face.draw(2, torch.Generator().manual_seed(0))).shape
        torch.Size([2, 1, 32, 32])
    """

    parents: Tensor
    places: Tensor
    weights: Tensor
    strokes: Tensor

    def __init__(
        self,
        rest: Tensor,
        places: Tensor,
        parents: Sequence[int],
        weights: Tensor,
        identities: Tensor,
        actions: Tensor,
        pose: Sequence[str] = tuple(POSES),
        strokes: Sequence[tuple[int, int]] = (),
        action_names: Sequence[str] = (),
    ) -> None:
        super().__init__()
        points, bones = weights.shape
        shapes = {
            "rest": (rest, (points, 3)),
            "places": (places, (bones, 3)),
            "identities": (identities, (len(identities), bones, rig.FREEDOMS)),
            "actions": (actions, (len(actions), bones, rig.FREEDOMS)),
        }
        for name, (tensor, shape) in shapes.items():
            if tensor.shape != shape:
                raise ValueError(f"{name!r} must be {list(shape)}, got {list(tensor.shape)}")
        unknown = [name for name in pose if name not in POSES]
        if unknown or len(set(pose)) < len(pose):
            raise ValueError(f"'pose' must be different ones of {[*POSES]}, got {list(pose)}")
        self.pose, self.action_names = tuple(pose), tuple(action_names)
        self.steps = steps_to_root(list(parents), bones)
        self.register_buffer("parents", torch.tensor(list(parents)))
        self.register_buffer("places", places.clone())
        self.register_buffer("weights", weights.clone())
        self.register_buffer("strokes", torch.tensor(list(strokes), dtype=torch.long).view(-1, 2))
        self.rest = nn.Parameter(rest.clone())
        self.identities = nn.Parameter(identities.clone())
        self.actions = nn.Parameter(actions.clone())

    @classmethod
    def standard(
        cls,
        identities: Sequence[str] = tuple(rig.IDENTITIES),
        actions: Sequence[str] = tuple(rig.ACTIONS),
        pose: Sequence[str] = tuple(POSES),
        eyes: float = 1.0,
        free_identities: int = 0,
        free_actions: int = 0,
    ) -> FaceBones:
        r"""The standard face of 68 landmarks and the 17 bones of the layout ``"face-17"``.

        Args:
            identities (sequence of str, optional): Named traits. (default: all)
            actions (sequence of str, optional): Named action units. (default: all)
            pose (sequence of str, optional): What the head may do. (default: all)
            eyes (float, optional): Height of the eyes; drawings of few pixels need high ones.
                (default: :obj:`1.0`)
            free_identities (int, optional): Further traits, which begin as small random moves
                and are there to be learned. (default: :obj:`0`)
            free_actions (int, optional): Further actions of that kind. (default: :obj:`0`)
        """
        if free_identities < 0 or free_actions < 0 or eyes <= 0:
            raise ValueError(
                f"'free_identities' and 'free_actions' must not be negative and 'eyes' positive, "
                f"got {free_identities}, {free_actions} and {eyes}"
            )
        rest = rig.neutral_face(eyes)
        places = rig.bone_places(rest)
        generator = torch.Generator().manual_seed(0)
        count = free_identities + free_actions
        free = 0.02 * torch.randn(count, len(places), rig.FREEDOMS, generator=generator)
        traits, more = free.split([free_identities, free_actions])
        return cls(
            rest,
            places,
            rig.PARENTS,
            rig.skin_weights(rest, places),
            torch.cat([rig.moves_of(rig.IDENTITIES, identities), traits]),
            torch.cat([rig.moves_of(rig.ACTIONS, actions, eyes), more]),
            pose,
            rig.STROKES,
            actions,
        )

    @property
    def sizes(self) -> tuple[int, int, int]:
        """Numbers of identity, of actions and of pose."""
        return len(self.identities), len(self.actions), len(self.pose)

    @property
    def num_parameters(self) -> int:
        """How many numbers tell a face."""
        return sum(self.sizes)

    def split(self, parameters: Tensor) -> FaceParameters:
        """Parameters by their meaning; refuses those that are none."""
        if parameters.dim() != 2 or parameters.size(1) != self.num_parameters:
            raise ValueError(
                f"'parameters' must be [N, {self.num_parameters}], got {list(parameters.shape)}"
            )
        if is_half(parameters):
            refuse_infinite("parameters", parameters)
        elif not torch.compiler.is_compiling() and not parameters.sum().isfinite():
            raise ValueError("'parameters' holds NaN or infinite values")
        return FaceParameters(*parameters.split(self.sizes, 1))

    def offsets(self, parameters: Tensor) -> Tensor:
        """What the bones are told: shift, turn, growth, ``[N, B, 7]``, linear in parameters."""
        identity, action, _ = self.split(parameters)
        return torch.tensordot(identity, self.identities, 1) + torch.tensordot(
            action, self.actions, 1
        )

    def transforms(self, offsets: Tensor) -> tuple[Tensor, Tensor]:
        """The maps :math:`x \\mapsto M x + c` of all bones, ``[N, B, 3, 3]``, ``[N, B, 3]``."""
        shift, turn, growth = offsets.split([3, 3, 1], -1)
        matrix = growth.exp().unsqueeze(-1) * rotation(turn)
        constant = self.places + shift - (matrix @ self.places.unsqueeze(-1)).squeeze(-1)
        above = self.parents
        is_root = above == torch.arange(len(above), device=above.device)
        # Every pass doubles how many ancestors a bone's map has taken in, so that a tree of any
        # shape costs the logarithm of its height; the root's own map is taken in once.
        done = is_root
        for _ in range(self.steps):
            upper, base = matrix[:, above], constant[:, above]
            joined, moved = upper @ matrix, (upper @ constant.unsqueeze(-1)).squeeze(-1) + base
            matrix = torch.where(done[:, None, None], matrix, joined)
            constant = torch.where(done[:, None], constant, moved)
            done, above = done | done[above], above[above]
        return matrix, constant

    def bones(self, parameters: Tensor) -> Tensor:
        """Where the bones are, before the pose, ``[N, B, 3]``."""
        matrix, constant = self.transforms(self.offsets(parameters))
        return (matrix @ self.places.unsqueeze(-1)).squeeze(-1) + constant

    def skin(self, parameters: Tensor) -> Tensor:
        """The points of the skin, before the pose, ``[N, V, 3]``."""
        matrix, constant = self.transforms(self.offsets(parameters))
        maps = torch.cat([matrix, constant.unsqueeze(-1)], -1).flatten(2)
        mixed = (self.weights @ maps).unflatten(2, (3, 4))
        return (mixed[..., :3] @ self.rest.unsqueeze(-1)).squeeze(-1) + mixed[..., 3]

    def project(self, points: Tensor, parameters: Tensor) -> Tensor:
        """Points as the image shows them after the pose, ``[N, V, 2]``."""
        pose = dict(zip(self.pose, self.split(parameters).pose.unbind(1), strict=True))
        zero = points.new_zeros(len(points))
        turn = torch.stack([pose.get(name, zero) for name in ("pitch", "yaw", "roll")], 1)
        seen = points @ rotation(turn)[:, :2].transpose(1, 2)
        shift = torch.stack([pose.get(name, zero) for name in ("column", "row")], 1)
        return pose.get("scale", zero).exp()[:, None, None] * seen + shift.unsqueeze(1)

    def forward(self, parameters: Tensor) -> Tensor:
        """The landmarks in the image.

        Args:
            parameters (torch.Tensor): Identity, actions, pose.
        """
        return self.project(self.skin(parameters), parameters)

    def render(self, parameters: Tensor, size: int = 32, width: float = 0.04) -> Tensor:
        """Drawings of faces, ``[N, 1, size, size]``; see :func:`~graphkit.vision.draw_strokes`."""
        return draw_strokes(self(parameters), self.strokes, size, width)

    def bounds(self) -> tuple[Tensor, Tensor]:
        """Least and largest plausible parameters."""
        identities, actions, _ = self.sizes
        reach = [POSES[name] for name in self.pose]
        low = [-1.0] * identities + [0.0] * actions + [-far for far in reach]
        high = [1.0] * (identities + actions) + reach
        return self.rest.new_tensor(low), self.rest.new_tensor(high)

    def draw(self, count: int, generator: torch.Generator, active: float = 0.5) -> Tensor:
        """Random plausible parameters, ``[count, P]``; each action is there or not.

        Args:
            count (int): How many.
            generator (torch.Generator): For all of it.
            active (float, optional): Share of the actions that are there. (default: :obj:`0.5`)
        """
        low, high = self.bounds()
        size, device = (2, count, len(low)), generator.device
        share, chance = torch.rand(size, generator=generator, device=device).to(low)
        on = chance < active
        identities, actions, _ = self.sizes
        on[:, :identities] = True
        on[:, identities + actions :] = True
        return torch.where(on, low + (high - low) * share, low)


def steps_to_root(parents: list[int], bones: int) -> int:
    """How often ancestors are doubled until each bone knows the root."""
    if len(parents) != bones or not all(0 <= parent < bones for parent in parents):
        raise ValueError(f"'parents' must be {bones} numbers of bones, got {parents}")
    roots = [bone for bone, parent in enumerate(parents) if bone == parent]
    above, steps = list(parents), 0
    while 2**steps < bones:
        above, steps = [above[bone] for bone in above], steps + 1
    if len(roots) != 1 or set(above) != set(roots):
        raise ValueError(f"'parents' must be a tree with one root, got {parents}")
    above, steps = list(parents), 1
    while set(above) != set(roots):
        above, steps = [above[bone] for bone in above], steps + 1
    return steps


def rotation(turn: Tensor) -> Tensor:
    r"""Matrices of turns about axes by their lengths, ``[*, 3]`` to ``[*, 3, 3]``.

    .. math::
        R = I + \frac{\sin \theta}{\theta} K + \frac{1 - \cos \theta}{\theta^2} K^2
    """
    angle = positive(turn.square().sum(-1)).sqrt()[..., None, None]
    x, y, z = turn.unbind(-1)
    zero = torch.zeros_like(x)
    cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).unflatten(-1, (3, 3))
    eye = torch.eye(3, dtype=turn.dtype, device=turn.device)
    # Both factors by sinc, which is exact where the angle is nothing.
    first = torch.sinc(angle / torch.pi)
    second = 0.5 * torch.sinc(angle / (2 * torch.pi)).square()
    return eye + first * cross + second * (cross @ cross)
