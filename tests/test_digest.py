"""Words for tensors, modules and options: the same in every process, others for others."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

from graphkit.digest import digest_of

X = torch.arange(6.0)
OTHERS = {
    "value": X.roll(1),
    "shape": X.view(2, 3),
    "dtype": X.double(),
    "bits": X.view(torch.int32),
    "sign": torch.cat([-X[:1], X[1:]]),
    "word": "X",
    "nothing": None,
    "empty": X[:0],
}


@pytest.mark.parametrize("name", OTHERS)
def test_others_have_other_digests(name):
    assert digest_of(X) != digest_of(OTHERS[name])
    assert digest_of(OTHERS[name]) == digest_of(OTHERS[name])


def test_memory_does_not_matter():
    wide = torch.stack([X, X], 1)
    assert digest_of(wide[:, 0]) == digest_of(X)
    assert digest_of(X.clone().requires_grad_()) == digest_of(X)
    assert len({digest_of(X.to(kind)) for kind in (torch.bfloat16, torch.half, torch.bool)}) == 3


def test_order_and_borders_matter():
    assert digest_of(X, 1) != digest_of(1, X)
    assert digest_of(X[:2], X[2:]) != digest_of(X[:3], X[3:])
    assert digest_of("a", "b") != digest_of("ab")
    assert digest_of(1, 1.0) != digest_of(1, 1)


def test_every_part_of_large_tensors_counts(tmp_path):
    """Read in steps, also where a file is mapped."""
    mapped = np.memmap(tmp_path / "x", np.uint8, "w+", shape=(3 << 24,))
    values = torch.from_numpy(mapped)
    digests = set()
    for place in (0, (1 << 24) - 1, 1 << 24, (3 << 24) - 1):
        values[place] += 1
        digests.add(digest_of(values))
    assert len(digests) == 4


def test_modules_are_told_by_kind_and_state():
    torch.manual_seed(0)
    one, two = nn.Linear(3, 3), nn.Linear(3, 3)
    assert digest_of(one) != digest_of(two)
    two.load_state_dict(one.state_dict())
    assert digest_of(one) == digest_of(two)
    norm = nn.BatchNorm1d(3)
    before = digest_of(norm)
    norm.running_mean += 1
    assert digest_of(norm) != before
    assert digest_of(nn.Sequential(one, nn.ReLU())) != digest_of(nn.Sequential(one, nn.Tanh()))


def test_another_process_says_the_same():
    code = (
        "import torch; from graphkit.digest import digest_of; "
        "print(digest_of(torch.ones(3), 'a', 2))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == digest_of(torch.ones(3), "a", 2)


def test_what_has_no_lasting_words_is_refused():
    with pytest.raises(TypeError, match="a object has no digest"):
        digest_of(object())
