"""Bones fitted to landmarks of real people in video frames, without a label of any action.

Rest, depth, traits and actions of a FaceBones are learned from some people: what stays over a
person's frames is identity, what moves is action. Then the frames of other people are told, those
of a person together (they share an identity) or each on its own (``…_single``).

``icc_mouth_open``, ``icc_brow_raise``, ``icc_eyes_closed``: ICC(3,1) of the actions' intensities,
in units of what they do to the face at rest, with the height measured in the landmarks, both
without the person's mean. ``error…`` is the mean distance of a landmark as a share of that of the
eyes' outer corners; ``error_pca`` that of as many principal components, with landmarks first
brought to the mean face by shift, turn and scale.

``auc_identity``: the first and the second half of each person's frames are fitted apart, and the
question is whether identities are closer within a person than between two. Distances are weighed
by what identity varies between and within people of the training; the covariance within people is
Ledoit's and Wolf's, whose shrinkage leaves nothing to choose. ``auc_frames`` asks it of frames on
their own, ``auc_action`` of the halves' mean actions, ``auc_pca`` of the halves' mean components.
"""

from __future__ import annotations

from typing import Any

import torch
from sklearn.covariance import ledoit_wolf
from sklearn.metrics import roc_auc_score
from torch import Tensor

from benchmarks.problems.faces import centred, load
from graphkit.metrics import intraclass_correlation
from graphkit.vision import FaceBones, FaceFit, fit_faces, measure_faces

MAIN = "auc_identity"
READ = {
    "mouth_open": ("mouth_open",),
    "brow_raise": ("inner_brow_raise", "outer_brow_raise", "brow_lower"),
    "eyes_closed": ("eyes_closed",),
}


def run(
    dataset: dict[str, Any],
    *,
    seed: int,
    free_identities: int = 36,
    free_actions: int = 0,
    steps: int = 200,
    told: int = 120,
    eyes: float = 10.0,
    lips: float = 4.0,
    judges: int | None = None,
    fitting: dict[str, Any] | None = None,
) -> dict[str, float]:
    """One seed; ``steps`` learn the face, ``told`` tell other people, ``eyes`` and ``lips`` weigh
    their landmarks, ``judges`` is the number of people of the training by which distances are
    weighed, all by default, ``fitting`` holds options of :func:`~graphkit.vision.fit_faces`.
    """
    (points, person), (test, stranger) = load(**{**dataset, "seed": seed})
    importance = torch.ones(points.size(1))
    importance[36:48], importance[60:68] = eyes, lips
    options = {"steps": told, "importance": importance, **(fitting or {})}
    begin = FaceBones.standard(free_identities=free_identities, free_actions=free_actions)
    learned = fit_faces(begin, points, person, True, **{**options, "steps": steps})
    face = learned.face
    some = torch.isin(person, person.unique()[:judges])
    shared = fit_faces(face, test, stranger, False, **options)
    single = fit_faces(face, test, torch.arange(len(test)), False, **options)
    metrics = {
        "error_train": error(learned.points(), points),
        "error": error(shared.points(), test),
        "error_single": error(single.points(), test),
        "error_rest": error(onto(face.rest[:, :2].detach(), test), test),
    }
    for name, fitted in (("", shared), ("_single", single)):
        metrics |= {k + name: v for k, v in agreement(fitted, test, stranger).items()}
    identities, actions, poses = face.sizes
    # Shift, turn and scale are taken off in front of the components; the rest is as many numbers.
    mean, axes = components(points, identities + actions + max(poses - 4, 0))
    flat, codes = coded(test, mean, axes)
    metrics["error_pca"] = error(flat, test)
    # Frames on their own are too noisy to tell people by; half of a person's frames are not.
    half, other = halves(person[some]), halves(stranger)
    known = fit_faces(face, points[some], half, False, **options)
    found = fit_faces(face, test, other, False, **options)
    metrics["auc_identity"] = verified(known.identity, found.identity)
    metrics["auc_action"] = verified(mean_of(known.action, half), mean_of(found.action, other))
    flat_known = coded(points[some], mean, axes)[1]
    metrics["auc_pca"] = verified(mean_of(flat_known, half), mean_of(codes, other))
    metrics["auc_frames"] = verified(known.identity, single.identity, stranger)
    return metrics


def error(guess: Tensor, points: Tensor) -> float:
    """Mean distance of a landmark, as a share of the distance of the eyes' outer corners."""
    eyes = (points[:, 36] - points[:, 45]).norm(dim=1)
    return float(((guess - points).norm(dim=2).mean(1) / eyes).mean())


