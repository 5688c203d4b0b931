import pytest
import torch

from graphkit.datasets import DamagedDataError, MissingDataError, mot15

ROWS = "2,3,100,50,24,120,1,-1,-1,-1\n1,3,99,50,24,120,1,-1,-1,-1\n1,4,10,20,12,60,0.5,-1,-1,-1\n"


def write(root, text=ROWS):
    for name in ("TUD-Campus", "TUD-Stadtmitte"):
        for file in (f"groundtruth/{name}/gt.txt", f"detections/train/{name}/det/det.txt"):
            path = root / "MOT15" / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)


def test_boxes_are_read_by_frame(tmp_path):
    write(tmp_path)
    found = mot15("TUD-Campus", root=tmp_path)
    assert found.frame.tolist() == [0, 0, 1]
    assert found.identity.tolist() == [3, 4, 3]
    assert found.size == (2, 480, 640)
    assert torch.allclose(found.heads()[1], torch.tensor([29.0, 16.0]) / 12)


@pytest.mark.parametrize("text", ["", "1,2,3\n", "0,3,1,1,1,1,1,-1,-1,-1\n", "a,b\n"])
def test_damaged_files_are_named(tmp_path, text):
    write(tmp_path, text)
    with pytest.raises(DamagedDataError, match=r"gt\.txt"):
        mot15("TUD-Campus", root=tmp_path)


def test_missing_files_are_named(tmp_path, monkeypatch):
    monkeypatch.setenv("GRAPHKIT_CACHE", str(tmp_path / "cache"))
    with pytest.raises(MissingDataError, match="MOT15"):
        mot15("TUD-Campus", root=tmp_path)


def test_wrong_names_are_refused(tmp_path):
    write(tmp_path)
    with pytest.raises(ValueError, match="name"):
        mot15("PETS", root=tmp_path)
    with pytest.raises(ValueError, match="part"):
        mot15("TUD-Campus", "videos", root=tmp_path)


@pytest.mark.data
@pytest.mark.usefixtures("data_root")
@pytest.mark.parametrize(
    ("name", "boxes", "found", "frames"),
    [("TUD-Campus", 359, 321, 71), ("TUD-Stadtmitte", 1156, 951, 179)],
)
def test_published_counts(name, boxes, found, frames):
    people, detections = mot15(name), mot15(name, "detections")
    assert (len(people.frame), len(detections.frame)) == (boxes, found)
    assert people.size[0] == frames
