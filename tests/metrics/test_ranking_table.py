"""Tables of rankings with their floors."""

from __future__ import annotations

import pytest
import torch

from graphkit.metrics import RankingRow, compare_rankings, popularity, spearman


def square(count: int = 10) -> torch.Tensor:
    return torch.rand(count, count).masked_fill(torch.eye(count, dtype=torch.bool), torch.nan)


def by_name(rows: list[RankingRow]) -> dict[str, RankingRow]:
    return {row.name: row for row in rows}


def test_floors_are_always_there_and_right() -> None:
    truth = square()
    rows = by_name(compare_rankings({"oracle": truth}, truth))
    assert list(rows) == ["oracle", "random", "popularity"]
    assert rows["random"].precision[5] == pytest.approx(5 / 9)
    assert rows["random"].spearman == 0
    assert rows["random"].low < 0 < rows["random"].high
    assert rows["random"].mrr == pytest.approx(sum(1 / r for r in range(1, 10)) / 9)
    oracle = rows["oracle"]
    assert (oracle.spearman, oracle.low, oracle.high) == pytest.approx((1, 1, 1))
    assert oracle.p_random < 0.001
    assert oracle.gain_low > 0
    assert rows["popularity"].gain == 0
    assert rows["popularity"].spearman == pytest.approx(
        float(spearman(popularity(truth), truth).mean())
    )
    assert (oracle.regret, rows["popularity"].saved) == (0, 0)
    by_chance = (truth.nan_to_num(0).max(1).values - truth.nanmean(1)).mean()
    assert rows["random"].regret == pytest.approx(float(by_chance))
    assert oracle.saved == pytest.approx(rows["popularity"].regret)
    assert rows["random"].over_random == 0 < oracle.over_random < float(by_chance)
    assert 0 < oracle.saved_low < oracle.saved < oracle.saved_high
    with pytest.raises(ValueError, match=r"names of floors, got \['random'\]"):
        compare_rankings({"random": truth}, truth)


def test_popularity_never_sees_its_own_target() -> None:
    truth = square()
    changed = truth.clone()
    changed[3] = torch.rand(10).masked_fill(truth[3].isnan(), torch.nan)
    torch.testing.assert_close(popularity(changed)[3], popularity(truth)[3], equal_nan=True)
    best = torch.arange(10.0).expand(10, 10).masked_fill(truth.isnan(), torch.nan)
    assert float(spearman(popularity(best), best).mean()) == pytest.approx(1)


def test_noise_is_not_significant_and_a_signal_is() -> None:
    truth, wins = square(12), 0
    for seed in range(20):
        torch.manual_seed(seed)
        wins += (
            by_name(compare_rankings({"noise": square(12)}, truth, resamples=200))["noise"].p_random
            < 0.05
        )
    assert wins <= 5
    signal = by_name(compare_rankings({"signal": truth + 0.5 * square(12)}, truth))["signal"]
    assert signal.p_random < 0.01
    assert signal.low > 0
    assert signal.low < signal.spearman < signal.high


def test_other_candidates_than_targets() -> None:
    truth = torch.rand(6, 9)
    truth[2, 3] = torch.nan
    rows = by_name(compare_rankings({"half": truth + torch.rand(6, 9)}, truth, relevant=3, seed=1))
    assert rows["half"].recall[3] == pytest.approx(rows["half"].precision[3])
    again = by_name(compare_rankings({"half": truth + 0}, truth, relevant=3, seed=1))
    assert again["half"].p_random < 0.05
    with pytest.raises(ValueError, match="'truth' must have shape"):
        compare_rankings({}, torch.rand(4))
