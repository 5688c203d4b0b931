"""Skeletons: NTU's text, its list of missing clips, the community's pickle, arrays."""

from __future__ import annotations

import io
import json
import pickle
from functools import cache
from pathlib import Path

import numpy as np

from graphkit.datasets import DamagedDataError, SkeletonFiles
from graphkit.datasets.skeletons.annotations import read_annotations
from graphkit.datasets.skeletons.base import read_clips
from graphkit.datasets.skeletons.ntu.actors import find_actors
from graphkit.datasets.skeletons.ntu.raw import read_skeleton
from graphkit.datasets.skeletons.ntu.rgbd import read_missing
from tests.datasets.skeletons.ntu_files import random_frames, skeleton_text
from tests.fuzz.parsers.reading import arrays, put
from tests.fuzz.registry import parser


@cache
def clips() -> list[bytes]:
    counts = [[1], [1, 2], [0, 1]]
    frames = [random_frames(count, np.random.default_rng(0)) for count in counts]
    return [skeleton_text(clip).encode() for clip in frames]


@parser(clips, DamagedDataError)
def ntu_raw(content: bytes, folder: Path) -> None:
    clip = read_skeleton(put(folder, "a.skeleton", content))
    assert np.isfinite(clip.joints).all()
    find_actors(clip)


@parser(lambda: [b"S001C002P005R002A008\nS001C002P005R002A009.skeleton\n"], DamagedDataError)
def ntu_missing(content: bytes, folder: Path) -> None:
    read_missing(put(folder, "a.txt", content))


@cache
def annotations() -> list[bytes]:
    clip = {"frame_dir": "S001C001P001R001A001", "label": 0, "total_frames": 2}
    clip |= {"keypoint": np.zeros((1, 2, 3, 3), dtype=np.float16)}
    flat = {**clip, "keypoint": np.zeros((1, 2, 3, 2)), "keypoint_score": np.zeros((1, 2, 3))}
    contents = [{"split": {"a": [one["frame_dir"]]}, "annotations": [one]} for one in (clip, flat)]
    return [pickle.dumps(one, protocol) for one in contents for protocol in (2, 4, 5)]


@parser(annotations, DamagedDataError, name="annotations")
def annotation_file(content: bytes, folder: Path) -> None:
    read_annotations(put(folder, "a.pkl", content))


def kinect() -> list[bytes]:
    values = {"joints": np.zeros((5, 20, 3), np.float32), "offsets": np.array([0, 2, 5])}
    values |= {"action": np.array([1, 2]), "subject": np.array([1, 2]), "view": np.array([1, 3])}
    return [arrays(**values, name=np.array(["a", "b"]))]


@parser(kinect, DamagedDataError, inside="zip")
def skeleton_arrays(content: bytes, folder: Path) -> None:
    read_clips(put(folder, "a.npz", content), ("subject", "view"), [1, 2, 3])


@cache
def matlab() -> list[bytes]:
    from scipy.io import savemat

    contents = []
    for packed in (False, True):
        savemat(buffer := io.BytesIO(), {"d_skel": np.ones((20, 3, 2))}, do_compression=packed)
        contents.append(buffer.getvalue())
    return contents


@parser(matlab, DamagedDataError, name="utd_mhad_mat")
def utd_mhad(content: bytes, folder: Path) -> None:
    put(folder, "a1_s1_t1_skeleton.mat", content)
    assert SkeletonFiles(folder, "utd-mhad").frames.isfinite().all()


def nw_ucla_clips() -> list[bytes]:
    return [json.dumps({"skeletons": np.ones((2, 20, 3)).tolist(), "label": 1}).encode()]


@parser(nw_ucla_clips, DamagedDataError, name="nw_ucla_json")
def nw_ucla(content: bytes, folder: Path) -> None:
    put(folder, "a01_s01_e00_v01.json", content)
    assert SkeletonFiles(folder, "nw-ucla").frames.isfinite().all()


def kinetics_clips() -> list[bytes]:
    person = {"pose": [0.25] * 36, "score": [0.5] * 18}
    frames = [{"frame_index": i, "skeleton": [person] * i} for i in (1, 2)]
    return [json.dumps({"data": frames, "label": "a", "label_index": 3}).encode()]


@parser(kinetics_clips, DamagedDataError, name="kinetics_json")
def kinetics(content: bytes, folder: Path) -> None:
    put(folder, "a.json", content)
    assert SkeletonFiles(folder, "kinetics").frames.isfinite().all()
