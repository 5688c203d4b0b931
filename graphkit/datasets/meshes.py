"""Meshes as ModelNet publishes them."""

from __future__ import annotations

import os

import numpy as np
import torch
from torch_geometric.data import Data

from graphkit.guard import reading
from graphkit.text_files import number_of, read_text

__all__ = ["read_off"]


def read_off(path: str | os.PathLike[str]) -> Data:
    r"""A mesh of an ``.off`` file, as those of the `"3D ShapeNets: A Deep Representation for
    Volumetric Shapes" <https://arxiv.org/abs/1406.5670>`_ paper's ModelNet10 and ModelNet40.

    Faces of more than three corners become fans of triangles. Some published files have the
    counts on the line of the word ``OFF``, even without a blank between: they are read, too.
    Comments and colours are skipped. :class:`torch_geometric.transforms.SamplePoints` draws points
    on the faces, :class:`graphkit.transforms.KNNGraph` links them.

    Args:
        path (str or Path): The file.

    Shapes:
        - **output:** :obj:`pos` :math:`(V, 3)`, :obj:`face` :math:`(3, F)`

    Raises:
        DamagedDataError: If it is cut off or not in the format; the message says where.

    Example:
        >>> import tempfile
        >>> with tempfile.NamedTemporaryFile("w", suffix=".off") as file:
        ...     _ = file.write("OFF\n4 1 0\n0 0 0\n1 0 0\n1 1 0\n0 1 0\n4 0 1 2 3\n")
        ...     file.flush()
        ...     read_off(file.name).face.tolist()
        [[0, 0], [1, 2], [2, 3]]
    """
    text = read_text(path)
    with reading(path):
        lines = [line.partition("#")[0].strip() for line in text.split("\n")]
        rows = [(number, line) for number, line in enumerate(lines, 1) if line]
        if not rows or not rows[0][1].upper().startswith("OFF"):
            raise ValueError("it does not begin with OFF")
        rest = rows[0][1][3:].strip()
        rows = [(rows[0][0], rest), *rows[1:]] if rest else rows[1:]
        if not rows:
            raise ValueError("it says no counts")
        vertices, faces = counts(*rows[0])
        body = rows[1:]
        # The counts are only believed when so many lines are there.
        if len(body) < vertices + faces:
            raise ValueError(
                f"it says {vertices} vertices and {faces} faces, {len(body)} lines follow"
            )
        pos = np.array([place(*row) for row in body[:vertices]]).reshape(-1, 3)
        corners = [polygon(*row, vertices) for row in body[vertices : vertices + faces]]
        fans = [(c[0], c[i], c[i + 1]) for c in corners for i in range(1, len(c) - 1)]
        face = torch.tensor(fans, dtype=torch.long).view(-1, 3).t().contiguous()
        return Data(pos=torch.from_numpy(pos).float(), face=face, num_nodes=vertices)


def counts(number: int, line: str) -> tuple[int, int]:
    """Vertices and faces."""
    words = line.split()
    if len(words) < 2 or not all(word.isdecimal() and len(word) < 12 for word in words[:2]):
        raise ValueError(f"line {number}: {line[:40]!r} is no count of vertices and faces")
    return int(words[0]), int(words[1])


def place(number: int, line: str) -> list[float]:
    """A vertex."""
    words = line.split()[:3]
    numbers = [number_of(word) for word in words]
    values = [value for value in numbers if value is not None]
    if len(values) != 3 or not np.abs(values).max() < 3e38:
        raise ValueError(f"line {number}: {line[:40]!r} is no vertex")
    return values


def polygon(number: int, line: str, vertices: int) -> list[int]:
    """The corners of a face."""
    words = line.split()
    size = int(words[0]) if words[0].isdecimal() and len(words[0]) < 9 else 0
    corners = words[1 : 1 + size]
    if not 0 < size == len(corners) or not all(c.isdecimal() and len(c) < 12 for c in corners):
        raise ValueError(f"line {number}: {line[:40]!r} is no face")
    numbers = [int(corner) for corner in corners]
    if max(numbers) >= vertices:
        raise ValueError(f"line {number}: vertex {max(numbers)} of {vertices}")
    return numbers
