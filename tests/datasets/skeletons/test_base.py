import numpy as np
import pytest
import torch

from graphkit.datasets import DamagedDataError, MissingDataError, SyntheticSkeletons, load
from graphkit.testing import DatasetSuite
from graphkit.transforms import UniformSampleFrames
from tests.datasets.test_contract import FromFiles


def write_npz(root, file, facts, **changes):
    """A file of 12 clips of random joints, in exactly the format of the published ones."""
    generator = np.random.default_rng(0)
    lengths = generator.integers(3, 9, size=12)
    arrays = {
        "joints": generator.normal(size=(lengths.sum(), 20, 3)).astype(np.float32),
        "offsets": np.concatenate([[0], lengths.cumsum()]),
        "action": np.array([1, 2, 3, 4, 5, 6, 8, 9, 11, 12, 1, 2]),
        **{fact: generator.permutation(12) % 3 + 1 for fact in facts},
    }
    if file == "nw_ucla":
        arrays["name"] = np.array([f"clip-{i}" for i in range(12)])
    (root / "skeleton").mkdir(exist_ok=True)
    arrays |= changes
    np.savez(root / "skeleton" / f"{file}.npz", **{k: v for k, v in arrays.items() if len(v)})
    return arrays


SETS = {"nw_ucla": ("NW-UCLA", ("subject", "view")), "utd_mhad": ("UTD-MHAD", ("subject", "trial"))}


class SkeletonFiles(FromFiles):
    @pytest.fixture(autouse=True)
    def _unchecked(self, monkeypatch):
        monkeypatch.setattr("graphkit.datasets.store.loading.check_counts", lambda *_: None)

    def write(self, root):
        self.arrays = write_npz(root, self.file, SETS[self.file][1])

    def make(self, cache):
        dataset = self.load(cache, SETS[self.file][0])
        dataset.transform = UniformSampleFrames(4, num_joints=20, random=False)
        return dataset

    def splits(self, dataset):
        return dataset.split_index()


class TestNWUCLA(SkeletonFiles):
    file = "nw_ucla"


class TestUTDMHAD(SkeletonFiles):
    file = "utd_mhad"


class TestSyntheticSkeletons(DatasetSuite):
    not_claimed = {"raw_untouched": "generated, no raw files"}

    def make(self, cache):
        return SyntheticSkeletons(64, transform=UniformSampleFrames(8, random=False))

    def raw_root(self):
        return None

    def splits(self, dataset):
        return dataset.split_index()


@pytest.fixture
def unchecked(monkeypatch):
    monkeypatch.setattr("graphkit.datasets.store.loading.check_counts", lambda *_: None)


@pytest.mark.parametrize("file", SETS)
def test_what_was_written_is_read(file, root, cache, unchecked):
    arrays = write_npz(root, file, SETS[file][1])
    dataset = load(SETS[file][0])
    assert len(dataset) == 12
    for i, data in enumerate(dataset):
        clip = arrays["joints"][arrays["offsets"][i] : arrays["offsets"][i + 1]]
        assert np.array_equal(data.x.numpy(), clip.transpose(1, 2, 0))
        assert all(int(data[fact]) == arrays[fact][i] for fact in SETS[file][1])
    train = (arrays["view"] < 3) if file == "nw_ucla" else (arrays["subject"] % 2 == 1)
    parts = dataset.split_index()
    assert parts["train"].tolist() == np.flatnonzero(train).tolist()
    assert parts["test"].tolist() == np.flatnonzero(~train).tolist()


def test_classes_and_names(root, cache, unchecked):
    write_npz(root, "nw_ucla", SETS["nw_ucla"][1])
    arrays = write_npz(root, "utd_mhad", SETS["utd_mhad"][1])
    ucla, utd = load("NW-UCLA"), load("UTD-MHAD")
    assert ucla.y.tolist() == [*range(10), 0, 1]
    assert (ucla.num_classes, len(ucla.class_names), ucla[3].name) == (10, 10, "clip-3")
    assert utd.y.tolist() == [0, 1, 2, 3, 4, 5, 7, 8, 10, 11, 0, 1]
    assert (utd.num_classes, len(utd.class_names)) == (27, 27)
    assert utd[8].name == f"a11_s{arrays['subject'][8]:02d}_t{arrays['trial'][8]:02d}"


FAULTS = {
    "joints": np.full((60, 20, 3), np.nan, dtype=np.float32),
    "offsets": np.arange(13),
    "action": np.full(12, 7),
    "view": np.ones(3, dtype=int),
    "name": np.array(["a", "b"]),
}


@pytest.mark.parametrize("array", FAULTS)
def test_arrays_that_do_not_fit_are_named(array, root, cache):
    write_npz(root, "nw_ucla", SETS["nw_ucla"][1], **{array: FAULTS[array]})
    with pytest.raises(DamagedDataError, match=rf"nw_ucla\.npz.*'{array}'"):
        load("NW-UCLA")


