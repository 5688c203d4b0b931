"""Losses on embeddings and class probabilities of a batch."""

from __future__ import annotations

import torch
from torch import Tensor

from graphkit.catalog import method
from graphkit.precision import normalize, wide

__all__ = ["batch_nuclear_norm", "multi_similarity_loss", "smoothed_cross_entropy"]


@method(
    paper="arXiv:1904.06627",
    title="Multi-Similarity Loss with General Pair Weighting for Deep Metric Learning",
    authors="Xun Wang, Xintong Han, Weilin Huang, Dengke Dong, Matthew R. Scott",
    venue="CVPR 2019",
    year=2019,
    code="https://github.com/msight-tech/research-ms-loss",
    licence="CC BY-NC 4.0",
    takes="embeddings and labels of a batch",
    gives="a scalar",
    deviations=[
        "beta is 40, as in SSKD's program; the paper has 50 and a threshold of 1",
        "variant='released' leaves out positives of similarity above 1 - 1e-5, and anchors "
        "without a mined positive or without a mined negative",
    ],
    verified_by="tests/vision/reid/test_losses.py",
)
def multi_similarity_loss(
    x: Tensor,
    y: Tensor,
    alpha: float = 2.0,
    beta: float = 40.0,
    threshold: float = 0.5,
    margin: float = 0.1,
    variant: str = "paper",
) -> Tensor:
    r"""The loss of the `"Multi-Similarity Loss with General Pair Weighting for Deep Metric
    Learning" <https://arxiv.org/abs/1904.06627>`_ paper, on cosines :math:`s`.

    .. math::
        \frac{1}{B} \sum_i \Big[ \tfrac{1}{\alpha} \log \big(1 + \sum_{k \in P_i}
        e^{-\alpha (s_{ik} - \lambda)} \big) + \tfrac{1}{\beta} \log \big(1 +
        \sum_{k \in N_i} e^{\beta (s_{ik} - \lambda)} \big) \Big]

    :math:`P_i` are the positives less similar than the most similar negative plus the margin,
    :math:`N_i` the negatives more similar than the least similar positive minus the margin.
    Without such a pair the loss is 0, and its gradient too. Time and memory grow with
    :math:`B^2`.

    Args:
        x (torch.Tensor): Embeddings, of any length.
        y (torch.Tensor): Labels.
        alpha, beta (float, optional): :math:`\alpha`, :math:`\beta`. (default: 2 and 40)
        threshold (float, optional): :math:`\lambda`. (default: :obj:`0.5`)
        margin (float, optional): Of the mining. (default: :obj:`0.1`)
        variant (str, optional): ``"paper"`` or ``"released"``. (default: ``"paper"``)

    Shapes:
        - **input:** :math:`(B, F)` and :math:`(B)`
        - **output:** a scalar

    Raises:
        ValueError: If shapes do not fit or options are out of range.

    Example:
        >>> import torch
        >>> x = torch.eye(4)[[0, 0, 1, 1]]
        >>> multi_similarity_loss(x, torch.tensor([0, 0, 1, 1]))
        tensor(0.)
    """
    if x.dim() != 2 or y.shape != x.shape[:1]:
        raise ValueError(f"'x' must be [B, F] and 'y' [B], got {list(x.shape)} and {list(y.shape)}")
    if min(alpha, beta) <= 0:
        raise ValueError(f"'alpha' and 'beta' must be positive, got {alpha} and {beta}")
    if variant not in ("paper", "released"):
        raise ValueError(f"'variant' must be 'paper' or 'released', got {variant!r}")
    if not len(y):
        return x.sum()
    unit = normalize(wide(x), dim=1)
    cosine = unit @ unit.t()
    same = y.unsqueeze(0) == y.unsqueeze(1)
    positive, negative = same & ~torch.eye(len(y), dtype=torch.bool, device=y.device), ~same
    if variant == "released":
        positive = positive & (cosine < 1 - 1e-5)
    # Where an anchor has no positive (negative), the other kind has nothing to be compared with.
    least = cosine.detach().masked_fill(~positive, torch.inf).amin(1, keepdim=True)
    most = cosine.detach().masked_fill(~negative, -torch.inf).amax(1, keepdim=True)
    hard_positive = positive & (cosine - margin < most)
    hard_negative = negative & (cosine + margin > least)
    if variant == "released":
        both = hard_positive.any(1, keepdim=True) & hard_negative.any(1, keepdim=True)
        hard_positive, hard_negative = hard_positive & both, hard_negative & both
    pull = soft_sum(-alpha * (cosine - threshold), hard_positive) / alpha
    push = soft_sum(beta * (cosine - threshold), hard_negative) / beta
    return (pull + push).mean().to(x.dtype)


