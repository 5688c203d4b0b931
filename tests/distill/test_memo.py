"""What counts as unchanged."""

import torch

from graphkit.distill.memo import Memo


def test_same_objects_only():
    memo, calls = Memo(), []

    def count():
        calls.append(1)
        return len(calls)

    x, y = torch.ones(2), torch.ones(2)
    assert [memo((x, y), count), memo((x, y), count)] == [1, 1]
    assert memo((x, y.clone()), count) == 2
    assert memo((x, y), count) == 3
    y.add_(1)
    assert memo((x, y), count) == 4
    assert memo((x,), count) == 5
    assert [memo((), count), memo((), count)] == [6, 7]
    assert memo.hits == 1


def test_inference_tensors_are_never_kept():
    with torch.inference_mode():
        x = torch.ones(2)
        memo = Memo()
        assert [memo((x,), lambda: 1), memo((x,), lambda: 2)] == [1, 2]
