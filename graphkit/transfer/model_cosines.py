"""How alike models attribute, and how alike they see samples: all pairs at once."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from graphkit.precision import wide

__all__ = ["edge_vector", "node_cosines", "ranks", "zero_maps"]


TINY = 1e-24
"""Squares below it, and above its inverse, are taken of rows of size one."""


class Rows(Protocol):
    """Anything that gives rows: a tensor, an array, a memory map, an HDF5 data set."""

    shape: Any

    def __getitem__(self, part: slice) -> Any:
        """Some of the rows."""


def stack_rows(models: Sequence[Rows], part: slice, buffer: Tensor) -> Tensor:
    """The same rows of all models, as float32, in a part of the buffer: ``[M, n, D]``."""
    first = None
    for place, model in enumerate(models):
        rows = torch.as_tensor(model[part]).flatten(1)
        first = buffer[:, : len(rows)] if first is None else first
        first[place].copy_(rows)
    assert first is not None
    return first


def node_cosines(
    new: Sequence[Rows], old: Sequence[Rows] = (), *, chunk_floats: int = 1 << 23
) -> tuple[Tensor, Tensor]:
    r"""The cosines of every new model's attribution maps with those of every model, per probe.

    .. math::
        C_{kmn} = \frac{\langle a_{mk}, a_{nk} \rangle}
        {\lVert a_{mk} \rVert \, \lVert a_{nk} \rVert}

    The probes are streamed: one batched matrix product per chunk gives the inner products of all
    pairs and, on its diagonal, the norms, so no map is normalised. Time grows with :math:`M' (M'
    + M) N D`, memory with the chunk.

    Args:
        new (list): Maps of the models to add, :math:`N` rows each.
        old (list, optional): Maps of the models that are there already. (default: :obj:`()`)
        chunk_floats (int, optional): Numbers held at a time. (default: :obj:`2 ** 23`)

    Shapes:
        - **input:** maps :math:`(N, D)`
        - **output:** cosines :math:`(N, M', M' + M)`, new models first; whether each map is zero
          :math:`(N, M' + M)`

    Raises:
        ValueError: If maps differ in shape or are not finite.

    Example:
        >>> import torch
        >>> a, b = torch.tensor([[3.0, 4.0]]), torch.tensor([[4.0, 3.0]])
        >>> node_cosines([a, b])[0]
        tensor([[[1.0000, 0.9600],
                 [0.9600, 1.0000]]])
    """
    models = [*new, *old]
    shapes = {(shape[0], int(np.prod(shape[1:]))) for shape in (tuple(m.shape) for m in models)}
    if len(shapes) != 1:
        raise ValueError(f"all models need maps of one shape, got {sorted(shapes)}")
    ((rows, width),) = shapes
    step = max(1, min(rows, chunk_floats // max(1, width * len(models))))
    buffer = torch.empty(len(models), step, width)
    cosines = torch.zeros(rows, len(new), len(models))
    squares = torch.zeros(rows, len(models))
    for start in range(0, rows, step):
        part = slice(start, min(start + step, rows))
        maps = stack_rows(models, part, buffer).transpose(0, 1)
        cosines[part], squares[part] = products(maps, len(new))
        # Rarely, so that most maps are read once: squares that left the range of float32.
        if not bool(((squares[part] > TINY) & (squares[part] < 1 / TINY)).all()):
            cosines[part], squares[part] = products(of_size_one(maps), len(new))
    if not bool(squares.isfinite().all()):
        bad = (~squares.isfinite()).any(0).nonzero().flatten().tolist()
        raise ValueError(f"the maps of models {bad} are not finite")
    zero = squares == 0
    safe = torch.where(zero, 1.0, squares).double()
    cosines /= (safe[:, : len(new), None] * safe[:, None]).sqrt().float()
    return cosines.clamp(-1, 1), zero


def products(maps: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Inner products of the first models' rows with all models', and the squares of all."""
    inner = maps[:, :count] @ maps.transpose(1, 2)
    squares = inner[:, :, :count].diagonal(dim1=1, dim2=2)
    return inner, torch.cat([squares, maps[:, count:].square().sum(2)], 1)


def zero_maps(zero: Tensor, names: Sequence[str]) -> None:
    """Warns of models whose maps are zero for some probes; their cosines count as 0 there."""
    count = zero.sum(0)
    if bool(count.any()):
        shown = {name: int(n) for name, n in zip(names, count, strict=True) if n}
        warnings.warn(
            f"attribution maps that are zero everywhere have similarity 0; so many probes: {shown}",
            stacklevel=3,
        )


def edge_vector(features: Tensor, centre: bool = True) -> Tensor:
    r"""The cosines of all pairs of samples :math:`k < l`.

    Args:
        features (torch.Tensor): A row per sample; further dimensions are flattened.
        centre (bool, optional): Take the mean over samples off first. (default: :obj:`True`)

    Shapes:
        - **input:** features :math:`(N, *)`
        - **output:** :math:`(N (N - 1) / 2)`; 0 where a row is zero

    Raises:
        ValueError: If there are fewer than three samples, or features are not finite.
    """
    features = wide(features.detach().flatten(1))
    # All by one power of two, so that neither scale nor centring makes rows look like zeros.
    features = of_size_one(features.reshape(1, -1)).view_as(features)
    if len(features) < 3:
        raise ValueError(f"'features' needs at least three rows, got {len(features)}")
    if not bool(features.isfinite().all()):
        raise ValueError("'features' holds values that are not finite")
    if centre:
        features = features - features.mean(0)
    features = torch.nn.functional.normalize(features, dim=1)
    upper = torch.triu_indices(len(features), len(features), 1, device=features.device)
    return (features @ features.T)[upper[0], upper[1]]


def of_size_one(rows: Tensor) -> Tensor:
    """Rows whose largest entry is between one and two; directions stay, bit for bit.

    So squares of tiny or huge entries neither underflow nor overflow. Rows of zeros stay.
    """
    if not rows.numel():
        return rows
    largest = rows.abs().amax(-1, keepdim=True)
    # The power of two below it: to divide by that rounds nothing.
    power = largest / (2 * torch.frexp(largest).mantissa)
    return rows / torch.where(largest > 0, power, 1.0)


def ranks(values: Tensor) -> Tensor:
    """Average ranks, centred and of length one, so that a dot product is Spearman's correlation.

    Constant values have no ranks; they give zeros.
    """
    from scipy.stats import rankdata

    rank = rankdata(values.numpy())
    rank -= rank.mean()
    length = np.linalg.norm(rank)
    return torch.from_numpy(rank / length if length else rank).float()
