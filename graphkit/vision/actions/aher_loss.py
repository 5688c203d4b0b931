"""The objective of AherNet's localising steps."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from graphkit.catalog import no_method
from graphkit.lopsided import watch_terms
from graphkit.refusals import refuse_outside
from graphkit.vision.actions.anchors import hard_negatives, match_anchors, pad_actions
from graphkit.vision.actions.gtan import Proposals
from graphkit.vision.actions.segments import encode, segment_iou

__all__ = ["AherLoss"]


@no_method("the objective of AherNet")
class AherLoss(nn.Module):
    r"""Foreground with hard negatives, class, boundaries and overlap of anchors.

    .. math::
        \mathcal{L} = \lambda_f \mathcal{L}_{fore} + \lambda_c \mathcal{L}_{class} +
        \mathcal{L}_{loc} + \lambda_o \mathcal{L}_{ov}

    Positives overlap an action by :obj:`positive` or more, or are the best anchor of one; as
    many negatives, the worst, overlap none by :obj:`negative`. Classes and boundaries (smooth
    L1 of coded offsets) are judged at positives, overlap (squared error) wherever there is any.
    A batch without actions has one negative per video.

    Args:
        positive (float, optional): Least overlap of a positive. (default: :obj:`0.8`)
        negative (float, optional): Overlap below which an anchor is background.
            (default: :obj:`0.3`)
        foreground (float, optional): :math:`\lambda_f`. (default: :obj:`2.0`)
        kind (float, optional): :math:`\lambda_c`. (default: :obj:`2.0`)
        overlap (float, optional): :math:`\lambda_o`. (default: :obj:`25.0`)

    Shapes:
        - **input:** proposals of :math:`B` videos; for each, actions' segments :math:`(K, 2)` as
          shares of the video, none of length 0, and classes :math:`(K)`
        - **output:** a scalar

    Raises:
        ValueError: If the numbers of videos differ, an option is out of range, an action has no
            length, or its class is none of the proposals'.

    Warns:
        LopsidedWarning: If, in the second call, the gradient of a term on the proposals is over
            a thousand times that of another, and its weight over a hundred times.

    Example:
        >>> import torch
        >>> from graphkit.vision import AherLoss, AherNet
        >>> model = AherNet(8, base=2, target=1, channels=4, num_levels=2)
        >>> truth = [(torch.tensor([[0.2, 0.6]]), torch.tensor([1]))]
        >>> bool(AherLoss()(model(torch.rand(1, 8, 16), "base"), truth) > 0)
        True
    """

    def __init__(
        self,
        positive: float = 0.8,
        negative: float = 0.3,
        foreground: float = 2.0,
        kind: float = 2.0,
        overlap: float = 25.0,
    ) -> None:
        super().__init__()
        if not 0 < negative <= positive <= 1:
            raise ValueError(
                f"'negative' and 'positive' must be in (0, 1], in this order, got {negative} and "
                f"{positive}"
            )
        self.positive, self.negative = positive, negative
        self.foreground, self.kind, self.overlap = foreground, kind, overlap

    def forward(self, found: Proposals, truth: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
        if len(truth) != found.centre.size(0):
            raise ValueError(f"'truth' has {len(truth)} videos, 'found' {found.centre.size(0)}")
        classes = found.logits.size(2) - 1
        refuse_outside("truth", torch.cat([pair[1].long() for pair in truth]), classes)
        segments, kinds = pad_actions(truth, found.centre, classes)
        overlap = segment_iou(anchor_segments(found), segments)
        hit, best, which = match_anchors(overlap, self.positive)
        # Logarithms of probabilities: foreground is what all classes have together.
        fore = found.logits[..., :-1].logsumexp(-1)
        error = -torch.where(hit, fore, found.logits[..., -1])
        background = (best < self.negative) & ~hit
        judged = hit | hard_negatives(error, background, max(int(hit.sum()), len(truth)))
        count = hit.sum().clamp(min=1)
        kind = kinds.gather(1, which)[hit]
        chosen = found.logits[hit].gather(1, kind.unsqueeze(1)).squeeze(1)
        aim = segments.gather(1, which.unsqueeze(-1).expand(-1, -1, 2))[hit]
        offsets = encode(aim, found.centre[hit], found.width[hit])
        location = F.smooth_l1_loss(found.offsets[hit], offsets, reduction="sum") / count
        touching = best > 0
        quality = (found.overlap.sigmoid() - best).square() * touching
        terms = {
            "foreground": (self.foreground, (error * judged).sum() / judged.sum().clamp(min=1)),
            "kind": (self.kind, (fore[hit] - chosen).sum() / count),
            "location": (1.0, location),
            "overlap": (self.overlap, quality.sum() / touching.sum().clamp(min=1)),
        }
        watch_terms(self, terms, (found.logits, found.offsets, found.overlap))
        fore_loss, kind_loss, location, overlap_loss = (w * term for w, term in terms.values())
        return fore_loss + kind_loss + location + overlap_loss

    @torch.no_grad()
    def background(self, anchors: Tensor, truth: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
        """Which anchors overlap no action by :obj:`negative`, ``[B, A]``.

        Args:
            anchors (torch.Tensor): Starts and ends, the same for all videos, ``[A, 2]``.
            truth (sequence of tuple): Segments and classes of each video.
        """
        segments, _ = pad_actions(truth, anchors, 0)
        overlap = segment_iou(anchors.expand(len(segments), -1, -1), segments)
        return overlap.amax(2) < self.negative


def anchor_segments(found: Proposals) -> Tensor:
    """Starts and ends of the anchors, ``[B, A, 2]``."""
    half = found.width / 2
    return torch.stack([found.centre - half, found.centre + half], -1)
