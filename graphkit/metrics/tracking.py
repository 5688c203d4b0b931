"""CLEAR MOT figures of tracked points and boxes, by motmetrics."""

from __future__ import annotations

import warnings

import numpy as np
from torch import Tensor

from graphkit.metrics.tracks import checked_tracks, frames_of, overlaps

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
    truth: tuple[Tensor, Tensor, Tensor],
    found: tuple[Tensor, Tensor, Tensor],
    radius: float | None = None,
    overlap: float = 0.5,
) -> dict[str, float]:
    r"""MOTA, IDF1 and what they are made of, for tracked points or boxes, as in the `"Evaluating
    Multiple Object Tracking Performance: The CLEAR MOT Metrics"
    <https://doi.org/10.1155/2008/246309>`_ paper.

    .. math::
        \mathrm{MOTA} = 1 - \frac{\sum_t (\mathrm{misses}_t + \mathrm{false\ positives}_t +
        \mathrm{switches}_t)}{\sum_t \mathrm{objects}_t}

    Beside it stands :func:`hota`, which weighs who is who as much as who is where.

    Args:
        truth (tuple of torch.Tensor): Frame, identity and place of every object.
        found (tuple of torch.Tensor): The same of what a tracker found.
        radius (float, optional): Largest distance of a match of points; boxes are compared
            without. (default: :obj:`None`)
        overlap (float, optional): Least intersection over union of a match of boxes.
            (default: :obj:`0.5`)

    Shapes:
        - **input:** frames :math:`(N)`, identities :math:`(N)`, positions :math:`(N, 2)`, or boxes
          :math:`(N, 4)`: left, top, width, height

    Raises:
        ImportError: If motmetrics is missing.
        ValueError: If there is no true object, a frame or an identity is no whole number or
            negative, an identity occurs twice in a frame, places are not finite, ``radius`` or
            ``overlap`` is out of range, or shapes do not fit.

    Example:
        >>> import torch
        >>> track = (torch.arange(4), torch.zeros(4), torch.rand(4, 2))
        >>> scores = clear_mot(track, track, radius=1.0)
        >>> scores["mota"], scores["misses"]
        (1.0, 0.0)
    """
    real, ours = checked_tracks(truth, found, radius)
    if not 0 < overlap <= 1:
        raise ValueError(f"'overlap' must be above 0 and at most 1, got {overlap}")
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
        for here, there in frames_of(real, ours):
            if radius is None:
                apart, most = 1 - overlaps(real.place[here], ours.place[there]), 1 - overlap
            else:
                apart = np.linalg.norm(real.place[here][:, None] - ours.place[there], axis=2)
                most = radius
            apart = np.where(apart <= most, apart, np.nan)
            record.update(real.identity[here], ours.identity[there], apart)
        table = motmetrics.metrics.create().compute(record, metrics=list(NAMES), name="all")
    return {ours: float(table[theirs].iloc[0]) for theirs, ours in NAMES.items()}
