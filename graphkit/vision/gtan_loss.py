"""The objective of GTAN: actions, boundaries, and how good a proposal is."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from graphkit.vision.gtan import Proposals
from graphkit.vision.temporal_segments import encode, segment_iou

__all__ = ["GTANLoss"]


class GTANLoss(nn.Module):
    r"""Cross entropy with hard negatives, smooth L1 of the boundaries, squared error of overlap.

    .. math::
        \mathcal{L} = \mathcal{L}_{cls} + \beta \mathcal{L}_{loc} + \gamma \mathcal{L}_{ov}

    Anchors that overlap an action by :obj:`positive` or more, and the best anchor of each
    action, are positives. Matching is done anew at each call, without gradient: anchors move
    with the network. Boundaries are compared as offsets from the anchor, so that the anchor's
    own scale gets a gradient, too.

    Args:
        positive (float, optional): Least overlap of a positive. (default: :obj:`0.5`)
        location (float, optional): :math:`\beta`. (default: :obj:`1.0`)
        overlap (float, optional): :math:`\gamma`. (default: :obj:`10.0`)
        negatives (float, optional): Hard negatives per positive. (default: :obj:`1.0`)

    Shapes:
        - **input:** proposals of :math:`B` videos; for each, actions' segments :math:`(K, 2)` as
          shares of the video, and classes :math:`(K)`
        - **output:** a scalar

    Example:
        >>> import torch
        >>> from graphkit.vision import GTAN, GTANLoss
        >>> model = GTAN(8, num_classes=2, num_levels=2)
        >>> truth = [(torch.tensor([[0.2, 0.6]]), torch.tensor([1]))]
        >>> bool(GTANLoss()(model(torch.rand(1, 8, 16)), truth) > 0)
        True
    """

    def __init__(
        self,
        positive: float = 0.5,
        location: float = 1.0,
        overlap: float = 10.0,
        negatives: float = 1.0,
    ) -> None:
        super().__init__()
        self.positive, self.location = positive, location
        self.overlap, self.negatives = overlap, negatives

    def forward(self, found: Proposals, truth: list[tuple[Tensor, Tensor]]) -> Tensor:
        if len(truth) != found.centre.size(0):
            raise ValueError(f"'truth' has {len(truth)} videos, 'found' {found.centre.size(0)}")
        matches = [self.match(found, i, segments) for i, (segments, _) in enumerate(truth)]
        hit = torch.stack([match[0] for match in matches])
        best = torch.stack([match[1] for match in matches])
        background = found.logits.size(2) - 1
        label = torch.full_like(hit, background, dtype=torch.long)
        box = torch.zeros_like(found.offsets)
        for i, (segments, classes) in enumerate(truth):
            if len(classes):
                which = matches[i][2]
                label[i] = torch.where(hit[i], classes[which], background)
                box[i] = segments[which].to(box.dtype)
        error = F.cross_entropy(found.logits.transpose(1, 2), label, reduction="none")
        chosen = hit | self.hard_negatives(error.detach(), hit, found.valid)
        count = hit.sum().clamp(min=1)
        loss = error[chosen].sum() / chosen.sum().clamp(min=1)
        aim = encode(box[hit], found.centre[hit], found.width[hit])
        loss = (
            loss
            + self.location * F.smooth_l1_loss(found.offsets[hit], aim, reduction="sum") / count
        )
        quality = found.overlap.sigmoid()[chosen] - best[chosen]
        return loss + self.overlap * quality.square().sum() / chosen.sum().clamp(min=1)

    @torch.no_grad()
    def match(self, found: Proposals, i: int, segments: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Whether an anchor is a positive, its best overlap, and with which action."""
        half = found.width[i] / 2
        anchors = torch.stack([found.centre[i] - half, found.centre[i] + half], 1)
        overlap = segment_iou(anchors, segments.to(anchors.dtype))
        overlap = overlap * found.valid[i].unsqueeze(1)
        if not len(segments):
            zero = torch.zeros_like(half)
            return zero.bool(), zero, zero.long()
        best, which = overlap.max(1)
        hit = best >= self.positive
        top, anchor = overlap.max(0)
        hit[anchor[top > 0]] = True
        which[anchor[top > 0]] = torch.arange(len(segments), device=which.device)[top > 0]
        return hit, best, which

    def hard_negatives(self, error: Tensor, hit: Tensor, valid: Tensor) -> Tensor:
        """The worst negatives of the batch, so many per positive, at least one per video."""
        open_ = valid & ~hit
        count = int(max(self.negatives * int(hit.sum()), len(error)))
        score = error.masked_fill(~open_, -torch.inf).flatten()
        worst = score.topk(min(count, int(open_.sum()))).indices
        chosen = torch.zeros_like(score, dtype=torch.bool)
        chosen[worst] = True
        return chosen.view_as(hit)
