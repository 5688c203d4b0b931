"""Sets that are no graphs meet the same damage as those that are."""

import shutil

import pytest
import torch

from graphkit.datasets import (
    DamagedDataError,
    face_landmarks,
    grid_alignment,
    mnist,
    mobilenet_weights,
    mot15,
    omniglot,
    thumos14,
)
from graphkit.testing.damage import SPELLINGS, add_strays, cut, make_hole, respell, text_files
from tests.fuzz.parsers import media


def write(root, name):
    """One small set in the published format."""
    contents = {
        "MNIST/mnist.npz": media.digits()[0],
        "faces/landmarks68.npz": media.faces()[0],
        "weights/mobilenet_v2_features.pt": media.states()[0],
        "GRID/a.align": media.ALIGNMENT,
        **{f"omniglot/images_background_small{i}.zip": media.drawings()[0] for i in (1, 2)},
        **{f"THUMOS14/mmtad/thumos14_{s}.json": media.videos() for s in ("val", "test")},
        **{
            f"MOT15/{file}": media.BOXES
            for sequence in ("TUD-Campus", "TUD-Stadtmitte")
            for file in (
                f"groundtruth/{sequence}/gt.txt",
                f"detections/train/{sequence}/det/det.txt",
            )
        },
    }
    for file, content in contents.items():
        if file.startswith(name):
            media.put(root, file, content)


READERS = {
    "MNIST": lambda root: mnist("test", root),
    "faces": face_landmarks,
    "weights": mobilenet_weights,
    "GRID": lambda root: grid_alignment(root / "GRID" / "a.align"),
    "omniglot": lambda root: omniglot("small1", 7, root),
    "THUMOS14": lambda root: thumos14("val", root),
    "MOT15": lambda root: mot15("TUD-Campus", root=root),
}


def plain(value):
    """Numbers and text of a result, to be compared."""
    if isinstance(value, torch.Tensor):
        return value.tolist()
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    if isinstance(value, dict):
        return {key: plain(part) for key, part in value.items()}
    return {k: plain(v) for k, v in vars(value).items()} if hasattr(value, "__dict__") else value


@pytest.mark.usefixtures("cache")
@pytest.mark.parametrize("name", READERS)
def test_strays_and_other_spellings_change_nothing(tmp_path, name):
    root = tmp_path / "data"
    write(root, name)
    wanted = plain(READERS[name](root))
    add_strays(root)
    assert plain(READERS[name](root)) == wanted
    for spelling in SPELLINGS:
        other = tmp_path / spelling
        shutil.copytree(root, other)
        for path in text_files(other):
            if not path.name.startswith("."):
                respell(path, spelling)
        assert plain(READERS[name](other)) == wanted


@pytest.mark.usefixtures("cache")
@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("damage", [cut, make_hole, lambda path: path.write_bytes(b"")])
def test_damage_is_named_or_without_effect(tmp_path, name, damage):
    write(tmp_path, name)
    wanted = plain(READERS[name](tmp_path))
    for path in [path for path in tmp_path.rglob("*") if path.is_file()]:
        content = path.read_bytes()
        damage(path)
        try:
            unchanged = plain(READERS[name](tmp_path)) == wanted
        except DamagedDataError as error:
            unchanged = str(path) in str(error)
        assert unchanged, path
        path.write_bytes(content)
