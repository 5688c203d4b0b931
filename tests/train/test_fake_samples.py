"""Fake samples are cut off wherever they lie, and every row knows its score."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from graphkit.train import GANLoss, OneStageStep
from graphkit.train.fake_samples import detached, flat_scores, refuse_mixing, row_index, spread


class Pair(NamedTuple):
    first: Tensor
    second: Tensor


@dataclass(frozen=True)
class Frozen:
    x: Tensor
    name: str


def live(*shape: int) -> Tensor:
    """A tensor that carries a gradient."""
    return torch.ones(shape, requires_grad=True) * 2


def test_tensors_are_cut_off_wherever_they_lie() -> None:
    a, b, c, d, e, plain = live(2), live(3), live(4), live(5), live(6), torch.ones(7)
    graph = Data(x=d, y=plain)
    given = {"list": [a, plain], "pair": Pair(b, plain), "own": Frozen(c, "n"), "tuple": (e,)}
    whole: list[Tensor] = []
    leaves: list[Tensor] = []
    cut = detached({**given, "graph": graph, "word": "w"}, whole, leaves)
    assert [len(t) for t in whole] == [2, 3, 4, 6, 5]
    assert all(one is other for one, other in zip(whole, (a, b, c, e, d), strict=True))
    parts = (cut["list"][0], cut["pair"].first, cut["own"].x, cut["tuple"][0], cut["graph"].x)
    for part, leaf, tensor in zip(parts, leaves, whole, strict=True):
        assert part is leaf
        assert part.is_leaf
        assert part.requires_grad
        assert torch.equal(part, tensor)
    assert cut["list"][1] is plain is cut["pair"].second
    assert cut["graph"].y is plain
    assert cut["own"].name == "n"
    # What came in is as it was.
    assert given["own"].x is c
    assert graph.x is d
    assert isinstance(cut["list"], list)
    assert isinstance(cut["tuple"], tuple)


def test_scores_lie_in_one_dimension() -> None:
    assert flat_scores(torch.zeros(3), "fake").shape == (3,)
    assert flat_scores(torch.zeros(3, 1), "fake").shape == (3,)
    assert flat_scores(torch.zeros(0, 1), "fake").shape == (0,)
    for shape in ((3, 2), (3, 1, 1), ()):
        with pytest.raises(ValueError, match="of the fake samples it gave"):
            flat_scores(torch.zeros(shape), "fake")


def test_rows_name_their_scores() -> None:
    leaves = [torch.zeros(4, 2), torch.zeros(3)]
    index = [torch.tensor([0, -1, 2, 2]), torch.tensor([2, 1, 0])]
    assert all(one is other for one, other in zip(row_index(leaves, 3, index), index, strict=True))
    assert row_index([torch.zeros(3, 2), torch.zeros(3)], 3, None) == [None, None]
    assert row_index([torch.zeros(0)], 0, [torch.empty(0).long()])[0].numel() == 0
    for wrong in ([torch.zeros(())], [torch.zeros(4)]):
        with pytest.raises(ValueError, match="3 scores for fake samples of shape"):
            row_index(wrong, 3, None)
    for low, high in ((-2, 0), (0, 3)):
        with pytest.raises(IndexError, match=r"'samples' must be in \[-1, 3\)"):
            row_index([torch.zeros(2)], 3, [torch.tensor([low, high])])
    with pytest.raises(ValueError, match=r"entry of shape \[2\] for a tensor of shape \[3, 2\]"):
        row_index([torch.zeros(3, 2)], 3, [torch.zeros(2).long()])


def test_factors_stand_before_what_they_scale() -> None:
    ratio = torch.tensor([2.0, 3.0])
    assert spread(ratio, None, torch.zeros(2, 4, 5)).shape == (2, 1, 1)
    rows = torch.tensor([1, -1, 0])
    assert spread(ratio, rows, torch.zeros(3, 4)).tolist() == [[3.0], [0.0], [2.0]]


def test_norms_of_batches_are_refused_where_they_mix() -> None:
    still = nn.BatchNorm1d(2).eval()
    refuse_mixing(nn.Sequential(still, nn.GroupNorm(1, 2)), "bce")
    mixing = (nn.BatchNorm1d(2), nn.BatchNorm2d(2, track_running_stats=False).eval())
    for norm in mixing:
        with pytest.raises(ValueError, match="discriminator's 'whole' is BatchNorm"):
            refuse_mixing(norm, "bce")
        with pytest.raises(ValueError, match=r"discriminator's '1' is BatchNorm.*'bce'"):
            refuse_mixing(nn.Sequential(nn.ReLU(), norm), "bce")


@pytest.mark.parametrize("score", [0.3, -80.0])
def test_parts_of_a_sample_that_are_not_looked_at_have_no_gradient(score):
    """Also where nothing but the generator's own loss has a gradient."""
    made = torch.full((4, 1), score).double().requires_grad_()
    beside = torch.ones(4, 2).double().requires_grad_()
    judge = nn.Linear(1, 1).double()
    with torch.no_grad():
        judge.weight.fill_(1.0)
        judge.bias.zero_()

    class First(nn.Module):
        def __init__(self):
            super().__init__()
            self.judge = judge

        def forward(self, x, _):
            return self.judge(x)

    own = GANLoss("own", torch.square, lambda s: (s + 80).square(), torch.exp)
    real = (torch.zeros(4, 1).double(), torch.zeros(4, 2).double())
    OneStageStep(First(), own)(real, (made, beside)).generator.backward()
    assert made.grad.any()
    assert not beside.grad.any()
