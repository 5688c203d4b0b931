"""A folder of published clips: what is read, and what is refused."""

import io
import json

import numpy as np
import pytest
import torch
from scipy.io import savemat

from graphkit.datasets import DamagedDataError, MissingDataError, SkeletonFiles, load
from graphkit.transforms import RandomSkeletonRotation

RNG = np.random.default_rng(0)


def utd(frames=4, **more):
    joints = RNG.normal(size=(20, 3, frames))
    buffer = io.BytesIO()
    savemat(buffer, {"d_skel": joints, **more}, do_compression=True)
    return joints, buffer.getvalue()


def ucla(frames=3):
    joints = RNG.normal(size=(frames, 20, 3))
    return joints, json.dumps({"file_name": "a", "skeletons": joints.tolist(), "label": 1})


def kinetics(counts=(1, 3, 0), label=7, start=1):
    data = []
    for place, count in enumerate(counts):
        persons = [
            {"pose": RNG.random(36).tolist(), "score": (RNG.random(18) * (i + 1)).tolist()}
            for i in range(count)
        ]
        data.append({"frame_index": start + place, "skeleton": persons})
    return {"data": data, "label": "abseiling", "label_index": label}


def test_utd_mhad(tmp_path):
    wanted = {}
    for name in ("a1_s1_t1", "a27_s2_t4"):
        wanted[name], content = utd()
        (tmp_path / f"{name}_skeleton.mat").write_bytes(content)
    clips = SkeletonFiles(tmp_path, "utd-mhad")
    assert clips.names == ["a1_s1_t1_skeleton", "a27_s2_t4_skeleton"]
    assert (clips.y.tolist(), clips.info["trial"].tolist()) == ([0, 26], [1, 4])
    first = torch.from_numpy(wanted["a1_s1_t1"]).float()
    assert torch.equal(clips[0].x, first)
    train, test = clips.splits()
    assert (train.names, len(train), len(test)) == (clips.names, 1, 1)
    assert clips.layout == "utd-mhad-20"


def test_nw_ucla(tmp_path):
    wanted = {}
    for name in ("a01_s01_e00_v01", "a12_s10_e03_v03"):
        wanted[name], content = ucla()
        (tmp_path / f"{name}.json").write_text(content)
    (tmp_path / "._a01_s01_e00_v01.json").write_bytes(b"\x00\x05\x16\x07")
    clips = SkeletonFiles(tmp_path, "nw-ucla")
    assert clips.y.tolist() == [0, 9]
    assert clips.info["subject"].tolist() == [1, 10]
    assert [len(part) for part in clips.splits()] == [1, 1]
    last = torch.from_numpy(wanted["a12_s10_e03_v03"]).float()
    assert torch.equal(clips[1].x, last.permute(1, 2, 0))


def test_kinetics(tmp_path):
    content = kinetics()
    content["data"][0]["skeleton"][0]["score"][4] = 0
    (tmp_path / "abc.json").write_text(json.dumps(content))
    clips = SkeletonFiles(tmp_path, "kinetics")
    assert (clips.layout, clips.num_person, clips.y.tolist()) == ("openpose-18", 2, [7])
    joints = clips.frames
    assert joints.shape == (3, 2, 18, 3)
    assert not joints[0, 1].any()
    assert not joints[2].any()
    assert joints[0, 0, 4].tolist() == [0, 0, 0]
    pose = content["data"][0]["skeleton"][0]["pose"]
    assert joints[0, 0, 3, :2].tolist() == pytest.approx([pose[6] - 0.5, pose[7] - 0.5])
    sums = sorted((sum(p["score"]) for p in content["data"][1]["skeleton"]), reverse=True)
    assert joints[1, :, :, 2].sum(1).tolist() == pytest.approx(sums[:2])
    with pytest.raises(ValueError, match="no split"):
        clips.splits()
    with pytest.raises(ValueError, match="score=True"):
        RandomSkeletonRotation(num_joints=18)(clips[0])


