"""Time and memory of all similarities of many models: ``python -m benchmarks.zoo.speed``.

Maps lie in one large buffer, each model's rows at another place of it, so that they are read
from memory and not from the processor's cache; making them and the features is not timed.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass

import torch
from torch import Tensor

from benchmarks.harness.environment import peak_memory_mb, reset_peak_memory
from graphkit.transfer import ModelSpace

__all__ = ["Strip", "similarity_times"]


@dataclass
class Strip:
    """A model's maps as windows of a buffer that is shared by all models."""

    buffer: Tensor
    start: int
    shape: tuple[int, int]

    def __getitem__(self, part: slice) -> Tensor:
        size = (part.stop - part.start) * self.shape[1]
        place = (self.start + part.start * self.shape[1]) % (self.buffer.numel() - size)
        return self.buffer[place : place + size].view(-1, self.shape[1])


def similarity_times(
    models: int = 20, probes: int = 1000, width: int = 65_536, channels: int = 512
) -> dict[str, float]:
    """Seconds for all pairs at once, for one more model, and peak memory in MB."""
    torch.manual_seed(0)
    buffer = torch.randn(min(200_000_000, 4 * probes * width))
    given = {
        str(m): (
            Strip(buffer, m * 9_000_011 % buffer.numel(), (probes, width)),
            torch.randn(probes, channels),
        )
        for m in range(models + 1)
    }
    last = given.pop(str(models))
    reset_peak_memory()
    started = time.perf_counter()
    space = ModelSpace()
    space.extend(given)
    space.similarity()
    whole = time.perf_counter() - started
    started = time.perf_counter()
    space.add("one more", *last)
    space.similarity()
    return {
        "seconds_all": whole,
        "seconds_one_more": time.perf_counter() - started,
        "peak_mb": peak_memory_mb(),
        "threads": float(torch.get_num_threads()),
    }


def main(arguments: list[str] | None = None) -> None:
    """Prints the times."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, size in (("models", 20), ("probes", 1000), ("width", 65_536)):
        parser.add_argument(f"--{name}", type=int, default=size)
    for key, value in similarity_times(**vars(parser.parse_args(arguments))).items():
        print(f"{key} {value:.4g}")


if __name__ == "__main__":
    main()
