import json

import pytest
import torch

from graphkit.datasets import DamagedDataError, MissingDataError, thumos14

VIDEO = {
    "segments": [[5.0, 7.0], [1.0, 2.0], [3.0, 3.0], [8.0, 9.0]],
    "labels": ["Diving", "BaseballPitch", "Diving", "Ambiguous"],
    "duration": 12.5,
}


def write(root, entry):
    folder = root / "THUMOS14/mmtad"
    folder.mkdir(parents=True)
    for split in ("val", "test"):
        (folder / f"thumos14_{split}.json").write_text(json.dumps({"v": entry}))


def test_segments_are_sorted_and_unsure_ones_left_out(tmp_path):
    write(tmp_path, VIDEO)
    (video,) = thumos14("test", root=tmp_path)
    assert torch.equal(video.segments, torch.tensor([[1.0, 2.0], [5.0, 7.0]]))
    assert video.action.tolist() == [0, 7]
    assert video.duration == 12.5


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"labels": ["Diving"]}, "4 segments and 1 labels"),
        ({"labels": ["Chess"] * 4}, "no action is called 'Chess'"),
        ({"labels": [None] * 4}, "no action is called None"),
        ({"segments": [["a", 1]] * 4}, "a time is 'a'"),
        ({"segments": [[1.5, 0.5]] * 4}, "goes from 1.5 to 0.5"),
        ({"segments": [[-0.5, 0.5]] * 4}, "goes from -0.5 to 0.5"),
        ({"segments": [[1, 2, 3]] * 4}, "a segment is a list"),
        ({"segments": [None] * 4}, "a segment is None"),
        ({"duration": 0}, "the duration is 0"),
    ],
)
def test_damaged_files_are_named(tmp_path, change, word):
    write(tmp_path, {**VIDEO, **change})
    with pytest.raises(DamagedDataError, match=f"thumos14_val.*video 'v'.*{word}"):
        thumos14("val", root=tmp_path)


def test_a_video_that_stands_twice_and_none_at_all_are_named(tmp_path):
    write(tmp_path, VIDEO)
    path = tmp_path / "THUMOS14/mmtad/thumos14_val.json"
    entry = json.dumps(VIDEO)
    path.write_text(f'{{"v": {entry}, "v": {entry}}}')
    with pytest.raises(DamagedDataError, match=r"thumos14_val.*'v' stands twice"):
        thumos14("val", root=tmp_path)
    path.write_text("{}")
    with pytest.raises(DamagedDataError, match="thumos14_val"):
        thumos14("val", root=tmp_path)


def test_missing_files_and_wrong_splits_are_named(tmp_path, monkeypatch):
    monkeypatch.setenv("GRAPHKIT_CACHE", str(tmp_path / "cache"))
    with pytest.raises(MissingDataError, match="THUMOS14"):
        thumos14(root=tmp_path)
    with pytest.raises(ValueError, match="split"):
        thumos14("train", root=tmp_path)


@pytest.mark.data
@pytest.mark.usefixtures("data_root")
def test_published_counts():
    val, test = thumos14("val"), thumos14("test")
    assert (len(val), len(test)) == (200, 212)
    assert all(video.action.max() < 20 for video in (*val, *test) if len(video.action))


def test_segments_behind_the_end_are_kept_or_clipped(tmp_path):
    segments = [[1, 3], [4, 7.5], [6, 9]]
    write(tmp_path, {"segments": segments, "labels": ["Diving"] * 3, "duration": 6})
    (video,) = thumos14("test", root=tmp_path)
    assert video.segments.tolist() == segments
    (video,) = thumos14("test", root=tmp_path, beyond="clip")
    assert video.segments.tolist() == [[1, 3], [4, 6]]
    assert len(video.action) == 2
    with pytest.raises(ValueError, match="'beyond'"):
        thumos14("test", root=tmp_path, beyond="drop")


@pytest.mark.data
@pytest.mark.usefixtures("data_root")
@pytest.mark.parametrize(("split", "count", "behind"), [("val", 3007, 4), ("test", 3358, 26)])
def test_published_segments_behind_the_end(split, count, behind):
    videos = thumos14(split)
    late = sum(int((video.segments[:, 1] > video.duration).sum()) for video in videos)
    assert (sum(len(video.action) for video in videos), late) == (count, behind)
    clipped = thumos14(split, beyond="clip")
    assert sum(len(video.action) for video in clipped) == count - behind