@pytest.mark.parametrize(
    ("name", "content", "word"),
    [
        ("a28_s1_t1_skeleton.mat", utd()[1], "action 28"),
        ("clip.mat", utd()[1], "its name is not like"),
        ("a1_s1_t1_skeleton.mat", utd()[1][:200], "cut off"),
        ("a1_s1_t1_skeleton.mat", b"", "does not begin"),
        ("a1_s1_t1_skeleton.mat", utd(0)[1], "expected"),
    ],
)
def test_damaged_matlab_files_are_named(tmp_path, name, content, word):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DamagedDataError, match=f"{name}.*{word}"):
        SkeletonFiles(tmp_path, "utd-mhad")


@pytest.mark.parametrize(
    "values",
    [
        {"other": np.ones(3)},
        {"d_skel": np.ones((20, 3))},
        {"d_skel": np.full((20, 3, 2), np.nan)},
        {"d_skel": np.array(["x"])},
        {"d_skel": np.full((20, 3, 2), 1e300)},
    ],
)
def test_wrong_variables_are_named(tmp_path, values):
    savemat(tmp_path / "a1_s1_t1_skeleton.mat", values)
    with pytest.raises(DamagedDataError, match="d_skel"):
        SkeletonFiles(tmp_path, "utd-mhad")


@pytest.mark.parametrize(
    ("content", "word"),
    [
        ("[]", "no list 'skeletons'"),
        ('{"skeletons": []}', "no list 'skeletons'"),
        ('{"skeletons": [[1, 2]]}', "frame 0 has no 20 joints"),
        (json.dumps({"skeletons": [[[0, 0]] * 20]}), "a joint of frame 0"),
        (json.dumps({"skeletons": [[[0, 0, None]] * 20]}), "a joint of frame 0 is None"),
        (json.dumps({"skeletons": [[[0, 0, 1e300]] * 20]}), r"a joint of frame 0 .*1e\+300|beyond"),
        ('{"skeletons": [[[NaN', "NaN"),
    ],
)
def test_damaged_json_of_nw_ucla_is_named(tmp_path, content, word):
    (tmp_path / "a01_s01_e00_v01.json").write_text(content)
    with pytest.raises(DamagedDataError, match=f"a01_s01_e00_v01.json.*{word}"):
        SkeletonFiles(tmp_path, "nw-ucla")


def test_what_lies_beside_the_clips_is_passed_over(tmp_path):
    """UTD-MHAD comes with files of other sensors, CTR-GCN's NW-UCLA and Kinetics with lists."""
    for kind, name, content in (
        ("utd-mhad", "a1_s1_t1_skeleton.mat", utd()[1]),
        ("nw-ucla", "a01_s01_e00_v01.json", ucla()[1].encode()),
        ("kinetics", "abc.json", json.dumps(kinetics()).encode()),
    ):
        folder = tmp_path / kind
        folder.mkdir()
        (folder / name).write_bytes(content)
        alone = SkeletonFiles(folder, kind)
        strays = ["a1_s1_t1_inertial.mat", "a1_s1_t1_depth.mat", "README.txt", f"._{name}"]
        strays += ["kinetics_train_label.json", "kinetics_val_label.json"]
        strays += [] if kind == "kinetics" else ["val_label.json", "broken.json"]
        for stray in strays:
            (folder / stray).write_bytes(b'[{"file_name": ')
        assert torch.equal(SkeletonFiles(folder, kind).frames, alone.frames)


def test_clips_without_anybody_are_left_out(tmp_path):
    """As published, Kinetics-skeleton has files of videos in which nobody was found."""
    (tmp_path / "b.json").write_text(json.dumps(kinetics()))
    (tmp_path / "a.json").write_text(json.dumps(kinetics(counts=(0, 0))))
    (tmp_path / "c.json").write_text(json.dumps(kinetics(counts=())))
    clips = SkeletonFiles(tmp_path, "kinetics")
    assert (clips.names, len(clips), clips.lengths.tolist()) == (["b"], 1, [3])


