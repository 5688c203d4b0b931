"""The objective of GTAN: actions, boundaries, and how good a proposal is."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from graphkit.catalog import no_method
from graphkit.lopsided import watch_terms
from graphkit.refusals import refuse_outside
from graphkit.vision.actions.anchors import hard_negatives, match_anchors, pad_actions
from graphkit.vision.actions.gtan import Proposals
from graphkit.vision.actions.segments import encode, segment_iou

__all__ = ["GTANLoss"]


@no_method("the objective of GTAN")
class GTANLoss(nn.Module):
    r"""Cross entropy with hard negatives, smooth L1 of the boundaries, squared error of overlap.

    .. math::
        \mathcal{L} = \mathcal{L}_{cls} + \beta \mathcal{L}_{loc} + \gamma \mathcal{L}_{ov},
        \quad \mathcal{L}_{loc} = \mathrm{mean}_{a}\Bigl[
        s\Bigl(\frac{\phi_c - g_c}{\alpha g_w}\Bigr)
        + s\Bigl(\frac{1}{\alpha} \log \frac{\phi_w}{g_w}\Bigr)\Bigr]

    :math:`s` is smooth L1, :math:`\phi` a decoded segment, :math:`g` the action's, and the mean
    is over positives: anchors that overlap an action by :obj:`positive` or more, and the best
    anchor of each action. Matching is done anew at each call, without gradient: anchors move
    with the network.

    Errors are measured in widths of the action, not of the anchor as detectors with fixed
    anchors do. In units of an anchor that learns its own width, a shift costs the less the wider
    the anchor gets, while the stretch makes up for the width: all kernels soon take in the whole
    video, and actions lose their positives. Measured by the action, the loss depends on decoded
    segments alone, and it is through them that kernels learn the actions' widths. The weights
    are those of the authors' later AherNet, in units of the first.

    Args:
        positive (float, optional): Least overlap of a positive. (default: :obj:`0.5`)
        location (float, optional): :math:`\beta`. (default: :obj:`0.5`)
        overlap (float, optional): :math:`\gamma`. (default: :obj:`12.5`)
        negatives (float, optional): Hard negatives per positive. (default: :obj:`1.0`)

    Shapes:
        - **input:** proposals of :math:`B` videos; for each, actions' segments :math:`(K, 2)` as
          shares of the video, none of length 0, and classes :math:`(K)`
        - **output:** a scalar

    Raises:
        ValueError: If the numbers of videos differ, or an action has no length.

    Warns:
        LopsidedWarning: If, in the second call, the gradient of a term on the proposals is over a
            thousand times that of another, and its weight over a hundred times.

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
        location: float = 0.5,
        overlap: float = 12.5,
        negatives: float = 1.0,
    ) -> None:
        super().__init__()
        self.positive, self.location = positive, location
        self.overlap, self.negatives = overlap, negatives

    def forward(self, found: Proposals, truth: list[tuple[Tensor, Tensor]]) -> Tensor:
        if len(truth) != found.centre.size(0):
            raise ValueError(f"'truth' has {len(truth)} videos, 'found' {found.centre.size(0)}")
        background = found.logits.size(2) - 1
        refuse_outside("truth", torch.cat([pair[1].long() for pair in truth]), background)
        segments, classes = pad_actions(truth, found.centre, background)
        hit, best, which = self.match(found, segments)
        label = torch.where(hit, classes.gather(1, which), background)
        error = F.cross_entropy(found.logits.transpose(1, 2), label, reduction="none")
        # At least one negative per video: one without actions has no positive to count by.
        wanted = int(max(self.negatives * int(hit.sum()), len(error)))
        judged = hit | hard_negatives(error, found.valid & ~hit, wanted)
        count = judged.sum().clamp(min=1)
        quality = found.overlap.sigmoid()[judged] - best[judged]
        kind = error[judged].sum() / count
        location = self.boundaries(found, hit, segments, which)
        overlap = quality.square().sum() / count
        terms = {
            "classes": (1.0, kind),
            "location": (self.location, location),
            "overlap": (self.overlap, overlap),
        }
        outputs = (found.logits, found.centre, found.width, found.offsets, found.overlap)
        watch_terms(self, terms, outputs)
        return kind + self.location * location + self.overlap * overlap

    @torch.no_grad()
    def match(self, proposals: Proposals, segments: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Whether an anchor is a positive, its best overlap, and with which action."""
        half = proposals.width / 2
        anchors = torch.stack([proposals.centre - half, proposals.centre + half], -1)
        overlap = segment_iou(anchors, segments) * proposals.valid.unsqueeze(-1)
        return match_anchors(overlap, self.positive)

    def boundaries(
        self, proposals: Proposals, hit: Tensor, segments: Tensor, which: Tensor
    ) -> Tensor:
        """Smooth L1 between the positives' decoded segments and their actions'."""
        aim = segments.gather(1, which.unsqueeze(-1).expand(-1, -1, 2))[hit]
        error = encode(proposals.segments()[hit], aim.mean(-1), aim[:, 1] - aim[:, 0])
        zero = torch.zeros_like(error)
        return F.smooth_l1_loss(error, zero, reduction="sum") / hit.sum().clamp(min=1)
