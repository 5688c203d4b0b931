import pytest
import torch

from graphkit.ops.layout import order


@pytest.mark.parametrize(
    ("entries", "size", "wanted"),
    [
        *((0, 0, torch.int32), (2**31 - 2, 5, torch.int32), (5, 2**31 - 2, torch.int32)),
        *((2**31 - 1, 5, torch.int64), (5, 2**31 - 1, torch.int64)),
    ],
)
def test_whole_numbers_are_as_wide_as_they_must_be(entries, size, wanted):
    assert order.index_dtype(entries, size) == wanted


class Elsewhere(torch.Tensor):
    """Values that say they are on a GPU, so that PyTorch sorts them."""

    @property
    def device(self):
        return type("Device", (), {"type": "cuda"})()


@pytest.mark.parametrize("where", ["cpu", "elsewhere"])
@pytest.mark.parametrize("kind", [torch.int64, torch.int32])
def test_groups_and_their_entries_in_order(where, kind, monkeypatch):
    values = torch.tensor([3, 0, 3, 1, 0, 3], dtype=kind)
    ordered = values.sort().values
    if where == "elsewhere":
        for name in ("arange",):
            before = getattr(torch, name)
            monkeypatch.setattr(torch, name, lambda *a, b=before, device=None: b(*a))
        values, ordered = (v.as_subclass(Elsewhere) for v in (values, ordered))
    found = order.sort_rows(values, 5)
    assert found.indptr.tolist() == [0, 2, 3, 3, 6, 6]
    assert found.perm.tolist() == [1, 4, 3, 0, 2, 5]
    assert found.indptr.dtype == found.perm.dtype == torch.int32
    found = order.sort_rows(ordered, 5)
    assert found.indptr.tolist() == [0, 2, 3, 3, 6, 6]
    assert found.perm is None
    assert found.indptr.dtype == torch.int32
    none = order.sort_rows(values[:0], 2)
    assert (none.indptr.tolist(), none.perm) == ([0, 0, 0], None)


def test_equal_entries_keep_their_order_beyond_what_a_short_sort_keeps(monkeypatch):
    before = torch.arange
    monkeypatch.setattr(torch, "arange", lambda *a, device=None: before(*a))
    values = torch.randint(3, (5000,), generator=torch.Generator().manual_seed(0))
    wanted = values.argsort(stable=True).tolist()
    assert order.sort_rows(values, 3).perm.tolist() == wanted
    assert order.sort_rows(values.as_subclass(Elsewhere), 3).perm.tolist() == wanted


def test_what_inference_made_is_usable_in_training():
    with torch.inference_mode():
        found = order.sort_rows(torch.tensor([1, 0]), 2)
    assert not found.indptr.is_inference()
    assert not found.perm.is_inference()
