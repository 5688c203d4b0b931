"""What loaders of neighbours share: their sampler, and draws that no number of workers changes."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Data, HeteroData
from torch_geometric.sampler import BaseSampler

from graphkit.sampling.neighbor_sampler import NeighborSampler


class SeededPasses:
    """Every pass draws one number; with the seeds of a batch it fixes what the batch holds.

    A mixin for loaders with ``num_workers``, ``persistent_workers``, ``generator`` and
    ``collate_fn``, whose sampler is :meth:`drawing_sampler`.  The number comes from the loader's
    ``generator``, or from torch's.
    """

    seed_of_pass: Tensor | None = None

    def drawing_sampler(self) -> Any:
        """The sampler that draws."""
        raise NotImplementedError

    def __iter__(self) -> Any:
        loader: Any = self
        if not hasattr(self.drawing_sampler(), "seeded"):
            return super().__iter__()  # type: ignore[misc]
        # Workers that stay read the number of a new pass from shared memory; others are made for
        # their pass, so that passes at the same time keep a number of their own.
        stays = loader.num_workers > 0 and loader.persistent_workers
        again = stays and self.seed_of_pass is not None
        if not again:
            self.seed_of_pass = torch.zeros(1, dtype=torch.long)
            if stays:
                self.seed_of_pass.share_memory_()
        assert self.seed_of_pass is not None
        self.seed_of_pass.random_(generator=loader.generator)
        if again:
            # New workers cost the generator a number; those that stay must cost it one as well, or
            # the order of the next pass would differ.
            torch.empty((), dtype=torch.long).random_(generator=loader.generator)
        plain = loader.collate_fn
        loader.collate_fn = partial(seeded_batch, loader, plain, self.seed_of_pass)
        try:
            return super().__iter__()  # type: ignore[misc]
        finally:
            loader.collate_fn = plain


def seeded_batch(loader: Any, collate: Any, seed: Tensor, index: Any) -> Any:
    """A batch of a pass."""
    with loader.drawing_sampler().seeded(int(seed)):
        return collate(index)


def check_type(data: Any, given: Any, name: str) -> None:
    """Raises if a graph with types, or stores, are not told which of them the seeds are.

    PyG asserts, or makes the type that it does not find.
    """
    if isinstance(data, Data):
        return
    if given is None:
        raise ValueError(f"'{name}' must be given: only in a Data are all of them the default")
    if not isinstance(data, HeteroData):
        return
    types = data.node_types if name == "input_nodes" else data.edge_types
    kind = given
    if not isinstance(given, str) and (name == "input_nodes" or not isinstance(given[0], str)):
        kind = given[0] if isinstance(given, list | tuple) and len(given) == 2 else None
    if isinstance(kind, list | tuple) and len(kind) < 3:
        # Two words name the one kind of edges between two types of nodes.
        types = [(a, c) for a, _, c in types]
    kind = tuple(kind) if isinstance(kind, list) else kind
    if kind not in types:
        raise ValueError(f"'{name}' must name one of the types {types}, or that and the seeds")


def sampler_of(given: Mapping[str, Any]) -> BaseSampler:
    """The sampler that a loader's arguments, by their names, ask for.

    Args:
        given (dict): What PyG's loaders of neighbours have in common; what stands behind their
            ``**kwargs`` is in ``"kwargs"``.
    """
    sampler = given["neighbor_sampler"]
    if sampler is None:
        names = inspect.signature(NeighborSampler).parameters.keys() & given.keys()
        options = {name: given[name] for name in names}
        workers = given["kwargs"].get("num_workers", 0)
        sampler = NeighborSampler(**options, share_memory=workers > 0)
    return sampler