def test_damaged_and_missing_files_are_named(root, cache):
    with pytest.raises(MissingDataError, match=r"nw_ucla\.npz"):
        load("NW-UCLA")
    write_npz(root, "nw_ucla", SETS["nw_ucla"][1], view=[])
    with pytest.raises(DamagedDataError, match=r"nw_ucla\.npz.*view"):
        load("NW-UCLA")
    (root / "skeleton" / "nw_ucla.npz").write_bytes(b"PK\x03\x04 nothing")
    with pytest.raises(DamagedDataError, match=r"nw_ucla\.npz"):
        load("NW-UCLA")


def test_dense_is_what_single_clips_are():
    dataset = SyntheticSkeletons(32, num_person=2, layout="kinect-20")
    train, test = dataset.splits()
    assert (len(train), len(test)) == (24, 8)
    assert test.labels.tolist() == list(range(8))
    index = torch.randint(0, 40, (8, 5))
    found = test.dense(index)
    assert found.shape == (8, 3, 5, 20, 2)
    for row, clip in enumerate(test):
        nodes = found[row].permute(3, 2, 0, 1).flatten(0, 1)
        assert torch.equal(nodes, clip.x[..., index[row]])
    with pytest.raises(ValueError, match=r"\[8, frames\]"):
        test.dense(index[:3])
    with pytest.raises(ValueError, match="does not have"):
        test.dense(index + 30)


def test_synthetic_clips_do_what_their_class_says():
    """Only the joints below one shoulder or hip move, once or twice up and down."""
    dataset = SyntheticSkeletons(16, noise=0.0, num_frames=(64, 64))
    for label, clip in enumerate(dataset):
        assert int(clip.y) == label % 8
        local = clip.x - clip.x[20:21]
        moved = (local - local[..., :1]).abs().amax((1, 2)) > 1e-4
        limb = dataset.class_names[label % 8].split(",")[0]
        joints = {dataset.graph.joints[i] for i in moved.nonzero().view(-1).tolist()}
        side, end = limb.split("_")
        arm = {"elbow", "wrist", "hand", "hand_tip", "thumb"}
        parts = arm if end == "shoulder" else {"knee", "ankle", "foot"}
        assert joints == {f"{side}_{part}" for part in parts}
    lengths = torch.cat([clip.x[1] - clip.x[0] for clip in dataset], dim=1).norm(dim=0)
    assert lengths.min() > 0.2
    assert lengths.max() < 0.3


def test_speeds_differ():
    """The main frequency of an elbow over the clip is the class's own."""
    dataset = SyntheticSkeletons(8, noise=0.0, num_frames=(64, 64))
    for label, joint in ((0, 5), (4, 5), (1, 9), (5, 9)):
        clip = dataset[label].x
        path = clip[joint] - clip[joint - 1]
        line = torch.linalg.svd(path - path.mean(1, keepdim=True), full_matrices=False).Vh[0]
        assert int(torch.fft.rfft(line).abs()[1:].argmax()) + 1 == 1 + label // 4


def test_synthetic_options_are_checked():
    for name, value in {"num_clips": 0, "num_person": 0, "noise": -1.0}.items():
        with pytest.raises(ValueError, match=f"'{name}'"):
            SyntheticSkeletons(**{name: value})
    with pytest.raises(ValueError, match="'num_frames'"):
        SyntheticSkeletons(num_frames=(9, 3))
    with pytest.raises(ValueError, match=r"'benchmark'.*'xview'"):
        SyntheticSkeletons(8).split_index("xview")
    one, other = SyntheticSkeletons(8), SyntheticSkeletons(8, seed=1)
    assert torch.equal(one.frames, SyntheticSkeletons(8).frames)
    assert one.frames.shape != other.frames.shape or not torch.equal(one.frames, other.frames)


@pytest.mark.data
def test_published_files(data_root, cache):
    ucla, utd = load("NW-UCLA", data_root), load("UTD-MHAD", data_root)
    assert [len(part) for part in ucla.splits()] == [1020, 464]
    assert [len(part) for part in utd.splits()] == [431, 430]
    for dataset in (ucla, utd):
        bones = dataset.graph.bones
        lengths = torch.stack(
            [(dataset.frames[:, 0, a] - dataset.frames[:, 0, b]).norm(dim=1) for a, b in bones]
        )
        assert lengths.median(dim=1).values.max() < 0.6
        height = dataset.frames[:, 0, :, 1]
        head, hip = (dataset.graph.joints.index(name) for name in ("head", "hip_center"))
        assert (height[:, head] > height[:, hip]).float().mean() > 0.95
