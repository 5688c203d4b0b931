"""Several ways of ranking against one truth, beside what needs no method at all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from graphkit.metrics.ranking import (
    kendall,
    mean_reciprocal_rank,
    pair,
    precision_at_k,
    regret,
    spearman,
    unit_ranks,
)

__all__ = ["RankingRow", "compare_rankings", "popularity"]

ENDS = (0.025, 0.975)


@dataclass(frozen=True)
class RankingRow:
    """One way of ranking, judged.

    Args:
        name (str): Its name.
        spearman (float): Mean over targets.
        low (float): Lower end of the bootstrap's 95 % interval of that mean.
        high (float): Upper end.
        p_random (float): Share of permutations of the candidates that do at least as well.
        gain (float): Mean difference of Spearman's correlation to popularity's.
        gain_low (float): Lower end of its interval; above 0 the gain is significant.
        gain_high (float): Upper end.
        kendall (float): Mean over targets.
        precision (dict): P@K by K, mean over targets.
        recall (dict): R@K by K.
        mrr (float): Mean reciprocal rank of the best candidate.
        regret (float): What taking the first of the order costs, in the unit of the truth; mean
            over targets.
        saved (float): Popularity's regret less this one.
        saved_low (float): Lower end of its interval; above 0 less is lost than by popularity.
        saved_high (float): Upper end.
        over_random (float): Lower end of the interval of a random choice's regret less this one.

    Example:
        >>> import torch
        >>> truth = torch.rand(6, 8)
        >>> row = compare_rankings({"oracle": truth}, truth)[0]
        >>> row.name, round(row.spearman, 4), row.precision[1]
        ('oracle', 1.0, 1.0)
    """

    name: str
    spearman: float
    low: float
    high: float
    p_random: float
    gain: float
    gain_low: float
    gain_high: float
    kendall: float
    precision: dict[int, float]
    recall: dict[int, float]
    mrr: float
    regret: float
    saved: float
    saved_low: float
    saved_high: float
    over_random: float


def popularity(truth: Tensor) -> Tensor:
    r"""What every candidate is worth on average for the other targets: a floor that knows
    nothing of the target.

    .. math::
        s_{tm} = \frac{1}{|T_m| - 1} \sum_{u \ne t} z_{um}

    with each target's truth :math:`z` standardised over its candidates.

    Args:
        truth (torch.Tensor): What the candidates are worth for each target.

    Shapes:
        - **input:** :math:`(T, M)`, NaN for no candidate
        - **output:** :math:`(T, M)`

    Example:
        >>> import torch
        >>> popularity(torch.tensor([[0.0, 1.0], [1.0, 0.0], [0.0, 4.0]]))[0].tolist()
        [0.0, 0.0]
    """
    truth = torch.as_tensor(truth, dtype=torch.double)
    none = truth.isnan()
    gap = truth - truth.nanmean(1, keepdim=True)
    spread = gap.square().nanmean(1, keepdim=True).sqrt()
    z = torch.where(none, 0.0, gap / torch.where(spread > 0, spread, 1.0))
    others = (~none).sum(0) - (~none).long()
    worth = (z.sum(0) - z) / others.clamp(min=1)
    return worth.masked_fill(none, torch.nan)


def compare_rankings(
    scores: Mapping[str, Tensor],
    truth: Tensor,
    relevant: int = 5,
    ks: tuple[int, ...] = (1, 3, 5),
    resamples: int = 2000,
    seed: int = 0,
) -> list[RankingRow]:
    r"""Judges several scores against the truth; the floors ``random`` and ``popularity`` are
    always the last rows.

    Intervals resample the targets. ``p_random`` permutes the names of the candidates: together
    with those of the targets where these are the same models, so that it respects that one
    model's similarities are not independent.

    Args:
        scores (dict): Scores of the candidates of each target, by name.
        truth (torch.Tensor): What they are worth.
        relevant (int, optional): How many of the truly best count as good.
            (default: :obj:`5`)
        ks (tuple, optional): The K of P@K and R@K. (default: :obj:`(1, 3, 5)`)
        resamples (int, optional): Resamples and permutations. (default: :obj:`2000`)
        seed (int, optional): Seed of both. (default: :obj:`0`)

    Shapes:
        - **input:** all :math:`(T, M)`, NaN for no candidate
        - **output:** a :class:`RankingRow` per score and floor

    Raises:
        ValueError: If shapes do not fit, or a score bears the name of a floor.

    Example:
        >>> import torch
        >>> truth = torch.rand(4, 7)
        >>> [row.name for row in compare_rankings({"mine": truth + 1}, truth)]
        ['mine', 'random', 'popularity']
    """
    truth = torch.as_tensor(truth, dtype=torch.double)
    if truth.dim() != 2:
        raise ValueError(f"'truth' must have shape [T, M], got {list(truth.shape)}")
    taken = {"random", "popularity"} & set(scores)
    if taken:
        raise ValueError(f"'scores' must not hold the names of floors, got {sorted(taken)}")
    generator = np.random.default_rng(seed)
    noise = generator.random(truth.shape)
    everything = {
        **scores,
        "random": torch.from_numpy(noise).masked_fill(truth.isnan(), torch.nan),
        "popularity": popularity(truth),
    }
    draws = generator.integers(len(truth), size=(resamples, len(truth)))
    floors = Floors(everything["popularity"], truth)
    return [
        judge(name, score, truth, floors, draws, relevant, ks, generator)
        for name, score in everything.items()
    ]


class Floors:
    """What needs no method, per target: popularity's correlation and regret, a random choice's."""

    def __init__(self, popular: Tensor, truth: Tensor) -> None:
        self.spearman = spearman(popular, truth).numpy()
        self.regret = regret(popular, truth).numpy()
        self.random = regret(torch.zeros_like(truth), truth).numpy()


def judge(
    name: str,
    score: Tensor,
    truth: Tensor,
    floors: Floors,
    draws: np.ndarray,
    relevant: int,
    ks: tuple[int, ...],
    generator: np.random.Generator,
) -> RankingRow:
    """One row of the table; the random one has the exact expectation of every figure."""
    chance = permuted(score, truth, len(draws), generator)
    per_target, lost = spearman(score, truth).numpy(), regret(score, truth).numpy()
    precision = {k: float(precision_at_k(score, truth, k, relevant).mean()) for k in ks}
    tau, mrr = float(kendall(score, truth).mean()), float(mean_reciprocal_rank(score, truth))
    # The order at hand is one of the permutations, so both counts get one more and p is never 0.
    p_random = float((1 + (chance >= per_target.mean() - 1e-12).sum()) / (1 + len(chance)))
    # One random order would be luck; its row holds what all of them have on average.
    if name == "random":
        count = (~(score.isnan() | truth.isnan())).sum(1).double()
        precision = {k: float((relevant / count).mean()) for k in ks}
        per_target, tau, p_random = np.zeros(len(truth)), 0.0, 0.5
        lost = floors.random
        places = torch.arange(1, score.size(1) + 1, device=score.device)
        mrr = float(torch.stack([(1 / places[:c]).mean() for c in count.int()]).mean())
    gains, saved = per_target - floors.spearman, floors.regret - lost
    means = chance if name == "random" else per_target[draws].mean(1)
    low, high = np.quantile(means, ENDS)
    gain_low, gain_high = np.quantile(gains[draws].mean(1), ENDS)
    saved_low, saved_high = np.quantile(saved[draws].mean(1), ENDS)
    return RankingRow(
        name=name,
        spearman=float(per_target.mean()),
        low=float(low),
        high=float(high),
        p_random=p_random,
        gain=float(gains.mean()),
        gain_low=float(gain_low),
        gain_high=float(gain_high),
        kendall=tau,
        precision=precision,
        recall={k: value * k / relevant for k, value in precision.items()},
        mrr=mrr,
        regret=float(lost.mean()),
        saved=float(saved.mean()),
        saved_low=float(saved_low),
        saved_high=float(saved_high),
        over_random=float(np.quantile((floors.random - lost)[draws].mean(1), ENDS[0])),
    )


def permuted(
    score: Tensor, truth: Tensor, count: int, generator: np.random.Generator
) -> np.ndarray:
    """Mean correlations under permutations of the candidates."""
    first, second, _ = pair(score, truth)
    mine, true = unit_ranks(first), unit_ranks(second)
    square = first.shape[0] == first.shape[1] and bool(np.isnan(first.diagonal()).all())
    correlations = np.empty(count)
    for draw in range(count):
        if square:
            order = generator.permutation(len(mine))
            correlations[draw] = (mine[np.ix_(order, order)] * true).sum(1).mean()
        else:
            correlations[draw] = (permuted_rows(mine, first, generator) * true).sum(1).mean()
    return correlations


def permuted_rows(
    ranks: np.ndarray, rows: np.ndarray, generator: np.random.Generator
) -> np.ndarray:
    """Every row's candidates in an order of its own; what is no candidate stays in place."""
    keys = np.where(np.isnan(rows), np.inf, generator.random(rows.shape))
    mixed = np.take_along_axis(ranks, np.argsort(keys, axis=1), axis=1)
    shuffled = np.zeros_like(ranks)
    shuffled[~np.isnan(rows)] = np.concatenate(
        [row[:n] for row, n in zip(mixed, (~np.isnan(rows)).sum(1), strict=True)]
    )
    return shuffled
