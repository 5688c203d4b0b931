"""A tensor that is made beside others is made on their device: no test on a CPU would notice."""

from pathlib import Path

import pytest

from tests.meta.devices import homeless

ROOT = Path(__file__).parent.parent
TREE = """
import torch
from dataclasses import dataclass
from torch import Tensor

def places(x: Tensor | None, generator=None) -> Tensor:
    first = torch.zeros_like(x)
    second = torch.rand(3, generator=generator)
    return torch.arange(4, device=x.device)

def alone(count: int) -> Tensor:
    return torch.arange(count)

@dataclass
class Batch:
    x: Tensor

    @property
    def rows(self) -> Tensor:
        return torch.eye(3, device=self.x.device)

class Layer:
    def __init__(self, begin: Tensor) -> None:
        number = torch.arange(len(begin), device=begin.device)
        self.weight = torch.zeros(3)
"""


def planted(folder: Path, text: str) -> list[str]:
    (folder / "graphkit").mkdir()
    (folder / "graphkit" / "foo.py").write_text(text)
    return homeless(folder)


def test_tensors_beside_others_say_where_they_lie() -> None:
    assert homeless(ROOT) == []


def test_what_says_where_it_lies_passes(tmp_path: Path) -> None:
    assert planted(tmp_path, TREE) == []


@pytest.mark.parametrize(
    ("said", "call"),
    [
        (", device=x.device", "torch.arange(4)"),
        (", generator=generator)", "torch.rand(3)"),
        (", device=self.x.device", "torch.eye(3)"),
        (", device=begin.device", "torch.arange(len(begin))"),
    ],
)
def test_one_on_the_default_device_is_named(tmp_path: Path, said: str, call: str) -> None:
    text = TREE.replace(said, ")" if said.endswith(")") else "")
    (fault,) = planted(tmp_path, text)
    assert fault.endswith(call)
