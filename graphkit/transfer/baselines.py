"""Rivals of DEPARA: of features alone, and of features or predictions with labels."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from graphkit import catalog
from graphkit.refusals import refuse_zeros
from graphkit.transfer.model_cosines import edge_vector, of_size_one, ranks

__all__ = ["cka", "h_score", "leep", "log_me", "rsa"]


def rows_of(name: str, values: Any) -> Tensor:
    """A row of numbers in double precision per sample, from a tensor, an array or lists."""
    rows = tensor_of(name, values).detach()
    if rows.dim() < 2:
        raise ValueError(
            f"'{name}' must hold a row per sample, [N, C], got {list(rows.shape)}; one feature "
            "per sample is [N, 1]"
        )
    return rows.flatten(1).cpu().double()


def tensor_of(name: str, values: Any) -> Tensor:
    """A tensor, an array or a list as a tensor; anything else is refused by name."""
    try:
        return torch.as_tensor(values)
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(
            f"'{name}' must be a tensor or an array of numbers, got {type(values).__name__}"
        ) from error


def pair_of(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Two sets of features of the same samples, in double precision."""
    a, b = rows_of("a", a), rows_of("b", b)
    if len(a) != len(b):
        raise ValueError(f"both need the same samples, got {len(a)} and {len(b)}")
    for name, value in (("a", a), ("b", b)):
        if not bool(value.isfinite().all()):
            raise ValueError(f"'{name}' holds values that are not finite")
    return a, b


def row_centred(x: Tensor) -> Tensor:
    """Rows of size one less their means; those that are constant but for rounding are zero."""
    x = of_size_one(x)
    x = x - x.mean(1, keepdim=True)
    return x * (x.abs().amax(1, keepdim=True) > 1e-12)