def test_parts_of_a_set_have_the_same_classes(tmp_path):
    """A folder may lack the last ones; a model that learnt on another has outputs for them."""
    (tmp_path / "a1_s1_t1_skeleton.mat").write_bytes(utd()[1])
    (tmp_path / "a01_s01_e00_v01.json").write_text(ucla()[1])
    assert SkeletonFiles(tmp_path, "utd-mhad").num_classes == 27
    assert SkeletonFiles(tmp_path, "nw-ucla").num_classes == 10
    (tmp_path / "a01_s01_e00_v01.json").write_text(json.dumps(kinetics(label=3)))
    assert SkeletonFiles(tmp_path, "kinetics").num_classes == 400


def test_files_of_matlab_7_3_are_named_as_such(tmp_path):
    head = b"MATLAB 7.3 MAT-file, Platform: GLNXA64 HDF5 schema 1.00 .".ljust(124) + b"\0\2IM"
    (tmp_path / "a1_s1_t1_skeleton.mat").write_bytes(head + b"\x89HDF\r\n\x1a\n" + bytes(99))
    with pytest.raises(DamagedDataError, match=r"a1_s1_t1.*MATLAB 7\.3"):
        SkeletonFiles(tmp_path, "utd-mhad")


def changed(**more):
    return {**kinetics(), **more}


PERSON = {"pose": [0.0] * 36, "score": [0.0] * 18}


@pytest.mark.parametrize(
    ("content", "word"),
    [
        ([], "no list 'data'"),
        (changed(data={}), "no list 'data'"),
        (changed(data=[]), "no frame"),
        (changed(label_index=None), "'label_index' is None"),
        (changed(label_index=400), "'label_index' is 400"),
        (changed(data=[None]), "frame 0 has no list 'skeleton'"),
        (changed(data=[{"frame_index": 1, "skeleton": [3]}]), "no dictionary"),
        (changed(data=[{"frame_index": 1, "skeleton": [{**PERSON, "pose": [0]}]}]), "'pose'"),
        (changed(data=[{"frame_index": 1, "skeleton": [{**PERSON, "score": None}]}]), "'score'"),
        (changed(data=2 * [{"frame_index": 1, "skeleton": []}]), "of another"),
        (changed(data=[{"frame_index": None, "skeleton": []}]), "'frame_index'"),
        (changed(data=[{"frame_index": i, "skeleton": []} for i in (0, 10**9)]), "its frames go"),
    ],
)
def test_damaged_json_of_kinetics_is_named(tmp_path, content, word):
    (tmp_path / "abc.json").write_text(json.dumps(content))
    with pytest.raises(DamagedDataError, match=f"abc.json.*{word}"):
        SkeletonFiles(tmp_path, "kinetics")


def test_empty_folders_and_wrong_kinds_are_named(tmp_path):
    with pytest.raises(MissingDataError, match=r"no file '\*\.mat'"):
        SkeletonFiles(tmp_path, "utd-mhad")
    with pytest.raises(ValueError, match="'kind'"):
        SkeletonFiles(tmp_path, "ntu")


@pytest.mark.data
@pytest.mark.usefixtures("data_root")
def test_files_and_the_joined_array_are_the_same_clips(tmp_path):
    """What UTD-MHAD's own file would hold, written back from the joined one."""
    whole = load("UTD-MHAD")
    for i in (0, 100, 860):
        clip = whole[i]
        facts = (int(clip.y) + 1, int(clip.subject), int(clip.trial))
        name = "a{}_s{}_t{}_skeleton.mat".format(*facts)
        savemat(tmp_path / name, {"d_skel": clip.x.double().numpy()})
    for clip in SkeletonFiles(tmp_path, "utd-mhad"):
        same = (whole.y == clip.y) & (whole.info["subject"] == clip.subject)
        same &= whole.info["trial"] == clip.trial
        assert torch.equal(clip.x, whole[int(same.nonzero())].x)
