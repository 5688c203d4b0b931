import os
import pickle
import pickletools

import numpy as np
import pytest

from graphkit.datasets import DamagedDataError
from graphkit.datasets.skeletons.annotations import read_annotations


def annotation(name="S001C001P001R001A001", persons=1, joints=25, channels=3, **more):
    rng = np.random.default_rng(0)
    keypoint = rng.normal(size=(persons, 7, joints, channels)).astype(np.float16)
    return {"frame_dir": name, "label": 0, "total_frames": 7, "keypoint": keypoint, **more}


def write(path, annotations, split=None, protocol=4):
    content = {"split": split or {}, "annotations": annotations}
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    return path


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_what_was_written_is_read(tmp_path, protocol):
    clips = [annotation(), annotation("S001C002P003R002A060", 2, label=np.int64(59))]
    split = {"xsub_train": ["S001C001P001R001A001"], "xsub_val": ["S001C002P003R002A060"]}
    found = read_annotations(write(tmp_path / "a.pkl", clips, split, protocol))
    assert found["split"] == split
    for one, other in zip(found["annotations"], clips, strict=True):
        assert one.keys() == other.keys()
        assert np.array_equal(one["keypoint"], other["keypoint"])
        assert one["label"] == other["label"]


class Harm:
    """What a malicious pickle would do: call a function."""

    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


def test_nothing_is_executed(tmp_path):
    mark = tmp_path / "mark"
    harms = (
        Harm(os.system, f"touch {mark}"),
        Harm(eval, f"open({str(mark)!r}, 'w')"),
        Harm(np.save, str(mark), np.ones(1)),
        Harm(np.fromfile, "/etc/hostname"),
        Harm(getattr, "x", "upper"),
    )
    for harm in harms:
        path = write(tmp_path / "harm.pkl", [annotation(extra=harm)])
        assert any(op.name == "REDUCE" for op, *_ in pickletools.genops(path.read_bytes()))
        with pytest.raises(DamagedDataError, match=r"harm\.pkl.*it would call"):
            read_annotations(path)
    assert not mark.exists()


def test_names_of_arrays_in_older_and_newer_numpy(tmp_path):
    blob = pickle.dumps({"split": {}, "annotations": [annotation()]}, protocol=2)
    new = b"cnumpy._core.multiarray\n_reconstruct"
    assert new in blob
    path = tmp_path / "old.pkl"
    path.write_bytes(blob.replace(new, b"cnumpy.core.multiarray\n_reconstruct"))
    assert np.array_equal(
        read_annotations(path)["annotations"][0]["keypoint"], annotation()["keypoint"]
    )


def test_truncated_and_missing_files(tmp_path):
    path = write(tmp_path / "a.pkl", [annotation()])
    blob = path.read_bytes()
    for size in (0, 1, 10, len(blob) // 2, len(blob) - 1):
        path.write_bytes(blob[:size])
        with pytest.raises(DamagedDataError, match=r"a\.pkl"):
            read_annotations(path)
    with pytest.raises(DamagedDataError, match="absent"):
        read_annotations(tmp_path / "absent.pkl")


NAN = np.full((1, 2, 25, 3), np.nan)
WRONG = {
    "list": ([1], "no dictionary"),
    "no split": ({"annotations": []}, "no dict 'split'"),
    "no clips": ({"split": {}}, "no list 'annotations'"),
    "text": ({"split": {}, "annotations": ["x"]}, "annotation 0 that is no dictionary"),
    "frame_dir": ({"split": {}, "annotations": [annotation(name=3)]}, "0 with a wrong 'frame_dir'"),
    "label": (
        {"split": {}, "annotations": [annotation(), annotation(label=-1)]},
        "1 with a wrong 'label'",
    ),
    "keypoint": ({"split": {}, "annotations": [annotation(channels=4)]}, "wrong 'keypoint'"),
    "flat": ({"split": {}, "annotations": [annotation(keypoint=np.ones(3))]}, "wrong 'keypoint'"),
    "nan": ({"split": {}, "annotations": [annotation(keypoint=NAN)]}, "wrong 'keypoint'"),
    "object": (
        {"split": {}, "annotations": [annotation(keypoint=np.array([[[[{}, 1, 2]]]]))]},
        "wrong 'keypoint'",
    ),
    "score": (
        {"split": {}, "annotations": [annotation(keypoint_score=np.ones((1, 7, 3)))]},
        "wrong 'keypoint_score'",
    ),
    "several": (
        {"split": {}, "annotations": [annotation(), annotation(joints=17, channels=2)]},
        "several skeletons",
    ),
    "overflow": (
        {"split": {}, "annotations": [annotation(keypoint=np.full((1, 2, 25, 3), 1e39))]},
        "wrong 'keypoint'",
    ),
    "nothing": ({"split": {}, "annotations": []}, "no clip"),
    "lists": ({"split": {"a": [["b"]]}, "annotations": [annotation()]}, "no list of names"),
    "lost": ({"split": {"train": ["b"]}, "annotations": [annotation()]}, "'b' of split 'train'"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_content_is_named(case, tmp_path):
    content, message = WRONG[case]
    path = tmp_path / "a.pkl"
    path.write_bytes(pickle.dumps(content))
    with pytest.raises(DamagedDataError, match=message):
        read_annotations(path)


def test_a_score_that_is_none_is_no_score(tmp_path):
    path = write(tmp_path / "a.pkl", [annotation(keypoint_score=None)], {})
    assert "keypoint_score" not in read_annotations(path)["annotations"][0]


def test_numpys_names_and_labels_become_plain(tmp_path):
    clip = annotation(np.str_("a"), label=np.uint8(3))
    found = read_annotations(write(tmp_path / "a.pkl", [clip], {"train": [np.str_("a")]}))
    assert type(found["annotations"][0]["frame_dir"]) is str
    assert type(found["annotations"][0]["label"]) is int
    assert type(found["split"]["train"][0]) is str


@pytest.mark.parametrize(
    ("clips", "split", "word"),
    [
        ([annotation("a"), annotation("b"), annotation("a")], {}, "clip 'a' twice"),
        ([annotation(label=True)], {}, "wrong 'label'"),
        ([annotation(label=1.0)], {}, "wrong 'label'"),
        ([annotation(img_shape=(480,))], {}, "wrong 'img_shape'"),
        ([annotation(img_shape=(0, 640))], {}, "wrong 'img_shape'"),
        ([annotation(img_shape="480x640")], {}, "wrong 'img_shape'"),
        ([annotation("a")], {"train": "a"}, "split 'train' that is no list"),
        ([annotation("a")], {"train": None}, "split 'train' that is no list"),
    ],
)
def test_clips_that_contradict_themselves_are_refused(tmp_path, clips, split, word):
    with pytest.raises(DamagedDataError, match=word):
        read_annotations(write(tmp_path / "a.pkl", clips, split))