def labelled(features: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Features in double precision and classes from 0, checked."""
    features, y = rows_of("features", features), tensor_of("y", y).cpu()
    if y.shape != features.shape[:1] or not len(y):
        raise ValueError(
            f"'y' must hold a class for each of {len(features)} samples, got {list(y.shape)}"
        )
    if not bool(features.isfinite().all()):
        raise ValueError("'features' holds values that are not finite")
    if y.is_floating_point() and not bool(y.isfinite().all()):
        raise ValueError("'y' holds values that are not finite, which are no classes")
    return features, torch.unique(y, return_inverse=True)[1]


@catalog.method(
    paper="doi:10.3389/neuro.06.004.2008",
    title="Representational similarity analysis - connecting the branches of systems neuroscience",
    authors="Nikolaus Kriegeskorte, Marieke Mur, Peter Bandettini",
    venue="Frontiers in Systems Neuroscience, 2008",
    year=2008,
    code=None,
    licence="none",
    takes="features of two models for the same samples",
    gives="a similarity",
    verified_by="tests/transfer/test_baselines.py",
)
def rsa(a: Tensor, b: Tensor) -> float:
    r"""Spearman's correlation of two models' dissimilarity matrices, from the `"Representational
    similarity analysis" <https://doi.org/10.3389/neuro.06.004.2008>`_ paper.

    .. math::
        \rho\left(1 - r(a_k, a_l),\; 1 - r(b_k, b_l)\right)_{k < l}

    with :math:`r` Pearson's correlation over the features of two samples.

    Args:
        a (torch.Tensor): Features of one model.
        b (torch.Tensor): Features of another.

    Shapes:
        - **input:** features :math:`(N, *)`, :math:`(N, *)`
        - **output:** a number in [-1, 1]

    Raises:
        ValueError: If there are fewer than three samples or two features, or they do not fit.

    Example:
        >>> import torch
        >>> x = torch.randn(6, 5)
        >>> round(rsa(x, 2 * x + 1), 4)
        1.0
    """
    a, b = pair_of(a, b)
    for name, value in (("a", a), ("b", b)):
        if value.size(1) < 2:
            raise ValueError(
                f"'{name}' has {value.size(1)} features per sample; a correlation over them needs "
                "at least 2"
            )
    vectors = [edge_vector(row_centred(t), centre=False) for t in (a, b)]
    first, second = (ranks(vector).double() for vector in vectors)
    return float(first @ second)


@catalog.method(
    paper="arXiv:1905.00414",
    title="Similarity of Neural Network Representations Revisited",
    authors="Simon Kornblith, Mohammad Norouzi, Honglak Lee, Geoffrey Hinton",
    venue="ICML 2019",
    year=2019,
    code="https://github.com/google-research/google-research/tree/master/representation_similarity",
    licence="Apache-2.0",
    takes="features of two models for the same samples",
    gives="a similarity",
    verified_by="tests/transfer/test_baselines.py",
)
def cka(a: Tensor, b: Tensor) -> float:
    r"""Linear centred kernel alignment from the `"Similarity of Neural Network Representations
    Revisited" <https://arxiv.org/abs/1905.00414>`_ paper.

    .. math::
        \frac{\lVert B^\top A \rVert_F^2}{\lVert A^\top A \rVert_F \lVert B^\top B \rVert_F}

    with centred features. It goes through the samples' products, :math:`O(N^2 (C + C'))`.

    Args:
        a (torch.Tensor): Features of one model.
        b (torch.Tensor): Features of another.

    Shapes:
        - **input:** features :math:`(N, *)`, :math:`(N, *)`
        - **output:** a number in [0, 1]; 0 if one model's features are constant

    Raises:
        ValueError: If features do not fit.

    Example:
        >>> import torch
        >>> x = torch.randn(6, 5)
        >>> round(cka(x, 2 * x + 1), 4)
        1.0
    """
    first, second = ((t - t.mean(0)) @ (t - t.mean(0)).T for t in pair_of(a, b))
    size = first.norm() * second.norm()
    return float((first * second).sum() / size) if size > 0 else 0.0


@catalog.method(
    paper="arXiv:2102.11005",
    title="LogME: Practical Assessment of Pre-trained Models for Transfer Learning",
    authors="Kaichao You, Yong Liu, Jianmin Wang, Mingsheng Long",
    venue="ICML 2021",
    year=2021,
    code="https://github.com/thuml/LogME",
    licence="MIT",
    takes="a model's features and the target's labels",
    gives="a score",
    deviations=["features are not centred, as in the released code"],
    verified_by="tests/transfer/test_baselines.py",
)
def log_me(features: Tensor, y: Tensor, iterations: int = 100, tolerance: float = 1e-5) -> float:
    r"""The largest evidence of a linear model of the labels, per sample and averaged over the
    classes, from the `"LogME" <https://arxiv.org/abs/2102.11005>`_ paper.

    .. math::
        \frac{1}{N} \max_{\alpha, \beta} \log \int p(y \mid F, w, \beta)\, p(w \mid \alpha)\, dw

    The scale of the features does not matter. Costs one singular value decomposition of them.

    Args:
        features (torch.Tensor or array): The model's features.
        y (torch.Tensor or array): The classes.
        iterations (int, optional): Fixed-point steps at most. (default: :obj:`100`)
        tolerance (float, optional): Relative change of :math:`\alpha / \beta` at which they end.
            (default: :obj:`1e-5`)

    Shapes:
        - **input:** features :math:`(N, *)`, classes :math:`(N)`
        - **output:** a number, larger is better

    Raises:
        ValueError: If shapes do not fit, or features are zero everywhere.

    Example:
        >>> import torch
        >>> y = torch.tensor([0, 0, 1, 1])
        >>> good, bad = torch.tensor([[0.0], [0.1], [1.0], [1.1]]), torch.ones(4, 1)
        >>> log_me(good, y) > log_me(bad, y)
        True
    """
    f, y = labelled(features, y)
    refuse_zeros("features", f)
    # The evidence is the same at any scale, but the steps to it begin at precisions of one.
    left, values, _ = torch.linalg.svd(f / f.abs().amax(), full_matrices=False)
    s, count, width = values.square().numpy(), f.size(0), f.size(1)
    evidences = []
    for c in range(int(y.max()) + 1):
        t = (y == c).double()
        z2 = (left.T @ t).square().numpy()
        outside = max(float(t @ t) - float(z2.sum()), 0.0)
        evidences.append(evidence(s, z2, outside, count, width, iterations, tolerance))
    return float(np.mean(evidences))


def evidence(
    s: np.ndarray,
    z2: np.ndarray,
    outside: float,
    count: int,
    width: int,
    iterations: int,
    tolerance: float,
) -> float:
    """The evidence per sample at the fixed point of MacKay's updates of both precisions."""
    alpha = beta = 1.0
    for _ in range(iterations):
        ratio = alpha / beta
        gamma = float((s / (s + ratio)).sum())
        size = max(float((s * z2 / (s + ratio) ** 2).sum()), 1e-12)
        residual = max(float((z2 * (ratio / (s + ratio)) ** 2).sum()) + outside, 1e-12)
        alpha, beta = gamma / size, max(count - gamma, 1e-12) / residual
        if abs(alpha / beta - ratio) <= tolerance * ratio:
            break
    ratio = alpha / beta
    size = float((s * z2 / (s + ratio) ** 2).sum())
    residual = float((z2 * (ratio / (s + ratio)) ** 2).sum()) + outside
    logdet = float(np.log(alpha + beta * s).sum()) + (width - len(s)) * np.log(alpha)
    total = width * np.log(alpha) + count * np.log(beta / (2 * np.pi)) - logdet
    return 0.5 * (total - beta * residual - alpha * size) / count


