"""What is installed here, what will be used, and what is missing for what."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

__all__ = ["Finding", "examine"]

Finding = tuple[str, str, str]
"""What was looked at, what is there, and what to do about it (empty if nothing)."""

BASE = ("torch", "torch-geometric", "numpy", "scipy", "numba", "lightning-fabric")
EXTRAS = {
    "bench": ("matplotlib", "plots and the benchmark runner"),
    "vision": ("torchvision", "networks and transforms of images"),
    "speech": ("rapidfuzz", "character error rates, lips"),
    "tracking": ("motmetrics", "measures of multiple object tracking"),
    "neighbours": ("pynndescent", "approximate nearest neighbours"),
    "metis": ("pymetis", "parts of graphs by METIS"),
    "arrow": ("pyarrow", "edge lists in CSV and Parquet"),
    "cluster": ("distributed", "recipes over many processes and machines"),
    "ogb": ("ogb", "ogb's data sets"),
    "molecules": ("rdkit", "graphs of molecules"),
    "triton": ("triton", "kernels on an NVIDIA GPU"),
    "scatter": ("torch-scatter", "torch-scatter as a backend"),
    "notebooks": ("jupytext", "the notebooks"),
    "docs": ("sphinx", "the site"),
}


def examine() -> Iterator[Finding]:
    """Everything that decides what graphkit can do on this machine.

    Example:
        >>> from graphkit.scaffold.doctor import examine
        >>> dict((name, there) for name, there, _ in examine())["backend on CPU"]
        'numba'
    """
    import torch

    import graphkit
    from graphkit.datasets.store.download import offline

    yield "graphkit", graphkit.__version__, ""
    yield "Python", platform.python_version(), ""
    for package in BASE:
        yield package, installed(package) or "missing", ""
    for extra, (package, purpose) in EXTRAS.items():
        found = installed(package)
        remedy = "" if found else f'for {purpose}: pip install "graphkit[{extra}]"'
        yield package, found or "not installed", remedy
    yield from backends()
    yield "threads of PyTorch", str(torch.get_num_threads()), few_threads(torch.get_num_threads())
    yield from folders()
    if offline():
        yield "downloads", "forbidden by GRAPHKIT_OFFLINE", ""


def installed(package: str) -> str:
    """The version of a package, empty if it is not there."""
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def backends() -> Iterator[Finding]:
    """Which implementation serves a CPU and a GPU."""
    import torch

    from graphkit.ops import active_backend

    forced = active_backend()
    yield "backend on CPU", "numba" if forced == "auto" else forced, ""
    if not torch.cuda.is_available():
        yield "GPU", "none that PyTorch can use", ""
        return
    name = torch.cuda.get_device_name()
    remedy = ""
    if find_spec("triton") is None:
        remedy = 'slow without kernels: pip install "graphkit[triton]"'
    yield "GPU", name, remedy
    yield "backend on GPU", "torch" if remedy else "triton", ""


def few_threads(threads: int) -> str:
    """A hint where PyTorch leaves most of the machine idle."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    if cores and threads < cores:
        return f"of {cores} cores; torch.set_num_threads({cores}) or OMP_NUM_THREADS={cores}"
    return ""


def folders() -> Iterator[Finding]:
    """Where data are read and results of computations are kept."""
    from graphkit.datasets.store.folders import refusal, search_path
    from graphkit.datasets.store.registry import dataset_cards
    from graphkit.ops.cpu.kernels.compiling import cache_folder

    places = search_path(None)
    cards = [card for card in dataset_cards() if not card.embedded]
    here = sum(any(card.is_in(base) for base in places) for card in cards)
    looked = ", ".join(str(place) for place in places)
    remedy = "" if here else "set GRAPHKIT_DATA; python -m graphkit data says which files go where"
    refused = [f"{base} cannot be read: {why}" for base in places if (why := refusal(base))]
    remedy = "; ".join([*refused, *([remedy] if remedy else [])])
    yield "data sets", f"{here} of {len(cards)} in {looked}", remedy
    kernels = cache_folder()
    remedy = "" if kernels else "set GRAPHKIT_CACHE to a writable folder"
    yield "compiled kernels", kernels or "compiled anew by every process", remedy
