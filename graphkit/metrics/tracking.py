"""CLEAR MOT figures of tracked points, by motmetrics."""

from __future__ import annotations

import warnings

import numpy as np
from torch import Tensor

__all__ = ["clear_mot"]

NAMES = {
    "mota": "mota",
    "idf1": "idf1",
    "num_false_positives": "false_positives",
    "num_misses": "misses",
    "num_switches": "switches",
    "num_objects": "objects",
}


def clear_mot(
    truth: tuple[Tensor, Tensor, Tensor], found: tuple[Tensor, Tensor, Tensor], radius: float
) -> dict[str, float]:
    r"""MOTA, IDF1 and what they are made of, for tracked points, as in the `"Evaluating Multiple
    Object Tracking Performance: The CLEAR MOT Metrics"
    <https://doi.org/10.1155/2008/246309>`_ paper.

    .. math::
        \mathrm{MOTA} = 1 - \frac{\sum_t (\mathrm{misses}_t + \mathrm{false\ positives}_t +
        \mathrm{switches}_t)}{\sum_t \mathrm{objects}_t}

    Args:
        truth (tuple of torch.Tensor): Frame, identity and position of every object.
        found (tuple of torch.Tensor): The same of what a tracker found.
        radius (float): Largest distance of a match.

    Shapes:
        - **input:** frames :math:`(N)`, identities :math:`(N)`, positions :math:`(N, 2)`

    Raises:
        ImportError: If motmetrics is missing.
        ValueError: If there is no true object, or shapes do not fit.

    Example:
        >>> import torch
        >>> track = (torch.arange(4), torch.zeros(4), torch.rand(4, 2))
        >>> scores = clear_mot(track, track, radius=1.0)
        >>> scores["mota"], scores["misses"]
        (1.0, 0.0)
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", FutureWarning)
        try:
            import motmetrics
        except ImportError as error:
            raise ImportError(
                'scoring tracks needs motmetrics: pip install "graphkit[tracking]"'
            ) from error
        record = motmetrics.MOTAccumulator(auto_id=True)
        real, ours = _arrays(truth, "truth"), _arrays(found, "found")
        if len(real[0]) == 0:
            raise ValueError("'truth' holds no object")
        for frame in np.unique(np.concatenate([real[0], ours[0]])):
            here, there = real[0] == frame, ours[0] == frame
            apart = np.linalg.norm(real[2][here][:, None] - ours[2][there], axis=2)
            record.update(real[1][here], ours[1][there], np.where(apart <= radius, apart, np.nan))
        table = motmetrics.metrics.create().compute(record, metrics=list(NAMES), name="all")
    return {ours: float(table[theirs].iloc[0]) for theirs, ours in NAMES.items()}


def _arrays(points: tuple[Tensor, Tensor, Tensor], name: str) -> list[np.ndarray]:
    frame, identity, position = (part.detach().cpu().numpy() for part in points)
    if frame.ndim != 1 or identity.shape != frame.shape or position.shape != (len(frame), 2):
        raise ValueError(
            f"'{name}' must hold frames [N], identities [N] and positions [N, 2], got "
            f"{frame.shape}, {identity.shape} and {position.shape}"
        )
    return [frame, identity, position]