def soft_sum(z: Tensor, mask: Tensor) -> Tensor:
    """log(1 + the sum of exponentials where the mask is set), row by row, without overflow."""
    terms = torch.cat([z.new_zeros(len(z), 1), z.masked_fill(~mask, -torch.inf)], 1)
    return terms.logsumexp(1)


def batch_nuclear_norm(logits: Tensor) -> Tensor:
    r"""The nuclear norm of a batch of predictions, of the `"Towards Discriminability and
    Diversity: Batch Nuclear-norm Maximization under Label Insufficient Situations"
    <https://arxiv.org/abs/2003.12237>`_ paper, negative, as a loss.

    .. math::
        -\frac{1}{B} \lVert \mathrm{softmax}(z) \rVert_*

    It is least, :math:`-\sqrt{\min(B, K) / B}`, where predictions are sure and spread evenly.
    Time grows with :math:`B K \min(B, K)`.

    Args:
        logits (torch.Tensor): Logits; minus infinity where a class is not in use.

    Shapes:
        - **input:** :math:`(B, K)`
        - **output:** a scalar

    Raises:
        ValueError: If the shape is wrong or there is no row.

    Example:
        >>> import torch
        >>> batch_nuclear_norm(1000.0 * torch.eye(4))
        tensor(-1.)
    """
    if logits.dim() != 2 or not len(logits):
        raise ValueError(f"'logits' must be [B, K] with B above 0, got {list(logits.shape)}")
    shares = wide(logits).softmax(1)
    return (-torch.linalg.matrix_norm(shares, "nuc") / len(logits)).to(logits.dtype)


def smoothed_cross_entropy(
    logits: Tensor, y: Tensor, active: Tensor, smoothing: float = 0.1
) -> Tensor:
    r"""Cross entropy with the target smoothed over the classes in use.

    .. math::
        -\frac{1}{B} \sum_i \sum_{k \in A} \big( (1 - \epsilon) [\, k = y_i \,] +
        \tfrac{\epsilon}{|A|} \big) \log p_{ik}

    PyTorch's own smooths over all columns, which gives infinity where one is out of use.

    Args:
        logits (torch.Tensor): Logits; minus infinity for classes out of use.
        y (torch.Tensor): Labels; negative ones do not count.
        active (torch.Tensor): The classes in use :math:`A`, as a mask.
        smoothing (float, optional): :math:`\epsilon`. (default: :obj:`0.1`)

    Shapes:
        - **input:** :math:`(B, K)`, :math:`(B)` and :math:`(K)`
        - **output:** a scalar, 0 without a label

    Example:
        >>> import torch
        >>> logits = torch.tensor([[0.0, 0.0, -torch.inf]])
        >>> active = torch.tensor([True, True, False])
        >>> round(smoothed_cross_entropy(logits, torch.tensor([1]), active).item(), 4)
        0.6931
    """
    rows = y >= 0
    logs = logits[rows].log_softmax(1)
    if not len(logs):
        return logits.masked_fill(~active, 0.0).sum() * 0.0
    even = logs[:, active].mean(1)
    hit = logs.gather(1, y[rows].unsqueeze(1)).squeeze(1)
    return -((1 - smoothing) * hit + smoothing * even).mean()
