import torch

from graphkit.ops.cpu.counting import counting_sort


def test_order_is_stable_and_left_out_where_entries_are_sorted():
    values = torch.tensor([2, 0, 2, 1, 0])
    indptr, perm = counting_sort(values, 4, torch.int32)
    assert indptr.tolist() == [0, 2, 3, 5, 5]
    assert perm.tolist() == torch.argsort(values, stable=True).tolist()
    assert indptr.dtype == perm.dtype == torch.int32
    assert counting_sort(values.sort().values, 4, torch.int64)[1] is None
