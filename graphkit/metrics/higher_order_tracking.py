"""HOTA, and IDF1 from the same comparison, in memory."""

from __future__ import annotations

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from graphkit.metrics.tracks import Tracks, checked_tracks, frames_of, overlaps

__all__ = ["hota", "hota_curves"]

ALPHAS = np.arange(0.05, 0.99, 0.05)
EPSILON = np.finfo(float).eps


def hota(
    truth: tuple[Tensor, Tensor, Tensor],
    found: tuple[Tensor, Tensor, Tensor],
    radius: float | None = None,
) -> dict[str, float]:
    r"""HOTA and its parts, the means of :func:`hota_curves`, and IDF1, of the `"HOTA: A Higher
    Order Metric for Evaluating Multi-Object Tracking" <https://arxiv.org/abs/2009.07736>`_ paper.

    .. math::
        \mathrm{HOTA} = \frac{1}{19} \sum_{\alpha \in \{0.05, \ldots, 0.95\}}
        \sqrt{\mathrm{DetA}_\alpha \cdot \mathrm{AssA}_\alpha}

    ``deta``, ``detre`` and ``detpr`` say how well objects were detected, ``assa``, ``assre`` and
    ``asspr`` how well they keep their identity, ``loca`` how well they are placed. ``idf1``,
    ``idre`` and ``idpr`` match whole tracks, at a similarity of one half.

    The similarity of boxes is their intersection over union, that of points
    :math:`\max(0, 1 - d / 2r)`, one half at ``radius``, so that IDF1 is that of
    :func:`clear_mot`. Time grows with the number of frames times the cube of the objects in one.
    For several sequences number their frames and identities apart and join them: the result is
    that of their joint counts.

    Args:
        truth (tuple of torch.Tensor): Frame, identity and place of every object.
        found (tuple of torch.Tensor): The same of what a tracker found.
        radius (float, optional): Distance of points whose similarity is one half; boxes are
            compared without. (default: :obj:`None`)

    Shapes:
        - **input:** frames :math:`(N)`, identities :math:`(N)`, positions :math:`(N, 2)`, or boxes
          :math:`(N, 4)`: left, top, width, height

    Raises:
        ValueError: As :func:`clear_mot`.

    Example:
        >>> import torch
        >>> frame, box = torch.arange(4), torch.rand(4, 4)
        >>> truth, found = (frame, torch.zeros(4), box), (frame, torch.tensor([5, 5, 6, 6]), box)
        >>> scores = hota(truth, found)
        >>> scores["deta"], scores["assa"], round(scores["hota"], 4), scores["idf1"]
        (1.0, 0.5, 0.7071, 0.5)
    """
    real, ours = checked_tracks(truth, found, radius)
    frames = compare(real, ours, radius)
    curves = curves_of(real, ours, frames)
    return {name: float(values.mean()) for name, values in curves.items()} | identity_scores(
        real, ours, frames
    )


def hota_curves(
    truth: tuple[Tensor, Tensor, Tensor],
    found: tuple[Tensor, Tensor, Tensor],
    radius: float | None = None,
) -> dict[str, Tensor]:
    r"""HOTA and its parts at each least similarity :math:`\alpha` of a match, from 0.05 to 0.95,
    of the `"HOTA: A Higher Order Metric for Evaluating Multi-Object Tracking"
    <https://arxiv.org/abs/2009.07736>`_ paper.

    .. math::
        \mathrm{DetA}_\alpha = \frac{|\mathrm{TP}|}{|\mathrm{TP}| + |\mathrm{FN}| + |\mathrm{FP}|},
        \quad \mathrm{AssA}_\alpha = \frac{1}{|\mathrm{TP}|} \sum_{c \in \mathrm{TP}}
        \frac{|\mathrm{TPA}(c)|}{|\mathrm{TPA}(c)| + |\mathrm{FNA}(c)| + |\mathrm{FPA}(c)|}

    Objects of a frame are matched once for all :math:`\alpha`, by similarity times how well their
    tracks agree over time, as the authors' code does. LocA is one where nothing matches.

    Args:
        truth (tuple of torch.Tensor): Frame, identity and place of every object.
        found (tuple of torch.Tensor): The same of what a tracker found.
        radius (float, optional): As in :func:`hota`. (default: :obj:`None`)

    Shapes:
        - **input:** frames :math:`(N)`, identities :math:`(N)`, positions :math:`(N, 2)`, or boxes
          :math:`(N, 4)`
        - **output:** ``hota``, ``deta``, ``assa``, ``loca``, ``detre``, ``detpr``, ``assre`` and
          ``asspr``, each :math:`(19)`

    Raises:
        ValueError: As :func:`clear_mot`.

    Example:
        >>> import torch
        >>> track = (torch.arange(4), torch.zeros(4), torch.rand(4, 4))
        >>> hota_curves(track, track)["hota"].shape
        torch.Size([19])
    """
    real, ours = checked_tracks(truth, found, radius)
    curves = curves_of(real, ours, compare(real, ours, radius))
    return {name: torch.from_numpy(values) for name, values in curves.items()}