def similarity(source: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Turn with scale, and both means, that bring points nearest to others, frame by frame."""
    middle, aim = source.mean(1, keepdim=True), target.mean(1, keepdim=True)
    a, b = source - middle, target - aim
    # A turn with scale is a product of complex numbers; the nearest one is a quotient of sums.
    size = a.square().sum((1, 2))
    real = (a * b).sum((1, 2)) / size
    other = (a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]).sum(1) / size
    turn = torch.stack([real, other, -other, real], 1).view(-1, 2, 2)
    return turn, middle, aim


def onto(source: Tensor, target: Tensor) -> Tensor:
    """One face brought nearest to each of some frames."""
    source = source.expand_as(target)
    turn, middle, aim = similarity(source, target)
    return (source - middle) @ turn + aim


def components(points: Tensor, count: int, rounds: int = 5) -> tuple[Tensor, Tensor]:
    """Mean face and principal components of frames that are brought to it."""
    mean = points.mean(0)
    for _ in range(rounds):
        turn, middle, _ = similarity(points, mean.expand_as(points))
        at_mean = (points - middle) @ turn
        mean = at_mean.mean(0)
        mean = 0.6 * mean / mean.square().sum(1).mean().sqrt()
    turn, middle, aim = similarity(points, mean.expand_as(points))
    rest = ((points - middle) @ turn + aim - mean).flatten(1)
    axes = torch.linalg.svd(rest, full_matrices=False).Vh[:count]
    return mean, axes


def coded(points: Tensor, mean: Tensor, axes: Tensor) -> tuple[Tensor, Tensor]:
    """Frames as their components say, back where they were, and the components' values."""
    turn, middle, aim = similarity(points, mean.expand_as(points))
    rest = ((points - middle) @ turn + aim - mean).flatten(1)
    code = rest @ axes.t()
    at_mean = (code @ axes).view_as(points) + mean
    return (at_mean - aim) @ torch.linalg.inv(turn) + middle, code


@torch.no_grad()
def agreement(fitted: FaceFit, points: Tensor, person: Tensor) -> dict[str, float]:
    """Consistency of actions read off with heights measured, within people."""
    face, found = fitted.face, {}
    identities = face.sizes[0]
    zero = points.new_zeros(1, face.num_parameters)
    rest, truth = measure_faces(face(zero)), measure_faces(points)
    for name, actions in READ.items():
        guess = points.new_zeros(len(points))
        for action in actions:
            column = face.action_names.index(action)
            moved = zero.clone()
            moved[0, identities + column] = 0.5
            unit = 2 * (measure_faces(face(moved))[name] - rest[name])
            guess = guess + unit * fitted.action[:, column]
        pair = [centred(values, person) for values in (guess, truth[name])]
        found[f"icc_{name}"] = float(intraclass_correlation(torch.stack(pair, 1)))
    return found


def halves(person: Tensor) -> Tensor:
    """A number for the first and one for the second half of each person's frames, in turns."""
    group = person.unique(return_inverse=True)[1]
    order = group.argsort(stable=True)
    count = group.bincount()
    rank = torch.empty_like(group)
    rank[order] = torch.arange(len(group)) - (count.cumsum(0) - count)[group[order]]
    if (count < 2).any():
        raise ValueError("every person must have two frames at least")
    return 2 * group + (2 * rank >= count[group]).long()


def mean_of(values: Tensor, group: Tensor) -> Tensor:
    """Mean of each group's rows."""
    count = group.bincount().unsqueeze(1).to(values.dtype)
    return values.new_zeros(len(count), values.size(1)).index_add(0, group, values) / count


def verified(known: Tensor, codes: Tensor, person: Tensor | None = None) -> float:
    """Area under the curve of "one person" by distance.

    ``known`` holds two rows after one another of each person of the training, who say how much
    what varies between and within people; so do ``codes``, unless ``person`` says whose they are.
    """
    # Shrinkage is towards equal variances, so columns get about these before.
    scale = known.double().std(0).clamp(min=1e-12)
    pairs = (known.double() / scale).unflatten(0, (-1, 2))
    inside = (pairs[:, 0] - pairs[:, 1]) / 2**0.5
    within = torch.from_numpy(ledoit_wolf(inside.numpy(), assume_centered=True)[0])
    between = torch.cov(pairs.mean(1).t()) - within / 2
    # Axes on which people vary by one within, and by less and less between.
    whiten = torch.linalg.inv(torch.linalg.cholesky(within))
    gain, turn = torch.linalg.eigh(whiten @ between @ whiten.t())
    gain = gain.clamp(min=0)
    codes = codes.double() / scale @ (turn.t() @ whiten).t() * (gain / (gain + 1)).sqrt()
    person = torch.arange(len(codes)) // 2 if person is None else person
    first, second = torch.triu_indices(len(codes), len(codes), 1)
    apart = torch.cdist(codes, codes)[first, second]
    return float(roc_auc_score((person[first] == person[second]).numpy(), -apart.numpy()))
