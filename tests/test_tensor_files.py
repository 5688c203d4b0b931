"""Archives and tensors are looked at before they are believed."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path

import pytest
import torch

from graphkit.guard import DamagedDataError
from graphkit.tensor_files import open_zip, read_tensors, read_zip


def archive(path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("a.txt", "first")
        file.writestr("b.txt", "second")
    return path


def test_members_are_counted_and_read(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.zip")
    assert read_zip(path) == 2
    with open_zip(str(path)) as file:
        assert file.read("b.txt") == b"second"


def test_what_is_no_archive_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(b" \n<!DOCTYPE html>")
    with pytest.raises(DamagedDataError, match=r"a\.zip': it is a web page"), open_zip(path):
        pass
    path.write_bytes(b"x" * 70)
    with pytest.raises(DamagedDataError, match="not a zip file"), open_zip(path):
        pass


def test_what_would_fill_the_memory_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name in ("a", "b"):
            file.writestr(name, bytes(33 << 20))
    with pytest.raises(DamagedDataError, match="no data set does that"), open_zip(path):
        pass


def test_a_member_with_another_checksum_is_named(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.zip")
    path.write_bytes(path.read_bytes().replace(b"second", b"sexond"))
    with pytest.raises(ValueError, match=r"'b\.txt' in it is damaged"):
        read_zip(path)


@pytest.mark.parametrize("new", [True, False])
def test_tensors_come_back_from_both_formats(tmp_path: Path, new: bool) -> None:
    path = tmp_path / "a.pt"
    torch.save({"x": torch.arange(3)}, path, _use_new_zipfile_serialization=new)
    assert read_tensors(path)["x"].tolist() == [0, 1, 2]


def test_options_reach_pytorch(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    torch.save({"x": torch.arange(3)}, path)
    with pytest.raises(DamagedDataError, match="pickle_module"):
        read_tensors(path, pickle_module=pickle)


def test_a_tensor_with_another_checksum_is_refused_with_advice(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    torch.save({"x": torch.full((64,), 7, dtype=torch.uint8)}, path)
    path.write_bytes(path.read_bytes().replace(b"\x07" * 8, b"\x08" * 8))
    with pytest.raises(DamagedDataError, match=r"is damaged; make it anew$"):
        read_tensors(path, advice="make it anew")


def test_no_code_is_run(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    torch.save({"x": Path()}, path)
    with pytest.raises(DamagedDataError, match=r"may run code$"):
        read_tensors(path)
