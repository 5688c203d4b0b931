"""Images, boxes, videos: whole loaders on a folder of their own."""

from __future__ import annotations

import gzip
import io
import json
from functools import cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from graphkit.datasets import (
    DamagedDataError,
    MissingDataError,
    face_landmarks,
    grid_alignment,
    market1501,
    mnist,
    mobilenet_weights,
    mot15,
    mot_sequence,
    omniglot,
    read_off,
    thumos14,
)
from graphkit.datasets.media.mnist import read_idx
from tests.fuzz.parsers.reading import arrays, put
from tests.fuzz.registry import parser

RNG = np.random.default_rng(0)
BOXES = b"2,3,100,50,24,120,1,-1,-1,-1\n1,3,99,50,24,120,1,-1,-1,-1\n1,4,10,20,12,60,.5,-1,-1,-1\n"
VIDEOS = {
    "a": {
        "segments": [[0.5, 1.5], [2, 4.5]],
        "labels": ["Billiards", "Ambiguous"],
        "duration": 9.5,
    },
    "b": {"segments": [], "labels": [], "duration": 3},
}
ALIGNMENT = b"0 14250 sil\n14250 20000 bin\n20000 26500 blue\n26500 75000 sil\n"


@cache
def digits() -> list[bytes]:
    values = {}
    for part in ("train", "test"):
        values[f"x_{part}"] = RNG.integers(0, 256, size=(2, 28, 28), dtype=np.uint8)
        values[f"y_{part}"] = np.array([3, 9], dtype=np.uint8)
    return [arrays(**values)]


@parser(digits, DamagedDataError, inside="zip", name="mnist")
def mnist_file(content: bytes, folder: Path) -> None:
    put(folder, "MNIST/mnist.npz", content)
    x, y = mnist("test", folder)
    assert ((x >= 0) & (x <= 1)).all()
    assert ((y >= 0) & (y <= 9)).all()


@parser(lambda: [BOXES], DamagedDataError, name="mot15")
def mot15_file(content: bytes, folder: Path) -> None:
    for name in ("TUD-Campus", "TUD-Stadtmitte"):
        for file in (f"groundtruth/{name}/gt.txt", f"detections/train/{name}/det/det.txt"):
            put(folder, f"MOT15/{file}", content)
    boxes = mot15("TUD-Campus", root=folder)
    assert boxes.box.isfinite().all()
    assert boxes.score.isfinite().all()


def videos() -> bytes:
    return json.dumps(VIDEOS).encode()


@parser(lambda: [videos()], DamagedDataError, name="thumos14")
def thumos14_file(content: bytes, folder: Path) -> None:
    for split in ("val", "test"):
        put(folder, f"THUMOS14/mmtad/thumos14_{split}.json", content)
    for video in thumos14("test", folder):
        assert video.segments.isfinite().all()
        assert (video.segments[:, 1] > video.segments[:, 0]).all()


def faces() -> list[bytes]:
    points = RNG.normal(100, 20, size=(3, 68, 2)).astype(np.float32)
    return [arrays(points=points, subject=np.array([0, 0, 1]))]


@parser(faces, DamagedDataError, inside="zip", name="face_landmarks")
def faces_file(content: bytes, folder: Path) -> None:
    put(folder, "faces/landmarks68.npz", content)
    assert face_landmarks(folder).points.isfinite().all()


def states() -> list[bytes]:
    buffer = io.BytesIO()
    torch.save({"0.0.weight": torch.ones(2, 3)}, buffer)
    return [buffer.getvalue()]


@parser(states, DamagedDataError, name="mobilenet_weights")
def weights_file(content: bytes, folder: Path) -> None:
    put(folder, "weights/mobilenet_v2_features.pt", content)
    mobilenet_weights(folder)


def picture(size: int) -> Image.Image:
    return Image.fromarray(RNG.integers(0, 256, size=(size, size), dtype=np.uint8))


@cache
def drawings() -> list[bytes]:
    import zipfile

    buffer, image = io.BytesIO(), io.BytesIO()
    picture(105).convert("1").save(image, "PNG")
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in ("Greek/character01/1_0.png", "Greek/character02/2_0.png"):
            archive.writestr(f"images_background_small1/{name}", image.getvalue())
    return [buffer.getvalue()]


@parser(drawings, DamagedDataError, inside="zip", name="omniglot")
def omniglot_file(content: bytes, folder: Path) -> None:
    for part in ("small1", "small2"):
        put(folder, f"omniglot/images_background_{part}.zip", content)
    omniglot("small1", size=5, root=folder)


@cache
def photographs() -> list[bytes]:
    images = []
    for form in ("JPEG", "PNG"):
        buffer = io.BytesIO()
        picture(16).save(buffer, form)
        images.append(buffer.getvalue())
    return images


@parser(photographs, DamagedDataError, name="market1501")
def market_file(content: bytes, folder: Path) -> None:
    for part in ("bounding_box_train", "query", "bounding_box_test"):
        put(folder, f"Market-1501-v15.09.15/{part}/0002_c1s1_000451_03.jpg", content)
    market1501(root=folder, size=(8, 4))


@parser(lambda: [ALIGNMENT], DamagedDataError, MissingDataError, name="grid_alignment")
def alignment(content: bytes, folder: Path) -> None:
    grid_alignment(put(folder, "a.align", content))


def mot17() -> list[bytes]:
    return [b"1,1,9,4,97,109,0,7,1\n2,2,13,41,16,37,1,1,0.9\n", b"3,-1,10,20,30,40,0.75\n", BOXES]


@parser(mot17, DamagedDataError, name="mot_sequence")
def mot_file(content: bytes, folder: Path) -> None:
    put(folder, "gt/gt.txt", content)
    boxes = mot_sequence(folder)
    assert boxes.box.isfinite().all()
    assert int(boxes.frame.max()) < boxes.size[0]


def sizes() -> list[bytes]:
    return [b"[Sequence]\nname=a\nseqLength=60\nimWidth=19\nimHeight=10\n"]


@parser(sizes, DamagedDataError, name="mot_seqinfo")
def seqinfo(content: bytes, folder: Path) -> None:
    put(folder, "gt/gt.txt", BOXES)
    put(folder, "seqinfo.ini", content)
    assert min(mot_sequence(folder).size) > 0


MESH = b"OFF\n4 2 0\n0 0 0\n1 0.5 0\n0 1 -2e-3\n1 1 1\n3 0 1 2\n4 1 3 2 0 255 0 0\n"


@parser(lambda: [MESH, MESH.replace(b"OFF\n", b"OFF")], DamagedDataError, name="off")
def off_file(content: bytes, folder: Path) -> None:
    mesh = read_off(put(folder, "a.off", content))
    assert mesh.pos.isfinite().all()
    assert not mesh.face.numel() or int(mesh.face.max()) < mesh.num_nodes


@cache
def idx_files() -> list[bytes]:
    images = RNG.integers(0, 256, size=(2, 5, 4), dtype=np.uint8)
    return [b"\0\0\x08\x03\0\0\0\x02\0\0\0\x05\0\0\0\x04" + images.tobytes()]


@parser(idx_files, DamagedDataError, name="mnist_idx")
def idx_file(content: bytes, folder: Path) -> None:
    assert read_idx(put(folder, "a", content)).ndim == content[3]


@parser(
    lambda: [gzip.compress(one, mtime=0) for one in idx_files()],
    DamagedDataError,
    inside="gzip",
    name="mnist_idx_packed",
)
def packed_idx(content: bytes, folder: Path) -> None:
    read_idx(put(folder, "a.gz", content))
