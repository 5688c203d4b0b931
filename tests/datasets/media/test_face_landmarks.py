import numpy as np
import pytest
import torch

from graphkit.datasets import DamagedDataError, MissingDataError, face_landmarks


def write(root, **arrays):
    (root / "faces").mkdir()
    np.savez(root / "faces/landmarks68.npz", **arrays)


def points(count=3):
    return np.random.default_rng(0).uniform(0, 200, (count, 68, 2)).astype(np.float32)


def test_frames_and_people_are_read(tmp_path):
    given = points()
    write(tmp_path, points=given, subject=np.array([4, 4, 9], dtype=np.int32))
    faces = face_landmarks(tmp_path)
    assert torch.equal(faces.points, torch.from_numpy(given))
    assert faces.subject.tolist() == [4, 4, 9]


def faceless(value):
    given = points()
    given[1] = value
    return {"points": given, "subject": np.arange(3)}


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (faceless(np.nan), "no face in frame 1"),
        (faceless(0.0), "no face in frame 1"),
        ({"points": points()[:, :60], "subject": np.arange(3)}, "60, 2"),
        ({"points": points(), "subject": np.arange(2)}, "subjects"),
        ({"points": points()}, "subject"),
    ],
)
def test_damaged_files_are_named(arrays, message, tmp_path):
    write(tmp_path, **arrays)
    with pytest.raises(DamagedDataError, match=message) as error:
        face_landmarks(tmp_path)
    assert "landmarks68.npz" in str(error.value)


def test_what_is_no_archive_and_what_is_missing(tmp_path, monkeypatch):
    monkeypatch.setenv("GRAPHKIT_CACHE", str(tmp_path / "cache"))
    with pytest.raises(MissingDataError, match="FaceLandmarks"):
        face_landmarks(tmp_path)
    (tmp_path / "faces").mkdir()
    (tmp_path / "faces/landmarks68.npz").write_bytes(b"PK\x03\x04 cut")
    with pytest.raises(DamagedDataError, match="cannot read"):
        face_landmarks(tmp_path)


@pytest.mark.data
@pytest.mark.usefixtures("data_root")
def test_published_counts():
    faces = face_landmarks()
    assert faces.points.shape == (4232, 68, 2)
    assert len(faces.subject.unique()) == 347
