"""What half precision cannot do by itself."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch_geometric.data import Data

import graphkit
from graphkit.precision import cast_floats, normalize, positive, wide

HALF = (torch.float16, torch.bfloat16)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_unit_vectors_are_those_of_torch(dtype: torch.dtype) -> None:
    x = torch.randn(4, 3, 5, dtype=dtype)
    x[1], x[2, 0] = 0, 1e-20
    for dim in (0, 1, -1):
        assert torch.equal(normalize(x, dim), F.normalize(x, dim=dim))


@pytest.mark.parametrize("dtype", [*HALF, torch.float32])
def test_a_vector_of_zeros_stays_zero_with_a_finite_gradient(dtype: torch.dtype) -> None:
    x = torch.tensor([[0.0, 0.0], [300.0, 400.0]], dtype=dtype, requires_grad=True)
    unit = normalize(x)
    torch.testing.assert_close(unit, torch.tensor([[0, 0], [0.6, 0.8]], dtype=dtype))
    unit.sum().backward()
    assert unit.dtype == x.grad.dtype == dtype
    assert torch.equal(x.grad[0], torch.ones(2, dtype=dtype))
    assert x.grad.isfinite().all()


@pytest.mark.parametrize("dtype", HALF)
def test_long_vectors_do_not_overflow(dtype: torch.dtype) -> None:
    x = torch.full((1, 4), 6e4, dtype=dtype)
    torch.testing.assert_close(normalize(x), torch.full((1, 4), 0.5, dtype=dtype))


def test_small_constants_do_not_vanish() -> None:
    for dtype in (*HALF, torch.float32, torch.float64):
        x = torch.zeros(2, dtype=dtype, requires_grad=True)
        (positive(x).log() + 1 / positive(x)).sum().backward()
        assert positive(x).log().isfinite().all()
        assert x.grad.isfinite().all()
    assert positive(torch.zeros((), dtype=torch.float64)).item() == 1e-12
    assert wide(torch.ones((), dtype=torch.float16)).dtype == torch.float32
    assert wide(torch.ones((), dtype=torch.float64)).dtype == torch.float64


VANISHING = re.compile(
    r"F\.normalize\(|cosine_similarity\(|clamp(?:_min)?\((?:min=)?1e-(?:[89]|\d\d)\b"
)


def vanishing(source: str) -> list[str]:
    """Calls with a constant that is 0 in float16; a comment says where that cannot come."""
    lines = [line.strip() for line in source.splitlines() if VANISHING.search(line)]
    return [line for line in lines if not line.endswith("# wide")]


def test_no_file_divides_by_a_constant_that_vanishes() -> None:
    root = Path(graphkit.__file__).parent
    complaints = [
        f"{path.relative_to(root)}: {line}"
        for path in root.rglob("*.py")
        if path.name != "precision.py"
        for line in vanishing(path.read_text(encoding="utf-8"))
    ]
    assert not complaints, "use graphkit.precision: " + "\n".join(complaints)


@pytest.mark.parametrize(
    "line", ["F.normalize(x, dim=1)", "x.clamp(min=1e-12).log()", "torch.clamp_min(1e-9)"]
)
def test_the_search_finds_a_planted_one(line: str) -> None:
    assert vanishing(f"y = {line}")
    assert not vanishing("y = normalize(x); z = x.clamp(min=1e-3)")


def test_floats_are_cast_wherever_they_lie() -> None:
    x, whole, word = torch.ones(2), torch.tensor([1]), "as it is"
    graph = Data(x=x, edge_index=torch.zeros(2, 1, dtype=torch.long), name=word)
    values = {"list": [x, whole, None], "pair": (x, 2.5), "graph": graph, "word": word}
    cast = cast_floats(values, torch.double)
    assert [part.dtype for part in cast["list"][:2]] == [torch.double, torch.int64]
    assert cast["list"][2] is None
    assert cast["pair"][0].dtype == torch.double
    assert cast["pair"][1:] == (2.5,)
    assert cast["word"] is word
    assert cast["graph"].x.dtype == torch.double
    assert cast["graph"].edge_index.dtype == torch.int64
    # What came in is as it was.
    assert graph.x is x
    assert values["list"][0] is x


def test_named_tuples_are_left_as_they_are() -> None:
    pair = torch.return_types.max((torch.ones(1), torch.zeros(1)))
    assert cast_floats(pair, torch.double) is pair


def test_the_least_positive_number_is_chosen() -> None:
    assert positive(torch.tensor([0.0, 0.2, 0.7]), 0.5).tolist() == pytest.approx([0.5, 0.5, 0.7])


def test_shorter_vectors_than_epsilon_stay_shorter() -> None:
    unit = normalize(torch.tensor([[0.3, 0.4], [3.0, 4.0]]), eps=1.0)
    torch.testing.assert_close(unit, torch.tensor([[0.3, 0.4], [0.6, 0.8]]))