@catalog.method(
    paper="arXiv:2002.12462",
    title="LEEP: A New Measure to Evaluate Transferability of Learned Representations",
    authors="Cuong V. Nguyen, Tal Hassner, Matthias Seeger, Cedric Archambeau",
    venue="ICML 2020",
    year=2020,
    code=None,
    licence="none",
    takes="a classifier's probabilities and the target's labels",
    gives="a score",
    verified_by="tests/transfer/test_baselines.py",
)
def leep(probabilities: Tensor, y: Tensor) -> float:
    r"""Log expected empirical prediction from the `"LEEP" <https://arxiv.org/abs/2002.12462>`_
    paper.

    .. math::
        \frac{1}{N} \sum_i \log \sum_z \hat{P}(y_i \mid z)\, \theta(x_i)_z

    with :math:`\theta` the source's probabilities of its own classes :math:`z`.

    Args:
        probabilities (torch.Tensor): The source's probabilities for the target's samples.
        y (torch.Tensor): The target's classes.

    Shapes:
        - **input:** probabilities :math:`(N, Z)`, classes :math:`(N)`
        - **output:** a number of at most 0, larger is better

    Raises:
        ValueError: If shapes do not fit, or rows are no probabilities.

    Example:
        >>> import torch
        >>> leep(torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([1, 0]))
        0.0
    """
    theta, y = labelled(probabilities, y)
    if bool((theta < 0).any()) or not torch.allclose(theta.sum(1), theta.new_ones(()), atol=1e-4):
        raise ValueError("'probabilities' must hold rows of numbers from 0 that add up to 1")
    joint = theta.new_zeros(int(y.max()) + 1, theta.size(1)).index_add_(0, y, theta)
    given = joint / joint.sum(0).clamp(min=torch.finfo(theta.dtype).tiny)
    return float((given[y] * theta).sum(1).log().mean())


@catalog.method(
    paper="doi:10.1109/ICIP.2019.8803726",
    title="An Information-Theoretic Approach to Transferability in Task Transfer Learning",
    authors="Yajie Bao, Yang Li, Shao-Lun Huang, Lin Zhang, Lizhong Zheng, Amir Zamir, "
    "Leonidas Guibas",
    venue="ICIP 2019",
    year=2019,
    code=None,
    licence="none",
    takes="a model's features and the target's labels",
    gives="a score",
    deviations=["the covariance may be shrunk towards a multiple of the identity"],
    verified_by="tests/transfer/test_baselines.py",
)
def h_score(features: Tensor, y: Tensor, shrinkage: float = 0.0) -> float:
    r"""H-score from the `"An Information-Theoretic Approach to Transferability in Task Transfer
    Learning" <https://doi.org/10.1109/ICIP.2019.8803726>`_ paper.

    .. math::
        \mathrm{tr}\left(\mathrm{cov}(f)^{-1} \, \mathrm{cov}(\mathbb{E}[f \mid y])\right)

    Args:
        features (torch.Tensor or array): The model's features.
        y (torch.Tensor or array): The classes.
        shrinkage (float, optional): Share of the identity, times the mean variance, in
            :math:`\mathrm{cov}(f)`; few samples need it. (default: :obj:`0.0`)

    Shapes:
        - **input:** features :math:`(N, *)`, classes :math:`(N)`
        - **output:** a number, at least 0, larger is better

    Raises:
        ValueError: If shapes do not fit or ``shrinkage`` is not in [0, 1].

    Example:
        >>> import torch
        >>> y = torch.tensor([0, 0, 1, 1])
        >>> round(h_score(y[:, None].float(), y), 4)
        1.0
    """
    f, y = labelled(features, y)
    if not 0 <= shrinkage <= 1:
        raise ValueError(f"'shrinkage' must lie between 0 and 1, got {shrinkage}")
    f = f - f.mean(0)
    count = int(y.max()) + 1
    means = f.new_zeros(count, f.size(1)).index_add_(0, y, f)
    means = means / torch.bincount(y, minlength=count)[:, None]
    covariance, between = f.T @ f / len(f), means[y].T @ means[y] / len(f)
    identity = torch.eye(f.size(1), dtype=f.dtype, device=f.device)
    identity = identity * covariance.diagonal().mean()
    covariance = (1 - shrinkage) * covariance + shrinkage * identity
    return float(torch.trace(torch.linalg.pinv(covariance, hermitian=True) @ between))
