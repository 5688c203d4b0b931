"""The adapter suite on adapters that take whatever comes, arrays and single samples included."""

from __future__ import annotations

import torch
from torch import nn

from tests.testing.faults import FaultList
from tests.testing.test_adapter import Windows, WindowsSuite


class Images(Windows):
    """The windows of a batch of images, one behind the other."""

    takes = {"signal": 4}

    def forward(self, signal):
        return super().forward(signal.flatten())


class ImagesSuite(WindowsSuite):
    def example(self):
        return (torch.rand(2, 1, 4, 4),)

    def degenerate(self):
        return {"one window": (torch.rand(1, 1, 1, 4),), "none": (torch.rand(0, 1, 4, 4),)}

    def recovered(self, graph, signal):
        return {"length": (graph.start[-1] + 4, torch.tensor(signal.numel()))}


class TestImages(ImagesSuite):
    """A sound adapter of batches passes."""

    def make(self):
        return Images()


FAULTS = FaultList(
    lambda kind: type(f"{kind.__name__}Suite", (ImagesSuite,), {"make": lambda self: kind()})
)


@FAULTS.caught_by("single_sample")
class TakesOneImageForABatch(Images):
    """Promises a check and does without it."""

    def __call__(self, *args, **kwargs):
        return nn.Module.__call__(self, *args, **kwargs)


@FAULTS.caught_by("arrays")
class FailsObscurelyOnArrays(TakesOneImageForABatch):
    def forward(self, signal):
        return super().forward(signal.flatten().clone())


@FAULTS.caught_by("arrays")
class RoundsArrays(Images):
    def __call__(self, signal):
        if not isinstance(signal, torch.Tensor):
            signal = torch.from_numpy(signal).half().float()
        return super().__call__(signal)


@FAULTS.parametrize()
def test_fault_is_caught(kind, check):
    FAULTS.assert_caught(kind, check)
