"""The bones of real faces, from landmarks alone."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from types import SimpleNamespace

import torch
from rich.progress import track
from torch import Tensor, nn

from graphkit.catalog import no_method
from graphkit.lopsided import watch_terms
from graphkit.precision import positive
from graphkit.vision.faces.bones import FaceBones

__all__ = ["FaceFit", "align_faces", "fit_faces", "measure_faces"]


@no_method("what fit_faces gives")
@dataclass(frozen=True)
class FaceFit:
    """Faces as :class:`FaceBones` tells them.

    Args:
        face (FaceBones): The face, with what was learned about rest, traits and actions.
        identity (torch.Tensor): Of each person, ``[S, I]``.
        person (torch.Tensor): The row of ``identity`` that a frame has, ``[N]``.
        action (torch.Tensor): Of each frame, ``[N, A]``.
        pose (torch.Tensor): Of each frame, ``[N, P]``.
        loss (tuple of float): Mean squared distance of a landmark, at every step.

    Example:
        >>> import torch
        >>> from graphkit.vision import FaceBones, fit_faces
        >>> face = FaceBones.standard()
        >>> points = face(face.draw(4, torch.Generator().manual_seed(0))).detach()
        >>> fit = fit_faces(face, points, torch.tensor([0, 0, 1, 1]), steps=3)
        >>> fit.identity.shape, fit.points().shape
        (torch.Size([2, 5]), torch.Size([4, 68, 2]))
    """

    face: FaceBones
    identity: Tensor
    person: Tensor
    action: Tensor
    pose: Tensor
    loss: tuple[float, ...]

    @property
    def parameters(self) -> Tensor:
        """All parameters of each frame, ``[N, I + A + P]``."""
        return torch.cat([self.identity[self.person], self.action, self.pose], 1)

    @torch.no_grad()
    def points(self) -> Tensor:
        """The landmarks of each frame as the bones place them, ``[N, V, 2]``."""
        return self.face(self.parameters)


def align_faces(points: Tensor, size: float = 0.6) -> Tensor:
    """Faces about the origin, all of one size: the root mean square distance from it.

    Args:
        points (torch.Tensor): Landmarks, columns and rows, ``[N, V, 2]``.
        size (float, optional): The size; of the standard face's order. (default: :obj:`0.6`)

    Raises:
        ValueError: If the shape is wrong, or a frame has no face: a landmark is not finite, or
            all are in one place. The message names the frame.

    Example:
        >>> import torch
        >>> faces = align_faces(100 + 30 * torch.rand(5, 68, 2))
        >>> bool(faces.mean(1).abs().max() < 1e-5)
        True
    """
    if points.dim() != 3 or points.size(2) != 2 or points.size(1) < 2:
        raise ValueError(f"'points' must be [N, V, 2], got {list(points.shape)}")
    middle = points - points.mean(1, keepdim=True)
    extent = middle.square().sum(2).mean(1).sqrt()
    wrong = (~extent.isfinite() | ~(extent > 0)).nonzero().flatten().tolist()
    if wrong:
        raise ValueError(
            f"'points' holds no face in frame {wrong[0]}: landmarks are not finite or all in one "
            f"place ({len(wrong)} of {len(points)} frames); leave such frames out"
        )
    return size * middle / extent[:, None, None]


def fit_faces(
    face: FaceBones,
    points: Tensor,
    person: Tensor,
    learn: bool = True,
    steps: int = 300,
    lr: float = 0.03,
    identity_weight: float = 1e-4,
    action_weight: float = 1e-6,
    basis_weight: float = 1e-3,
    basis_lr: float = 0.003,
    importance: Tensor | None = None,
) -> FaceFit:
    r"""Identity of people, actions and pose of frames, by gradient descent through the bones.

    .. math::
        \min \frac{1}{N} \sum_{nv} i_v \lVert \mathrm{face}(p^{id}_{s(n)}, p^{au}_n, p^{pose}_n)_v
        - x_{nv} \rVert^2 + \lambda_i \overline{(p^{id})^2} + \lambda_a \overline{p^{au}}
        + \lambda_b \lVert D - D_0 \rVert^2

    What stays over a person's frames is identity, what moves is action: frames of a person share
    :math:`p^{id}`, and named actions are never negative.
    With :obj:`learn` rest, depth, traits and actions :math:`D` are learned with them, drawn
    towards those :math:`D_0` that they began as; the given face stays as it is. To fit frames
    one by one, give each a person of its own. Adam, all frames at once: time and memory grow
    with frames times points times bones, and with steps.

    Args:
        face (FaceBones): Where to begin.
        points (torch.Tensor): Landmarks of :func:`align_faces`.
        person (torch.Tensor): Whose they are, any integers.
        learn (bool, optional): Whether the face is learned. (default: :obj:`True`)
        steps (int, optional): Steps of Adam, whose rate falls to zero. (default: :obj:`300`)
        lr (float, optional): For parameters of frames and people. (default: :obj:`0.03`)
        identity_weight (float, optional): :math:`\lambda_i`. (default: :obj:`1e-4`)
        action_weight (float, optional): :math:`\lambda_a`. (default: :obj:`1e-6`)
        basis_weight (float, optional): :math:`\lambda_b`, a mean over :math:`D`.
            (default: :obj:`1e-3`)
        basis_lr (float, optional): For the face. (default: :obj:`0.003`)
        importance (torch.Tensor, optional): Weight of each landmark, ``[V]``: eyes are small, so
            without a larger one their height is lost among what a whole head does.
            (default: all alike)

    Shapes:
        - **input:** points :math:`(N, V, 2)`, person :math:`(N)`
        - **output:** :class:`FaceFit`

    Raises:
        ValueError: If shapes do not fit, a frame has no face, or there is no frame.

    Warns:
        LopsidedWarning: If, in the second step, the gradient of another term is over a thousand
            times that of the landmarks.

    Example:
        >>> import torch
        >>> from graphkit.vision import FaceBones
        >>> face = FaceBones.standard()
        >>> truth = face.draw(6, torch.Generator().manual_seed(0))
        >>> fit = fit_faces(face, face(truth).detach(), torch.arange(6), learn=False, steps=20)
        >>> fit.loss[-1] < fit.loss[0], fit.parameters.shape == truth.shape
        (True, True)
    """
    check(face, points, person, steps)
    people, row = person.to(face.rest.device).unique(return_inverse=True)
    identities, actions, poses = face.sizes
    named = len(face.action_names)
    face = copy.deepcopy(face)
    points = points.detach().to(face.rest)
    # Weights of a mean, so that the other weights mean the same whatever these are.
    share = points.new_ones(points.size(1)) if importance is None else importance.to(points)
    if share.shape != (points.size(1),) or not ((share >= 0).all() and share.sum() > 0):
        raise ValueError(f"'importance' must be {points.size(1)} weights, got {share}")
    share = share / share.sum()
    identity = points.new_zeros(len(people), identities).requires_grad_()
    action = points.new_full((len(points), actions), 0.2)
    action[:, named:] = 0.0
    action.requires_grad_()
    pose = points.new_zeros(len(points), poses).requires_grad_()
    groups = [{"params": [identity, action, pose], "lr": lr}]
    before = {name: value.detach().clone() for name, value in face.named_parameters()}
    face.requires_grad_(learn)
    if learn:
        groups.append({"params": list(face.parameters()), "lr": basis_lr})
    optimizer = torch.optim.Adam(groups)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    fitted: list[Tensor] = [identity, action, pose, *face.parameters()]
    losses, calls = [], SimpleNamespace()
    # Nobody waits for less than this.
    quick = len(points) * steps < 100_000
    for _ in track(range(steps), "fitting faces …", transient=True, disable=quick):
        optimizer.zero_grad()
        seen = face(torch.cat([identity[row], action, pose], 1))
        error = ((seen - points).square().sum(2) * share).sum(1).mean()
        size, motion = identity.square().mean(0).sum(), action.abs().mean(0).sum()
        terms = {
            "points": (1.0, error),
            "identity_weight": (identity_weight, size),
            "action_weight": (action_weight, motion),
        }
        loss = error + identity_weight * size + action_weight * motion
        if learn:
            parts = [(value - before[name]).square().mean() for name, value in basis(face)]
            moved = torch.stack(parts).sum()
            terms["basis_weight"] = basis_weight, moved
            loss = loss + basis_weight * moved
        # Weak priors are meant to be weak: only the landmarks may not be drowned.
        watch_terms(calls, terms, fitted, main="points")
        loss.backward()
        optimizer.step()
        schedule.step()
        # Back to what an intensity may be; a function with that range loses its gradient there.
        action.detach()[:, :named].clamp_(min=0)
        losses.append(float(error.detach()))
    face.requires_grad_(True)
    return FaceFit(face, identity.detach(), row, action.detach(), pose.detach(), tuple(losses))


def basis(face: FaceBones) -> list[tuple[str, nn.Parameter]]:
    """What actions and traits do; the rest is free."""
    return [("identities", face.identities), ("actions", face.actions)]


def check(face: FaceBones, points: Tensor, person: Tensor, steps: int) -> None:
    """Refuses what cannot be fitted."""
    if points.dim() != 3 or points.shape[1:] != (len(face.rest), 2) or not len(points):
        raise ValueError(
            f"'points' must be [N, {len(face.rest)}, 2] with a frame at least, got "
            f"{list(points.shape)}"
        )
    align_faces(points)
    if person.shape != points.shape[:1] or person.is_floating_point():
        raise ValueError(f"'person' must be {len(points)} integers, got {list(person.shape)}")
    if steps < 1:
        raise ValueError(f"'steps' must be at least 1, got {steps}")


def measure_faces(points: Tensor) -> dict[str, Tensor]:
    """What anyone sees of the actions in 68 landmarks, in the landmarks' units.

    ``mouth_open`` is the height of the gap between the lips, ``brow_raise`` that of the brows
    over the eyes' corners, ``eyes_closed`` the negative height of the eyes.

    Args:
        points (torch.Tensor): Landmarks of aligned faces, ``[N, 68, 2]``.

    Example:
        >>> import torch
        >>> sorted(measure_faces(torch.rand(3, 68, 2)))
        ['brow_raise', 'eyes_closed', 'mouth_open']
    """
    if points.dim() != 3 or points.shape[1:] != (68, 2):
        raise ValueError(f"'points' must be [N, 68, 2], got {list(points.shape)}")

    def apart(first: tuple[int, ...], second: tuple[int, ...]) -> Tensor:
        step = points[:, list(first)] - points[:, list(second)]
        return positive(step.square().sum(2)).sqrt().mean(1)

    # Corners of the eyes: lids are another action's.
    eyes = points[:, [36, 39]].mean(1), points[:, [42, 45]].mean(1)
    brows = points[:, 17:22].mean(1), points[:, 22:27].mean(1)
    heights = [(eye - brow).norm(dim=1) for eye, brow in zip(eyes, brows, strict=True)]
    return {
        "mouth_open": apart((61, 62, 63), (67, 66, 65)),
        "brow_raise": (heights[0] + heights[1]) / 2,
        "eyes_closed": -apart((37, 38, 43, 44), (41, 40, 47, 46)),
    }
