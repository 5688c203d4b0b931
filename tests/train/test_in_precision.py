"""A model in another precision, and what goes into it and comes out."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from graphkit.train.in_precision import TRUE_TYPES, InPrecision


class Spy(nn.Module):
    """Says what it is given, and makes a tensor of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.weight, self.mark = nn.Parameter(torch.ones(2)), "mine"

    def forward(self, x, *, more, fail=False):
        self.seen = x.dtype, more["w"].dtype, more["i"].dtype
        if fail:
            raise KeyError("fail")
        return x * self.weight + torch.ones(2), torch.zeros(3)


@pytest.mark.parametrize(
    ("name", "dtype", "out"),
    [
        ("64", torch.float64, torch.float64),
        ("64-true", torch.float64, torch.float64),
        ("16-true", torch.float16, torch.float32),
        ("bf16-true", torch.bfloat16, torch.float32),
    ],
)
def test_what_goes_in_is_converted_and_half_comes_out_as_single(name, dtype, out) -> None:
    assert TRUE_TYPES[name] == dtype
    model = InPrecision(Spy(), TRUE_TYPES[name])
    more = {"w": torch.ones(2), "i": torch.arange(2)}
    before = torch.get_default_dtype()
    first, second = model(torch.ones(2), more=more)
    assert model.seen == (dtype, dtype, torch.int64)
    assert model.weight.dtype == dtype
    assert (first.dtype, second.dtype) == (out, out)
    assert first.tolist() == [2, 2]
    assert torch.get_default_dtype() == before
    assert more["w"].dtype == torch.float32, "the caller's own stays as it is"


def test_the_default_type_comes_back_after_an_error() -> None:
    model = InPrecision(Spy(), torch.float64)
    with pytest.raises(KeyError, match="fail"):
        model(torch.ones(2), more={"w": torch.ones(1), "i": torch.ones(1)}, fail=True)
    assert torch.get_default_dtype() == torch.float32


def test_attributes_are_those_of_the_model() -> None:
    inner = Spy()
    model = InPrecision(inner, torch.float64)
    assert (model.mark, model.module, model.dtype) == ("mine", inner, torch.float64)
    with pytest.raises(AttributeError, match=r"Spy.*nothing"):
        _ = model.nothing
