"""Meshes as ModelNet has them, and damaged ones."""

import re

import pytest
import torch
from torch_geometric.io import read_off as pygs

from graphkit.datasets import DamagedDataError, read_off

CUBE = """OFF
8 6 0
0 0 0
0 0 1
0 1 0
0 1 1
1 0 0
1 0 1
1 1 0
1 1 1
4 0 1 3 2
4 4 6 7 5
4 0 4 5 1
4 2 3 7 6
4 0 2 6 4
4 1 5 7 3
"""


def write(folder, text):
    path = folder / "a.off"
    path.write_bytes(text.encode())
    return path


def area(mesh):
    first, second, third = mesh.pos[mesh.face]
    return float(torch.linalg.cross(second - first, third - first).norm(dim=1).sum() / 2)


def test_squares_become_triangles_of_the_same_area(tmp_path):
    mesh = read_off(write(tmp_path, CUBE))
    assert (mesh.num_nodes, mesh.face.shape) == (8, (3, 12))
    assert area(mesh) == pytest.approx(6)
    assert mesh.validate()


def test_triangles_are_those_of_pyg(tmp_path):
    path = write(tmp_path, "OFF\n4 2 0\n0 0 0\n1 0.5 0\n0 1 -2e-3\n1 1 1\n3 0 1 2\n3 1 3 2\n")
    ours, theirs = read_off(path), pygs(str(path))
    assert torch.equal(ours.pos, theirs.pos)
    assert torch.equal(ours.face, theirs.face)


@pytest.mark.parametrize(
    "text",
    [
        CUBE.replace("OFF\n8", "OFF8"),
        CUBE.replace("OFF\n8", "OFF 8"),
        CUBE.replace("OFF", "off # a cube").replace("8 6 0", "# counts\n\n8 6 0"),
        CUBE.replace("8 6 0", "8 6"),
        CUBE.replace("\n", "\r\n"),
        "\ufeff" + CUBE.rstrip(),
        CUBE.replace("4 0 1 3 2", "4 0 1 3 2 255 0 0"),
    ],
)
def test_spellings_of_published_files(tmp_path, text):
    assert area(read_off(write(tmp_path, text))) == pytest.approx(6)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "does not begin with OFF"),
        ("ply\n", "does not begin with OFF"),
        ("OFF\n", "no counts"),
        ("OFF\n8 x 0\n", "line 2"),
        ("OFF\n99999999999 6 0\n", "lines follow"),
        ("OFF\n99999999999999999999 6 0\n", "line 2"),
        (CUBE[:-20], "6 faces"),
        (CUBE.replace("0 0 1\n", "0 nan 1\n"), "line 4"),
        (CUBE.replace("0 0 1\n", "0 4e38 1\n"), "line 4"),
        (CUBE.replace("0 0 1\n", "0 -4e38 1\n"), "line 4"),
        (CUBE.replace("0 0 1\n", "0 1\n"), "line 4"),
        (CUBE.replace("0 0 1\n", "0 0,5 1\n"), "line 4"),
        (CUBE.replace("0 0 1\n", "0 zero 1\n"), "line 4"),
        (CUBE.replace("4 0 1 3 2", "4 0 1 3 8"), "line 11: vertex 8 of 8"),
        (CUBE.replace("4 0 1 3 2", "4 0 1 -3 2"), "line 11"),
        (CUBE.replace("4 0 1 3 2", "5 0 1 3 2"), "line 11"),
        ("<html>", "does not begin with OFF"),
    ],
)
def test_damaged_files_are_named(tmp_path, text, word):
    with pytest.raises(DamagedDataError, match=f"a.off.*{re.escape(word)}"):
        read_off(write(tmp_path, text))
