"""Several classifiers side by side."""

import torch
from torch import nn

from graphkit.distill.amalgamation.teachers import Teachers


def test_logits_stand_side_by_side():
    one, two = nn.Linear(3, 2), nn.Linear(3, 4)
    x = torch.rand(5, 3)
    assert torch.equal(Teachers([one, two])(x), torch.cat([one(x), two(x)], 1))
    assert torch.equal(Teachers([one, two])(input=x), torch.cat([one(x), two(x)], 1))
    centred = Teachers([one, two], centred=True)(x)
    wanted = [logits - logits.mean(1).unsqueeze(1) for logits in (one(x), two(x))]
    assert torch.allclose(centred, torch.cat(wanted, 1))
    assert torch.allclose(centred[:, :2].sum(1), torch.zeros(5), atol=1e-6)
