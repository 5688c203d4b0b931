"""Files as MOT15 to MOT20 have them."""

import re

import pytest
import torch

from graphkit.datasets import DamagedDataError, MissingDataError, mot_sequence
from graphkit.metrics import hota

MOT17 = """1,1,912,484,97,109,0,7,1
2,1,912,484,97,109,0,7,1
1,2,1338,418,167,379,1,1,0.9
1,3,586,447,85,263,1,1,0.1
2,2,1340,418,167,379,1,1,0.25
"""
SIZE = "[Sequence]\nname=MOT17-02-FRCNN\nframeRate=30\nseqLength=600\nimWidth=1920\nimHeight=1080\n"


def write(folder, text=MOT17, size=SIZE, file="gt/gt.txt"):
    path = folder / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    if size:
        (folder / "seqinfo.ini").write_text(size)
    return folder


def test_nine_columns_with_classes_and_visibility(tmp_path):
    boxes = mot_sequence(write(tmp_path))
    assert boxes.size == (600, 1080, 1920)
    assert boxes.frame.tolist() == [0, 0, 0, 1, 1]
    assert boxes.identity.tolist() == [1, 2, 3, 1, 2]
    assert boxes.category.tolist() == [7, 1, 1, 7, 1]
    assert boxes.visibility.tolist() == pytest.approx([1, 0.9, 0.1, 1, 0.25])
    assert boxes.pedestrians().identity.tolist() == [2, 3, 2]
    assert boxes.pedestrians(0.2).identity.tolist() == [2, 2]
    assert hota(boxes.pedestrians().tracks(), boxes.pedestrians(0.2).tracks())["detre"] == (
        pytest.approx(2 / 3)
    )


@pytest.mark.parametrize(
    ("text", "score"),
    [
        ("3,-1,10,20,30,40,0.75\n", 0.75),  # MOT17's detections
        ("3,-1,10,20,30,40,-2.5,-1,-1,-1\n", -2.5),  # MOT16's
    ],
)
def test_detections_of_seven_and_ten_columns(tmp_path, text, score):
    boxes = mot_sequence(write(tmp_path, text, None, "det/det.txt"), "detections")
    assert (boxes.identity.tolist(), boxes.score.tolist()) == ([-1], [score])
    assert boxes.size == (3, 60, 40)
    assert boxes.category.tolist() == [-1]


@pytest.mark.parametrize("text", ["\ufeff" + MOT17, MOT17.replace("\n", "\r\n"), MOT17.rstrip()])
def test_text_as_people_have_it(tmp_path, text):
    folder = write(tmp_path, file="gt.txt")
    (folder / "gt.txt").write_bytes(text.encode())
    assert torch.equal(mot_sequence(folder).box[0], torch.tensor([912.0, 484, 97, 109]))


@pytest.mark.parametrize(
    ("text", "size", "word"),
    [
        ("1,1,1,1,1,1,1,1\n", None, "8 columns, expected 7, 9 or 10"),
        ("0,1,1,1,1,1,1,1,1\n", None, "whole frames from 1"),
        ("1,1.5,1,1,1,1,1,1,1\n", None, "whole identities"),
        ("1,1,1,1,1,1,1,1.5,1\n", None, "classes"),
        ("1,1,1,1,1\n", None, "5 columns, expected 7, 9 or 10, or 6 without"),
        ("1,1,1,1,1,1,1,1,1.5\n", None, "visibilities that are not between 0 and 1"),
        ("1,1,1,1,1,1,1,1,-0.5\n", None, "visibilities"),
        (MOT17 + MOT17, None, "identity 1 twice in frame 1"),
        (
            "4,7,1,1,1,1\n4,-1,1,1,1,1\n4,-1,1,1,1,1\n4,7,2,2,2,2\n",
            None,
            "identity 7 twice in frame 4",
        ),
        ("1,1,nan,1,1,1,1,1,1\n", None, "line 1"),
        ("1,1,1e300,1,1,1,1,1,1\n", None, "beyond 1e+09"),
        ("601,1,1,1,1,1,1,1,1\n", SIZE, "frame 601 of a sequence of 600"),
        ("", None, "empty"),
        (MOT17, SIZE.replace("600", "many"), "seqinfo.ini"),
        (MOT17, SIZE.replace("600", "0"), "seqinfo.ini"),
        (MOT17, "[Other]\n", "seqinfo.ini"),
        (MOT17, "no ini\n", "seqinfo.ini"),
    ],
)
def test_damaged_files_are_named(tmp_path, text, size, word):
    with pytest.raises(DamagedDataError, match=re.escape(word)):
        mot_sequence(write(tmp_path, text, size))


def test_what_a_file_does_not_say_leaves_nobody_out(tmp_path):
    """Results in MOT's format end in -1, also where class and visibility stand in others."""
    boxes = mot_sequence(write(tmp_path, "1,1,5,5,5,5,1,-1,-1\n1,-1,5,5,5,5,1,-1,-1\n" * 1, None))
    assert boxes.visibility.tolist() == [1, 1]
    assert len(boxes.pedestrians(0.5).frame) == 2


def test_a_file_by_itself_knows_its_sequence(tmp_path):
    folder = write(tmp_path)
    for path in (folder / "gt" / "gt.txt", write(tmp_path, file="mine.txt") / "mine.txt"):
        boxes = mot_sequence(path)
        assert (boxes.size, len(boxes.frame)) == ((600, 1080, 1920), 5)
    (folder / "seqinfo.ini").unlink()
    assert mot_sequence(folder / "gt" / "gt.txt").size == (2, 797, 1507)


def test_missing_files_and_wrong_parts_are_named(tmp_path):
    with pytest.raises(MissingDataError, match=r"needs det/det\.txt or det\.txt"):
        mot_sequence(write(tmp_path), "detections")
    with pytest.raises(ValueError, match="'part'"):
        mot_sequence(tmp_path, "video")


@pytest.mark.data
def test_any_sequence_by_folder(data_root):
    for name, count in (("TUD-Campus", 359), ("TUD-Stadtmitte", 1156)):
        people = mot_sequence(data_root / "MOT15/groundtruth" / name)
        assert len(people.pedestrians().frame) == count
    folders = sorted((data_root / "MOT15/detections/train").iterdir())
    boxes = sum(len(mot_sequence(each, "detections").frame) for each in folders)
    assert (len(folders), boxes) == (11, 35147)