Frame = tuple[np.ndarray, np.ndarray, np.ndarray]


def compare(truth: Tracks, found: Tracks, radius: float | None) -> list[Frame]:
    """For each frame the identities of either side, and their similarities."""
    frames = []
    for here, there in frames_of(truth, found):
        real, ours = truth.place[here], found.place[there]
        if radius is None:
            alike = overlaps(real, ours)
        else:
            apart = np.linalg.norm(real[:, None] - ours, axis=2)
            alike = np.maximum(0, 1 - apart / (2 * radius))
        frames.append((truth.identity[here], found.identity[there], alike))
    return frames


def curves_of(truth: Tracks, found: Tracks, frames: list[Frame]) -> dict[str, np.ndarray]:
    """HOTA and its parts, an array over alpha each."""
    # How well any two tracks agree over all frames decides who is matched in each of them.
    lengths = np.bincount(truth.identity, minlength=truth.identities)[:, None]
    others = np.bincount(found.identity, minlength=found.identities)[None]
    agreement = np.zeros((truth.identities, found.identities))
    for real, ours, alike in frames:
        either = alike.sum(0) + alike.sum(1, keepdims=True) - alike
        share = np.divide(alike, either, out=np.zeros_like(alike), where=either > EPSILON)
        agreement[real[:, None], ours] += share
    agreement /= np.maximum(lengths + others - agreement, EPSILON)
    # One match per frame serves all alphas; each keeps the pairs that are alike enough for it.
    first, second, similarity = [], [], []
    for real, ours, alike in frames:
        row, column = linear_sum_assignment(agreement[real[:, None], ours] * alike, maximize=True)
        first.append(real[row])
        second.append(ours[column])
        similarity.append(alike[row, column])
    alike = np.concatenate(similarity)
    pairs, pair = np.unique(
        np.concatenate(first) * max(found.identities, 1) + np.concatenate(second),
        return_inverse=True,
    )
    # Of all pairs of tracks those that were ever matched; the others add nothing.
    length = lengths[pairs // max(found.identities, 1), 0]
    other = others[0, pairs % max(found.identities, 1)]
    rows: dict[str, list[float]] = {}
    for alpha in ALPHAS:
        near = alike >= alpha - EPSILON
        both = np.bincount(pair[near], minlength=len(pairs))
        matches = near.sum()
        row = {
            "deta": matches / (len(truth.frame) + len(found.frame) - matches),
            "assa": both @ (both / np.maximum(length + other - both, 1)) / max(matches, 1),
            "loca": alike[near].sum() / matches if matches else 1.0,
            "detre": matches / len(truth.frame),
            "detpr": matches / max(len(found.frame), 1),
            "assre": both @ (both / np.maximum(length, 1)) / max(matches, 1),
            "asspr": both @ (both / np.maximum(other, 1)) / max(matches, 1),
        }
        for name, value in ({"hota": np.sqrt(row["deta"] * row["assa"])} | row).items():
            rows.setdefault(name, []).append(float(value))
    return {name: np.array(values) for name, values in rows.items()}


def identity_scores(truth: Tracks, found: Tracks, frames: list[Frame]) -> dict[str, float]:
    """IDF1, recall and precision: tracks are matched as wholes, to share most objects."""
    shared = np.zeros((truth.identities, found.identities))
    for real, ours, alike in frames:
        shared[real[:, None], ours] += alike >= 0.5
    right = shared[linear_sum_assignment(shared, maximize=True)].sum()
    total, given = len(truth.frame), len(found.frame)
    return {
        "idf1": float(2 * right / (total + given)),
        "idre": float(right / total),
        "idpr": float(right / max(given, 1)),
    }
